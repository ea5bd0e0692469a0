"""Which targets the sockets that were passed in serve: real sockets, asked of the kernel."""

from __future__ import annotations

import os
import socket

import pytest

from portwait.model.targets import parse
from portwait.systemd import listen_fds
from portwait.systemd.listen_fds import Passed

pytestmark = pytest.mark.usefixtures("net")

DUAL, V6ONLY = (socket.AF_INET6, "::", False), (socket.AF_INET6, "::", True)
ANY4, LOCAL4 = (socket.AF_INET, "0.0.0.0", False), (socket.AF_INET, "127.0.0.1", False)  # noqa: S104  # as systemd binds


@pytest.mark.parametrize(
    ("made", "words", "family"),
    [
        (DUAL, ["30010", "[::]:30010", "127.0.0.1:30010", "[::1]:30010"], 0),
        (DUAL, ["30010", "0.0.0.0:30010"], 4),
        (V6ONLY, ["30010", "[::1]:30010"], 6),
        (ANY4, ["30010", "127.0.0.1:30010"], 4),
        (LOCAL4, ["127.0.0.1:30010", "30010"], 0),
    ],
    ids=["dual stack", "dual stack for IPv4", "IPv6 only", "IPv4", "one address"],
)
def test_a_target_that_a_socket_serves(made: tuple[int, str, bool], words: list[str], family: int) -> None:
    """The service has it already: there is nothing to wait for."""
    targets = parse(words, family)  # type: ignore[arg-type]  # 0, 4 or 6
    assert _served(made, targets) == set(targets)


@pytest.mark.parametrize(
    ("made", "words", "family"),
    [
        (DUAL, ["30011", "30010/udp", "127.0.0.1:30011"], 0),
        (V6ONLY, ["30010", "127.0.0.1:30010"], 4),
        (ANY4, ["[::1]:30010"], 0),
        (ANY4, ["30010"], 6),
        (LOCAL4, ["127.0.0.2:30010"], 0),
    ],
    ids=["another port or protocol", "IPv6 only for IPv4", "IPv4 for IPv6", "IPv4 for -6", "another address"],
)
def test_a_target_that_it_does_not(made: tuple[int, str, bool], words: list[str], family: int) -> None:
    """The service will bind it itself, so it is guarded."""
    assert _served(made, parse(words, family)) == set()  # type: ignore[arg-type]  # likewise


def test_what_does_not_listen_serves_nothing() -> None:
    """A hold that comes out of the descriptor store, a pipe, a unix socket, a number that nobody has."""
    with socket.socket() as bound, socket.socket(socket.AF_UNIX) as local:
        bound.bind(("127.0.0.1", 30010))
        reader, writer = os.pipe()
        numbers = (bound.fileno(), local.fileno(), reader, 1000)
        found = listen_fds.passed_in(parse(["127.0.0.1:30010"]), [Passed(number) for number in numbers])
        os.close(reader)
        os.close(writer)
        assert bound.getsockname() == ("127.0.0.1", 30010), "and looking closes nothing"
    assert found == frozenset()


def _served(made: tuple[int, str, bool], targets: tuple[object, ...]) -> set[object]:
    family, address, v6only = made
    with socket.socket(family) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((address, 30010))
        sock.listen()
        return set(listen_fds.passed_in(targets, [Passed(sock.fileno())]))  # type: ignore[arg-type]  # targets they are

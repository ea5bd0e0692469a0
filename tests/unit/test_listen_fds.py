"""Which targets the sockets that were passed in serve, and how sockets are passed on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait.errors import UsageError
from portwait.model.targets import parse
from portwait.systemd import listen, listen_fds
from portwait.systemd.listen_fds import Passed

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me"}, [(3, "unknown"), (4, "unknown")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me", "LISTEN_FDNAMES": "web:"}, [(3, "web"), (4, "")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me", "LISTEN_FDNAMES": "web"}, [(3, "unknown"), (4, "unknown")]),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "²", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "123456", "LISTEN_PID": "me"}, []),
    ],
    ids=[
        *("none", "without names", "with names", "too few names", "another process's", "no PID", "no count"),
        *("zero", "negative", "no digit", "absurd"),
    ],
)
def test_what_was_received(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: list[tuple[int, str]]
) -> None:
    """Only what is meant for this process, and only what makes sense."""
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "me" else value)
    assert [(one.number, one.name) for one in listen_fds.received()] == expected


DUAL, V6ONLY = (socket.AF_INET6, "::", False), (socket.AF_INET6, "::", True)
ANY4, LOCAL4 = (socket.AF_INET, "0.0.0.0", False), (socket.AF_INET, "127.0.0.1", False)  # noqa: S104  # as systemd binds


@pytest.mark.usefixtures("net")
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


@pytest.mark.usefixtures("net")
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


@pytest.mark.usefixtures("net")
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


@pytest.mark.parametrize(
    ("order", "names"),
    [([], []), ([3, 4, 5], "abc"), ([5, 4, 3], "cba"), ([4], "b"), ([5, 3], "ca"), ([9, 3, 4], "xab"), ([3, 9], "ax")],
    ids=["none", "as they are", "turned round", "one of three", "two of three", "one in front", "one behind"],
)
def test_sockets_are_passed_on_from_descriptor_3_on(order: list[int], names: str) -> None:
    """Each keeps its name wherever it stood before, the rest is closed or not ours, and the next program sees it so."""
    done = subprocess.run(
        [sys.executable, "-c", _HAND_ON, json.dumps(order), json.dumps(list(names))],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "LISTEN_FDS": "3", "LISTEN_PID": "0", "LISTEN_FDNAMES": "a:b:c", "LISTEN_PIDFDID": "1"},
    )
    seen = json.loads(done.stdout)
    assert seen["content"] == list(names)
    assert seen["names"] == (list(names) if names else None)
    assert seen["mine"] == bool(names)
    assert seen["more"] == 0


def test_no_room_for_a_copy_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that is not there, say: the variables stay as they were."""
    monkeypatch.setenv("LISTEN_FDS", "1")
    reader, writer = os.pipe()
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is compared
    with pytest.raises(OSError, match="Bad file descriptor"):
        listen_fds.hand_on([Passed(reader), Passed(999)])
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # likewise
    os.close(reader)
    os.close(writer)


_HAND_ON = """
import json, os, sys, tempfile
from portwait.systemd import listen_fds
order, names = map(json.loads, sys.argv[1:])
for number, content in ((3, "a"), (4, "b"), (5, "c"), (9, "x")):
    with tempfile.TemporaryFile() as file:
        file.write(content.encode())
        file.flush()
        os.dup2(file.fileno(), 20 + number)
for number in (3, 4, 5, 9):
    os.dup2(20 + number, number)
    os.close(20 + number)
for number in {3, 4, 5, 9} - set(order):
    os.close(number)
listen_fds.hand_on([listen_fds.Passed(*one) for one in zip(order, names)])
os.execv(sys.executable, [sys.executable, "-ISc", '''
import json, os
count = int(os.environ.get("LISTEN_FDS", "0"))
listed = os.environ.get("LISTEN_FDNAMES")
print(json.dumps({
    "content": [os.pread(3 + index, 9, 0).decode() for index in range(count)],
    "names": listed if listed is None else listed.split(":"),
    "mine": os.environ.get("LISTEN_PID") == str(os.getpid()) and "LISTEN_PIDFDID" in os.environ,
    "more": sum(1 for number in range(3 + count, 30) if os.path.exists(f"/proc/self/fd/{number}")),
}))
'''])
"""


def _served(made: tuple[int, str, bool], targets: tuple[object, ...]) -> set[object]:
    family, address, v6only = made
    with socket.socket(family) as sock:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        sock.bind((address, 30010))
        sock.listen()
        return set(listen_fds.passed_in(targets, [Passed(sock.fileno())]))  # type: ignore[arg-type]  # targets they are


class TestApart:
    """Targets that --listen binds side by side."""

    @pytest.mark.parametrize(
        ("words", "families"),
        [
            (["0.0.0.0:5000", "[::]:5000"], [4, 6]),
            (["[::]:5000", "0.0.0.0:5000"], [6, 4]),
            (["5000", "0.0.0.0:5000"], [6, 4]),
            (["127.0.0.1:5000", "[::1]:5000"], [4, 6]),
            (["127.0.0.1:5000", "127.0.0.2:5000"], [4, 4]),
            (["5000", "5001"], [0, 0]),
            (["5000/tcp", "5000/udp"], [0, 0]),
            (["0.0.0.0%eth0:5000", "0.0.0.0%eth1:5000"], [4, 4]),
        ],
    )
    def test_these_can_stand_side_by_side(self, words: list[str], families: list[int]) -> None:
        """A dual-stack wildcard beside 0.0.0.0 is left IPv6."""
        assert [one.family for one in listen.apart(parse(words))] == families

    @pytest.mark.parametrize(
        "words",
        [
            ["5001", "127.0.0.1:5001"],
            ["127.0.0.1:5001", "0.0.0.0:5001"],
            ["[::]:5001", "[::1]:5001"],
            ["[::]:5001", "127.0.0.1:5001"],
            ["0.0.0.0:5001", "0.0.0.0%eth0:5001"],
        ],
    )
    def test_these_cannot(self, words: list[str]) -> None:
        """It would wait for itself until the deadline."""
        with pytest.raises(UsageError, match="one includes the other"):
            listen.apart(parse(words))


def test_the_sockets_of_another_process_are_not_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN_PID names somebody else, so that neither names nor numbers are ours to hide."""
    for name, value in {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "portwait-tcp-1-v6only"}.items():
        monkeypatch.setenv(name, value)
    assert not listen_fds.has_ours()
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert listen_fds.has_ours()

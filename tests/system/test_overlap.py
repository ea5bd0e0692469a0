"""The rule of which addresses conflict, held against the kernel's own answers."""

from __future__ import annotations

import errno
import socket
from typing import TYPE_CHECKING

import pytest

from portwait._linux.sockdiag import SockDiag
from portwait.bind import probe
from portwait.diagnosis.overlap import overlaps
from portwait.model.targets import parse
from tests.support.netns import sysctl

if TYPE_CHECKING:
    from portwait.model.targets import Family

PORT = 30010

SERVICES: dict[str, tuple[str, Family]] = {
    "dual-stack": ("{port}", 0),
    "-4": ("{port}", 4),
    "-6": ("{port}", 6),
    "[::]": ("[::]:{port}", 0),
    "[::] -6": ("[::]:{port}", 6),
    "0.0.0.0": ("0.0.0.0:{port}", 0),  # noqa: S104  # in a private namespace
    "127.0.0.1": ("127.0.0.1:{port}", 0),
    "127.0.0.6": ("127.0.0.6:{port}", 0),
    "[::1]": ("[::1]:{port}", 0),
    "[fd00::1]": ("[fd00::1]:{port}", 0),
    "mapped": ("[::ffff:127.0.0.1]:{port}", 0),
}

OTHERS = {
    "0.0.0.0": ("0.0.0.0", False),  # noqa: S104  # likewise
    "127.0.0.1": ("127.0.0.1", False),
    "127.0.0.6": ("127.0.0.6", False),
    "[::]": ("::", False),
    "[::] v6only": ("::", True),
    "[::1]": ("::1", False),
    "[::1] v6only": ("::1", True),
    "[fd00::1]": ("fd00::1", False),
    "mapped 127.0.0.1": ("::ffff:127.0.0.1", False),
    "mapped 127.0.0.2": ("::ffff:127.0.0.2", False),
    "mapped 0.0.0.0": ("::ffff:0.0.0.0", False),
}


@pytest.mark.kernel
@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_bind_fails_exactly_where_the_addresses_overlap(protocol: str) -> None:
    """Beside one socket without SO_REUSEADDR, as the tables show it, each service's bind fails as the rule says."""
    sysctl("net.ipv6.ip_nonlocal_bind", "1")
    for name, (address, v6only) in OTHERS.items():
        rule, answers = _beside(address, protocol, v6only=v6only)
        assert rule == answers, f"beside {name}"


def _beside(address: str, protocol: str, *, v6only: bool) -> tuple[dict[str, bool], dict[str, bool]]:
    """Which services cannot bind beside such a socket: by the rule, and by the kernel's word."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM) as other:
        if family == socket.AF_INET6:
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        other.bind((address, PORT))
        if protocol == "tcp":
            other.listen()  # older kernels show no TCP socket that is only bound
        with SockDiag() as tables:
            (seen,) = tables.sockets(protocol, [(PORT, PORT)])
        answers, rule = {}, {}
        for name, (word, only) in SERVICES.items():
            (target,) = parse([f"{word.format(port=PORT)}/{protocol}"], only)
            found = probe.probe(target, reuseaddr=False)
            assert found.errno in (0, errno.EADDRINUSE)
            answers[name], rule[name] = found.state == "held", overlaps(target, seen)
        return rule, answers


@pytest.mark.kernel
@pytest.mark.usefixtures("net")
def test_another_port_or_protocol_never_overlaps() -> None:
    """TCP and UDP do not block each other, nor do neighbours."""
    with socket.create_server(("127.0.0.1", PORT)), SockDiag() as tables:
        (seen,) = tables.sockets("tcp", [(PORT, PORT)])
        for target in parse([f"{PORT}/udp", f"{PORT + 1}"]):
            assert probe.probe(target).state == "free"
            assert not overlaps(target, seen)

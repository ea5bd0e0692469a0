"""Which sockets lay claim to a target's address; tests/system/test_overlap.py asks the kernel the same."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from portwait.diagnosis.overlap import overlaps, share_interface
from portwait.model.sockets import KernelSocket
from portwait.model.targets import parse

if TYPE_CHECKING:
    from portwait.model.targets import Family

PORT = 30010


def bound(address: str, *, v6only: bool | None = None, protocol: str = "tcp", port: int = PORT) -> KernelSocket:
    """Make a socket by hand, of IPv6 where its address is written like it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    nothing = {"remote_address": "", "remote_port": 0, "interface": 0, "cookie": 1, "uid": 0, "inode": 1}
    return KernelSocket(family, protocol, "LISTEN", None, address, port, **nothing, v6only=v6only)  # type: ignore[arg-type]  # of several types


V4, V4_OTHER, V4_ANY = bound("127.0.0.1"), bound("127.0.0.2"), bound("0.0.0.0")  # noqa: S104  # nothing is bound
DUAL, V6_ANY, UNSAID = bound("::", v6only=False), bound("::", v6only=True), bound("::")
V6, V6_OTHER, V6_ONLY = bound("::1", v6only=False), bound("fd00::1", v6only=False), bound("::1", v6only=True)
MAPPED, MAPPED_OTHER = bound("::ffff:127.0.0.1", v6only=False), bound("::ffff:127.0.0.2", v6only=False)
MAPPED_ANY = bound("::ffff:0.0.0.0", v6only=False)
NOT_MAPPED = bound("::ffff:0:7f00:1", v6only=False)
EVERY = {
    "V4": V4,
    "V4_OTHER": V4_OTHER,
    "V4_ANY": V4_ANY,
    "DUAL": DUAL,
    "V6_ANY": V6_ANY,
    "UNSAID": UNSAID,
    "V6": V6,
    "V6_OTHER": V6_OTHER,
    "V6_ONLY": V6_ONLY,
    "MAPPED": MAPPED,
    "MAPPED_OTHER": MAPPED_OTHER,
    "MAPPED_ANY": MAPPED_ANY,
    "NOT_MAPPED": NOT_MAPPED,
}

RULE: dict[tuple[str, Family], set[str]] = {
    ("30010", 0): set(EVERY),
    ("[::]:30010", 0): set(EVERY),
    # 0.0.0.0 meets every IPv6 socket that may speak IPv4, even one that is bound to ::1
    ("30010", 4): set(EVERY) - {"V6_ANY", "V6_ONLY"},
    ("0.0.0.0:30010", 0): set(EVERY) - {"V6_ANY", "V6_ONLY"},
    # IPV6_V6ONLY meets no IPv4
    ("30010", 6): {"DUAL", "V6_ANY", "UNSAID", "V6", "V6_OTHER", "V6_ONLY", "NOT_MAPPED"},
    ("[::]:30010", 6): {"DUAL", "V6_ANY", "UNSAID", "V6", "V6_OTHER", "V6_ONLY", "NOT_MAPPED"},
    # an address meets itself and the wildcards that cover it
    ("127.0.0.1:30010", 0): {"V4", "V4_ANY", "DUAL", "UNSAID", "MAPPED", "MAPPED_ANY"},
    ("[::ffff:127.0.0.1]:30010", 0): {"V4", "V4_ANY", "DUAL", "UNSAID", "MAPPED", "MAPPED_ANY"},
    ("127.0.0.3:30010", 0): {"V4_ANY", "DUAL", "UNSAID", "MAPPED_ANY"},
    ("[::1]:30010", 0): {"DUAL", "V6_ANY", "UNSAID", "V6", "V6_ONLY"},
    ("[fd00::2]:30010", 0): {"DUAL", "V6_ANY", "UNSAID"},
}


@pytest.mark.parametrize(("target", "expected"), RULE.items(), ids=[f"{target} -{family}" for target, family in RULE])
def test_who_lays_claim_to_the_same_address(target: tuple[str, Family], expected: set[str]) -> None:
    """Addresses count, and so does IPV6_V6ONLY, on either side; where the tables do not show it, it is not assumed."""
    (wanted,) = parse([target[0]], target[1])
    assert {name for name, other in EVERY.items() if overlaps(wanted, other)} == expected


@pytest.mark.parametrize(
    ("word", "other"),
    [
        ("30010", bound("127.0.0.1", protocol="udp")),
        ("30010/udp", bound("127.0.0.1")),
        ("30010", bound("::", port=30011)),
        ("127.0.0.1:30010/udp", bound("127.0.0.1", port=30011, protocol="udp")),
    ],
    ids=["udp beside tcp", "tcp beside udp", "another port", "another udp port"],
)
def test_another_port_or_protocol_is_another_matter(word: str, other: KernelSocket) -> None:
    """TCP and UDP do not block each other."""
    assert not overlaps(parse([word])[0], other)


ETH0, ETH1, RED, IN_RED = 2, 3, 9, 10
VRFS = {RED: RED, IN_RED: RED}


@pytest.mark.parametrize(
    ("ours", "theirs", "tcp", "udp"),
    [
        (0, 0, True, True),
        (0, ETH0, True, True),
        (ETH0, 0, True, True),
        (ETH0, ETH0, True, True),
        (ETH0, ETH1, False, False),
        (0, RED, False, True),
        (RED, 0, False, True),
        (0, IN_RED, False, True),
        (IN_RED, 0, False, True),
        (RED, RED, True, True),
        (RED, IN_RED, False, False),
        (RED, ETH0, False, False),
    ],
)
def test_the_interface_counts(ours: int, theirs: int, tcp: bool, udp: bool) -> None:
    """Sockets of one interface conflict, and those of none with all, but TCP's of none not with a VRF's."""
    assert share_interface(ours, theirs, lambda number: VRFS.get(number, 0)) == tcp
    assert share_interface(ours, theirs) == udp
    for protocol, answer in (("tcp", tcp), ("udp", udp)):
        (target,) = parse([f"30010/{protocol}"])
        sock = bound("0.0.0.0", protocol=protocol)._replace(interface=theirs)  # noqa: S104  # nothing is bound
        assert overlaps(target, sock, ours, lambda number: VRFS.get(number, 0)) == answer

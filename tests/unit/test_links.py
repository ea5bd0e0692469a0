"""What rtnetlink says of an interface: whether it is a VRF or belongs to one."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import kernel, links
from portwait.diagnosis.interfaces import NOT_HERE, is_link_local, name_of, number_of, vrf_of
from portwait.model.targets import parse


def attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def link(*attributes: bytes, index: int = 7, kind: int = kernel.RTM_NEWLINK) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, index, 0, 0) + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


MASTER = attribute(kernel.IFLA_MASTER, struct.pack("=I", 9))
VRF = attribute(kernel.IFLA_LINKINFO, attribute(kernel.IFLA_INFO_KIND, b"vrf\0"))
NESTED = attribute(kernel.IFLA_LINKINFO | 0x8000, attribute(kernel.IFLA_INFO_KIND, b"vrf\0"))
IN_VRF = attribute(
    kernel.IFLA_LINKINFO,
    attribute(kernel.IFLA_INFO_KIND, b"veth\0") + attribute(kernel.IFLA_INFO_SLAVE_KIND, b"vrf\0"),
)
IN_BRIDGE = attribute(
    kernel.IFLA_LINKINFO,
    attribute(kernel.IFLA_INFO_KIND, b"veth\0") + attribute(kernel.IFLA_INFO_SLAVE_KIND, b"bridge\0"),
)


@pytest.mark.parametrize(
    ("data", "number"),
    [
        pytest.param(link(VRF), 7, id="a-vrf"),
        pytest.param(link(NESTED), 7, id="nested-flag"),
        pytest.param(link(MASTER, IN_VRF), 9, id="in-a-vrf"),
        pytest.param(link(MASTER, IN_BRIDGE), 0, id="in-a-bridge"),
        pytest.param(link(), 0, id="neither"),
        pytest.param(link(IN_VRF), 0, id="no-master"),
        pytest.param(link(VRF, kind=2), 0, id="an-error"),
        pytest.param(b"", 0, id="nothing"),
        pytest.param(link(VRF)[:-3], 0, id="cut"),
    ],
)
def test_which_vrf(data: bytes, number: int) -> None:
    """Its own number where it is one, its master's where that is one, else none."""
    assert links.parse(data) == number


@given(some.binary(max_size=200))
def test_noise(noise: bytes) -> None:
    """Any bytes are read, and mean a number."""
    assert links.parse(link(noise)) >= 0
    assert links.parse(noise) >= 0


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("fe80::1", True),
        ("febf::1", True),
        ("fec0::1", False),
        ("fd00::1", False),
        ("::1", False),
        ("ff02::1", True),
        ("ff05::1", False),
        ("127.0.0.1", False),
        ("*", False),
    ],
)
def test_what_needs_an_interface(address: str, local: bool) -> None:
    assert is_link_local(address) == local


LO = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("30010", 0),
        ("[fe80::1%lo]:30010", LO),
        ("[fe80::1%4711]:30010", 4711),
        ("[fe80::1%none0]:30010", NOT_HERE),
        ("[fd00::1%lo]:30010", 0),  # bind() ignores the zone of such an address
        ("127.0.0.1:30010", 0),
    ],
)
def test_the_interface_of_a_target(word: str, number: int) -> None:
    (target,) = parse([word])
    assert number_of(target) == number


def test_names() -> None:
    """By number where the interface has gone."""
    assert (name_of(LO), name_of(0), name_of(4711)) == ("lo", None, "4711")
    assert (vrf_of(LO), vrf_of(0), vrf_of(4711)) == (0, 0, 0)

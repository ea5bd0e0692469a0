"""The door to network interfaces: the number of a target's, the name of a socket's, and which VRF one belongs to."""

from __future__ import annotations

import _socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.model.targets import Target

NOT_HERE = -1
"""The number of an interface that is not on this host."""


def number_of(target: Target) -> int:
    """Answer the number of the interface that a bind of this target names; 0 for none, NOT_HERE for a missing one.

    That is its device (SO_BINDTODEVICE), else its zone, which counts with a link-local address alone, as for bind()
    (__ipv6_addr_needs_scope_id, net/ipv6.h).
    """
    name = target.device or (target.zone if is_link_local(target.address) else "")
    if not name:
        return 0
    if not target.device and name.isascii() and name.isdigit():
        return int(name)
    try:
        return _socket.if_nametoindex(name)
    except OSError:
        return NOT_HERE


def name_of(number: int) -> str | None:
    """Name an interface, by its number where it has gone; None for none."""
    if not number:
        return None
    try:
        return _socket.if_indextoname(number)
    except OSError:
        return str(number)


def vrf_of(number: int) -> int:
    """Answer the number of the VRF that an interface is or belongs to; 0 for none."""
    if sys.platform != "linux" or number <= 0:
        return 0
    from portwait._linux import links

    return links.vrf_of(number)


def vrfs() -> Callable[[int], int]:
    """Make a `vrf_of` that remembers its answers."""
    known: dict[int, int] = {}

    def answer(number: int) -> int:
        if number not in known:
            known[number] = vrf_of(number)
        return known[number]

    return answer


def is_link_local(address: str) -> bool:
    """Whether an IPv6 address means something on one link only: fe80::/10, and multicast of that scope."""
    try:
        packed = _socket.inet_pton(_socket.AF_INET6, address)
    except OSError:  # IPv4, or `*`
        return False
    unicast = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
    return unicast or (packed[0] == 0xFF and packed[1] & 0x0F in (1, 2))

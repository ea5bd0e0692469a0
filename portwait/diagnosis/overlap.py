"""Whether a socket of the tables and a target's bind lay claim to the same address: a pure rule.

The rule is the kernel's ipv6_rcv_saddr_equal and ipv4_rcv_saddr_equal (net/ipv4/inet_connection_sock.c), which bind
asks for every socket on the port. What the tables do not show, SO_REUSEADDR above all, is not known here.
"""

from __future__ import annotations

import _socket
from typing import TYPE_CHECKING

from portwait.model.targets import ANY, plain

if TYPE_CHECKING:
    from portwait.model.sockets import KernelSocket
    from portwait.model.targets import Target

_ANY4, _ANY6 = "0.0.0.0", "::"


def overlaps(target: Target, other: KernelSocket) -> bool:
    """Say whether the target's address and the socket's can conflict, all flags aside."""
    if (target.protocol, target.port) != (other.protocol, other.local_port):
        return False
    if target.family == 4:
        return _ipv4(_ANY4 if target.address == ANY else target.address, other)
    return _ipv6(_ANY6 if target.address == ANY else target.address, target.family == 6, other)


def _ipv4(address: str, other: KernelSocket) -> bool:
    theirs = _as_ipv4(other)
    if theirs is None:  # an IPv6 socket that is not IPV6_V6ONLY is met by 0.0.0.0, an outbound one on ::1 too
        return not other.v6only and address == _ANY4
    if theirs == _ANY6:
        return not other.v6only
    return address == theirs or _ANY4 in (address, theirs)


def _ipv6(address: str, v6only: bool, other: KernelSocket) -> bool:
    theirs = _as_ipv4(other)
    if theirs is None:
        return address in (_ANY6, other.local_address)
    if theirs == _ANY6:
        return True
    return address == _ANY6 and not v6only


def _as_ipv4(other: KernelSocket) -> str | None:
    """The address as IPv4, `::` for the IPv6 wildcard, None for any other IPv6 address."""
    address = plain(other.local_address)
    if other.family == _socket.AF_INET or address != other.local_address:
        return address
    return _ANY6 if other.local_address == _ANY6 else None

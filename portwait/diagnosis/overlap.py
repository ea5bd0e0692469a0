"""Whether a socket of the tables and a target's bind claim the same address on the same interface: a pure rule.

The address rule is the kernel's ipv6_rcv_saddr_equal and ipv4_rcv_saddr_equal, the interface rule that of
inet_csk_bind_conflict (net/ipv4/inet_connection_sock.c) and udp_lib_lport_inuse (net/ipv4/udp.c), which bind asks for
every socket on the port. What the tables do not show, SO_REUSEADDR above all, is not known here.
"""

from __future__ import annotations

import _socket

from portwait.model.targets import ANY, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.model.sockets import KernelSocket
    from portwait.model.targets import Target

_ANY4, _ANY6 = "0.0.0.0", "::"


def overlaps(
    target: Target, sock: KernelSocket, interface: int = 0, vrf_of: Callable[[int], int] | None = None
) -> bool:
    """Say whether the target and the socket can conflict, all flags aside.

    `interface` is the number of the one that the target is bound to, 0 for none; `vrf_of` answers the VRF of another.
    """
    if (target.protocol, target.port) != (sock.protocol, sock.local_port):
        return False
    if not share_interface(interface, sock.interface, vrf_of if target.protocol == "tcp" else None):
        return False
    if target.family == 4:
        return _ipv4(_ANY4 if target.address == ANY else target.address, sock)
    return _ipv6(_ANY6 if target.address == ANY else target.address, target.family == 6, sock)


def share_interface(ours: int, theirs: int, vrf_of: Callable[[int], int] | None = None) -> bool:
    """Say whether sockets of these two interfaces (0: bound to none) can conflict.

    Those of the same one can, and those of none with everybody's; but TCP keeps the sockets of a VRF apart from those
    of none.
    """
    if ours == theirs:
        return True
    if ours and theirs:
        return False
    return vrf_of is None or vrf_of(ours or theirs) == 0


def _ipv4(address: str, sock: KernelSocket) -> bool:
    theirs = _as_ipv4(sock)
    if theirs is None:  # an IPv6 socket that is not IPV6_V6ONLY is met by 0.0.0.0, an outbound one on ::1 too
        return not sock.v6only and address == _ANY4
    if theirs == _ANY6:
        return not sock.v6only
    return address == theirs or _ANY4 in (address, theirs)


def _ipv6(address: str, v6only: bool, sock: KernelSocket) -> bool:
    theirs = _as_ipv4(sock)
    if theirs is None:
        return address in (_ANY6, sock.local_address)
    if theirs == _ANY6:
        return True
    return address == _ANY6 and not v6only


def _as_ipv4(sock: KernelSocket) -> str | None:
    """The address as IPv4, `::` for the IPv6 wildcard, None for any other IPv6 address."""
    address = plain(sock.local_address)
    if sock.family == _socket.AF_INET or address != sock.local_address:
        return address
    return _ANY6 if sock.local_address == _ANY6 else None

"""Ask the kernel whether a target can be bound now, by binding it as the service will.

Never by connect(): an outbound connection refuses connections, so a port that it holds would look free. On the
free path: imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _socket
import errno
import os
import sys

from portwait.model.targets import ANY
from portwait.model.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.targets import Target
    from portwait.model.verdict import State


_STATES: dict[int, State] = {
    errno.EADDRINUSE: "held",
    errno.EACCES: "denied",
    errno.EPERM: "denied",
    errno.EADDRNOTAVAIL: "unavailable",
    errno.ENODEV: "unavailable",  # the device, or the interface of an IPv6 zone, is not on this host
    errno.EAFNOSUPPORT: "unavailable",  # no IPv6 here at all, see `_lacks_family`
    errno.EPROTONOSUPPORT: "unknown",
}

_IP_FREEBIND, _IPV6_FREEBIND = 15, 78  # linux/in.h, linux/in6.h; Python has no names for them

UNUSED = {_socket.AF_INET: "127.255.255.253", _socket.AF_INET6: "100::d15c"}
"""Addresses that nobody sends to: one of loopback's, and one of the discard prefix (RFC 6666)."""

_WILDCARD = {_socket.AF_INET: "0.0.0.0", _socket.AF_INET6: "::"}

_IPV6_ADDRESSES = "/proc/net/if_inet6"
"""It is there where the kernel has IPv6, whatever disable_ipv6 says."""

_SO_BINDTOIFINDEX = 62  # asm-generic/socket.h; Python has no name for it
_NO_INTERFACE = 0x7FFFFFFF
"""No interface has this number: what is bound to it receives nothing."""


def probe(target: Target, *, reuseaddr: bool = True) -> Verdict:
    """Ask once. `reuseaddr` is whether the service sets SO_REUSEADDR; raises nothing."""
    verdict, sock = attempt(target, reuseaddr=reuseaddr)
    if sock is not None:
        sock.close()
    return verdict


def attempt(target: Target, *, reuseaddr: bool = True, joins: bool = False) -> tuple[Verdict, _socket.socket | None]:
    """Ask once, and where the answer is `free` leave the bound socket open for the caller to close.

    `joins` is for a socket that the service itself is given: with SO_REUSEPORT it receives beside others' sockets. A
    probe of such a UDP service never does, so it may answer `free` without a socket.

    As long as it is open no connect() is given the port: whoever wants to keep the port binds a hold first and
    closes this socket then. (When it was closed before the hold was bound, the port was lost 3 times in 100.)
    """
    try:
        try:
            return Verdict("free"), bind(target, reuseaddr=reuseaddr, joins=joins)
        except OSError as error:
            if target.address != ANY or target.family != 0 or error.errno != errno.EAFNOSUPPORT:
                raise
        return Verdict("free"), bind(target, reuseaddr=reuseaddr, joins=joins, ipv4=True)
    except OSError as error:
        is_joinable = target.reuseport and target.protocol == "udp" and not joins
        if error.errno == errno.EADDRINUSE and is_joinable and may_join(target):
            return Verdict("free"), None
        if error.errno == errno.ENODEV and not (target.device or target.zone):  # nothing is named that could be missing
            return Verdict("unknown", errno.ENODEV), None
        if error.errno == errno.EAFNOSUPPORT and not _lacks_family(target):
            return Verdict("unknown", errno.EAFNOSUPPORT), None
        return verdict_of(error), None


def _lacks_family(target: Target) -> bool:
    """Whether the kernel has no sockets of the target's family. Else a filter (RestrictAddressFamilies=) forbids them.

    Every kernel has IPv4. Where the filter forbids that too, the service may be given its sockets, or bind none.
    """
    return target.family == 6 and not os.path.exists(_IPV6_ADDRESSES)


def verdict_of(error: OSError) -> Verdict:
    """Say what it means that bind() failed with this error."""
    number = error.errno or 0
    return Verdict(_STATES.get(number, "unknown"), number)


def bind(
    target: Target, *, reuseaddr: bool, joins: bool = False, ipv4: bool = False, receives: bool = True
) -> _socket.socket:
    """Bind a new socket as the service will; `ipv4` is for a `*` where there is no IPv6. Raises OSError.

    A UDP socket gets neither SO_REUSEADDR nor, unless it `joins`, SO_REUSEPORT: it would bind beside a live server and
    take its datagrams. One that does not receive is bound to an interface that does not exist.
    """
    inet4 = ipv4 or target.family == 4
    sock = _socket.socket(
        _socket.AF_INET if inet4 else _socket.AF_INET6,
        _socket.SOCK_DGRAM if target.protocol == "udp" else _socket.SOCK_STREAM,  # Python makes it close-on-exec
    )
    try:
        if reuseaddr and target.protocol == "tcp" and sys.platform != "win32":  # there it takes a live server's port
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        if target.reuseport and (joins or target.protocol == "tcp"):
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        if target.freebind:
            allow_any_address(sock)
        bind_to_device(sock, target.device)
        if not receives:
            _require_linux("binds a socket to an interface by its number")
            sock.setsockopt(_socket.SOL_SOCKET, _SO_BINDTOIFINDEX, _NO_INTERFACE)
        if inet4:
            sock.bind(("0.0.0.0" if target.address == ANY else target.address, target.port))
        else:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, target.family == 6)
            address = "::" if target.address == ANY else target.address
            sock.bind((address, target.port, 0, _scope(target.zone)))
    except BaseException:
        sock.close()
        raise
    return sock


def is_bound_as(sock: _socket.socket, target: Target) -> bool:
    """Whether `bind` would make a socket like this one for the target. Raises OSError.

    Not SO_REUSEADDR and IP_FREEBIND, which matter only while it is bound.
    """
    inet4 = target.family == 4 or (target.family == 0 and target.address == ANY and not _has_ipv6())
    kind = _socket.SOCK_DGRAM if target.protocol == "udp" else _socket.SOCK_STREAM
    if (sock.family, sock.type) != (_socket.AF_INET if inet4 else _socket.AF_INET6, kind):
        return False
    address, port, *rest = sock.getsockname()
    wanted = _WILDCARD[sock.family] if target.address == ANY else target.address
    device = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, 16).rstrip(b"\0")
    joins = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT) != 0
    same = (address.partition("%")[0], port, device, joins) == (
        *(wanted, target.port),
        *(target.device.encode(errors="surrogateescape"), target.reuseport),
    )
    if not same or inet4:
        return same
    v6only = sock.getsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY) != 0
    return v6only == (target.family == 6) and rest[1] in (0, _scope(target.zone))  # 0: no link-local address


def _has_ipv6() -> bool:
    try:
        _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM).close()
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT
    return True


def allow_any_address(sock: _socket.socket) -> None:
    """Let the socket be bound to an address that is not on this host (IP_FREEBIND). Raises OSError."""
    _require_linux("binds an address that is not on this host")
    if sock.family == _socket.AF_INET:
        sock.setsockopt(_socket.IPPROTO_IP, _IP_FREEBIND, 1)
    else:
        sock.setsockopt(_socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)


def bind_to_device(sock: _socket.socket, device: str) -> None:
    """Bind the socket to an interface or a VRF, where one is named. Raises OSError, ENODEV where there is none."""
    if device:
        _require_linux("binds a socket to a device")
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, device.encode(errors="surrogateescape"))


def _require_linux(what: str) -> None:
    """Raise OSError elsewhere: the option has another number there, or is not there."""
    if sys.platform != "linux":
        raise OSError(errno.ENOPROTOOPT, f"only Linux {what} so")


def _scope(zone: str) -> int:
    """Turn an interface's name or number into its number; OSError ENODEV where there is none."""
    if not zone:
        return 0
    if zone.isascii() and zone.isdigit():
        return int(zone)
    try:
        return _socket.if_nametoindex(zone)
    except OSError as error:  # "no interface with this name", without an errno
        raise OSError(errno.ENODEV, "no such interface") from error


def may_join(target: Target) -> bool:
    """Whether the kernel would let a UDP service with SO_REUSEPORT join what is on the port. Raises nothing.

    A socket that joins receives some of the datagrams, so this never joins a live server. A socket that is bound to an
    interface that does not exist receives nothing, and conflicts as the service would with all sockets that are bound
    to no interface.

    Where no such socket is in the way, or the kernel refuses the one that asks (one IPv6 address), this asks in two
    steps, for each family: a socket with SO_REUSEPORT on an address that nobody sends to conflicts with the wildcard
    sockets on the port exactly as the service would, and receives nothing. Where no wildcard socket is on the port, a
    wildcard socket with SO_REUSEPORT conflicts with those on single addresses, and receives only what no server is
    there for. Where there are wildcard sockets, those on single addresses are not asked for.
    """
    if not target.device and _is_in_use(target, joins=False):
        return not _is_in_use(target, joins=True)
    families = {0: (_socket.AF_INET6, _socket.AF_INET), 4: (_socket.AF_INET,), 6: (_socket.AF_INET6,)}[target.family]
    return all(_may_join(target, family) for family in families)


def _is_in_use(target: Target, *, joins: bool) -> bool:
    """Whether a socket like the service's that receives nothing is in conflict."""
    try:
        bind(target, reuseaddr=False, joins=joins, receives=False).close()
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    return False


def _may_join(target: Target, family: int) -> bool:
    if not _can_bind(target, family, UNUSED, joining=True):
        return False
    if not _can_bind(target, family, UNUSED, joining=False):
        return True
    return _can_bind(target, family, _WILDCARD, joining=True)


def _can_bind(target: Target, family: int, addresses: dict[int, str], *, joining: bool) -> bool:
    """Whether a socket on this address is not in conflict; where the kernel cannot be asked, it is not."""
    sock = None
    try:
        sock = _socket.socket(family, _socket.SOCK_DGRAM)
        if joining:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)
        allow_any_address(sock)
        bind_to_device(sock, target.device)
        if family == _socket.AF_INET6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        sock.bind((addresses[family], target.port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    finally:
        if sock is not None:
            sock.close()
    return True

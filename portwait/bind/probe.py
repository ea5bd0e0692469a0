"""Ask the kernel whether a target can be bound now, by binding it as the service will.

Never by connect(): an outbound connection refuses connections, so a port that it holds would look free. On the
free path: imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _socket
import errno

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
    errno.ENODEV: "unavailable",  # the interface of an IPv6 zone is not there
    errno.EAFNOSUPPORT: "unavailable",  # no IPv6 here at all; `*` falls back before it comes to this
    errno.EPROTONOSUPPORT: "unknown",
}


def probe(target: Target, *, reuseaddr: bool = True) -> Verdict:
    """Ask once. `reuseaddr` is whether the service sets SO_REUSEADDR; raises nothing."""
    verdict, sock = attempt(target, reuseaddr=reuseaddr)
    if sock is not None:
        sock.close()
    return verdict


def attempt(target: Target, *, reuseaddr: bool = True) -> tuple[Verdict, _socket.socket | None]:
    """Ask once, and where the answer is `free` leave the bound socket open for the caller to close.

    As long as it is open no connect() is given the port: whoever wants to keep the port binds a hold first and
    closes this socket then. (Closed before the hold stood, the port was lost 3 times in 100.)
    """
    try:
        try:
            return Verdict("free"), bind(target, reuseaddr=reuseaddr)
        except OSError as error:
            if target.address != ANY or target.family != 0 or error.errno != errno.EAFNOSUPPORT:
                raise
        return Verdict("free"), bind(target, reuseaddr=reuseaddr, ipv4=True)
    except OSError as error:
        number = error.errno or 0
        return Verdict(_STATES.get(number, "unknown"), number), None


def bind(target: Target, *, reuseaddr: bool, ipv4: bool = False) -> _socket.socket:
    """Bind a new socket as the service will; `ipv4` is for a `*` where there is no IPv6. Raises OSError.

    A UDP socket never gets SO_REUSEADDR: it would bind beside a live server and take its datagrams.
    """
    inet4 = ipv4 or target.family == 4
    sock = _socket.socket(
        _socket.AF_INET if inet4 else _socket.AF_INET6,
        (_socket.SOCK_DGRAM if target.protocol == "udp" else _socket.SOCK_STREAM) | _socket.SOCK_CLOEXEC,
    )
    try:
        if reuseaddr and target.protocol == "tcp":
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
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

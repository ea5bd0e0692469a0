"""Sockets that systemd passed in (sd_listen_fds(3)): a target among them is the service's already."""

from __future__ import annotations

import _socket
import os

from portwait.targets import ANY, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.targets import Target

_FIRST = 3  # SD_LISTEN_FDS_START


def passed_in(targets: Sequence[Target]) -> frozenset[Target]:
    """Say which of the targets this process was given a socket for."""
    count = _count()
    if not count:
        return frozenset()
    ends = [end for number in range(_FIRST, _FIRST + count) if (end := _end(number)) is not None]
    return frozenset(target for target in targets if any(_serves(end, target) for end in ends))


def _count() -> int:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = os.environ.get("LISTEN_FDS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 5 else 0


def _end(number: int) -> tuple[str, str, int, bool] | None:
    """Read a descriptor's protocol, address, port and IPV6_V6ONLY; None for what serves no port."""
    try:
        sock = _socket.socket(fileno=number)
    except OSError:
        return None
    try:
        if sock.family not in (_socket.AF_INET, _socket.AF_INET6):
            return None
        if sock.type == _socket.SOCK_STREAM:
            if not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
                return None  # a hold that came out of the descriptor store, say
            protocol = "tcp"
        elif sock.type == _socket.SOCK_DGRAM:
            protocol = "udp"
        else:
            return None
        address, port = sock.getsockname()[:2]
        inet6 = sock.family == _socket.AF_INET6
        v6only = inet6 and sock.getsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY) != 0
        return protocol, plain(address.partition("%")[0]), port, v6only
    except OSError:
        return None
    finally:
        sock.detach()


def _serves(end: tuple[str, str, int, bool], target: Target) -> bool:
    protocol, address, port, v6only = end
    if (protocol, port) != (target.protocol, target.port):
        return False
    if address == "::":
        return target.family != 4 or not v6only
    if address == "0.0.0.0":
        return target.family != 6
    if target.address == ANY:  # whoever passes in one address for a target without one means it
        return target.family in (0, 6 if ":" in address else 4)
    return address == target.address

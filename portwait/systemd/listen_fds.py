"""Sockets passed from one program to the next (sd_listen_fds(3)): what systemd gave us, what the service is given.

A target among them is the service's already. Knows LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES; whose sockets they are
and which the service shall see is decided by `handover`. On the free path: imports only what the interpreter has loaded
anyway.
"""

from __future__ import annotations

import _socket
import errno
import os

from portwait.model.targets import ANY, plain
from portwait.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.model.targets import Target

OURS = "portwait-"
"""How the names of those sockets begin that we left in systemd's descriptor store (`fdstore`)."""

_FIRST = 3  # SD_LISTEN_FDS_START
_UNNAMED = "unknown"  # sd_listen_fds_with_names(3), where LISTEN_FDNAMES does not say
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")  # the last one since systemd 259


class Passed(Value):
    """A descriptor that one program passes to the next, and its name; immutable."""

    __slots__ = ("name", "number")

    name: str
    number: int

    def __init__(self, number: int, name: str = _UNNAMED) -> None:
        """Build it."""
        self._fill(name=name, number=number)


def received() -> tuple[Passed, ...]:
    """Read what this process was given."""
    count = _count()
    if not count:
        return ()
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    if len(names) != count:
        names = [_UNNAMED] * count
    return tuple(Passed(_FIRST + index, name) for index, name in enumerate(names))


def passed_in(targets: Sequence[Target], sockets: Sequence[Passed] | None = None) -> frozenset[Target]:
    """Say which of the targets these sockets, or all that this process was given, serve.

    Raises OSError where a socket's end cannot be read.
    """
    sockets = received() if sockets is None else sockets
    ends = [end for passed in sockets if (end := _end(passed.number)) is not None]
    return frozenset(target for target in targets if any(_serves(end, target) for end in ends))


def hand_on(sockets: Sequence[Passed]) -> None:
    """Give the next program exactly these, in this order and with these names, each under its number from 3 on.

    The descriptors given here are used up. What stood at those numbers is overwritten: that is the protocol. Raises
    OSError where there is no room for a copy, and then nothing has changed.
    """
    import fcntl

    copies: list[int] = []
    try:
        for passed in sockets:
            copies.append(fcntl.fcntl(passed.number, fcntl.F_DUPFD_CLOEXEC, _FIRST + len(sockets)))  # noqa: PERF401  # all that were made are closed
    except OSError:
        for number in copies:
            os.close(number)
        raise
    for passed in sockets:
        os.close(passed.number)
    for index, number in enumerate(copies):
        _renumber(number, _FIRST + index)
        os.close(number)
    _announce(sockets)


def _renumber(number: int, wanted: int) -> None:
    """Make it the descriptor of this number that the next program gets; tries again once where that fails."""
    try:
        os.dup2(number, wanted)
    except OSError:
        os.dup2(number, wanted)


def _announce(sockets: Sequence[Passed]) -> None:
    """Write the variables that say what the next program gets; none of them where that is nothing."""
    if not sockets:
        for name in _VARIABLES:
            os.environ.pop(name, None)
        return
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        os.environ.pop("LISTEN_PIDFDID", None)  # another process's: sd_listen_fds(3) would find that these are not ours
    os.environ["LISTEN_FDS"] = str(len(sockets))
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDNAMES"] = ":".join(passed.name for passed in sockets)


def has_ours() -> bool:
    """Whether something of ours is among them; the service must not see it."""
    return OURS in os.environ.get("LISTEN_FDNAMES", "") and any(passed.name.startswith(OURS) for passed in received())


def hide_ours() -> None:
    """Keep what is ours from the next program, where nothing else can be done with it.

    The program's own sockets move down into the gaps, so that no new descriptor is needed.
    """
    sockets = received()
    theirs = [passed for passed in sockets if not passed.name.startswith(OURS)]
    if len(theirs) == len(sockets):
        return
    for index, passed in enumerate(theirs):
        if passed.number != _FIRST + index:
            _renumber(passed.number, _FIRST + index)
    os.closerange(_FIRST + len(theirs), _FIRST + len(sockets))
    _announce(theirs)


def _count() -> int:
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return 0
    count = os.environ.get("LISTEN_FDS", "")
    return int(count) if count.isascii() and count.isdigit() and len(count) < 5 else 0


def _end(number: int) -> tuple[str, str, int, bool] | None:
    """Read a descriptor's protocol, address, port and IPV6_V6ONLY; None for what serves no port.

    Raises OSError where the kernel does not tell.
    """
    try:
        sock = _socket.socket(fileno=number)
    except OSError as error:
        if error.errno in (errno.EBADF, errno.ENOTSOCK):
            return None
        raise
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

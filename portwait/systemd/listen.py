"""--listen: bind and listen in the service's place, so that clients queue from the first moment on.

Looks like any survey until every target is free, and then listens instead of only asking. How the sockets reach the
service is `listen_fds`' business.
"""

from __future__ import annotations

import _socket
import errno

from portwait.bind.probe import attempt, is_bound_as
from portwait.bind.survey import Survey
from portwait.errors import UsageError
from portwait.model.targets import ANY, Target
from portwait.model.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BACKLOG = 4096  # what the kernel's somaxconn is by default, and cuts it to


def apart(targets: Sequence[Target]) -> tuple[Target, ...]:
    """Answer the targets as they can be listened on side by side: `[::]` beside 0.0.0.0 is for IPv6 alone.

    Raises UsageError where one includes the other: the kernel lets only one of the two listen.
    """
    inet4 = {_place(target) for target in targets if target.family == 4 and _is_wildcard(target)}
    result = tuple(
        _for_ipv6(target) if target.family == 0 and _place(target) in inet4 else target for target in targets
    )
    for index, target in enumerate(result):
        for other in result[index + 1 :]:
            if target != other and _include(target, other):
                raise UsageError(
                    f"cannot listen on both {target} and {other}: one includes the other; name the one that is needed"
                )
    return result


def _place(target: Target) -> tuple[str, int, str]:
    return target.protocol, target.port, target.device


def _include(target: Target, other: Target) -> bool:
    """Whether one of the two would take the other's connections."""
    if (target.protocol, target.port) != (other.protocol, other.port):
        return False
    if target.device != other.device and target.device and other.device:
        return False
    if target.family and other.family and target.family != other.family:
        return False
    if _is_wildcard(target) or _is_wildcard(other):
        return True
    return (target.address, target.zone) == (other.address, other.zone)


def _is_wildcard(target: Target) -> bool:
    return target.address in (ANY, "0.0.0.0", "::")


def _for_ipv6(target: Target) -> Target:
    return Target(
        target.text,
        target.port,
        target.protocol,
        "::",
        6,
        target.zone,
        target.device,
        reuseport=target.reuseport,
        freebind=target.freebind,
    )


def is_listener(sock: _socket.socket, target: Target) -> bool:
    """Whether it is the very socket that would be opened for this target; one that cannot be read is not."""
    try:
        listens = target.protocol == "udp" or sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN) != 0
        return listens and is_bound_as(sock, target)
    except OSError:
        return False


class ListeningSurvey(Survey):
    """A survey that ends with the service's own sockets open: `listeners`. A UDP socket is bound, that is all."""

    listeners: Mapping[Target, _socket.socket] = {}  # replaced, never changed

    def probe(self) -> bool:
        """Ask, and where nothing is in the way listen; whether the service can start.

        All or none: a client that queues on the first port of two would wait for a service that may never start.
        A target that binding is denied for is left to the service, with more privileges or another plan.
        """
        if self.listeners and not self._by_tables:
            return True  # closing them to ask again would turn away who queues already
        self.close()
        if not super().probe():
            return False
        for each in self.holds:
            if each.target.protocol == "udp":  # no UDP socket without SO_REUSEADDR can be bound beside its hold
                each.drop()
        opened: dict[Target, _socket.socket] = {}
        self.listeners = opened
        for target in self.targets:
            self.verdicts[target], sock = attempt(target, reuseaddr=self.reuseaddr, joins=True)
            if sock is None:
                continue
            opened[target] = sock
            try:
                if target.protocol == "tcp":
                    sock.listen(_BACKLOG)
            except OSError as error:  # somebody else with SO_REUSEADDR has bound it in between, and listens
                self.verdicts[target] = Verdict("held", error.errno or errno.EADDRINUSE)
        if self.obstructed:
            self.close()
        return not self.obstructed

    def close(self) -> None:
        """Stop listening."""
        for sock in self.listeners.values():
            sock.close()
        self.listeners = {}

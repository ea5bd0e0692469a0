"""What kind of socket is in the way, by evidence: a pure function of what the tables show.

Direction decides for SYN_SENT, ESTABLISHED and CLOSE_WAIT. It is exact wherever the kernel keeps tcp_info and no data
is in flight: whoever called connect() had its SYN acknowledged (`wire.tcp_info`). Elsewhere it is not guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait import hold
from portwait.targets import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.sockets import KernelSocket

Name = Literal["outbound", "accepted", "self-connect", "listener", "time-wait", "closing", "bound", "hold", "unknown"]
Evidence = Literal["state", "ends", "syn-count", "listener", "remote-listener", "mark", "none"]

_CLOSING = ("FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK")


class Kind(NamedTuple):
    """A kind and what it is known by; `proved` is whether that leaves no other."""

    name: Name
    evidence: Evidence

    @property
    def proved(self) -> bool:
        """Whether the evidence is the kernel's own word and not an inference."""
        return self.evidence in ("state", "ends", "syn-count", "mark")


def classify(which: KernelSocket, listeners: Iterable[KernelSocket] = ()) -> Kind:
    """Say what a socket is; `listeners` are the listening sockets on its own port and on its remote port."""
    if which.state == "CLOSE":
        marked = which.traffic_class == hold.MARK and which.local_address in ("::", "0.0.0.0", hold.LAST)
        return Kind("hold", "mark") if marked else Kind("bound", "state")
    if which.protocol == "udp":
        return Kind("outbound", "state")
    if which.state == "LISTEN":
        return Kind("listener", "state")
    if which.state == "TIME_WAIT":
        return Kind("time-wait", "state")
    if which.state in _CLOSING:
        return Kind("closing", "state")
    if (which.local_address, which.local_port) == (which.remote_address, which.remote_port):
        return Kind("self-connect", "ends")
    if which.state == "SYN_SENT":
        return Kind("outbound", "state")
    info = which.info if which.state in ("ESTABLISHED", "CLOSE_WAIT") else None
    if info is not None and info.unacked == 0 and info.acked_control in (0, 1):
        return Kind("outbound" if info.acked_control else "accepted", "syn-count")
    return _by_listener(which, tuple(listeners))


def _by_listener(which: KernelSocket, listeners: tuple[KernelSocket, ...]) -> Kind:
    """The next best evidence: only one of the two ends has somebody who listens there."""
    here = any(_listens(other, which.local_address, which.local_port) for other in listeners)
    there = any(_listens(other, which.remote_address, which.remote_port) for other in listeners)
    if here and not there:
        return Kind("accepted", "listener")
    if there and not here:
        return Kind("outbound", "remote-listener")
    return Kind("unknown", "none")


def _listens(listener: KernelSocket, address: str, port: int) -> bool:
    wildcard = listener.local_address in ("::", "0.0.0.0")
    return listener.local_port == port and (wildcard or plain(listener.local_address) == plain(address))

"""What kind of socket is in the way, by evidence: a pure function of what the tables show.

Direction decides for SYN_SENT, ESTABLISHED and CLOSE_WAIT. It is exact wherever the kernel keeps tcp_info: whoever
called connect() had its SYN acknowledged (`wire.tcp_info`). With data in flight it takes a second look, or one at the
other end where that is on this host. Elsewhere it is inferred from who listens where, and said to be, or unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.bind import hold
from portwait.model.kind import Kind
from portwait.model.targets import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portwait.model.sockets import KernelSocket

_CLOSING = ("FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK")


def classify(which: KernelSocket, before: KernelSocket | None = None) -> Kind:
    """Say what a socket is; `before` is an earlier look at the same one."""
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
    if which.state == "SYN_RECV" and not which.inode:  # a request that a listener has not answered to the end
        return Kind("accepted", "state")
    control = _control(which, before) if which.state in ("ESTABLISHED", "CLOSE_WAIT") else None
    if control in (0, 1):
        return Kind("outbound" if control else "accepted", "syn-count")
    return _UNKNOWN


def by_peer(peer: KernelSocket) -> Kind:
    """Say what a socket is whose other end is this socket: whoever faces one that accepted has called connect()."""
    faced = classify(peer)
    if faced.evidence == "syn-count":
        return Kind("accepted" if faced.name == "outbound" else "outbound", "peer")
    return _UNKNOWN


def by_listener(which: KernelSocket, listeners: Mapping[int, Sequence[KernelSocket]]) -> Kind:
    """Take the next best evidence: only one of the two ends has somebody who listens there. Listeners by port."""
    here = any(_listens(one, which.local_address) for one in listeners.get(which.local_port, ()))
    others = [one for one in listeners.get(which.remote_port, ()) if is_here(which, one)]
    there = any(_listens(one, which.remote_address) for one in others)
    if here and not there:
        return Kind("accepted", "listener")
    if there and not here:
        return Kind("outbound", "remote-listener")
    return _UNKNOWN


def in_the_way(
    near: Sequence[tuple[Kind, KernelSocket]], *, reuseaddr: bool, held: bool
) -> list[tuple[Kind, KernelSocket]]:
    """Leave out of the sockets at a target's address what does not make its bind fail.

    A hold has SO_REUSEADDR. A live server's own connections and leftovers share its listener's SO_REUSEADDR, which
    the tables do not show: it is the listener that is in the way. What is at an address that it does not listen at is
    not its own. Anybody can set a hold's mark: where bind itself says `held` and nothing else is there, what bears the
    mark is no hold.
    """
    if not reuseaddr:
        return list(near)
    listeners = [which for kind, which in near if kind.name == "listener"]
    found = [
        (kind, which) for kind, which in near if which.protocol == "udp" or not _is_harmless(kind, which, listeners)
    ]
    return found if found or not held else [(Kind("bound", "state"), which) for _, which in near]


def _is_harmless(kind: Kind, which: KernelSocket, listeners: Sequence[KernelSocket]) -> bool:
    """Whether a TCP socket has SO_REUSEADDR, as far as is known; the listeners are those on its port."""
    if kind.name in ("accepted", "time-wait", "closing"):
        return any(_listens(one, which.local_address) for one in listeners)
    return kind.name == "hold"


_UNKNOWN = Kind("unknown", "none")


def _control(which: KernelSocket, before: KernelSocket | None) -> int | None:
    """Count the SYN and FIN that were acknowledged, of the data in flight too where it stands still.

    The queue's length is read a moment before tcp_info is, so with data in flight it takes two looks that agree.
    """
    if which.info is None or which.info.acked_control is None:
        return None
    if which.info.unacked == 0:
        return which.info.acked_control
    now = _in_flight(which)
    return None if now is None or before is None or _in_flight(before) != now else which.info.acked_control + now


def _in_flight(which: KernelSocket) -> int | None:
    """Count the bytes that were sent and not acknowledged: what is queued, less what was never sent."""
    if which.info is None or which.info.not_sent is None:
        return None
    return which.send_queue - which.info.not_sent


def _listens(listener: KernelSocket, address: str) -> bool:
    address = plain(address)
    if listener.local_address == "::":
        return ":" in address or not listener.v6only
    if listener.local_address == "0.0.0.0":
        return ":" not in address
    return plain(listener.local_address) == address


def is_here(which: KernelSocket, other: KernelSocket) -> bool:
    """Whether an unconnected socket of this host can be the other end: only at an address of this host's own."""
    remote = plain(which.remote_address)
    return (
        plain(other.local_address) == remote
        or remote in (plain(which.local_address), "::1")
        or remote.startswith("127.")
    )

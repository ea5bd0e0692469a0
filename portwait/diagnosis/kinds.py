"""What kind of socket is in the way, by evidence: a pure function of what the tables show.

Direction decides for SYN_SENT, ESTABLISHED and CLOSE_WAIT. It is exact wherever the kernel keeps tcp_info: whoever
called connect() had its SYN acknowledged (`wire.tcp_info`). With data in flight it takes a second look, or one at the
other end where that is on this host. Elsewhere it is inferred from who listens where, and said to be, or unknown.
Beside a listener at its own address and port nothing is proved outbound: what was restored from a checkpoint (CRIU's
TCP_REPAIR) has counts that are not its own, and destroying it would not free the port anyway.
"""

from __future__ import annotations

from portwait.bind import hold
from portwait.model.kind import Kind
from portwait.model.targets import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portwait.model.sockets import KernelSocket

    Listeners = Mapping[int, Sequence[KernelSocket]]  # by their port

_CLOSING = ("FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK")


def classify(sock: KernelSocket, before: KernelSocket | None = None) -> Kind:
    """Say what a socket is; `before` is an earlier look at the same one."""
    if sock.state == "CLOSE":
        marked = sock.traffic_class == hold.MARK and sock.local_address in ("::", "0.0.0.0", hold.LAST)
        return Kind("hold", "mark") if marked else Kind("bound", "state")
    if sock.protocol == "udp":
        return Kind("outbound", "state")
    if sock.state == "LISTEN":
        return Kind("listener", "state")
    if sock.state == "TIME_WAIT":
        return Kind("time-wait", "state")
    if sock.state in _CLOSING:
        return Kind("closing", "state")
    if (sock.local_address, sock.local_port) == (sock.remote_address, sock.remote_port):
        return Kind("self-connect", "ends")
    if sock.state == "SYN_SENT":
        return Kind("outbound", "state")
    if sock.state == "SYN_RECV" and not sock.inode:  # a request that a listener has not answered to the end
        return Kind("accepted", "state")
    control = _control(sock, before) if sock.state in ("ESTABLISHED", "CLOSE_WAIT") else None
    if control in (0, 1):
        return Kind("outbound" if control else "accepted", "syn-count")
    return _UNKNOWN


def by_peer(peer: KernelSocket) -> Kind:
    """Say what a socket is whose other end is this socket: whoever faces one that accepted has called connect()."""
    faced = classify(peer)
    if faced.evidence == "syn-count":
        return Kind("accepted" if faced.name == "outbound" else "outbound", "peer")
    return _UNKNOWN


def by_listener(sock: KernelSocket, listeners: Listeners) -> Kind:
    """Take the next best evidence: only one of the two ends has somebody who listens there."""
    here = has_listener(sock, listeners)
    remote = [listener for listener in listeners.get(sock.remote_port, ()) if is_here(sock, listener)]
    peer_listens = any(_listens(listener, sock.remote_address) for listener in remote)
    if here and not peer_listens:
        return Kind("accepted", "listener")
    if peer_listens and not here:
        return Kind("outbound", "remote-listener")
    return _UNKNOWN


def doubted(kind: Kind, sock: KernelSocket, listeners: Listeners) -> Kind:
    """Take back that a TCP connection is outbound where somebody listens at its own address and port."""
    if sock.protocol != "tcp" or not has_listener(sock, listeners):
        return kind
    if kind.name == "outbound" and kind.evidence != "state":
        return Kind("unknown", "beside-listener")
    return Kind("closing", "beside-listener") if kind.name == "closing" and sock.inode else kind


def has_listener(sock: KernelSocket, listeners: Listeners) -> bool:
    """Whether somebody listens at this socket's own address and port, on its interface."""
    return any(_serves(listener, sock) for listener in listeners.get(sock.local_port, ()))


def listeners_at(sock: KernelSocket, listeners: Listeners) -> list[KernelSocket]:
    """Choose those that listen at this socket's own address and port, on its interface."""
    return [listener for listener in listeners.get(sock.local_port, ()) if _serves(listener, sock)]


def is_unaccepted(sock: KernelSocket) -> bool:
    """Whether a TCP connection of the kernel's own tables still waits in its listener's queue: it has no file yet."""
    return bool(
        sock.cookie
        and not sock.inode
        and not sock.mptcp
        and sock.protocol == "tcp"
        and sock.state in ("ESTABLISHED", "CLOSE_WAIT")
    )


def in_the_way(
    near: Sequence[tuple[Kind, KernelSocket]], *, reuseaddr: bool, held: bool
) -> list[tuple[Kind, KernelSocket]]:
    """Leave out of the sockets at a target's address what does not make its bind fail.

    A hold has SO_REUSEADDR. A live server's own connections and leftovers share its listener's SO_REUSEADDR, which
    the tables do not show: it is the listener that is in the way. What is at an address that it does not listen at is
    not its own. Anybody can set a hold's mark: where bind itself says `held` and nothing else is there, what has the
    mark is no hold.
    """
    if not reuseaddr:
        return list(near)
    listeners = by_port(sock for kind, sock in near if kind.name == "listener")
    blocking = [
        (kind, sock) for kind, sock in near if sock.protocol == "udp" or not _is_harmless(kind, sock, listeners)
    ]
    return blocking if blocking or not held else [(Kind("bound", "state"), sock) for _, sock in near]


def by_port(sockets: Iterable[KernelSocket]) -> dict[int, list[KernelSocket]]:
    """Group sockets by their local port, as the other functions take listeners."""
    grouped: dict[int, list[KernelSocket]] = {}
    for sock in sockets:
        grouped.setdefault(sock.local_port, []).append(sock)
    return grouped


def _is_harmless(kind: Kind, sock: KernelSocket, listeners: Listeners) -> bool:
    """Whether a TCP socket has SO_REUSEADDR, as far as is known: beside a listener it could not be without."""
    if kind.name in ("accepted", "time-wait", "closing") or kind.evidence == "beside-listener":
        return has_listener(sock, listeners)
    return kind.name == "hold"


_UNKNOWN = Kind("unknown", "none")


def _control(sock: KernelSocket, before: KernelSocket | None) -> int | None:
    """Count the SYN and FIN that were acknowledged, of the data in flight too where it stands still.

    The queue's length is read a moment before tcp_info is, so with data in flight it takes two looks that agree.
    """
    if sock.info is None or sock.info.acked_control is None:
        return None
    if sock.info.unacked == 0:
        return sock.info.acked_control
    now = _in_flight(sock)
    return None if now is None or before is None or _in_flight(before) != now else sock.info.acked_control + now


def _in_flight(sock: KernelSocket) -> int | None:
    """Count the bytes that were sent and not acknowledged: what is queued, less what was never sent."""
    if sock.info is None or sock.info.not_sent is None:
        return None
    return sock.send_queue - sock.info.not_sent


def _serves(listener: KernelSocket, sock: KernelSocket) -> bool:
    return _listens(listener, sock.local_address) and listener.interface in (0, sock.interface)


def _listens(listener: KernelSocket, address: str) -> bool:
    address = plain(address)
    if listener.local_address == "::":
        return ":" in address or not listener.v6only
    if listener.local_address == "0.0.0.0":
        return ":" not in address
    return plain(listener.local_address) == address


def is_here(sock: KernelSocket, other: KernelSocket) -> bool:
    """Whether an unconnected socket of this host can be the other end: only at an address of this host's own."""
    remote = plain(sock.remote_address)
    return (
        plain(other.local_address) == remote
        or remote in (plain(sock.local_address), "::1")
        or remote.startswith("127.")
    )

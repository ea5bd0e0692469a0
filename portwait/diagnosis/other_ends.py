"""The other ends of connections, where they are sockets of this host too: found in the tables, by address and port."""

from __future__ import annotations

from portwait.diagnosis import kinds
from portwait.errors import TablesError
from portwait.model import ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from portwait.diagnosis.tables import Tables
    from portwait.model.sockets import KernelSocket

    Identity = tuple[object, ...]


def identity(sock: KernelSocket) -> Identity:
    """Tell a socket from all others that are there at the same time."""
    return (sock.cookie, sock.inode, sock.family, sock.local_address, sock.remote_address, sock.remote_port)


def find(opened: Tables, sockets: Iterable[KernelSocket]) -> tuple[dict[Identity, KernelSocket], Collection[Identity]]:
    """Find the other ends of these, by the identity of this end; and of which of these nobody has accepted it yet.

    In the place of an end that waits to be accepted stands the listener that will accept it, where that is known.
    """
    peers = {}
    for sock in sockets:
        if sock.remote_port:
            try:
                peer = opened.other_end(sock)
            except TablesError:
                continue
            if peer is not None and (peer.remote_port or kinds.is_here(sock, peer)):
                peers[identity(sock)] = peer
    waiting = {which: peer for which, peer in peers.items() if kinds.is_unaccepted(peer)}
    return {**peers, **_listeners_of(opened, waiting)}, frozenset(waiting)


def _listeners_of(opened: Tables, waiting: Mapping[Identity, KernelSocket]) -> dict[Identity, KernelSocket]:
    """Find whoever is to accept each of these connections; nobody where several can be."""
    if not waiting:
        return {}
    try:
        found = opened.listeners(ports.merge((peer.local_port, peer.local_port) for peer in waiting.values()))
    except TablesError:
        return {}
    listeners = kinds.by_port(found)
    known = {}
    for which, peer in waiting.items():
        here = kinds.listeners_at(peer, listeners)
        if len(here) == 1 and here[0].queue:
            known[which] = here[0]
    return known

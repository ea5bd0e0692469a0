"""Socket tables through psutil, which reads /proc/net/tcp or asks the system's own library.

What is lost: sockets that are only bound, directions, timers, idle times, and on Linux the speed.
"""

from __future__ import annotations

import socket
from collections import defaultdict
from typing import TYPE_CHECKING

import psutil

from portwait.errors import TablesError
from portwait.model.sockets import Connections, KernelSocket
from portwait.model.targets import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from types import TracebackType

    from portwait.model.sockets import Range


class PsutilTables:
    """The same questions as `SockDiag`, answered by psutil, which reads each table whole: once for all questions."""

    lost = "sockets that are only bound, who called connect(), and timers cannot be seen"

    def __init__(self, read: Callable[[str], tuple[KernelSocket, ...]] | None = None) -> None:
        """Nothing is read yet; `read` is another way to read a protocol's table."""
        self._read = read or _read
        self._tables: dict[str, tuple[KernelSocket, ...]] = {}

    def __enter__(self) -> PsutilTables:
        """Use it for a while."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Nothing to close."""

    def sockets(self, protocol: str, ranges: Sequence[Range], *, listening: bool = False) -> tuple[KernelSocket, ...]:
        """Read all sockets of a protocol, both families, on these local ports (none given: all)."""
        if protocol not in self._tables:
            self._tables[protocol] = self._read(protocol)
        return tuple(
            sock
            for sock in self._tables[protocol]
            if (not ranges or any(first <= sock.local_port <= last for first, last in ranges))
            and (not listening or sock.state == "LISTEN")
        )

    def listeners(self, ranges: Sequence[Range]) -> tuple[KernelSocket, ...]:
        """Read the TCP listeners on these ports."""
        return self.sockets("tcp", ranges, listening=True)

    def connections(self, served: Collection[int]) -> Connections:
        """Read all TCP connections; those on `served` ports are a server's."""
        clients: defaultdict[bytes, set[int]] = defaultdict(set)
        accepted: set[int] = set()
        bound: set[int] = set()
        for sock in self.sockets("tcp", ()):
            if not sock.remote_port:
                bound.update((sock.local_port,) if sock.state == "CLOSE" else ())
            elif sock.local_port in served:
                accepted.add(sock.local_port)
            else:
                destination = f"{sock.remote_port} {sock.local_address} {sock.remote_address}"
                clients[destination.encode()].add(sock.local_port)
        return Connections(clients, accepted, bound)

    def again(self, sock: KernelSocket) -> KernelSocket | None:
        """Return what is known: psutil has no way to look at one socket."""
        return sock

    def other_end(self, sock: KernelSocket) -> KernelSocket | None:
        """Find the socket whose ends are the same, the other way round; one may be IPv4, and the other IPv4-mapped."""
        local, remote = (plain(sock.local_address), sock.local_port), (plain(sock.remote_address), sock.remote_port)
        for peer in self.sockets(sock.protocol, [(sock.remote_port, sock.remote_port)]):
            if (plain(peer.local_address), plain(peer.remote_address), peer.remote_port) == (remote[0], *local):
                return peer
        return None


def _read(protocol: str) -> tuple[KernelSocket, ...]:
    """Read one table; a socket of several processes once, with all of them."""
    try:
        connections = psutil.net_connections(protocol)
    except (psutil.Error, OSError) as error:
        raise TablesError(f"psutil cannot read the socket tables: {error}") from error
    merged: dict[tuple[object, ...], KernelSocket] = {}
    for connection in connections:
        local, remote = connection.laddr, connection.raddr
        if not local:
            continue
        if protocol == "udp":
            state = "ESTABLISHED" if remote else "CLOSE"
        else:
            state = "CLOSE" if connection.status == psutil.CONN_NONE else str(connection.status)
        pids = (connection.pid,) if connection.pid else ()
        entry = KernelSocket(
            family=socket.AF_INET6 if connection.family == socket.AF_INET6 else socket.AF_INET,
            protocol=protocol,
            state=state,
            expires=None,
            local_address=local.ip,
            local_port=local.port,
            remote_address=remote.ip if remote else "",
            remote_port=remote.port if remote else 0,
            interface=0,
            cookie=0,
            uid=-1,
            inode=0,
            pids=pids,
        )
        key = (entry.family, local, remote or None, state)
        known = merged.get(key)
        merged[key] = entry if known is None else known._replace(pids=(*known.pids, *pids))
    return tuple(merged.values())

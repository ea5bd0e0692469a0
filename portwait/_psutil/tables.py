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
    from collections.abc import Callable, Collection, Iterable, Sequence
    from types import TracebackType

    from portwait.model.sockets import Range

    Ends = tuple[str, int, str, int]


class PsutilTables:
    """The same questions as `SockDiag`, answered by psutil, which reads each table whole: once for all questions."""

    lost = "sockets that are only bound, who called connect(), and timers cannot be seen"

    def __init__(self, read: Callable[[str], tuple[KernelSocket, ...]] | None = None) -> None:
        """Nothing is read yet; `read` is another way to read a protocol's table."""
        self._read = read or _read
        self._tables: dict[str, tuple[KernelSocket, ...]] = {}
        self._by_port: dict[str, dict[int, list[KernelSocket]]] = {}
        self._by_ends: dict[str, dict[Ends, KernelSocket]] = {}

    def __enter__(self) -> PsutilTables:
        """Use it for a while."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Nothing to close."""

    def sockets(self, protocol: str, ranges: Sequence[Range], *, listening: bool = False) -> tuple[KernelSocket, ...]:
        """Read all sockets of a protocol, both families, on these local ports (none given: all)."""
        sockets: Iterable[KernelSocket] = self._table(protocol)
        if ranges:
            by_port = self._by_port[protocol]
            sockets = [
                sock for first, last in ranges for port in range(first, last + 1) for sock in by_port.get(port, ())
            ]
        return tuple(sock for sock in sockets if not listening or sock.state == "LISTEN")

    def _table(self, protocol: str) -> tuple[KernelSocket, ...]:
        """Read a table, once; sort it by what is asked for, as often as there are blockers."""
        if protocol not in self._tables:
            self._tables[protocol] = self._read(protocol)
            by_port = self._by_port[protocol] = {}
            by_ends = self._by_ends[protocol] = {}
            for sock in self._tables[protocol]:
                by_port.setdefault(sock.local_port, []).append(sock)
                by_ends.setdefault(_ends(sock), sock)
        return self._tables[protocol]

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
        self._table(sock.protocol)
        address, port, remote_address, remote_port = _ends(sock)
        return self._by_ends[sock.protocol].get((remote_address, remote_port, address, port))


def _ends(sock: KernelSocket) -> Ends:
    return plain(sock.local_address), sock.local_port, plain(sock.remote_address), sock.remote_port


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

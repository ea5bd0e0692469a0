"""Who is in the way of a target: the sockets that make its bind fail, and the processes behind them.

Puts together what the tables, /proc and psutil know; every one of them may refuse, and what is lost then is said in
words and never made up.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from portwait import kinds, ports, tables
from portwait.errors import TablesError
from portwait.overlap import overlaps
from portwait.targets import plain

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portwait.kinds import Kind
    from portwait.sockets import KernelSocket, Range
    from portwait.targets import Target


class Owner(NamedTuple):
    """A process that has a socket open. `started` is seconds since the epoch and with the pid its identity."""

    pid: int
    name: str
    cmdline: tuple[str, ...]
    user: str | None
    started: float
    unit: str | None = None
    container: str | None = None


class Blocker(NamedTuple):
    """A socket that makes a bind fail, and what is known of it.

    `expires_in` and `idle` are seconds, None where the kernel does not say. `unseen` says why owners may be missing.
    `evictable` is whether evicting it harms nobody else: proved outbound with its owner seen, or owned by nobody.
    """

    kind: Kind
    socket: KernelSocket
    user: str | None
    owners: tuple[Owner, ...]
    remote_service: str | None
    expires_in: float | None
    idle: float | None
    evictable: bool
    unseen: str | None
    peer: Owner | None = None

    @property
    def local(self) -> str:
        """The end on this host, `host:port`."""
        return endpoint(self.socket.local_address, self.socket.local_port)

    @property
    def remote(self) -> str | None:
        """The other end, `host:port`; None where there is none."""
        return endpoint(self.socket.remote_address, self.socket.remote_port) if self.socket.remote_port else None


class Diagnosis(NamedTuple):
    """The blockers of each target at one moment, and what could not be seen."""

    blockers: Mapping[Target, tuple[Blocker, ...]]
    lost: str | None
    """What the tables that answered cannot show, in words."""
    listening: frozenset[int] = frozenset()
    """The TCP ports among the targets' that somebody listens on, whatever the address."""


def endpoint(address: str, port: int) -> str:
    """Write an end as `host:port` or `[v6]:port`, an IPv4-mapped address as IPv4."""
    host = plain(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ranges_of(targets: Iterable[Target], protocol: str = "") -> tuple[Range, ...]:
    """Merge the ports of targets (of one protocol, where it is named) into ranges."""
    return ports.merge((one.port, one.port) for one in targets if protocol in ("", one.protocol))


def diagnose(targets: Sequence[Target], *, reuseaddr: bool = True, ours: Collection[int] = ()) -> Diagnosis:
    """Find what is in the way of each target.

    `reuseaddr` is whether the service sets SO_REUSEADDR, `ours` are inodes of sockets to leave out, the caller's own
    holds. Raises TablesError where no table can be read at all.
    """
    opened, lost = tables.open_tables()
    with opened:
        found: dict[Target, list[tuple[Kind, KernelSocket]]] = {target: [] for target in targets}
        listening: set[int] = set()
        for protocol in ("tcp", "udp"):
            if not any(target.protocol == protocol for target in targets):
                continue
            sockets = [
                which
                for which in opened.sockets(protocol, ranges_of(targets, protocol))
                if which.inode not in ours or not which.inode
            ]
            listening |= {which.local_port for which in sockets if which.state == "LISTEN"}
            classified = _classify(opened, sockets)
            for target in targets:
                if target.protocol == protocol:
                    near = [entry for entry in classified if overlaps(target, entry[1])]
                    found[target] = _in_the_way(near, reuseaddr=reuseaddr)
    owners, unseen = _owners([which for entries in found.values() for _, which in entries])
    return Diagnosis(
        {
            target: tuple(_blocker(kind, which, owners.get(_identity(which), ()), unseen) for kind, which in entries)
            for target, entries in found.items()
        },
        lost,
        frozenset(listening),
    )


def _classify(opened: tables.Tables, sockets: Sequence[KernelSocket]) -> list[tuple[Kind, KernelSocket]]:
    """Name every socket's kind; what data in flight hides is looked at again, then judged by who listens."""
    local = [which for which in sockets if which.state == "LISTEN"]
    classified: list[tuple[Kind, KernelSocket]] = []
    for which in sockets:
        kind = kinds.classify(which)
        for _ in range(3):
            if kind.name != "unknown" or which.info is None:
                break
            time.sleep(0.002)  # an acknowledgement on its way takes one round trip
            with contextlib.suppress(TablesError):
                kind = kinds.classify(opened.again(which) or which)
        if kind.name == "unknown":
            with contextlib.suppress(TablesError):
                remote = opened.listeners([(which.remote_port, which.remote_port)]) if which.remote_port else ()
                kind = kinds.classify(which, [*local, *(other for other in remote if _is_here(which, other))])
        classified.append((kind, which))
    return classified


def _is_here(which: KernelSocket, listener: KernelSocket) -> bool:
    """Whether a listener of this host can be the other end: only on an address of this host's own."""
    remote = plain(which.remote_address)
    return (
        plain(listener.local_address) == remote
        or remote in (plain(which.local_address), "::1")
        or remote.startswith("127.")
    )


def _in_the_way(near: list[tuple[Kind, KernelSocket]], *, reuseaddr: bool) -> list[tuple[Kind, KernelSocket]]:
    """Leave out what does not make the bind fail.

    A hold has SO_REUSEADDR. A live server's own connections and leftovers share its listener's SO_REUSEADDR, which
    the tables do not show: it is the listener that is in the way.
    """
    if not reuseaddr:
        return near
    served = any(kind.name == "listener" for kind, _ in near)
    skipped = ("hold", "accepted", "time-wait", "closing") if served else ("hold",)
    return [(kind, which) for kind, which in near if which.protocol == "udp" or kind.name not in skipped]


def _identity(which: KernelSocket) -> tuple[object, ...]:
    return (which.cookie, which.inode, which.family, which.local_address, which.remote_address, which.remote_port)


def _owners(sockets: Sequence[KernelSocket]) -> tuple[dict[tuple[object, ...], tuple[Owner, ...]], str | None]:
    """Name the processes that have each socket open, and say why some may be missing."""
    pids = {_identity(which): which.pids for which in sockets if which.pids}
    unseen: str | None = None
    asked = [which for which in sockets if which.inode]
    if asked and sys.platform == "linux":
        from portwait._linux import procfs

        found = procfs.owners(asked)
        unseen = found.unseen
        pids |= {_identity(which): found.owners.get(which.inode, ()) for which in asked}
    known: dict[int, Owner | None] = {}
    for pid in {pid for some in pids.values() for pid in some}:
        known[pid] = owner(pid)
    return {
        which: tuple(one for pid in sorted(some) if (one := known[pid]) is not None) for which, some in pids.items()
    }, unseen


def owner(pid: int) -> Owner | None:
    """Look a process up, with its unit and container; None when it has ended."""
    from portwait._portable import processes

    process = processes.describe(pid)
    if process is None:
        return None
    unit = container = None
    if sys.platform == "linux":
        from portwait._linux import cgroups

        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
                path = cgroups.path_of(file.read())
            unit, container = cgroups.unit_of(path), cgroups.container_of(path)
    return Owner(process.pid, process.name, process.cmdline, process.user, process.started, unit, container)


def _blocker(kind: Kind, which: KernelSocket, owners: tuple[Owner, ...], unseen: str | None) -> Blocker:
    nobody = which.inode == 0 and which.uid >= 0 and not which.pids
    if which.uid < 0 and not owners:
        unseen = "owner not visible: run as root"
    outbound = kind.name in ("outbound", "self-connect") and kind.proved and which.protocol == "tcp"
    leftover = kind.name in ("time-wait", "closing") and nobody
    return Blocker(
        kind=kind,
        socket=which,
        user=None if nobody else _user(which.uid),  # the kernel says 0 for what no process owns
        owners=owners,
        remote_service=_service(which),
        expires_in=None if which.expires is None else which.expires / 1000,
        idle=None if which.info is None or kind.name == "listener" else _idle(which),
        evictable=which.cookie != 0 and ((outbound and bool(owners or nobody)) or leftover),
        unseen=None if owners or nobody else unseen,
    )


def _idle(which: KernelSocket) -> float | None:
    if which.info is None:
        return None
    return min(which.info.last_data_sent, which.info.last_data_received) / 1000


def _user(uid: int) -> str | None:
    if uid < 0:
        return None
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _service(which: KernelSocket) -> str | None:
    if not which.remote_port:
        return None
    try:
        return socket.getservbyport(which.remote_port, which.protocol)
    except OSError:
        return None


def inodes(descriptors: Iterable[int]) -> frozenset[int]:
    """The inodes of sockets that this process has open, as the tables show them."""
    found = set()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            found.add(os.fstat(descriptor).st_ino)
    return frozenset(found)

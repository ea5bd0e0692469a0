"""Who is in the way of a target: the sockets that make its bind fail, and the processes behind them.

Puts together what the tables and /proc know; every one of them may refuse, and what is lost then is said in words and
never made up.
"""

from __future__ import annotations

import _socket
import contextlib
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from portwait.diagnosis import evictable, kinds, owners, tables
from portwait.diagnosis.overlap import overlaps
from portwait.diagnosis.owners import user_name
from portwait.errors import TablesError
from portwait.model import ports
from portwait.model.blocker import Blocker

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from portwait.model.kind import Kind
    from portwait.model.owner import Owner
    from portwait.model.sockets import KernelSocket, Range
    from portwait.model.targets import Target

    Found = tuple[Kind, KernelSocket]


class Diagnosis(NamedTuple):
    """The blockers of each target at one moment, and what could not be seen."""

    blockers: Mapping[Target, tuple[Blocker, ...]]
    lost: str | None
    """What the tables that answered cannot show, in words."""
    listening: frozenset[int] = frozenset()
    """The TCP ports among the targets' that somebody listens on, whatever the address."""


def ranges_of(targets: Iterable[Target], protocol: str = "") -> tuple[Range, ...]:
    """Merge the ports of targets (of one protocol, where it is named) into ranges."""
    return ports.merge((one.port, one.port) for one in targets if protocol in ("", one.protocol))


def diagnose(
    targets: Sequence[Target],
    *,
    reuseaddr: bool = True,
    ours: Collection[int] = (),
    held: Collection[Target] = (),
) -> Diagnosis:
    """Find what is in the way of each target.

    `reuseaddr` is whether the service sets SO_REUSEADDR, `ours` are inodes of sockets to leave out, the caller's own
    holds, and `held` are targets that bind itself has called so. Raises TablesError where no table can be read at all.
    """
    opened, lost = tables.open_tables()
    found: dict[Target, list[Found]] = {}
    listening: set[int] = set()
    with opened:
        for protocol in ("tcp", "udp"):
            asked = [target for target in targets if target.protocol == protocol]
            if not asked:
                continue
            sockets = [
                which
                for which in opened.sockets(protocol, ranges_of(asked))
                if which.inode not in ours or not which.inode
            ]
            listening |= {which.local_port for which in sockets if which.state == "LISTEN"}
            by_port: dict[int, list[Found]] = {}
            for entry in _classify(opened, sockets):
                by_port.setdefault(entry[1].local_port, []).append(entry)
            for target in asked:
                near = [entry for entry in by_port.get(target.port, ()) if overlaps(target, entry[1])]
                found[target] = kinds.in_the_way(near, reuseaddr=reuseaddr, held=target in held)
        shown = {_identity(which): which for entries in found.values() for _, which in entries}
        peers = _peers(opened, shown.values())
    known = _Known(list(shown.values()), peers)
    return Diagnosis(
        {
            target: tuple(known.blocker(kind, which) for kind, which in sorted(found[target], key=_ends))
            for target in targets
        },
        lost,
        frozenset(listening),
    )


def _classify(opened: tables.Tables, sockets: Sequence[KernelSocket]) -> list[Found]:
    """Name every socket's kind; what data in flight hides is looked at again, then judged by who listens."""
    classified = [(kinds.classify(which), which) for which in sockets]
    for _ in range(3):
        hidden = [at for at, (kind, which) in enumerate(classified) if kind.name == "unknown" and which.info]
        if not hidden:
            break
        time.sleep(0.002)  # an acknowledgement on its way takes one round trip
        for at in hidden:
            which = classified[at][1]
            with contextlib.suppress(TablesError):
                now = opened.again(which)
                if now is not None:
                    classified[at] = _by_another_look(opened, now, before=which), now
    rest = [which for kind, which in classified if kind.name == "unknown"]
    if not rest:
        return classified
    listeners = [which for which in sockets if which.state == "LISTEN"]
    with contextlib.suppress(TablesError):
        listeners += opened.listeners(ports.merge((which.remote_port, which.remote_port) for which in rest))
    by_port: dict[int, list[KernelSocket]] = {}
    for one in listeners:
        by_port.setdefault(one.local_port, []).append(one)
    return [
        (kinds.by_listener(which, by_port), which) if kind.name == "unknown" else (kind, which)
        for kind, which in classified
    ]


def _by_another_look(opened: tables.Tables, now: KernelSocket, before: KernelSocket) -> Kind:
    kind = kinds.classify(now, before)
    if kind.name != "unknown":
        return kind
    peer = opened.other_end(now)
    return kind if peer is None else kinds.by_peer(peer)


def _ends(entry: Found) -> tuple[object, ...]:
    """Order sockets for people; the kernel's order is that of its hashes."""
    which = entry[1]
    return which.state != "LISTEN", which.local_address, which.remote_address, which.remote_port


def _identity(which: KernelSocket) -> tuple[object, ...]:
    return (which.cookie, which.inode, which.family, which.local_address, which.remote_address, which.remote_port)


def _peers(opened: tables.Tables, sockets: Iterable[KernelSocket]) -> dict[tuple[object, ...], KernelSocket]:
    """Find the other ends that are sockets of this host too."""
    found = {}
    for which in sockets:
        if which.remote_port:
            with contextlib.suppress(TablesError):
                other = opened.other_end(which)
                if other is not None and (other.remote_port or kinds.is_here(which, other)):
                    found[_identity(which)] = other
    return found


class _Known:
    """Everything that is known of the processes behind some sockets and their other ends."""

    def __init__(self, sockets: Sequence[KernelSocket], peers: Mapping[tuple[object, ...], KernelSocket]) -> None:
        self._peers = peers
        self._named: dict[int, Owner | None] = {}
        self._services: dict[tuple[int, str], str | None] = {}
        self._owners = owners.find(sockets, [*peers.values()])
        unknown = [which.cgroup for which in (*sockets, *peers.values()) if not self._of(which)]
        self._places = owners.places(unknown)

    def _of(self, which: KernelSocket) -> tuple[Owner, ...]:
        if which.pids:  # the tables name them themselves
            described = (self._describe(pid) for pid in sorted(set(which.pids)))
            return tuple(one for one in described if one is not None)
        return self._owners.by_inode.get(which.inode, ()) if which.inode else ()

    def _describe(self, pid: int) -> Owner | None:
        if pid not in self._named:
            self._named[pid] = owners.describe(pid)
        return self._named[pid]

    def blocker(self, kind: Kind, which: KernelSocket) -> Blocker:
        owners = self._of(which)
        nobody = which.inode == 0 and which.uid >= 0 and not which.pids
        unseen = None if owners or nobody else self._owners.unseen
        if which.uid < 0 and not owners:
            unseen = "owner not visible: run as root"
        peer = self._peers.get(_identity(which))
        there = None if peer is None else self._first(peer)
        place = self._places.get(which.cgroup)
        beyond = None if peer is None else self._places.get(peer.cgroup)
        blocker = Blocker(
            kind=kind,
            socket=which,
            user=None if nobody else user_name(which.uid),  # the kernel says 0 for what no process owns
            owners=owners,
            remote_service=self._service(which),
            expires_in=None if which.expires is None else which.expires / 1000,
            idle=None if which.info is None or kind.name == "listener" else _idle(which),
            evictable=False,
            unseen=unseen,
            peer=there,
            peer_user=None if peer is None or not peer.inode else user_name(peer.uid),
            peer_unit=there.unit if there else beyond and beyond.unit,
            unit=owners[0].unit if owners else place and place.unit,
            container=owners[0].container if owners else place and place.container,
        )
        return blocker._replace(evictable=evictable.by_default(blocker))

    def _first(self, peer: KernelSocket) -> Owner | None:
        owners = self._of(peer)
        return owners[0] if owners else None

    def _service(self, which: KernelSocket) -> str | None:
        key = which.remote_port, which.protocol
        if key not in self._services:
            self._services[key] = _service(*key)
        return self._services[key]


def _idle(which: KernelSocket) -> float | None:
    if which.info is None:
        return None
    return min(which.info.last_data_sent, which.info.last_data_received) / 1000


def _service(port: int, protocol: str) -> str | None:
    try:
        return _socket.getservbyport(port, protocol) if port else None
    except OSError:
        return None


def inodes(descriptors: Iterable[int]) -> frozenset[int]:
    """The inodes of sockets that this process has open, as the tables show them."""
    found = set()
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            found.add(os.fstat(descriptor).st_ino)
    return frozenset(found)

"""Who is in the way of a target: the sockets that make its bind fail, and the processes behind them.

Puts together what the tables and /proc know; every one of them may refuse, and what is lost then is said in words and
never made up.
"""

from __future__ import annotations

import _socket
import os
import time

from portwait.diagnosis import evictable, interfaces, kinds, other_ends, owners, tables
from portwait.diagnosis.overlap import overlaps
from portwait.diagnosis.owners import user_name
from portwait.errors import TablesError
from portwait.model import ports
from portwait.model.blocker import Blocker
from portwait.model.record import Record
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from portwait.model.kind import Kind
    from portwait.model.owner import Owner
    from portwait.model.sockets import KernelSocket, Range
    from portwait.model.targets import Target

    Classified = tuple[Kind, KernelSocket]

_LOOKS = 3
_ROUND_TRIP = 0.002  # seconds; an acknowledgement that is on its way takes one


class Diagnosis(Record):
    """The blockers of each target at one moment, and what could not be seen."""

    blockers: Mapping[Target, tuple[Blocker, ...]]
    lost: str | None
    """What the tables that answered cannot show, in words."""
    listening: frozenset[int] = frozenset()
    """The TCP ports among the targets' that somebody listens on, whatever the address."""


def ranges_of(targets: Iterable[Target], protocol: str = "") -> tuple[Range, ...]:
    """Merge the ports of targets (of one protocol, where it is named) into ranges."""
    return ports.merge((target.port, target.port) for target in targets if protocol in ("", target.protocol))


def occupied(targets: Sequence[Target], ours: Collection[int]) -> tuple[tuple[Target, ...], frozenset[int], str | None]:
    """Find the targets at whose address any socket is, whether it is in the way or not.

    With them come the ports that have a socket at any address, and what cannot be seen, in words. `ours` are inodes of
    sockets to leave out. Raises TablesError where no table can be read at all.
    """
    opened, lost = tables.open_tables(sorted({target.protocol for target in targets}))
    here: list[Target] = []
    busy: set[int] = set()
    vrf_of = interfaces.vrfs()
    with opened:
        for asked, sockets in _read(opened, targets, ours):
            near = kinds.by_port(sockets)
            busy.update(near)
            for target in asked:
                number = interfaces.number_of(target) if target.port in near else 0
                if any(overlaps(target, sock, number, vrf_of) for sock in near.get(target.port, ())):
                    here.append(target)
    return tuple(here), frozenset(busy), lost


def _read(
    opened: tables.Tables, targets: Iterable[Target], ours: Collection[int]
) -> Iterator[tuple[list[Target], list[KernelSocket]]]:
    """Read the sockets on the targets' ports but ours, protocol by protocol."""
    for protocol in ("tcp", "udp"):
        asked = [target for target in targets if target.protocol == protocol]
        if asked:
            read = opened.sockets(protocol, ranges_of(asked))
            yield asked, [sock for sock in read if sock.inode not in ours or not sock.inode]


def diagnose(
    targets: Sequence[Target],
    *,
    reuseaddr: bool = True,
    ours: Collection[int] = (),
    ourselves: Collection[int] = (),
    held: Collection[Target] = (),
    early: Callable[[Diagnosis], None] | None = None,
    only_bound: bool = False,
    first: Sequence[str] = (),
) -> Diagnosis:
    """Find what is in the way of each target.

    `reuseaddr` is whether the service sets SO_REUSEADDR, `ours` are inodes of sockets to leave out, the caller's own
    holds, and `held` are targets that bind itself has called so. `ourselves` are PIDs of this portwait: whatever they
    have open is `inherited`, and they are no owners of it. `early` is told what the tables say before the owners are
    looked for, which can take long. `only_bound` leaves out all that listens or is connected: a server has thousands.
    `first` are kinds in an order, of each target only a socket of the first of them is kept. Raises TablesError where
    no table can be read at all.
    """
    opened, lost = tables.open_tables(sorted({target.protocol for target in targets}))
    held = frozenset(held)
    blocking: dict[Target, list[Classified]] = {}
    listening: set[int] = set()
    vrf_of = interfaces.vrfs()
    with opened:
        for asked, sockets in _read(opened, targets, ours):
            listening |= {sock.local_port for sock in sockets if sock.state == "LISTEN"}
            on_port: dict[int, list[Classified]] = {}
            for entry in _classify(opened, [sock for sock in sockets if not only_bound or sock.state == "CLOSE"]):
                on_port.setdefault(entry[1].local_port, []).append(entry)
            for target in asked:
                near = on_port.get(target.port)
                if near:
                    number = interfaces.number_of(target)
                    near = [entry for entry in near if overlaps(target, entry[1], number, vrf_of)]
                    near = kinds.in_the_way(near, reuseaddr=reuseaddr, held=target in held)
                    near = sorted(near, key=lambda entry: first.index(entry[0].name))[:1] if first else near
                    blocking[target] = near
        if early is not None:
            early(
                Diagnosis(
                    {target: tuple(_bare(*entry) for entry in blocking.get(target, ())) for target in targets},
                    lost,
                    frozenset(listening),
                )
            )
        shown = {other_ends.identity(sock): sock for entries in blocking.values() for _, sock in entries}
        peers, waiting = other_ends.find(opened, shown.values())
    known = _Known(list(shown.values()), peers, ourselves, waiting)
    return Diagnosis(
        {
            target: tuple(known.blocker(kind, sock) for kind, sock in sorted(blocking.get(target, ()), key=_ends))
            for target in targets
        },
        lost,
        frozenset(listening),
    )


def _bare(kind: Kind, sock: KernelSocket) -> Blocker:
    """Make a blocker of which no more is known than the tables say."""
    expires_in = None if sock.expires is None else sock.expires / 1000
    return Blocker(kind, sock, None, (), None, expires_in, _idle(sock), evictable=False, unseen=None)


def _classify(opened: tables.Tables, sockets: Sequence[KernelSocket]) -> list[Classified]:
    """Name every socket's kind; what data in flight hides is read again, then judged by who listens."""
    here = kinds.by_port(sock for sock in sockets if sock.state == "LISTEN")
    classified = [(kinds.doubted(kinds.classify(sock), sock, here), sock) for sock in sockets]
    for _ in range(_LOOKS):
        hidden = [at for at, (kind, sock) in enumerate(classified) if kind.evidence == "none" and sock.info]
        if not hidden:
            break
        time.sleep(_ROUND_TRIP)
        for at in hidden:
            before = classified[at][1]
            try:
                now = opened.again(before)
                if now is not None:
                    classified[at] = kinds.doubted(_by_another_look(opened, now, before), now, here), now
            except TablesError:
                continue
    unknown = [sock for kind, sock in classified if kind.evidence == "none"]
    if not unknown:
        return classified
    try:
        others = opened.listeners(ports.merge((sock.remote_port, sock.remote_port) for sock in unknown))
    except TablesError:
        others = ()
    by_port = kinds.by_port((*(sock for sock in sockets if sock.state == "LISTEN"), *others))
    return [
        (kinds.by_listener(sock, by_port), sock) if kind.evidence == "none" else (kind, sock)
        for kind, sock in classified
    ]


def _by_another_look(opened: tables.Tables, now: KernelSocket, before: KernelSocket) -> Kind:
    kind = kinds.classify(now, before)
    if kind.name != "unknown":
        return kind
    peer = opened.other_end(now)
    return kind if peer is None else kinds.by_peer(peer)


def _ends(entry: Classified) -> tuple[object, ...]:
    """Order sockets for people; the kernel's order is that of its hashes."""
    sock = entry[1]
    return sock.state != "LISTEN", sock.local_address, sock.interface, sock.remote_address, sock.remote_port


class _Known:
    """Everything that is known of the processes behind some sockets and their other ends."""

    def __init__(
        self,
        sockets: Sequence[KernelSocket],
        peers: Mapping[tuple[object, ...], KernelSocket],
        ourselves: Collection[int],
        waiting: Collection[tuple[object, ...]],
    ) -> None:
        self._peers = peers
        self._waiting = waiting
        self._ourselves = ourselves
        self._named: dict[int, Owner | None] = {}
        self._devices: dict[int, str | None] = {}
        self._services: dict[tuple[int, str], str | None] = {}
        self._owners = owners.find(sockets, [*peers.values()])
        unknown = [sock.cgroup for sock in (*sockets, *peers.values()) if not self._of(sock)]
        self._places = owners.places(unknown)

    def _of(self, sock: KernelSocket) -> tuple[Owner, ...]:
        if sock.pids:  # the tables name them themselves
            described = (self._describe(pid) for pid in sorted(set(sock.pids)))
            return tuple(owner for owner in described if owner is not None)
        return self._owners.by_inode.get(sock.inode, ()) if sock.inode else ()

    def _describe(self, pid: int) -> Owner | None:
        if pid not in self._named:
            self._named[pid] = owners.describe(pid)
        return self._named[pid]

    def blocker(self, kind: Kind, sock: KernelSocket) -> Blocker:
        owners = self._of(sock)
        nobody = sock.state == "TIME_WAIT" or (sock.inode == 0 and sock.uid >= 0 and not sock.pids)
        unseen = self._owners.why_more(sock, owners) if owners else None if nobody else self._owners.unseen
        if sock.uid < 0 and not owners and not nobody:
            unseen = "owner not visible" if _is_root() else "owner not visible: run as root"
        others = tuple(owner for owner in owners if owner.pid not in self._ourselves)
        inherited, owners = len(others) < len(owners), others
        peer = self._peers.get(other_ends.identity(sock))
        peer_owner = None if peer is None else self._first(peer)
        place = self._places.get(sock.cgroup)
        peer_place = None if peer is None else self._places.get(peer.cgroup)
        blocker = Blocker(
            kind=kind,
            socket=sock,
            user=None if nobody else user_name(sock.uid),  # the kernel says 0 for what no process owns
            owners=owners,
            remote_service=self._service(sock),
            expires_in=None if sock.expires is None else sock.expires / 1000,
            idle=_idle(sock),
            evictable=False,
            unseen=unseen,
            peer=peer_owner,
            peer_user=None if peer is None or not peer.inode else user_name(peer.uid),
            peer_unit=peer_owner.unit if peer_owner else (peer_place.unit if peer_place else None),
            peer_waits=other_ends.identity(sock) in self._waiting,
            unit=owners[0].unit if owners else (place.unit if place else None),
            container=owners[0].container if owners else (place.container if place else None),
            device=self._device(sock.interface),
            inherited=inherited,
        )
        return blocker._replace(evictable=evictable.by_default(blocker))

    def _first(self, peer: KernelSocket) -> Owner | None:
        owners = self._of(peer)
        return owners[0] if owners else None

    def _device(self, number: int) -> str | None:
        if number not in self._devices:
            name = interfaces.name_of(number)
            self._devices[number] = None if name is None else escape(name)  # it becomes a part of addresses to show
        return self._devices[number]

    def _service(self, sock: KernelSocket) -> str | None:
        key = sock.remote_port, sock.protocol
        if key not in self._services:
            self._services[key] = _service(*key)
        return self._services[key]


def _idle(sock: KernelSocket) -> float | None:
    """Answer the seconds since data last came or went; what never sent or received any has none."""
    if sock.info is None or sock.state in ("LISTEN", "SYN_SENT", "SYN_RECV"):
        return None
    return min(sock.info.last_data_sent, sock.info.last_data_received) / 1000


def _service(port: int, protocol: str) -> str | None:
    try:
        return _socket.getservbyport(port, protocol) if port else None
    except OSError:
        return None


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0

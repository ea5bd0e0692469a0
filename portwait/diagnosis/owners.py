"""The door to processes: who one is, and which ones have a socket open.

On Linux /proc itself answers: psutil's import alone would cost a third of the time that explaining a held port may
take. Elsewhere psutil does, and there the socket tables name the processes.
"""

from __future__ import annotations

import os
import sys

from portwait.model.owner import Owner, forwarded
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portwait.model.owner import Place
    from portwait.model.sockets import KernelSocket


class Owners(Record):
    """Owners by the inode of their socket, and why some may be missing, in words."""

    by_inode: Mapping[int, tuple[Owner, ...]]
    unseen: str | None
    unsearched: str | None = None
    """Why more processes than these may share a socket, in words."""
    denied: int = 0
    """Processes that may not be looked into, of those that were searched."""

    def why_more(self, sock: KernelSocket, owners: Sequence[Owner]) -> str | None:
        """Say why more processes than these may have a socket; None where all are known.

        Whoever opened it is of its user, and can have passed it to processes of another: systemd does with a socket of
        a unit. Where no owner is of that user, and not all processes can be looked into, that process may be missing.
        """
        if sys.platform != "linux" or sock.uid < 0 or any(owner.uid in (sock.uid, -1) for owner in owners):
            return self.unsearched
        if os.geteuid() == 0 and not self.denied:
            return self.unsearched
        from portwait._linux import socket_owners

        words = "the process that opened it may have it open too, and is not visible"
        return f"{words}; {socket_owners.what_shows_all()}"


def this_process() -> int:
    """Answer the number of this process in /proc, which can have been mounted for another PID namespace."""
    try:
        return int(os.readlink("/proc/self"))
    except (OSError, ValueError):
        return os.getpid()


_places: dict[str, Place] = {}
"""By the text of /proc/PID/cgroup: the processes of a host share few."""
_MOST_PLACES = 1000  # a guard that waits for days can see a new one at every report


def describe(pid: int) -> Owner | None:
    """Look a process up, with its unit and container; None when it has ended."""
    if sys.platform != "linux":
        from portwait._psutil import processes

        return processes.describe(pid)
    from portwait._linux import cgroups, procfs

    process = procfs.describe(pid)
    if process is None:
        return None
    place = _places.get(process.cgroup)
    if place is None:
        if len(_places) >= _MOST_PLACES:
            _places.clear()
        place = _places[process.cgroup] = cgroups.place(process.cgroup)
    return Owner(
        pid=pid,
        name=process.name,
        cmdline=process.cmdline,
        user=user_name(process.uid),
        started=process.started,
        unit=place.unit,
        container=place.container,
        user_unit=place.user_unit,
        pod=place.pod,
        forwards=forwarded(process.cmdline),
        parent=process.parent,
        birth=process.birth,
        state=process.state,
        uid=process.uid,
        foreign_pid=_pids_are_foreign(),
    )


_foreign: list[bool] = []
"""Whether /proc has the numbers of another PID namespace, once that was asked: it stays so."""


def _pids_are_foreign() -> bool:
    from portwait._linux import procfs

    if not _foreign:
        _foreign.append(not procfs.numbers_are_ours())
    return _foreign[0]


def find(sockets: Sequence[KernelSocket], peers: Sequence[KernelSocket] = ()) -> Owners:
    """Find the processes that have these sockets open, and, where that takes little, those at their other ends.

    Each was read between two looks at its descriptor, so what is said of it is of the process that had the socket.
    """
    if sys.platform != "linux":
        return Owners({}, None)
    from portwait._linux import socket_owners

    holders = socket_owners.holders(sockets)
    rest = [peer for peer in peers if peer.inode not in holders.by_inode]
    of_peers = socket_owners.holders(rest, cheaply=True).by_inode if rest else {}
    known: dict[int, Owner | None] = {}
    named: dict[int, tuple[Owner, ...]] = {}
    for inode, group in {**holders.by_inode, **of_peers}.items():
        for holder in group:
            if holder.pid not in known:
                known[holder.pid] = describe(holder.pid)
        still = [known[holder.pid] for holder in group if holder.still(inode)]
        named[inode] = tuple(sorted((owner for owner in still if owner is not None), key=lambda owner: owner.pid))
    changed = any(not named.get(inode) for inode in holders.by_inode)
    unseen = holders.unseen or ("its owner closed it, or ended, while we looked" if changed else None)
    return Owners(named, unseen, _unsearched(holders.unsearched), holders.denied)


def _unsearched(count: int) -> str | None:
    if not count:
        return None
    related = "1 related process has" if count == 1 else f"{count} related processes have"
    return f"{related} too many descriptors to search all of them, and may share it"


def places(cgroups: Iterable[int]) -> dict[int, Place]:
    """Say where sockets were made, by their cgroups' ids: known also where their owners cannot be seen."""
    wanted = [number for number in cgroups if number]
    if sys.platform != "linux" or not wanted:
        return {}
    from portwait._linux import cgroup_tree
    from portwait._linux import cgroups as paths

    return {number: paths.place_of(path) for number, path in cgroup_tree.names(wanted).items()}


_users: dict[int, str | None] = {}


def user_name(uid: int) -> str | None:
    """Name a user, by number where the user has no name; None where the uid is unknown (-1), or stands for many."""
    if uid < 0:
        return None
    if uid not in _users:
        _users[uid] = _look_up(uid)
    return _users[uid]


def _look_up(uid: int) -> str | None:
    if sys.platform == "linux":
        from portwait._linux import procfs

        if not procfs.is_a_users(uid):
            return None
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):  # Windows has none; a container's or a removed user
        return str(uid)

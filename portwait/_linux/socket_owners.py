"""From sockets to the processes that have them open: those of a socket's cgroup first, and of its user before others.

One readlink a descriptor is what it costs, so the order decides: 0.4 ms where the cgroup is the owner's own, half a
second where 2,000 processes with 200,000 descriptors have to be searched. Who shares a socket got it by fork, under
the same number: among many processes one readlink each tells, and whole tables are read while they are small.
"""

from __future__ import annotations

import os
from itertools import islice

from portwait._linux import all_cores, cgroup_tree, procfs
from portwait._linux.descriptors import Holder, Table, is_socket
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portwait.model.sockets import KernelSocket

_FEW = 64
"""Processes. Up to this number all are searched; among more, only until every socket has an owner."""
_CHEAP = 256
"""Among more processes nobody is searched who is only nice to know."""
_SMALL = 256
"""Descriptors of a relative. Up to this number all are read; of more, only the one with the number of its owner's."""
_MOST_SHARERS = 4096
"""Processes. No more are asked whether they share an owner's descriptor."""


class Holders(Record):
    """Holders by inode, and what may have kept the search from finding one for each (None: each has one)."""

    by_inode: Mapping[int, tuple[Holder, ...]]
    unseen: str | None
    unsearched: int = 0
    """Relatives of an owner whose tables are too large to be read whole, so that one may share its socket unseen."""
    denied: int = 0
    """Processes that may not be looked into, of those that were searched."""


def holders(sockets: Iterable[KernelSocket], *, cheaply: bool = False) -> Holders:
    """Find the processes that have these sockets open.

    Of few processes all are searched, the small tables first; among many, until all sockets have an owner. A socket
    can be shared after fork, wherever the processes have gone then, so the owners' relatives, and those beside them
    that may be their orphans, are asked in any case. `cheaply` asks nobody among many, and no relatives.
    """
    missing = {sock.inode: sock for sock in sockets if sock.inode}
    search = _Search(missing)
    for choose in (_in_cgroup, _everyone):
        if not missing:
            break
        pids = list(islice(choose(missing.values()), _CHEAP + 1 if cheaply else None))
        if cheaply and len(pids) > _CHEAP:
            break
        search.through(pids, {sock.uid for sock in missing.values()})
        for inode in search.found:
            missing.pop(inode, None)
    if not cheaply:
        search.through_relatives()
    unseen = why_unseen(search.denied) if missing else None
    by_inode = {inode: tuple(each.values()) for inode, each in search.found.items()}
    return Holders(by_inode, unseen, len(search.unsearched), search.denied)


def has_socket(pid: int, inode: int) -> bool:
    """Whether a process has this socket open, as far as can be seen."""
    return bool(Table(pid).search({f"socket:[{inode}]": inode}))


class _Search:
    def __init__(self, inodes: Iterable[int]) -> None:
        self.found: dict[int, dict[int, Holder]] = {}
        """By inode, then by pid."""
        self.denied = 0
        self.unsearched: set[int] = set()
        self._links = {f"socket:[{inode}]": inode for inode in inodes}
        self._searched: set[int] = set()

    def through(self, pids: Sequence[int], uids: set[int]) -> None:
        """Search these in turn; where they are many, until each socket has an owner, those of these users first."""
        if len(pids) <= _FEW:
            for pid in pids:
                self._search(pid, most=_SMALL)
            for pid in pids:
                if len(self.found) == len(self._links):
                    break
                self._search(pid)
            self._sharers(pids)
            return
        owner_of = _users(pids)
        likely = sorted(owner_of, key=lambda pid: owner_of[pid] not in uids)
        for searched in all_cores.search([pid for pid in likely if pid not in self._searched], self._links):
            self._keep(searched.pid, searched.holders)
            self.denied += searched.denied
            if len(self.found) == len(self._links):
                break
        owners = {pid for each in self.found.values() for pid in each}
        users = {owner_of.get(pid) for pid in owners}
        self._sharers(orphans(owners) or [pid for pid in likely if owner_of[pid] in users])

    def through_relatives(self) -> None:
        """Search the owners' relatives, and those of each owner that is found among these."""
        asked: set[int] = set()
        while owners := {pid for each in self.found.values() for pid in each} - asked:
            asked |= owners
            for relative in relatives(owners)[:_MOST_SHARERS]:
                if relative not in self._searched and not self._shares(relative):
                    self._search(relative, most=_SMALL)

    def _sharers(self, pids: Sequence[int]) -> None:
        """Ask those who were not searched for the descriptor that an owner has: the workers of a master that died."""
        for pid in pids[:_MOST_SHARERS]:
            if pid not in self._searched:
                self._shares(pid)

    def _shares(self, pid: int) -> bool:
        """Whether a process has a socket under the very number under which an owner has it; keeps what it has."""
        sharing = False
        for inode, each in self.found.items():
            for descriptor in {holder.descriptor for holder in each.values() if not holder.ring}:
                if is_socket(pid, descriptor, inode):
                    each[pid] = Holder(pid, descriptor)
                    sharing = True
                    self.unsearched.discard(pid)
                    break
        return sharing

    def _search(self, pid: int, most: int | None = None) -> None:
        if pid in self._searched:
            return
        table = Table(pid)
        holders = table.search(self._links, most)
        self.denied += table.denied
        if table.too_large:
            self.unsearched.add(pid)
        else:
            self._keep(pid, holders)

    def _keep(self, pid: int, holders: Mapping[int, Holder]) -> None:
        """Keep what a process has of the sockets, now that all its descriptors were read."""
        for inode, holder in holders.items():
            self.found.setdefault(inode, {})[pid] = holder
        self._searched.add(pid)
        self.unsearched.discard(pid)


def relatives(pids: Iterable[int]) -> list[int]:
    """Name the processes that can have got a socket from one of these, or given it, by fork: the nearest in the tree.

    Ancestors, descendants, and siblings where these are few: a supervisor's children do not share its sockets. This
    misses children whose parent has ended (`orphans`), and a socket that was sent in a message.
    """
    descendants = dict.fromkeys(pids)
    parent_of = _lineage(descendants)
    above = dict.fromkeys(parent for parent in parent_of.values() if parent > 1)
    siblings: list[int] = []
    for parent in dict.fromkeys(parent_of.get(pid, 0) for pid in descendants):
        born = procfs.children(parent) if parent > 1 else []
        siblings += born if len(born) <= _FEW else []
    generation = [*descendants]
    while generation:
        generation = [child for pid in generation for child in procfs.children(pid) if child not in descendants]
        descendants |= dict.fromkeys(generation)
    return [*above, *siblings, *descendants]


def orphans(pids: Iterable[int]) -> list[int]:
    """Name the processes that can be these processes' relatives although what was between them has ended.

    Who loses its parent becomes a child of an ancestor: of PID 1, or of one that asked for it (PR_SET_CHILD_SUBREAPER).
    There are none where the kernel does not list children.
    """
    ancestors = dict.fromkeys((1, *(parent for parent in _lineage(pids).values() if parent > 1)))
    return [child for ancestor in ancestors for child in procfs.children(ancestor)]


def _lineage(pids: Iterable[int]) -> dict[int, int]:
    """Answer the parent of each of these processes and of their ancestors, up to PID 1; 0 where it is not known."""
    parent_of: dict[int, int] = {}
    for descendant in pids:
        pid = descendant
        while pid > 1 and pid not in parent_of:
            stat = procfs.stat_of(pid)
            parent_of[pid] = 0 if stat is None else stat.parent
            pid = parent_of[pid]
    return parent_of


def _in_cgroup(sockets: Iterable[KernelSocket]) -> Iterable[int]:
    return cgroup_tree.processes({sock.cgroup for sock in sockets if sock.cgroup})


def _everyone(_sockets: Iterable[KernelSocket]) -> list[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [int(name) for name in names if name.isdigit()]


def _users(pids: Iterable[int]) -> dict[int, int]:
    """Answer whose each process is (-1: not known); those that have ended are left out."""
    try:
        folder = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return dict.fromkeys(pids, -1)
    users: dict[int, int] = {}
    for pid in pids:
        try:  # not /proc/PID/fd, which is root's where it may not be dumped
            users[pid] = os.stat(str(pid), dir_fd=folder).st_uid
        except OSError:
            continue
    os.close(folder)
    return users


def what_shows_all() -> str:
    """Say what it takes to look into every process."""
    return "it requires CAP_SYS_PTRACE" if os.geteuid() == 0 else "run as root"


def why_unseen(denied: int) -> str:
    """Say why an owner may not be seen, and behind a semicolon what would show more."""
    processes = "1 process" if denied == 1 else f"{denied} processes"
    privilege = what_shows_all()
    shows_all = procfs.shows_all_processes()
    if shows_all is None and not denied:
        return "owner not visible: /proc cannot be read"
    hidden = procfs.hides_processes()
    if not (denied or hidden or shows_all is False or os.geteuid()):
        return "no process has it open: it belongs to the kernel (NFS, iSCSI), or is on its way between processes"
    reasons = [f"{processes} may not be looked into"] if denied else []
    reasons += ["it is hidden (hidepid=)"] if hidden or not (denied or shows_all is False) else []
    cures = [privilege] if reasons else []
    if shows_all is False:
        from portwait._linux import netns

        reasons.append("it is in another PID namespace")
        cures.append("look from the host" + ("" if netns.is_initial() else ", in this network namespace"))
    reasons += [] if denied else ["it is the kernel"]
    return f"owner not visible: {', or '.join(reasons)}; {', or '.join(cures)}"

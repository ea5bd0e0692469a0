"""From sockets to the processes that have them open: those of a socket's cgroup first, and of its user before others.

One readlink a descriptor is what it costs, so the order decides: 0.4 ms where the cgroup is the owner's own, half a
second where 2,000 processes with 200,000 descriptors have to be looked through.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from portwait._linux import procfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from portwait.model.sockets import KernelSocket

_CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_FEW = 64
"""So many processes are all looked at; among more, only until every socket has an owner."""
_CHEAP = 256
"""Among more processes nobody is looked for who is only nice to know."""


class Holder(NamedTuple):
    """A process's descriptor for a socket."""

    pid: int
    descriptor: str

    def still(self, inode: int) -> bool:
        """Whether it is so now: what was read of the pid in between was then of the process that has the socket."""
        try:
            return os.readlink(f"/proc/{self.pid}/fd/{self.descriptor}") == f"socket:[{inode}]"
        except OSError:
            return False


class Found(NamedTuple):
    """Holders by inode, and what may have kept the search from finding one for each (None: each has one)."""

    holders: Mapping[int, tuple[Holder, ...]]
    unseen: str | None


def holders(sockets: Iterable[KernelSocket], *, cheaply: bool = False) -> Found:
    """Find the processes that have these sockets open.

    All processes are looked at while they are few; among many, until all sockets have an owner. A socket can be shared
    after fork, wherever the processes have gone then, so the owners' relatives are looked at in any case. `cheaply`
    asks nobody among many, and no relatives.
    """
    missing = {which.inode: which for which in sockets if which.inode}
    search = _Search(missing)
    for choose in (_in_cgroup, _everyone):
        if not missing:
            break
        pids = choose(missing.values())
        if cheaply and len(pids) > _CHEAP:
            break
        search.through(_likely_first(pids, missing.values()))
        for inode in search.found:
            missing.pop(inode, None)
    if not cheaply:
        search.through_relatives()
    unseen = why_unseen(search.denied) if missing else None
    return Found({inode: tuple(some) for inode, some in search.found.items()}, unseen)


class _Search:
    def __init__(self, inodes: Iterable[int]) -> None:
        self.found: dict[int, list[Holder]] = {}
        self.denied = 0
        self._links = {f"socket:[{inode}]": inode for inode in inodes}
        self._looked: set[int] = set()

    def through(self, pids: Sequence[int]) -> None:
        """Look at these in turn; where they are many, until each socket has an owner."""
        for pid in pids:
            if len(pids) > _FEW and len(self.found) == len(self._links):
                return
            self._look(pid)

    def through_relatives(self) -> None:
        """Look at the owners' relatives, and at those of each owner that is found among these."""
        asked: set[int] = set()
        while owners := {holder.pid for some in self.found.values() for holder in some} - asked:
            asked |= owners
            for relative in relatives(owners):
                self._look(relative)

    def _look(self, pid: int) -> None:
        if pid in self._looked:
            return
        self._looked.add(pid)
        try:
            folder = os.open(f"/proc/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except PermissionError:
            self.denied += 1
            return
        except OSError:  # it has ended
            return
        try:
            self._read(pid, folder)
        except PermissionError:  # it is opened by who may look, and then another program has been executed
            self.denied += 1
        except OSError:
            return
        finally:
            os.close(folder)

    def _read(self, pid: int, folder: int) -> None:
        seen: set[int] = set()
        links, readlink = self._links, os.readlink  # this loop is where the time goes
        for descriptor in os.listdir(folder):
            try:
                link = readlink(descriptor, dir_fd=folder)
            except PermissionError:  # the folder may be listed, and then no link of it may be followed
                raise
            except OSError:  # closed meanwhile, or the process has ended
                continue
            if link in links and links[link] not in seen:
                seen.add(links[link])
                self.found.setdefault(links[link], []).append(Holder(pid, descriptor))
                if len(seen) == len(links):
                    return


def relatives(pids: Iterable[int]) -> list[int]:
    """Name the processes that can have got a socket from one of these, or given it, by fork: the nearest in the tree.

    Ancestors, descendants, and siblings where these are few: a supervisor's children are not its heirs. What misses
    here: children whose parent has ended, and a socket that was sent in a message.
    """
    heirs = dict.fromkeys(pids)
    above: dict[int, None] = {}
    siblings: list[int] = []
    parents: set[int] = set()
    for pid in heirs:
        stat = procfs.stat_of(pid)
        if stat is not None and stat.parent > 1 and stat.parent not in parents:
            parents.add(stat.parent)
            born = procfs.children(stat.parent)
            siblings += born if len(born) <= _FEW else []
        while stat is not None and stat.parent > 1 and stat.parent not in above:
            above[stat.parent] = None
            stat = procfs.stat_of(stat.parent)
    generation = [*heirs]
    while generation:
        generation = [child for one in generation for child in procfs.children(one) if child not in heirs]
        heirs |= dict.fromkeys(generation)
    return [*above, *siblings, *heirs]


def _in_cgroup(sockets: Iterable[KernelSocket]) -> list[int]:
    """List the processes in the sockets' cgroups."""
    pids: list[int] = []
    for path in cgroup_paths({which.cgroup for which in sockets if which.cgroup}).values():
        try:
            with open(f"{path}/cgroup.procs", encoding="ascii") as file:
                pids += [int(line) for line in file if line.strip() != "0"]  # 0: in another PID namespace
        except (OSError, ValueError):
            continue
    return pids


def _likely_first(pids: list[int], sockets: Iterable[KernelSocket]) -> list[int]:
    """Put the processes of the sockets' users first, where that is worth asking."""
    if len(pids) <= _FEW:
        return pids
    uids = {which.uid for which in sockets}
    likely: list[int] = []
    others: list[int] = []
    for pid in pids:
        try:
            # not /proc/PID/fd, which is root's for a process that may not be dumped
            (likely if os.stat(f"/proc/{pid}").st_uid in uids else others).append(pid)
        except OSError:
            continue
    return likely + others


def _everyone(_sockets: Iterable[KernelSocket]) -> list[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    return [int(name) for name in names if name.isdigit()]


def cgroup_paths(ids: Iterable[int]) -> dict[int, str]:
    """Find the directories of cgroups by their ids, which are inodes under the cgroup v2 mount."""
    wanted = set(ids)
    paths: dict[int, str] = {}
    for mount in _CGROUP_MOUNTS if wanted else ():
        try:
            if not os.path.exists(f"{mount}/cgroup.controllers"):
                continue
            root = os.stat(mount).st_ino
        except OSError:
            continue
        if root in wanted:
            paths[root] = mount
        folders = [mount]
        while folders and len(paths) < len(wanted):
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            if entry.inode() in wanted:
                                paths[entry.inode()] = entry.path
            except OSError:
                continue
    return paths


def cgroup_names(ids: Iterable[int]) -> dict[int, str]:
    """Name cgroups by their ids as /proc/PID/cgroup would, from the mount on: `/system.slice/nginx.service`."""
    return {
        number: next(path.removeprefix(mount) for mount in reversed(_CGROUP_MOUNTS) if path.startswith(mount)) or "/"
        for number, path in cgroup_paths(ids).items()
    }


def why_unseen(denied: int) -> str:
    """Say why an owner may not be seen, and what would show more."""
    if denied:
        some = "1 process" if denied == 1 else f"{denied} processes"
        more = "it takes CAP_SYS_PTRACE" if os.geteuid() == 0 else "run as root"
        return f"owner not visible: {some} may not be looked into; {more}"
    try:
        if os.readlink("/proc/self/ns/pid") != _INITIAL_PID_NAMESPACE:
            return "owner not visible: it is in another PID namespace, or it is the kernel; look from the host"
    except OSError:
        return "owner not visible: /proc cannot be read"
    if os.geteuid() != 0:
        return "owner not visible: it is hidden (hidepid=) or it is the kernel; run as root"
    return "no process has it open: it belongs to the kernel (NFS, iSCSI), or is on its way between processes"

"""From sockets to the processes that have them open: in a socket's cgroup first, then its user's, then everyone.

One readlink a descriptor is what it costs, so the order decides: 0.4 ms where the cgroup is the owner's own, half a
second where 2,000 processes with 200,000 descriptors have to be looked through.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from portwait._linux import procfs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from portwait.sockets import KernelSocket

_CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h
_FEW = 64
"""So many processes are all looked at; among more, once every socket has an owner, only that owner's relatives."""
_PRICE = 4096
"""Descriptors that are looked at, at most, for what is only nice to know: 16 ms."""


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

    A step looks at all of its processes while they are few, for a socket can be shared after fork; among many it looks,
    once all sockets have an owner, only at the owners' relatives. The next step is taken only for sockets that nobody
    has been found for. `cheaply` gives up early, and looks at nobody but the sockets' cgroups and users.
    """
    missing = {which.inode: which for which in sockets if which.inode}
    search = _Search(_PRICE if cheaply else None)
    for step in (_in_cgroup, _of_uid) if cheaply else (_in_cgroup, _of_uid, _everyone):
        if not missing:
            break
        search.through(list(step(missing.values())), frozenset(missing))
        for inode in search.found:
            missing.pop(inode, None)
    unseen = why_unseen(search.denied) if missing else None
    return Found({inode: tuple(some) for inode, some in search.found.items()}, unseen)


class _Search:
    def __init__(self, price: int | None) -> None:
        self.found: dict[int, list[Holder]] = {}
        self.denied = 0
        self._looked: set[int] = set()
        self._price = price

    def through(self, pids: Sequence[int], inodes: frozenset[int]) -> None:
        links = {f"socket:[{inode}]": inode for inode in inodes}
        for index, pid in enumerate(pids):
            if index >= _FEW and len(pids) > _FEW and inodes <= self.found.keys():
                owners = {holder.pid for inode in inodes for holder in self.found[inode]}
                for relative in relatives(owners, pids[index:]):
                    self._look(relative, links)
                return
            if self._price is not None and self._price <= 0:
                return
            self._look(pid, links)

    def _look(self, pid: int, links: Mapping[str, int]) -> None:
        if pid in self._looked:
            return
        self._looked.add(pid)
        folder = f"/proc/{pid}/fd"
        try:
            descriptors = os.listdir(folder)
        except PermissionError:
            self.denied += 1
            return
        except OSError:  # it has ended
            return
        if self._price is not None:
            self._price -= len(descriptors)
        seen: set[int] = set()
        for descriptor in descriptors:
            try:
                link = os.readlink(f"{folder}/{descriptor}")
            except OSError:  # closed meanwhile, or the process has ended
                continue
            inode = links.get(link)
            if inode is not None and inode not in seen:
                seen.add(inode)
                self.found.setdefault(inode, []).append(Holder(pid, descriptor))
                if len(seen) == len(links):
                    return


def relatives(of: set[int], among: Iterable[int]) -> list[int]:
    """Pick the processes that can have got a socket by fork: ancestors, descendants, members of the process group.

    What misses here: a child that has left the group and whose parent has ended, and a socket sent in a message.
    """
    kin, groups = set(of), set()
    for pid in of:
        at: int = pid
        stat = procfs.stat_of(at)
        if stat is not None:
            groups.add(stat.group)
        while stat is not None and stat.parent > 1 and stat.parent not in kin:
            at = stat.parent
            kin.add(at)
            stat = procfs.stat_of(at)
    descended = set(of)
    picked = []
    for pid in among:  # as /proc lists them, by number: mostly a parent before its children
        stat = procfs.stat_of(pid)
        if stat is not None and (pid in kin or stat.group in groups or stat.parent in descended):
            descended.add(pid)
            picked.append(pid)
    return picked


def _in_cgroup(sockets: Iterable[KernelSocket]) -> Iterator[int]:
    for path in cgroup_paths({which.cgroup for which in sockets if which.cgroup}).values():
        try:
            with open(f"{path}/cgroup.procs", encoding="ascii") as file:
                yield from [int(line) for line in file if line.strip() != "0"]  # 0: in another PID namespace
        except (OSError, ValueError):
            continue


def _of_uid(sockets: Iterable[KernelSocket]) -> Iterator[int]:
    uids = {which.uid for which in sockets}
    for pid in _everyone(sockets):
        try:
            # not /proc/PID/fd, which is root's for a process that may not be dumped
            if os.stat(f"/proc/{pid}").st_uid in uids:
                yield pid
        except OSError:
            continue


def _everyone(_sockets: Iterable[KernelSocket]) -> Iterator[int]:
    try:
        names = os.listdir("/proc")
    except OSError:
        return
    yield from (int(name) for name in names if name.isdigit())


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
    if denied and os.geteuid() != 0:
        return f"owner not visible: {denied} processes may not be looked into; run as root"
    if denied:
        return f"owner not visible: {denied} processes may not be looked into; it takes CAP_SYS_PTRACE"
    try:
        if os.readlink("/proc/self/ns/pid") != _INITIAL_PID_NAMESPACE:
            return "owner not visible: it is in another PID namespace, or it is the kernel; look from the host"
    except OSError:
        return "owner not visible: /proc cannot be read"
    if os.geteuid() != 0:
        return "owner not visible: it is hidden (hidepid=) or it is the kernel; run as root"
    return "no process has it open: it belongs to the kernel (NFS, iSCSI), or is on its way between processes"

"""From a socket's inode to the processes that have it open, through /proc and the cgroup tree."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from portwait.sockets import KernelSocket

_CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h


class Found(NamedTuple):
    """Owners by inode, and what kept the search from seeing everybody (None: it saw everybody)."""

    owners: Mapping[int, tuple[int, ...]]
    unseen: str | None


def owners(sockets: Iterable[KernelSocket]) -> Found:
    """Find the processes that have these sockets open: in each socket's cgroup first, then its uid's, then everyone.

    A step looks at all of its processes, for a socket can be shared after fork; the next one is taken only for
    sockets that nobody has been found for.
    """
    missing = {which.inode: which for which in sockets if which.inode}
    found: dict[int, list[int]] = {}
    search = _Search(found)
    for step in (_in_cgroup, _of_uid, _everyone):
        if not missing:
            break
        search.through(step(missing.values()), frozenset(missing))
        for inode in found:
            missing.pop(inode, None)
    unseen = _why_unseen(search.denied) if missing else None
    return Found({inode: tuple(pids) for inode, pids in found.items()}, unseen)


class _Search:
    def __init__(self, found: dict[int, list[int]]) -> None:
        self._found = found
        self._looked: set[int] = set()
        self.denied = 0

    def through(self, pids: Iterable[int], inodes: frozenset[int]) -> None:
        links = {f"socket:[{inode}]": inode for inode in inodes}
        for pid in pids:
            if pid in self._looked:
                continue
            self._looked.add(pid)
            try:
                descriptors = os.listdir(f"/proc/{pid}/fd")
            except PermissionError:
                self.denied += 1
                continue
            except OSError:  # it has ended
                continue
            seen: set[int] = set()
            for descriptor in descriptors:
                try:
                    inode = links.get(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
                except OSError:  # closed meanwhile, or the process has ended
                    continue
                if inode is not None and inode not in seen:
                    seen.add(inode)
                    self._found.setdefault(inode, []).append(pid)


def _in_cgroup(sockets: Iterable[KernelSocket]) -> Iterator[int]:
    for path in cgroup_paths({which.cgroup for which in sockets if which.cgroup}).values():
        try:
            with open(f"{path}/cgroup.procs", encoding="ascii") as file:
                yield from (int(line) for line in file if line.strip() != "0")  # 0: in another PID namespace
        except OSError:
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
    for mount in _CGROUP_MOUNTS:
        if not os.path.exists(f"{mount}/cgroup.procs") or not os.path.exists(f"{mount}/cgroup.controllers"):
            continue
        folders = [mount]
        try:
            if os.stat(mount).st_ino in wanted:
                paths[os.stat(mount).st_ino] = mount
        except OSError:
            continue
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


def _why_unseen(denied: int) -> str:
    if denied:
        return f"owner not visible: {denied} processes may not be looked into; run as root"
    try:
        if os.readlink("/proc/self/ns/pid") != _INITIAL_PID_NAMESPACE:
            return "owner not visible: it is in another PID namespace, or it is the kernel; look from the host"
    except OSError:
        return "owner not visible: /proc cannot be read"
    if os.geteuid() != 0:
        return "owner not visible: it is hidden (hidepid=) or it is the kernel; run as root"
    return "no process has it open: it belongs to the kernel (NFS, iSCSI), or is on its way between processes"

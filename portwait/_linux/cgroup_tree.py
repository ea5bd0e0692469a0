"""The cgroup v2 tree: the directories of cgroups by their ids, and the processes in them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def processes(ids: Iterable[int]) -> Iterator[int]:
    """List the processes in these cgroups; those of another PID namespace have no number here."""
    for path in paths(ids).values():
        try:
            with open(f"{path}/cgroup.procs", encoding="utf-8") as file:
                yield from (int(line) for line in file if line != "0\n")
        except (OSError, ValueError):
            continue


def names(ids: Iterable[int]) -> dict[int, str]:
    """Name cgroups by their ids as /proc/PID/cgroup would, from the mount on: `/system.slice/nginx.service`."""
    return {
        number: next(path.removeprefix(mount) for mount in reversed(_MOUNTS) if path.startswith(mount)) or "/"
        for number, path in paths(ids).items()
    }


def paths(ids: Iterable[int]) -> dict[int, str]:
    """Find the directories of cgroups by their ids, which are inodes under the cgroup v2 mount."""
    wanted = set(ids)
    folders_by_id: dict[int, str] = {}
    for mount in _MOUNTS if wanted else ():
        try:
            if not os.path.exists(f"{mount}/cgroup.controllers"):
                continue
            root = os.stat(mount).st_ino
        except OSError:
            continue
        if root in wanted:
            folders_by_id[root] = mount
        folders = [mount]
        while folders and len(folders_by_id) < len(wanted):
            try:
                with os.scandir(folders.pop()) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(entry.path)
                            if entry.inode() in wanted:
                                folders_by_id[entry.inode()] = entry.path
            except OSError:
                continue
    return folders_by_id

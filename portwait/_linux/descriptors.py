"""The descriptors of a process: which of its files is a socket that somebody asks for.

They are under /proc/PID/fd; of a process whose main thread has ended, under /proc/PID/task/TID/fd of another thread.
What is registered with an io_uring need not be open otherwise: it is in /proc/PID/fdinfo/RING.
"""

from __future__ import annotations

import os

from portwait._linux import procfs
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_RING = "anon_inode:[io_uring]"
_LONGEST_RING = 1 << 20  # bytes of a ring's description: about 30,000 files


class Holder(Record):
    """A process's descriptor for a socket, or that of the io_uring where it is registered."""

    pid: int
    descriptor: str
    thread: int = 0
    """A thread that still has the descriptors, where the main one has ended."""
    ring: bool = False

    def still(self, inode: int) -> bool:
        """Whether it is so now: what was read of the pid in between was then of the process that has the socket."""
        home = _home(self.pid, self.thread)
        if self.ring:
            return f"socket:[{inode}]" in _registered(home, self.descriptor)
        try:
            return os.readlink(f"{home}/fd/{self.descriptor}") == f"socket:[{inode}]"
        except OSError:
            return False


class Table:
    """One process's descriptors."""

    def __init__(self, pid: int) -> None:
        """Read nothing yet."""
        self.pid = pid
        self.denied = False
        """Whether it may not be looked into."""
        self.too_large = False
        """Whether it has more descriptors than were to be read."""

    def search(self, links: Mapping[str, int], most: int | None = None) -> dict[int, Holder]:
        """Find these sockets, `socket:[INODE]`, by their inodes; where it has more than `most` descriptors, none."""
        holders, listed = self._folder(0, links, most)
        if not listed and not self.denied:
            for thread in self._threads():
                holders, listed = self._folder(thread, links, most)
                if listed:
                    break
        return holders

    def _threads(self) -> Iterator[int]:
        try:
            threads = os.listdir(f"/proc/{self.pid}/task")
        except OSError:
            return
        yield from (int(thread) for thread in threads if int(thread) != self.pid)

    def _folder(self, thread: int, links: Mapping[str, int], most: int | None) -> tuple[dict[int, Holder], bool]:
        """Search the descriptors of one thread (0: the main one); with them, whether it has any."""
        try:
            folder = os.open(f"{_home(self.pid, thread)}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:  # it has ended, or
            self.denied = isinstance(error, PermissionError)
            return {}, False
        try:
            names: Iterable[str]
            if count := os.fstat(folder).st_size:  # of descriptors, from Linux 6.2 on
                names = _by_number(folder, count)
            else:
                names = os.listdir(folder)
                count = len(names)
            if most is not None and count > most:
                self.too_large = True
                return {}, True
            return self._read(thread, folder, names, count, links), count > 0
        except OSError as error:  # it was opened by who may look, and then another program has been executed, or
            self.denied = isinstance(error, PermissionError)
            return {}, False
        finally:
            os.close(folder)

    def _read(
        self, thread: int, folder: int, names: Iterable[str], count: int, links: Mapping[str, int]
    ) -> dict[int, Holder]:
        """Read what these descriptors are open on, until `count` of them were read or each socket was among them."""
        holders: dict[int, Holder] = {}
        rings: list[str] = []
        wanted = {**links, _RING: 0}
        readlink = os.readlink  # this loop is where the time goes
        for name in names:
            try:
                link = readlink(name, dir_fd=folder)
            except PermissionError:  # the folder may be listed, and then no link of it may be followed
                raise
            except OSError:  # there is none of this number, it was closed meanwhile, or the process has ended
                continue
            if link in wanted:
                inode = wanted[link]
                if not inode:
                    rings.append(name)
                elif inode not in holders:
                    holders[inode] = Holder(self.pid, name, thread)
                    if len(holders) == len(links):
                        return holders
            count -= 1
            if not count:
                break
        for ring in rings:
            registered = _registered(_home(self.pid, thread), ring)
            for link, inode in links.items():
                if link in registered:
                    holders.setdefault(inode, Holder(self.pid, ring, thread, ring=True))
        return holders


def _home(pid: int, thread: int) -> str:
    return f"/proc/{pid}/task/{thread}" if thread else f"/proc/{pid}"


def _by_number(folder: int, count: int) -> Iterator[str]:
    """Name descriptors without listing them, which takes a fifth of the time; list those with large numbers at last.

    The kernel gives the lowest number that is unused, so most processes have few gaps between theirs.
    """
    limit = 2 * count
    yield from map(str, range(limit))
    yield from (name for name in os.listdir(folder) if int(name) >= limit)


def _registered(home: str, ring: str) -> str:
    """Read the description of an io_uring, which lists the files that are registered with it."""
    return procfs.read_text(f"{home}/fdinfo/{ring}", _LONGEST_RING)

"""The descriptors of a process: which of its files is a socket that somebody asks for.

They are under /proc/PID/fd; of a process whose main thread has ended, under /proc/PID/task/TID/fd of another thread.
What is registered with an io_uring need not be open otherwise: it is in /proc/PID/fdinfo/RING.
"""

from __future__ import annotations

import errno
import os

from portwait._linux import procfs
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ENDED = (errno.ENOENT, errno.ESRCH)
"""The errors of a process, or a thread, that has ended."""
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
        if self.ring:
            return f"socket:[{inode}]" in _registered(_home(self.pid, self.thread), self.descriptor)
        return is_socket(self.pid, self.descriptor, inode, self.thread)


def is_socket(pid: int, descriptor: str, inode: int, thread: int = 0) -> bool:
    """Whether a descriptor of a process, or of a thread of it, is open on this socket."""
    try:
        return os.readlink(f"{_home(pid, thread)}/fd/{descriptor}") == f"socket:[{inode}]"
    except OSError:
        return False


class Table:
    """One process's descriptors."""

    def __init__(self, pid: int) -> None:
        """Read nothing yet."""
        self.pid = pid
        self.denied = False
        """Whether it cannot be looked into, because that is not allowed or no descriptor is left for it."""
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
        home = _home(self.pid, thread)
        sockets: dict[str, str] = {}
        rings: list[str] = []
        try:
            folder = os.open(f"{home}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            self.denied = error.errno not in _ENDED
            return {}, False
        try:
            count = os.fstat(folder).st_size  # of descriptors, from Linux 6.2 on; else 0
            names = [] if count else os.listdir(folder)
            if most is not None and (count or len(names)) > most:
                self.too_large = True
                return {}, True
            # Listing them takes a fifth of the time. The kernel gives the lowest number that is unused, so most
            # processes have no gaps; those that have get theirs listed.
            if _read(folder, map(str, range(count)), links, sockets, rings):
                names = os.listdir(folder)
            _read(folder, [name for name in names if int(name) >= count], links, sockets, rings)
        except OSError as error:  # EACCES: it was allowed, and then the process has executed another program
            self.denied = error.errno not in _ENDED
            return {}, False
        finally:
            os.close(folder)
        holders = {links[link]: Holder(self.pid, name, thread) for link, name in sockets.items()}
        for ring in rings:
            registered = _registered(home, ring)
            for link, inode in links.items():
                if link in registered:
                    holders.setdefault(inode, Holder(self.pid, ring, thread, ring=True))
        return holders, bool(count or names)


def _home(pid: int, thread: int) -> str:
    return f"/proc/{pid}/task/{thread}" if thread else f"/proc/{pid}"


def _read(
    folder: int, names: Iterable[str], links: Mapping[str, int], sockets: dict[str, str], rings: list[str]
) -> bool:
    """Note which of these descriptors are sockets that are asked for, by their links, and which are io_urings.

    Whether some of these descriptors are not there, so that others may be; False as soon as no socket is asked for
    any more.
    """
    wanted = {*links, _RING}
    missing = False
    readlink = os.readlink  # this loop is where the time goes
    for name in names:
        try:
            link = readlink(name, dir_fd=folder)
        except PermissionError:  # the folder may be listed, and then no link of it may be followed
            raise
        except OSError:  # never opened, or closed meanwhile, or the process has ended
            missing = True
            continue
        if link in wanted:
            if link == _RING:
                rings.append(name)
                continue
            sockets.setdefault(link, name)
            if len(sockets) == len(links):
                return False
    return missing


def _registered(home: str, ring: str) -> set[str]:
    """Read which files are registered with an io_uring, from its description: `    0: socket:[1234]`.

    A file's path can end like a socket's link, `/tmp/socket:[1234]`, so only what the whole line names counts.
    """
    return {line.partition(": ")[2] for line in procfs.read_text(f"{home}/fdinfo/{ring}", _LONGEST_RING).split("\n")}

"""Search the descriptors of many processes on all processors: forked workers take their shares from one queue.

A worker does nothing but read links in /proc. It ends with the search, whatever ends that: by itself once the queue is
empty or its parent has gone, or killed as soon as nobody wants more.
"""

from __future__ import annotations

import _thread
import os

from portwait._linux import kernel
from portwait._linux.descriptors import Holder, Table
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WORTH_IT = 400
"""Fewer processes are searched by this process alone: that takes 50 ms, and a worker's start a few."""
_ALONE = 16
"""The first ones too, as many as take no longer than to start a worker: the processes of a socket's user come first."""
_MOST_WORKERS = 8
_SHARE = 16  # processes
_MOST_SHARES = 2_000  # their numbers, two bytes each, fit into the smallest pipe there is: 4096 bytes (pipe(7))


class Searched(Record):
    """A process whose descriptors were searched, and what of the wanted sockets it has, by inode."""

    pid: int
    holders: Mapping[int, Holder]
    denied: bool
    """Whether it may not be looked into."""


def search(pids: Sequence[int], links: Mapping[str, int]) -> Iterator[Searched]:
    """Search these processes for sockets, `socket:[INODE]`, about in their order; who has enough stops asking.

    A worker that is killed, because memory is short for example, leaves processes to be searched here.
    """
    alone = _ALONE if len(pids) >= WORTH_IT and _thread._count() == 0 else len(pids)  # noqa: SLF001  # fork() loses threads
    for pid in pids[:alone]:
        yield _search(pid, links)
    left = dict.fromkeys(pids[alone:])
    for searched in _side_by_side([*left], links) if left else ():
        left.pop(searched.pid, None)
        yield searched
    for pid in left:
        yield _search(pid, links)


def _side_by_side(pids: Sequence[int], links: Mapping[str, int]) -> Iterator[Searched]:
    size = max(_SHARE, -(-len(pids) // _MOST_SHARES))
    shares = [pids[at : at + size] for at in range(0, len(pids), size)]
    queue, numbers = os.pipe()
    os.write(numbers, b"".join(number.to_bytes(2, "little") for number in range(len(shares))))
    os.close(numbers)
    workers: list[_Worker] = []
    try:
        for _ in range(_processors() - 1):
            try:
                workers.append(_Worker(queue, shares, links))
            except OSError:  # no process can be started (TasksMax=, RLIMIT_NPROC), no descriptor
                break
        while number := os.read(queue, 2):
            for pid in shares[int.from_bytes(number, "little")]:
                yield _search(pid, links)
            for worker in workers:
                yield from worker.results()
        for worker in workers:
            yield from worker.results(to_the_end=True)
    finally:
        os.close(queue)
        for worker in workers:
            worker.kill()
        for worker in workers:
            worker.wait()


def _search(pid: int, links: Mapping[str, int]) -> Searched:
    table = Table(pid)
    holders = table.search(links)
    return Searched(pid, holders, table.denied)


def _processors() -> int:
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


class _Worker:
    """A forked process that searches shares of the list, and a pipe for what it finds: a line for each process."""

    def __init__(self, queue: int, shares: Sequence[Sequence[int]], links: Mapping[str, int]) -> None:
        """Start it. Raises OSError."""
        parent = os.getpid()
        self._reader, writer = os.pipe()
        try:
            self._pid = os.fork()
        except OSError:
            os.close(self._reader)
            os.close(writer)
            raise
        if self._pid == 0:
            try:
                _work(queue, writer, shares, links, parent)
            finally:
                os._exit(0)
        os.close(writer)
        self._rest = b""

    def results(self, *, to_the_end: bool = False) -> Iterator[Searched]:
        """Read what it has found since; until it ends, where nothing is left but to wait for it."""
        os.set_blocking(self._reader, to_the_end)
        while True:
            try:
                data = os.read(self._reader, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from map(_parse, lines)

    def kill(self) -> None:
        """End it, in whatever state it is."""
        os.close(self._reader)
        try:
            os.kill(self._pid, kernel.SIGKILL)
        except ProcessLookupError:  # SIGCHLD is ignored here, so the kernel has waited for it
            return

    def wait(self) -> None:
        """Wait until it has ended."""
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:  # likewise
            return


def _work(queue: int, writer: int, shares: Sequence[Sequence[int]], links: Mapping[str, int], parent: int) -> None:
    while os.getppid() == parent and (number := os.read(queue, 2)):
        searched = [_search(pid, links) for pid in shares[int.from_bytes(number, "little")]]
        data = b"".join(map(_line, searched))
        while data:
            data = data[os.write(writer, data) :]


def _line(searched: Searched) -> bytes:
    sockets = (
        f"{inode},{holder.descriptor},{holder.thread},{holder.ring:d}" for inode, holder in searched.holders.items()
    )
    return " ".join((str(searched.pid), f"{searched.denied:d}", *sockets)).encode() + b"\n"


def _parse(line: bytes) -> Searched:
    pid, denied, *sockets = line.decode().split(" ")
    holders = {}
    for each in sockets:
        inode, descriptor, thread, ring = each.split(",")
        holders[int(inode)] = Holder(int(pid), descriptor, int(thread), ring=ring == "1")
    return Searched(int(pid), holders, denied == "1")

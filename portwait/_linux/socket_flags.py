"""SO_REUSEADDR and SO_REUSEPORT of other processes' sockets, which no table shows: read from copies of descriptors.

pidfd_getfd(2) makes them, for whom ptrace(2) is allowed. As long as a copy is open its owner's close() does not free
the port, so it is closed at once. A forked process does it, because a unit's SystemCallFilter= can end who asks:
@system-service does not have the call.
"""

from __future__ import annotations

import _socket
import _thread
import contextlib
import os
from typing import TYPE_CHECKING

from portwait._linux import pidfd
from portwait._linux.descriptors import Table
from portwait.model.record import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_OPTIONS = _socket.SO_REUSEADDR, _socket.SO_REUSEPORT


class Flags(Record):
    """What decides whether a socket shares its port with another one that is bound to it."""

    reuseaddr: bool
    reuseport: bool


def read(asked: Mapping[int, Collection[int]]) -> dict[int, Flags]:
    """Read the flags of sockets, by inode; `asked` are inodes by the process that has them open.

    What cannot be read is left out.
    """
    if not asked or _thread._count():  # noqa: SLF001  # fork() loses threads
        return {}
    flags: dict[int, Flags] = {}
    try:
        reader, writer = os.pipe()
    except OSError:
        return flags
    with open(reader, "rb") as answers:
        try:
            child = os.fork()
        except OSError:
            os.close(writer)
            return flags
        if child == 0:
            try:
                _tell(writer, asked)
            finally:
                os._exit(0)
        os.close(writer)
        for line in answers.read().splitlines(keepends=True):
            if line.endswith(b"\n"):
                inode, *set_to = map(int, line.split())
                flags[inode] = Flags(*map(bool, set_to))
    with contextlib.suppress(ChildProcessError):  # SIGCHLD is ignored here, so the kernel has waited for it
        os.waitpid(child, 0)
    return flags


def _tell(writer: int, asked: Mapping[int, Collection[int]]) -> None:
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else 1, most))  # 1: none for a program either, core(5)
    for pid, inodes in asked.items():
        for inode, each in _of_process(pid, inodes):
            os.write(writer, f"{inode} {each.reuseaddr:d} {each.reuseport:d}\n".encode())


def _of_process(pid: int, inodes: Collection[int]) -> Iterator[tuple[int, Flags]]:
    try:
        with pidfd.Process(pid) as process:
            if not process.is_the_one_in_proc():
                return
            for inode, holder in Table(pid).search({f"socket:[{inode}]": inode for inode in inodes}).items():
                if not holder.ring and not holder.thread:
                    yield inode, _flags_of(process.copy(int(holder.descriptor)), inode)
    except OSError:  # EPERM: it may not be looked into; ENOSYS: no such system call; or it has ended, or closed one
        return


def _flags_of(copy: int, inode: int) -> Flags:
    """Read them, and close the copy. Raises OSError where it is of another file by now."""
    try:
        sock = _socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    try:
        if os.fstat(copy).st_ino != inode:
            raise ProcessLookupError
        return Flags(*(bool(sock.getsockopt(_socket.SOL_SOCKET, option)) for option in _OPTIONS))
    finally:
        sock.close()

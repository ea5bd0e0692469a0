"""SO_REUSEADDR and SO_REUSEPORT of other processes' sockets, which no table shows: read from a copy of the descriptor.

pidfd_getfd(2) makes it, for whom ptrace(2) is allowed. As long as the copy is open its owner's close() does not free
the port, so it is closed at once.
"""

from __future__ import annotations

import _socket
import os
from typing import TYPE_CHECKING

from portwait._linux import pidfd
from portwait._linux.descriptors import Table
from portwait.model.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable


class Flags(Record):
    """What decides whether a socket shares its port with another one that is bound to it."""

    reuseaddr: bool
    reuseport: bool


def read(pid: int, inodes: Iterable[int]) -> dict[int, Flags]:
    """Read the flags of these sockets, which a process has open, by inode; what cannot be read is left out."""
    flags: dict[int, Flags] = {}
    links = {f"socket:[{inode}]": inode for inode in inodes}
    try:
        with pidfd.Process(pid) as process:
            holders = Table(pid).search(links) if process.is_the_one_in_proc() else {}
            for inode, holder in holders.items():
                if not holder.ring and not holder.thread:
                    flags[inode] = _flags_of(process.copy(int(holder.descriptor)), inode)
    except OSError:  # EPERM: it may not be looked into; ENOSYS: no such system call; or it has ended, or closed one
        return flags
    return flags


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


_OPTIONS = _socket.SO_REUSEADDR, _socket.SO_REUSEPORT

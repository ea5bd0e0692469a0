"""What a process has open: of another one its internet sockets, asked of the kernel by way of copies.

This sees what no table shows: a socket that is bound and does not listen, and the options of any socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import socket
from pathlib import Path
from typing import NamedTuple

_PIDFD_GETFD = 438  # the same number on every architecture
_libc = ctypes.CDLL(None, use_errno=True)


class Held(NamedTuple):
    """A socket as its holder has it."""

    number: int
    """The descriptor's number in its process."""
    address: str
    port: int
    listening: bool
    v6only: bool
    reuseaddr: bool


def sockets_of(pid: int) -> list[Held]:
    """Look at every TCP and UDP socket that the process has open; this takes the right to ptrace it.

    Not for a process that is about to close a socket for somebody else to bind: a copy lives a moment longer.
    """
    found = []
    process = os.pidfd_open(pid)
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError, _GoneError):
                if str(entry.readlink()).startswith("socket:"):
                    number = int(entry.name)
                    with _copy(process, number) as sock:  # closed at once: a copy delays its owner's close
                        if sock.family in (socket.AF_INET, socket.AF_INET6):
                            found.append(_describe(number, sock))
    finally:
        os.close(process)
    return found


def own_descriptors() -> set[str]:
    """List the descriptors of this process, and what they are."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            found.add(f"{path.name} {path.readlink()}")
    return found


class _GoneError(OSError):
    """The process has closed the descriptor since it was listed."""


def _copy(process: int, number: int) -> socket.socket:
    copied = _libc.syscall(_PIDFD_GETFD, process, number, 0)
    if copied < 0:
        code = ctypes.get_errno()
        raise (_GoneError if code == errno.EBADF else OSError)(code, os.strerror(code))
    return socket.socket(fileno=copied)


def _describe(number: int, sock: socket.socket) -> Held:
    address, port = sock.getsockname()[:2]
    return Held(
        number,
        address,
        port,
        listening=sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0,
        v6only=sock.family == socket.AF_INET6 and sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) != 0,
        reuseaddr=sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) != 0,
    )

"""The network namespace of this process: its name, and a lock of its scope, as the sysctls are of its scope."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

from portwait._linux import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SETTINGS = "/proc/sys/net"
_OF_THE_MACHINE = "core/netdev_max_backlog"  # only the first namespace shows it (sysctl_core_init, net/core)

_WAITERS = 128  # more than that ask again a moment later
_MOMENT = 0.01  # seconds
_QUIET = 1.0  # seconds that nobody needs to hear of


def cookie() -> int | None:
    """Answer the number that names this namespace until the next boot; None before Linux 5.14."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            data = sock.getsockopt(socket.SOL_SOCKET, kernel.SO_NETNS_COOKIE, 8)
    except OSError:
        return None
    (number,) = struct.unpack("=Q", data)
    return int(number)


def is_initial() -> bool | None:
    """Whether this is the namespace that the machine starts with; None where /proc/sys does not show any settings."""
    if not os.path.isdir(_SETTINGS):
        return None
    return os.path.exists(f"{_SETTINGS}/{_OF_THE_MACHINE}")


@contextlib.contextmanager
def locked(name: str, patience: float, say: Callable[[str], None]) -> Iterator[None]:
    """Run the body while nobody else in this network namespace is in a body of this name.

    The lock is an abstract socket's name, which belongs to the network namespace, as a file does not, and which ends
    with its process. Whoever waits is connected to the holder, and woken by its end; `say` is told of a long wait.
    Raises TimeoutError after `patience` seconds, OSError where there are no such sockets.
    """
    address = f"\0portwait/{name}"
    began = time.monotonic()
    holder, silent = "", True
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        while not _bound(lock, address):
            waited = time.monotonic() - began
            if waited >= patience:
                raise TimeoutError(errno.ETIMEDOUT, f"another process{holder} holds the lock for {patience:g} s")
            if silent and waited >= _QUIET:
                say(f"waiting for another process{holder} that holds the lock @{address[1:]}")
                silent = False
            holder = _wait(address, min(patience - waited, _QUIET)) or holder
        lock.listen(_WAITERS)
        yield


def _bound(lock: socket.socket, address: str) -> bool:
    try:
        lock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _wait(address: str, seconds: float) -> str:
    """Sleep until the holder lets go, or these seconds are over; words that name the holder where that is known."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiter:
        waiter.settimeout(seconds)
        try:
            waiter.connect(address)
        except OSError:  # it does not listen yet, has just gone, or too many wait already
            time.sleep(min(_MOMENT, seconds))
            return ""
        pid = struct.unpack_from("=i", waiter.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        with contextlib.suppress(OSError):  # a reset by its end, or the seconds are over
            waiter.recv(1)
    return f" (pid {pid})" if pid else ""  # 0: it is in another PID namespace

"""A lock for one network namespace, as the sysctls that it protects belong to one."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_WAITERS = 128  # more than that ask again a moment later
_MOST_UNANSWERED = 20  # moments; root listens right after it has bound the name
_MOMENT = 0.01  # seconds
_QUIET = 1.0  # seconds of waiting that are not worth a line


@contextlib.contextmanager
def locked(name: str, patience: float, say: Callable[[str], None], *, began: float | None = None) -> Iterator[bool]:
    """Run the body while no other process of root's in this network namespace is in a body of this name.

    The lock is an abstract socket's name, which belongs to the network namespace, as a file does not, and which ends
    with its process. Anybody can bind such a name, so the holder's user is asked for (SO_PEERCRED): only root and our
    own user count. Where somebody else has the name, or hides who he is, the body runs without the lock and is told
    so by False. Whoever waits is connected to the holder, and woken by its end; `say` is told of a long wait.
    Raises TimeoutError after `patience` seconds, counted from the monotonic time `began`, or from now.
    """
    address = f"\0portwait/{name}"
    began = time.monotonic() if began is None else began
    holder, silent, unanswered = "", True, 0
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        while not _bound(lock, address):
            waited = time.monotonic() - began
            if waited >= patience:
                raise TimeoutError(errno.ETIMEDOUT, f"another process{holder} holds the lock for {patience:.3g} s")
            if silent and waited >= _QUIET:
                say(f"waiting for another process{holder} that holds the lock @{address[1:]}")
                silent = False
            peer = _wait(address, min(patience - waited, _QUIET))
            if peer is None:
                unanswered += 1
            elif not peer.counts:
                break
            else:
                holder, unanswered = peer.words, 0
            if unanswered >= _MOST_UNANSWERED:
                break
        else:
            lock.listen(_WAITERS)
            yield True
            return
        yield False


class _Peer:
    """Who holds a lock: a process and its user, as this process sees them."""

    def __init__(self, pid: int, uid: int) -> None:
        self.words = f" (pid {pid})" if pid else ""  # 0: it is in another PID namespace
        self.counts = uid in (0, os.geteuid())


def _bound(lock: socket.socket, address: str) -> bool:
    try:
        lock.bind(address)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        return False
    return True


def _wait(address: str, seconds: float) -> _Peer | None:
    """Sleep until the holder lets go, or these seconds are over; None where it does not say who it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiter:
        waiter.settimeout(min(_MOMENT, seconds))
        try:
            waiter.connect(address)
        except OSError:  # it does not listen yet, has just gone, or too many wait already
            time.sleep(min(_MOMENT, seconds))
            return None
        peer = _Peer(*struct.unpack("=iI", waiter.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:8]))
        if peer.counts:
            waiter.settimeout(seconds)
            with contextlib.suppress(OSError):  # a reset by its end, or the seconds are over
                waiter.recv(1)
    return peer

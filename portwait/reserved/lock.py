"""A lock of root's own: a file that nobody else can open, so that nobody else can hold it."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOLDER = "/run/portwait"
_MOMENT = 0.01  # seconds
_QUIET = 1.0  # seconds of waiting that are not worth a line


@contextlib.contextmanager
def held(name: str, patience: float, say: Callable[[str], None]) -> Iterator[bool]:
    """Run the body while no other process holds this lock; False where it cannot be had, as by a user.

    Raises TimeoutError after `patience` seconds.
    """
    path = f"{FOLDER}/{name}.lock"
    descriptor = _open(path)
    if descriptor is None:
        yield False
        return
    try:
        try:
            _wait(descriptor, path, patience, say)
            locked = True
        except TimeoutError:
            raise
        except OSError:  # ENOLCK: the kernel has no room for it
            locked = False
        yield locked
    finally:
        os.close(descriptor)


def _open(path: str) -> int | None:
    """Open the lock's file, or make it; None where that fails, or where somebody else could open it too."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        descriptor = os.open(path, flags, 0o600)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid in (0, os.geteuid()) and not status.st_mode & 0o077:
        return descriptor
    os.close(descriptor)
    return None


def _wait(descriptor: int, path: str, patience: float, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    silent = True
    while not _try(descriptor):
        waited = time.monotonic() - began
        if waited >= patience:
            raise TimeoutError(
                errno.ETIMEDOUT, f"another process{_holder(descriptor)} holds the lock for {patience:.3g} s"
            )
        if silent and waited >= _QUIET:
            say(f"waiting for another process{_holder(descriptor)} that holds the lock {path}")
            silent = False
        time.sleep(min(_MOMENT, patience))
    with contextlib.suppress(OSError):  # the name of the holder is only for the words of those who wait
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)


def _try(descriptor: int) -> bool:
    import fcntl  # Windows, which has the help too, lacks it

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(descriptor: int) -> str:
    pid = os.pread(descriptor, 20, 0).strip()
    return f" (pid {int(pid)})" if pid.isdigit() else ""

"""Hold on to a process and signal it, and nobody who is given its number afterwards.

A pidfd does that. Python has no word for it where it was built on old headers, though the kernel has the system call:
then ctypes makes it, and where that is missing too, the process's folder in /proc is what is held on to.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import sys
from typing import Literal

from portwait._linux import procfs

# asm-generic/unistd.h; the same on every architecture but alpha
_PIDFD_SEND_SIGNAL, _PIDFD_OPEN, _PIDFD_GETFD = 424, 434, 438
Means = Literal["python", "ctypes", "proc"]


class Process:
    """A process that is held on to. Raises ProcessLookupError where it has ended, OSError where it cannot be held."""

    def __init__(self, pid: int, means: Means | None = None) -> None:
        """Hold on to it, by the best means there is, or by this one."""
        self.pid = pid
        self._means = means or best()
        self._folder = _folder(pid)
        try:
            self._pidfd = -1 if self._means == "proc" else _open(pid, self._means)
        except BaseException:
            os.close(self._folder)
            raise

    def __enter__(self) -> Process:
        """Use it for a while."""
        return self

    def __exit__(self, *error: object) -> None:
        """Let go."""
        os.close(self._folder)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def is_the_one_in_proc(self) -> bool:
        """Whether /proc means the same process by this number as kill() does.

        It does not where /proc was mounted for another PID namespace than ours: then its numbers are others.
        """
        if self._pidfd < 0:
            return procfs.numbers_are_ours()
        for line in procfs.read_text(f"/proc/self/fdinfo/{self._pidfd}").splitlines():
            if line.startswith("Pid:"):
                return line.split()[1:] == [str(self.pid)]
        return procfs.numbers_are_ours()

    def stat(self) -> procfs.Stat | None:
        """Read the state of this very process; None when it has ended."""
        try:
            opened = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return None
        try:
            return procfs.parse_stat(os.read(opened, 1 << 12))
        except OSError:
            return None
        finally:
            os.close(opened)

    def signal(self, number: int) -> None:
        """Signal it. Raises ProcessLookupError and PermissionError, as kill()."""
        if self._means == "python":
            signal.pidfd_send_signal(self._pidfd, number)
        elif self._means == "ctypes":
            _call(_PIDFD_SEND_SIGNAL, self._pidfd, number, None, 0)
        elif self.stat() is None:  # its number may be another's now
            raise ProcessLookupError
        else:
            os.kill(self.pid, number)

    def copy(self, descriptor: int) -> int:
        """Copy a descriptor of it. Raises OSError, also where that cannot be asked for."""
        try:
            return _call(_PIDFD_GETFD, self._pidfd, descriptor, 0)  # it is close-on-exec
        except (ImportError, AttributeError):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS)) from None


def best() -> Means:
    """Name the best means that this interpreter has."""
    if hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal"):
        return "python"
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        if ctypes.CDLL(None).syscall and sys.platform == "linux":
            return "ctypes"
    return "proc"


def _folder(pid: int) -> int:
    try:
        return os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ProcessLookupError from None


def _open(pid: int, means: Means) -> int:
    if means == "python":
        return os.pidfd_open(pid)
    descriptor = _call(_PIDFD_OPEN, pid, 0)
    os.set_inheritable(descriptor, False)
    return descriptor


def _call(number: int, *arguments: int | None) -> int:
    import ctypes

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    answer = int(syscall(ctypes.c_long(number), *map(ctypes.c_void_p, arguments)))
    if answer < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return answer

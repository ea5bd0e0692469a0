"""The end of the narrator's process after SIGKILL: collecting it, and waiting until it has left its cgroup."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from portwait.wait import polling

if TYPE_CHECKING:
    from collections.abc import Callable

FORCED = 0.02
"""Seconds for the kernel to end a process; who is in state D takes longer than anybody can wait."""
_LATEST = 1.0  # seconds to end, on a host that is too busy to let it run
_MOMENT = 0.001  # seconds


class Leaving:
    """Tells when a process has left its cgroup too, which is after it has closed its end of a line.

    A pidfd becomes readable then; where there is none, /proc shows it as ended.
    """

    def __init__(self, pid: int) -> None:
        """Hold on to a process that is surely there."""
        from portwait._linux import procfs

        stat = procfs.stat_of(pid)
        self._pid = pid
        self._birth = None if stat is None else stat.birth
        self._pidfd = -1
        if hasattr(os, "pidfd_open"):
            with contextlib.suppress(OSError):
                self._pidfd = os.pidfd_open(pid)

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._pidfd

    def wait(self) -> None:
        """Wait until it has left, within bounds; nobody can wait for what is in state D."""
        _wait(self._pid, self._has_left)
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _has_left(self) -> bool:
        """Look; takes some milliseconds where it has not."""
        if self._pidfd >= 0:
            return bool(polling.readable([self], FORCED))
        from portwait._linux import procfs

        stat = procfs.stat_of(self._pid)
        if stat is None or stat.birth != self._birth or stat.state in ("Z", "X"):
            return True
        time.sleep(_MOMENT)
        return False


def collect(pid: int) -> None:
    """Collect it where it is our child, as PID 1 or as a subreaper; nobody can collect what is in state D."""

    def is_collected() -> bool:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return True
        time.sleep(_MOMENT)
        return False

    with contextlib.suppress(OSError):  # ChildProcessError: somebody else's
        _wait(pid, is_collected)


def _wait(pid: int, is_over: Callable[[], bool]) -> None:
    """Look, with a short sleep in each look that says no, until it is over or cannot come to an end."""
    began = time.monotonic()
    while not is_over():
        waited = time.monotonic() - began
        if waited > _LATEST or (waited > FORCED and _is_stuck(pid)):
            return


def _is_stuck(pid: int) -> bool:
    """Whether a process is in state D, which not even SIGKILL ends; any other only waits for a processor."""
    from portwait._linux import procfs

    stat = procfs.stat_of(pid)
    return stat is None or stat.state == "D"  # None: no /proc, and nobody can tell

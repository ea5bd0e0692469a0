"""Run as PID 1 of a PID namespace: is a process signalled that took the PID after the look? Prints what happened.

Both processes have the same socket open, so that nothing but the start time tells them apart.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

from portwait._linux import procfs
from portwait.diagnosis import owners
from portwait.eviction.terminate import terminate


def child() -> int:
    """Fork one that waits to be ended, with all that is open here."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def end(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    with socket.socket() as shared:
        first = child()
        seen = owners.describe(first)
        assert seen is not None
        end(first)
        while True:  # until the clock, which has a hundred ticks a second, has moved on
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(first - 1))
            second = child()
            assert second == first
            now = procfs.stat_of(second)
            assert now is not None
            if now.birth != seen.birth:
                break
            end(second)
        inode = os.fstat(shared.fileno()).st_ino
        print("first", terminate(seen, inode, signal.SIGTERM))
        alive = os.waitpid(second, os.WNOHANG) == (0, 0)
        print("second", "alive" if alive else "ended")
        again = owners.describe(second)
        assert again is not None
        print("second", terminate(again, inode, signal.SIGTERM))
        print("second", signal.Signals(os.WTERMSIG(os.waitpid(second, 0)[1])).name)


if os.getpid() != 1:
    sys.exit("start it as PID 1")
main()

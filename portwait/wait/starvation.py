"""How long the narrator was ready to run while no processor was free for it.

The guard gives it a few seconds to say who is in the way, because it may be stuck for good, at a mount that does not
answer, say. Who only waits for a processor is not stuck: on a host that starts forty services at once a report takes
as long as all else does there, and the wait for it too. Linux counts that time for each process.
"""

from __future__ import annotations

_LIMIT = 15.0  # seconds; no host is so busy for longer that a start should wait for a name


def seconds(pid: int) -> float:
    """Say how long a process and its slowest child have waited for a processor; 0 where the kernel does not count it.

    Nor is it known where /proc has the numbers of another PID namespace: they would be those of other processes.

    Children are the workers that search processes side by side (`_linux.all_cores`), so their times do not add up.
    """
    from portwait._linux import procfs

    if not procfs.numbers_are_ours():
        return 0.0
    slowest = max(map(_waited, procfs.children(pid)), default=0.0)
    return min(_waited(pid) + slowest, _LIMIT)


def _waited(pid: int) -> float:
    """Read the second number of /proc/PID/schedstat, nanoseconds on a run queue (sched-stats in the kernel's books)."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb", buffering=0) as file:
            words = (file.readall() or b"").split()
    except OSError:
        return 0.0
    return int(words[1]) / 1e9 if len(words) > 1 and words[1].isdigit() else 0.0

"""`portwait explain` beside the tools that people use, on a host of many connections and processes.

    python benchmarks/explain.py [PROCESSES...]      as root; default 2 200 2000, 50 connections each

Every figure is a whole process, the median of several runs. An owner in a cgroup of its own, or with a user of its own,
is the good case. In the bad one nothing helps, for all processes share one cgroup and one user; then it matters how far
down in /proc the owner is: in the middle, on average, or the very last.
"""

from __future__ import annotations

import shutil
import sys
from itertools import pairwise
from typing import Any

import host
import timing
from timing import Contender

PSUTIL = f"import psutil; [c for c in psutil.net_connections('tcp') if c.laddr.port == {host.PORT}]"


def main() -> None:
    """Measure at each size, and print."""
    sizes = [int(word) for word in sys.argv[1:]] or [2, 200, 2000]
    programs = host.enclosed()
    if programs is None:
        return
    if host.cgroup_root() is not None:
        host.join("everybody")
    for before, size in pairwise([0, *sorted(sizes)]):
        middle = (before + size) // 2
        host.populate(before, middle)
        with host.blocker(host.IN_THE_MIDDLE):
            host.populate(middle, size)
            print(f"\n== {size * host.EACH} connections, {size} processes", flush=True)
            _measure(size, programs)


def _measure(size: int, programs: str) -> None:
    explain = [f"{programs}/portwait", "explain"]
    cases: dict[str, dict[str, Any]] = {"own user": {"uid": 65534}, "nothing helps, the last one": {}}
    if host.cgroup_root() is not None:
        cases = {"own cgroup": {"cgroup": "orders.service"}} | cases
    ours: dict[str, float] = {}
    for name, how in cases.items():
        with host.blocker(**how):
            ours |= timing.measure({f"portwait explain, {name}": Contender([*explain, str(host.PORT)], 15, (1,))})
    among = {"portwait explain, nothing helps, in the middle": Contender([*explain, str(host.IN_THE_MIDDLE)], 15, (1,))}
    ours |= timing.measure(among)
    with host.blocker():
        theirs = timing.measure(_others(size, programs))
    timing.show("whole processes, as multiples of the first line", {**ours, **theirs}, next(iter(ours)))
    for name, mine in ours.items():
        ratios = ", ".join(f"{theirs[tool] / mine:.1f} x {tool}" for tool in COMPARED if tool in theirs)
        print(f"  {name}, is faster than others: {ratios}", flush=True)


FILTERED = f"ss -tanp sport = :{host.PORT}"
COMPARED = ("ss -tanp", FILTERED, "lsof -nP -i", f"lsof -nP -iTCP:{host.PORT}")


def _others(size: int, programs: str) -> dict[str, Contender]:
    """Name what people use, slow ones less often on a large host."""
    often, seldom = (7, 7) if size <= 200 else (5, 2)
    commands = {
        "ss -tanp": (["ss", "-tanp"], seldom),
        FILTERED: (["ss", "-tanp", f"sport = :{host.PORT}"], often),
        "lsof -nP -i": (["lsof", "-nP", "-i"], seldom),
        f"lsof -nP -iTCP:{host.PORT}": (["lsof", "-nP", f"-iTCP:{host.PORT}"], seldom),
        f"fuser {host.PORT}/tcp": (["fuser", f"{host.PORT}/tcp"], often),
        "netstat -anp": (["netstat", "-anp"], seldom),
        "psutil.net_connections()": ([f"{programs}/python", "-c", PSUTIL], often),
    }
    return {name: Contender(argv, times) for name, (argv, times) in commands.items() if shutil.which(argv[0])}


if __name__ == "__main__":
    main()

"""`portwait explain` beside the tools that people use, on a host of many connections and processes.

    python benchmarks/explain.py [PROCESSES...]      as root; default 2 200 2000, 50 connections each

Every figure is a whole process, median of several runs that take turns. "Own cgroup" and "own user" are the good
cases; in the bad one all processes share one cgroup and one user, and the owner is the last of them.
"""

from __future__ import annotations

import shutil
import sys
from itertools import pairwise

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
        host.populate(before, size)
        _measure(size, programs)


def _measure(size: int, programs: str) -> None:
    explain = [f"{programs}/portwait", "explain", str(host.PORT)]
    cases = {"own user": {"uid": 65534}, "nothing helps": {}}
    if host.cgroup_root() is not None:
        cases = {"own cgroup": {"cgroup": "orders.service"}} | cases
    print(f"\n== {size * host.EACH} connections, {size} processes", flush=True)
    ours = {}
    for name, how in cases.items():
        with host.blocker(**how):
            ours |= timing.measure({f"portwait explain, {name}": Contender(explain, 15, (1,))})
            if name != "nothing helps":
                continue
            few = 3 if size > 1000 else 7
            others = {
                "ss -tanp": ["ss", "-tanp"],
                f"ss -tanp sport = :{host.PORT}": ["ss", "-tanp", f"sport = :{host.PORT}"],
                "lsof -nP -i": ["lsof", "-nP", "-i"],
                f"lsof -nP -iTCP:{host.PORT}": ["lsof", "-nP", f"-iTCP:{host.PORT}"],
                f"fuser {host.PORT}/tcp": ["fuser", f"{host.PORT}/tcp"],
                "netstat -anp": ["netstat", "-anp"],
                "psutil.net_connections()": [f"{programs}/python", "-c", PSUTIL],
            }
            theirs = timing.measure(
                {name: Contender(argv, few) for name, argv in others.items() if shutil.which(argv[0])}
            )
            first = next(iter(ours))
            timing.show("whole processes, as multiples of the first line", {**ours, **theirs}, first)
    for name, mine in ours.items():
        ratios = ", ".join(f"{theirs[tool] / mine:.1f} x {tool}" for tool in ("ss -tanp", "lsof -nP -i") if tool in theirs)
        print(f"  {name} is faster than: {ratios}", flush=True)


if __name__ == "__main__":
    main()

"""`portwait explain` beside the tools that people use, on a host of many connections and processes.

    python benchmarks/explain.py [PROCESSES...]      as root; default 2 200 2000, 50 connections each

Every figure is a whole process, the median of several runs. An owner in a cgroup of its own, or with a user of its own,
is the good case. In the bad one nothing helps, for all processes share one cgroup and one user; then it matters how far
down in /proc the owner is: in the middle, on average, or the very last.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
from itertools import pairwise
from typing import Any

import host
import timing
from timing import Contender

LAST = host.PORTS[-1]
PSUTIL = f"import psutil; [c for c in psutil.net_connections('tcp') if c.laddr.port == {LAST}]"


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
        with host.blocker(host.PORTS[0]):
            host.populate(middle, size)
            print(f"\n== {size * host.EACH} connections, {size} processes", flush=True)
            _measure(size, programs)


def _measure(size: int, programs: str) -> None:
    cases: dict[str, dict[str, Any]] = {"own user": {"uid": 65534}, "the last of all": {}}
    if host.cgroup_root() is not None:
        cases = {"own cgroup": {"cgroup": "orders.service"}} | cases
    ports = dict(zip(cases, host.PORTS[1:])) | {"the middle of all": host.PORTS[0]}
    with contextlib.ExitStack() as blockers:
        for name, how in cases.items():
            blockers.enter_context(host.blocker(ports[name], **how))
        ours = {
            f"portwait explain, {name}": Contender([f"{programs}/portwait", "explain", str(port)], 15, (1,))
            for name, port in ports.items()
        }
        figures = timing.measure({**ours, **_others(size, programs)}, cpu=True)
    timing.show("processor time of whole processes, as multiples of the first line", figures, next(iter(ours)))
    for name in ours:
        ratios = ", ".join(f"{figures[tool] / figures[name]:.1f} x {tool}" for tool in COMPARED if tool in figures)
        print(f"  {name}: faster than others by {ratios}", flush=True)


FILTERED = f"ss -tanp sport = :{LAST}"
COMPARED = ("ss -tanp", FILTERED, "lsof -nP -i", f"lsof -nP -iTCP:{LAST}")


def _others(size: int, programs: str) -> dict[str, Contender]:
    """Name what people use, slow ones less often on a large host."""
    often, seldom = (7, 7) if size <= 200 else (5, 2)
    commands = {
        "ss -tanp": (["ss", "-tanp"], seldom),
        FILTERED: (["ss", "-tanp", f"sport = :{LAST}"], often),
        "lsof -nP -i": (["lsof", "-nP", "-i"], seldom),
        f"lsof -nP -iTCP:{LAST}": (["lsof", "-nP", f"-iTCP:{LAST}"], seldom),
        f"fuser {LAST}/tcp": (["fuser", f"{LAST}/tcp"], often),
        "netstat -anp": (["netstat", "-anp"], seldom),
        "psutil.net_connections()": ([f"{programs}/python", "-c", PSUTIL], often),
    }
    return {name: Contender(argv, times) for name, (argv, times) in commands.items() if shutil.which(argv[0])}


if __name__ == "__main__":
    main()

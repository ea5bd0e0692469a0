"""`portwait explain` beside the tools that people use, on a host of many connections and processes.

An owner in a cgroup of its own, or with a user of its own, is the good case. In the bad one nothing helps, because all
processes share one cgroup and one user; then it matters how far down in /proc the owner is: in the middle, on average,
or the very last.
"""

from __future__ import annotations

import contextlib
from itertools import pairwise
from typing import Any

from benchmarks import host, timing
from benchmarks.report import table
from benchmarks.timing import Contender
from tests.support.surroundings import cgroup_root

LAST = host.PORTS[3]
PSUTIL = f"import psutil; [c for c in psutil.net_connections('tcp') if c.laddr.port == {LAST}]"
EMPTY, WALK = "python -c pass", f"ss -tan sport = :{LAST} (no process)"
BASE = "an empty Python, and the kernel's walk of the tables"


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Measure at each size; half of the processes come before the owner in the middle."""
    sizes = [2, 40] if quick else [2, 20, 200, 2000, 8000]
    if cgroup_root() is not None:
        host.join("everybody")
    tables: list[dict[str, Any]] = []
    growth: dict[str, float] = {}
    for before, size in pairwise([0, *sizes]):
        middle = (before + size) // 2
        host.populate(before, middle)
        with host.blocker(host.PORTS[0]):
            host.populate(middle, size)
            rows = _measure(size, programs, quick=quick)
        count = f"{size * host.EACH:,}"
        title = f"Who has the port? {count} connections, {size:,} processes"
        goal = "at most 1.4 with an own cgroup or user"
        tables.append(table(f"explain_{size}", title, "ms", BASE, rows, goal=goal))
        growth |= {f"{name}, {count} connections": value for name, value in rows.items() if name in GROWING}
    first = next(iter(growth))
    curve = table("growth_connections", "Who has the port? Growth with connections", "ms", first, growth)
    return [*tables, {**curve, "axis": "connections"}]


GROWING = (
    "portwait explain: own user",
    "portwait explain: last of all",
    f"ss -tanp sport = :{LAST}",
    f"lsof -nP -iTCP:{LAST}",
    "psutil.net_connections()",
)


def _measure(size: int, programs: str, *, quick: bool) -> dict[str, float]:
    cases: dict[str, dict[str, Any]] = {"own user": {"uid": 65534}, "last of all": {}}
    if cgroup_root() is not None:
        cases = {"own cgroup": {"cgroup": "orders.service"}} | cases
    numbers = {"own cgroup": host.PORTS[1], "own user": host.PORTS[2], "last of all": LAST}
    ports = {name: numbers[name] for name in cases} | {"middle of all": host.PORTS[0]}
    often = 5 if quick else 15 if size <= 2000 else 7
    with contextlib.ExitStack() as stack:
        for name, how in cases.items():
            stack.enter_context(host.blocker(ports[name], **how))
        ours = {
            f"portwait explain: {name}": Contender([f"{programs}/portwait", "explain", str(port)], often, (1,))
            for name, port in ports.items()
        }
        parts = {
            EMPTY: Contender([f"{programs}/python", "-c", "pass"], often),
            WALK: Contender(["ss", "-tan", f"sport = :{LAST}"], often),
        }
        figures = timing.measure({**parts, **ours, **_others(size, programs, quick=quick)})
        if cgroup_root() is not None:
            with host.siblings("orders.service"):
                name = "portwait explain: own cgroup, siblings with 40,000 descriptors"
                figures |= timing.measure({name: ours["portwait explain: own cgroup"]})
    return {name: value * 1e3 for name, value in {BASE: figures[EMPTY] + figures[WALK], **figures}.items()}


def _others(size: int, programs: str, *, quick: bool) -> dict[str, Contender]:
    """Name what people type, slow tools less often on a large host; two read all connections over and over again."""
    often, seldom = (3, 2) if quick else (9, 9) if size <= 200 else (5, 3)
    commands = {
        f"ss -tanp sport = :{LAST}": (["ss", "-tanp", f"sport = :{LAST}"], often),
        f"lsof -nP -iTCP:{LAST}": (["lsof", "-nP", f"-iTCP:{LAST}"], seldom),
        f"fuser {LAST}/tcp": (["fuser", f"{LAST}/tcp"], often),
        "netstat -anp": (["netstat", "-anp"], seldom if size <= 2000 else 0),
        f"killport --view-only {LAST}": ([timing.killport(), "--view-only", str(LAST)], seldom if size <= 40 else 0),
        "psutil.net_connections()": ([f"{programs}/python", "-c", PSUTIL], often),
        "portwait audit --window 0s": ([f"{programs}/portwait", "audit", "--window", "0s"], seldom),
    }
    return {
        name: Contender(argv, times, (0, 1))
        for name, (argv, times) in commands.items()
        if times and timing.is_here(argv[0])
    }

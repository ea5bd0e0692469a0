"""How explain and the guard grow with the number of targets, few of which are held."""

from __future__ import annotations

from typing import Any

from benchmarks import host, timing
from benchmarks.report import table
from benchmarks.timing import Contender


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Time whole processes over ranges from 1 port on."""
    portwait = f"{programs}/portwait"
    contenders: dict[str, Contender] = {}
    with host.blocker(host.PORTS[0]):
        for count in (1, 60, 1000, 5000) if quick else (1, 60, 1000, 5000, 20000, 50000, 60000):
            asked = f"5000-{4999 + count}" if count > 1 else "5000"
            held = host.PORTS[0] < 5000 + count
            runs = 2 if count > 10000 else 5
            size = f"{count:,} targets"
            contenders |= {
                f"portwait explain, {size}": Contender([portwait, "explain", asked], runs, (int(held),)),
                f"portwait --timeout 0, {size}": Contender([portwait, "--timeout", "0", asked], runs, (124 * held,)),
                f"portwait evict --dry-run, {size}": Contender(
                    [portwait, "evict", "--dry-run", asked], runs, (int(held),)
                ),
            }
        rows = {name: seconds * 1e3 for name, seconds in timing.measure(contenders).items()}
    goal = "50,000 targets in less than 12 times the time of 5,000, and under 2 s"
    made = table("growth_targets", "Growth with targets", "ms", next(iter(rows)), rows, goal=goal)
    return [{**made, "axis": "targets"}]

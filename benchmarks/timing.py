"""Measuring whole processes, and showing them side by side as ratios of one run."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


OTHERS = "BENCHMARK_OTHERS"
"""The variable that says where the programs of others are."""


class Contender(NamedTuple):
    """A command, how often it is run, and the statuses that say that it did its work."""

    argv: list[str]
    times: int = 15
    statuses: tuple[int, ...] = (0,)


def measure(contenders: Mapping[str, Contender]) -> dict[str, float]:
    """Run the commands in turn, so that what disturbs one disturbs all; the median seconds of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for round_ in range(max(one.times for one in contenders.values())):
        for name, one in contenders.items():
            if round_ < one.times:
                seconds[name].append(_once(one))
    return {name: statistics.median(all_) for name, all_ in seconds.items()}


def _once(contender: Contender) -> float:
    """Time one run from before the fork until it was waited for; posix_spawn has no cost of its own to speak of."""
    sink = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    begin = time.perf_counter()
    pid = os.posix_spawnp(contender.argv[0], contender.argv, os.environ, file_actions=sink)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = time.perf_counter() - begin
    if status not in contender.statuses:
        sys.exit(f"{contender.argv} ended with {status}")
    return took


def is_here(program: str) -> bool:
    """Whether a tool that is compared with is installed."""
    return shutil.which(program) is not None


def killport() -> str:
    """Find killport of PyPI, which the environment of the others has; a name that is nowhere without it."""
    return f"{os.environ.get(OTHERS, '')}/killport"


def environment_of_others(folder: str) -> str:
    """Make another environment, for a tool of PyPI that is compared with; its bin folder."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "killport"]
    subprocess.run(pip, check=False)
    return f"{folder}/bin"


def fresh_environment(folder: str) -> str:
    """Make a plain virtual environment with portwait installed as users install it; its bin folder."""
    root = Path(__file__).resolve().parent.parent
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", str(root)]
    subprocess.run(pip, check=True)
    subprocess.run([f"{folder}/bin/python", "-m", "compileall", "-q", folder], check=False)
    return f"{folder}/bin"

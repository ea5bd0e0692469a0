"""Guests with another kernel or another processor, which tests.kernels.boot starts."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

TOP = Path(__file__).resolve().parents[2]
KERNEL_TESTS = ("-m", "pytest", "-m", "kernel", "tests/system", "-q", "-p", "no:cacheprovider")
"""What Python runs there."""
LACKING_6_1 = ("bound-only sockets",)
"""What the kernel does not have, as the reason of a skip has to name it."""


def boot(*words: str | Path) -> tuple[int, str]:
    """Run `boot`; its exit status, and all that the guest and it have said."""
    argv = (sys.executable, "-m", "tests.kernels.boot", *words)
    done = subprocess.run(argv, cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def assert_kernel_tests_passed(status: int, said: str, lacking: Sequence[str]) -> None:
    """None failed, some ran, and what was skipped needs what that kernel lacks."""
    closing = re.findall(r"^\d+ \w+.* in [\d.]+s", said, re.MULTILINE)
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", "".join(closing))}
    skips = re.findall(r"^SKIPPED \[(\d+)\] (.*)", said, re.MULTILINE)
    assert status == 0, said
    assert counts.get("passed", 0) > 0, said
    assert [why for _, why in skips if not any(feature in why for feature in lacking)] == [], said
    assert counts.get("skipped", 0) == sum(int(number) for number, _ in skips), said

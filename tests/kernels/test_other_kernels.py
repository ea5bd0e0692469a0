"""The facts and the code that rests on them, under older kernels of Debian's: see `boot`, which runs the guest."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.packages import needs

pytestmark = pytest.mark.world

TOP = Path(__file__).parents[2]
BOOT = (sys.executable, "-m", "tests.kernels.boot")
LACKING_6_1 = ("bound-only sockets",)  # what a kernel does not have, as the reason of a skip has to name it
LACKING_5_10 = (*LACKING_6_1, "no MPTCP", "does not destroy what no process has")


@pytest.fixture(autouse=True)
def _emulator() -> None:
    needs("qemu-system-x86_64", "qemu-system-x86")
    needs("busybox", "busybox-static")


def boot(*words: str) -> tuple[int, str]:
    """Run `boot`; its exit status, and all that the guest and it have said."""
    done = subprocess.run([*BOOT, *words], cwd=TOP, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


@pytest.mark.parametrize(
    ("suite", "version", "lacking"), [("bullseye", "5.10.", LACKING_5_10), ("bookworm", "6.1.", LACKING_6_1)]
)
def test_the_kernel_tests_pass(suite: str, version: str, lacking: tuple[str, ...]) -> None:
    """All of them: none fails, some ran, and what was skipped needs what that kernel lacks."""
    pytest_there = f"{sys.executable} -m pytest -m kernel tests/system -q -p no:cacheprovider"
    status, said = boot("--suite", suite, "--", "sh", "-c", f"uname -r; exec {pytest_there}")
    closing = re.findall(r"^\d+ \w+.* in [\d.]+s", said, re.MULTILINE)
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", "".join(closing))}
    skips = re.findall(r"^SKIPPED \[(\d+)\] (.*)", said, re.MULTILINE)
    assert status == 0, said
    assert said.startswith(version), said
    assert counts.get("passed", 0) > 0, said
    assert [why for _, why in skips if not any(feature in why for feature in lacking)] == [], said
    assert counts.get("skipped", 0) == sum(int(number) for number, _ in skips), said


@pytest.mark.parametrize(
    ("words", "status"),
    [
        pytest.param(("--", "sh", "-c", "exit 200"), 200, id="own-status"),
        pytest.param(("--", "sh", "-c", "echo c >/proc/sysrq-trigger"), 125, id="panic"),
        pytest.param(("--deadline", "1", "--", "true"), 124, id="deadline"),
    ],
)
def test_boot_does_not_lie(words: tuple[str, ...], status: int) -> None:
    """The command's exit status comes through; a guest that dies or hangs is no success."""
    assert boot(*words)[0] == status

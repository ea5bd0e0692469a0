"""The facts and the code that rests on them, under older kernels of Debian's: see `boot`, which runs the guest."""

from __future__ import annotations

import shlex
import sys

import pytest

from tests.support.guests import KERNEL_TESTS, LACKING_6_1, assert_kernel_tests_passed, boot
from tests.support.packages import needs

pytestmark = pytest.mark.world

LACKING_5_10 = (*LACKING_6_1, "no MPTCP", "does not destroy what no process has")


@pytest.fixture(autouse=True)
def _emulator() -> None:
    needs("qemu-system-x86_64", "qemu-system-x86")
    needs("busybox", "busybox-static")


@pytest.mark.parametrize(
    ("suite", "version", "lacking"), [("bullseye", "5.10.", LACKING_5_10), ("bookworm", "6.1.", LACKING_6_1)]
)
def test_the_kernel_tests_pass(suite: str, version: str, lacking: tuple[str, ...]) -> None:
    """All of them: none fails, some ran, and what was skipped needs what that kernel lacks."""
    status, said = boot(
        "--suite", suite, "--", "sh", "-c", f"uname -r; exec {shlex.join([sys.executable, *KERNEL_TESTS])}"
    )
    assert said.startswith(version), said
    assert_kernel_tests_passed(status, said, lacking)


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

"""The facts and the code that rests on them, under older kernels of Debian's: see `boot`, which runs the guest."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

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


NO_UDP_DIAG = """
/run/bin/modprobe tcp_diag
echo /bin/false >/proc/sys/kernel/modprobe
{python} -c '
import signal, socket, sys
tcp = socket.create_server(("127.0.0.1", 30010))
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 30010))
print("ready", flush=True)
signal.pause()
' &
owner=$!
until grep -q ":753A " /proc/net/udp; do sleep 0.1; done
{portwait} explain 127.0.0.1:30010/udp
echo "status $?"
{portwait} explain 127.0.0.1:30010/tcp
echo "status $?"
kill $owner
"""


def test_a_kernel_with_tcp_diag_alone() -> None:
    """UDP sockets are read from /proc/net/udp then, and the answer says what is lost; TCP loses nothing."""
    portwait = Path(sys.executable).with_name("portwait")
    script = NO_UDP_DIAG.format(python=sys.executable, portwait=portwait)
    status, said = boot("--suite", "bookworm", "--", "sh", "-c", script)
    assert said.count("status 1") == 2, (status, said)
    udp, tcp = said.split("status 1")[:2]
    assert "cannot see everything: the kernel has no tcp_diag or udp_diag module" in udp
    assert "30010/udp is held by a bound UDP socket: python" in udp
    assert "cannot see everything" not in tcp
    assert "30010/tcp is held by a listener: python" in tcp


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

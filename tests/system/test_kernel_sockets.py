"""Sockets of the kernel's own, which no process has open: NFS's connection to its server, a tunnel's UDP socket.

No process is named for them, nothing evicts them, and the report says what helps.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.diagnosis.owners import describe
from portwait.reports.sockets import process
from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import Outcome, run
from tests.support.programs import eventually, portwait, running
from tests.support.surroundings import ALL_SEEN

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

GOLDEN = Path(__file__).with_name("golden")
NFS, VXLAN = 2049, 4789
OPTIONS = "vers=4.2,addr=127.0.0.1,clientaddr=127.0.0.1,soft"


def explain(*words: str) -> Outcome:
    """As root, who sees every process that there is."""
    return run([*ALL_SEEN, *portwait("explain", *words)], env={**os.environ, **UNBROKEN})


@contextlib.contextmanager
def nfs_client(folder: Path) -> Iterator[int]:
    """Have the kernel mount from a server that never answers; yield the port that it connects from."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", NFS)))
        server.settimeout(0)
        # without mount.nfs, and in a mount namespace of its own, so that nothing can be left; SIGKILL ends the call
        words = ["mount", "--internal-only", "--types=nfs4", f"--options={OPTIONS}", "127.0.0.1:/", str(folder)]
        mount = stack.enter_context(running(["unshare", "--mount", *words]))

        def connected() -> int:
            if any("unknown filesystem type" in line for line in mount.err):
                pytest.skip("this kernel has no NFS client (nfsv4)")
            assert mount.process.poll() is None or not mount.err, mount.describe()
            with contextlib.suppress(BlockingIOError):
                client, (_, port) = server.accept()
                stack.enter_context(client)
                return int(port)
            return 0

        yield eventually(connected, "the kernel's connection")


@pytest.mark.kernel
def test_the_kernels_nfs_client(tmp_path: Path) -> None:
    """It binds a low port by number, a random one; the report says so, and how to keep it from this port."""
    with nfs_client(tmp_path) as port:
        assert port < 1024
        fewer_below = port - 665 < 1023 - port  # of the ports that the kernel takes; the larger side stays
        other = f"min_resvport={port + 1}" if fewer_below else f"max_resvport={port - 1}"
        ourselves = describe(os.getpid())
        assert ourselves is not None
        names = {"OTHER": other, "PORT": str(port), "SERVER (pid PID)": process(ourselves)}
        assert_golden(GOLDEN / "kernel-nfs.txt", functools.partial(explain, str(port)), names)


def test_a_tunnel() -> None:
    """VXLAN receives by a UDP socket; the command shown finds its device."""
    name = f"tests{os.getpid()}"
    made = subprocess.run(
        ["ip", "link", "add", name, "type", "vxlan", "id", "5", "dstport", str(VXLAN)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"this kernel has no VXLAN: {made.stderr.decode()}")
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    assert_golden(GOLDEN / "kernel-vxlan.txt", functools.partial(explain, f"{VXLAN}/udp"))
    find = explain(f"{VXLAN}/udp").out.splitlines()[-1].strip()
    assert name in subprocess.check_output(["sh", "-c", find], text=True)

"""The network namespace that the machine starts with is told from others: there the settings are the machine's own.

Nothing is changed in it here, and all traffic is loopback's.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import pytest

from portwait._linux import netns
from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import Outcome, run
from tests.support.netns import private_network, sysctl
from tests.support.programs import portwait, running
from tests.support.surroundings import PODMAN_CONTAINER, cgroup, in_cgroup

GOLDEN = Path(__file__).with_name("golden")
KTHREADD = 2
CLIENT = """
import socket, time
open("/proc/self/comm", "w").write("client")
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
accepted = server.accept()
print("ready", client.getsockname()[1], server.getsockname()[1], flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _first() -> None:
    threads, ours = (Path(f"/proc/{process}/ns/net") for process in (KTHREADD, "self"))
    if not os.access(threads, os.F_OK) or threads.readlink() != ours.readlink():
        pytest.skip("this is not the network namespace that the kernel's own threads are in")


@pytest.mark.kernel
def test_it_is_told_from_others() -> None:
    """By its inode or its cookie; which of the two it is has changed."""
    assert netns.is_initial() is True
    with private_network():
        assert netns.is_initial() is False


def test_a_container_on_the_hosts_network() -> None:
    """It cannot be given the setting by whoever starts it: the cure belongs to the node."""

    def explain(port: int, *options: str) -> Outcome:
        words = portwait("explain", *options, str(port))
        return run([*PODMAN_CONTAINER, *words], env={**os.environ, **UNBROKEN})

    with cgroup("client") as folder, running([*in_cgroup(folder), sys.executable, "-ISc", CLIENT]) as client:
        port, server = (int(word) for word in client.says("ready").split()[1:])
        span = sysctl("net.ipv4.ip_local_port_range").replace("\t", "-")
        names = {"PORT": str(port), "NEXT": str(port + 1), "SERVER": str(server), "LOW-HIGH": span}
        assert_golden(GOLDEN / "container-on-host-network.txt", functools.partial(explain, port), names)

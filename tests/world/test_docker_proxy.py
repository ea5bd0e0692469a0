"""What `explain` says of a port that Docker publishes, by Docker's own proxy; the report is kept as text."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tests.support.golden import assert_golden, explain
from tests.support.packages import file_of
from tests.support.programs import running
from tests.support.surroundings import cgroup, in_cgroup

pytestmark = pytest.mark.world

PORT = 30010
GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture(scope="session")
def proxy() -> str:
    """Fetch Docker's proxy, while the network is still this machine's."""
    return str(file_of("docker.io", "/usr/sbin/docker-proxy"))


@pytest.mark.parametrize(("name", "protocol"), [("docker-proxy-tcp", "tcp"), ("docker-proxy-udp", "udp")])
@pytest.mark.usefixtures("net")
def test_a_port_that_docker_publishes(proxy: str, name: str, protocol: str) -> None:
    """Its proxy is started as dockerd does it, which reads on descriptor 3 that it is ready."""
    host = ("-proto", protocol, "-host-ip", "127.0.0.1", "-host-port", str(PORT))
    container = ("-container-ip", "172.17.0.2", "-container-port", "80")

    words = ("sh", "-c", 'exec 3>&1; exec "$@"', "sh", proxy, *host, *container)
    with cgroup("proxy") as folder, running([*in_cgroup(folder), *words]) as program:
        program.says("0")
        assert_golden(GOLDEN / f"{name}.txt", functools.partial(explain, f"{PORT}/{protocol}"))

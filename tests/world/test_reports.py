"""`portwait explain` on real software, and the whole text kept: units of a systemd, containers, Docker's proxy.

Those on the Tanuki wrapper are in test_wrapper.py. See tests.support.golden for how the texts are renewed.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import Outcome, run
from tests.support.packages import file_of
from tests.support.programs import portwait, running
from tests.support.surroundings import PLAIN_HOST

pytestmark = pytest.mark.world

PORT = 30010
GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture(scope="session")
def proxy() -> str:
    """Fetch Docker's proxy, while the network is still this machine's."""
    return str(file_of("docker.io", "/usr/sbin/docker-proxy"))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.usefixtures("net")
def test_a_port_that_docker_publishes(proxy: str, protocol: str) -> None:
    """Its proxy is started as dockerd does it, which reads on descriptor 3 that it is ready."""
    host = ("-proto", protocol, "-host-ip", "127.0.0.1", "-host-port", str(PORT))
    container = ("-container-ip", "172.17.0.2", "-container-port", "80")

    def look(*options: str) -> Outcome:
        words = portwait("explain", *options, f"{PORT}/{protocol}")
        return run([*PLAIN_HOST, *words], env={**os.environ, **UNBROKEN})

    with running(["sh", "-c", 'exec 3>&1; exec "$@"', "sh", proxy, *host, *container]) as program:
        program.says("0")
        assert_golden(GOLDEN / f"docker-proxy-{protocol}.txt", look)

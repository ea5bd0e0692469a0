"""A unit restarted again and again while a storm of outbound connections takes every port that it can be given."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.netns import sysctl
from tests.support.systemd import HELPERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT, RANGE = 30012, "30000 30031"
"""No other test of this machine serves on this port: the TIME_WAIT of a server would keep connect() away from it."""

RESTARTS = int(os.environ.get("RESTARTS", "200"))
"""The benchmarks ask for more."""
SERVICE = f"/usr/bin/python3 -IS {HELPERS}/unit_service.py notify {PORT}"
_LOOP = """
started=0
for round in $(seq "$1"); do
    systemctl restart app 2>/dev/null && started=$((started + 1))
done
echo "$started"
"""


@pytest.fixture
def storm(host: Machine) -> Iterator[None]:
    """Let it blow in a range of 32 ports; a new connection every two milliseconds, each kept for about sixty."""
    with contextlib.ExitStack() as stack:
        with host.network():
            before = sysctl("net.ipv4.ip_local_port_range", RANGE)
            stack.callback(_set, host, "net.ipv4.ip_local_port_range", "1024 65000")
        assert before == "30000\t30031"
        stack.enter_context(host.transient("storm", "/usr/bin/python3", f"{HELPERS}/storm.py", "2"))
        yield


def _set(host: Machine, name: str, value: str) -> None:
    with host.network():
        sysctl(name, value)


@pytest.mark.usefixtures("storm")
@pytest.mark.parametrize("way", ["bare", "--fdstore", "--reserve"])
def test_restarts_under_a_storm(host: Machine, way: str, record_property: Callable[[str, object], None]) -> None:
    """Every start succeeds with --fdstore, and in another run with --reserve; the same without is shown beside it."""
    command = SERVICE if way == "bare" else f"/usr/local/bin/portwait {way} {PORT} -- {SERVICE}"
    lines = ["[Unit]", "StartLimitIntervalSec=0", "[Service]", "Type=notify", f"ExecStart={command}"]
    lines += ["FileDescriptorStoreMax=1"] if way == "--fdstore" else []
    with host.units({"app.service": "\n".join([*lines, ""])}):
        since, began = host.cursor(), time.monotonic()
        host.systemctl("start", "app", check=way != "bare")
        started = int(host.run("bash", "-c", _LOOP, "loop", str(RESTARTS)).stdout)
        took = time.monotonic() - began
        waits = sum(1 for entry in host.journal("app.service", since) if f"{PORT}/tcp is held by" in entry.text)
        if way == "--reserve":
            host.systemctl("stop", "app")
            host.run("portwait", "release", str(PORT))
    record_property("restarts that started", started)
    print(f"{way}: {started} of {RESTARTS} restarts started, {waits} had to wait; {took:.0f} s")  # for `pytest -s`
    if way == "bare":
        assert started < RESTARTS, "the storm misses the port: this test shows nothing"
    else:
        assert started == RESTARTS
        assert waits <= 1, "only the first start finds a connection in its way"

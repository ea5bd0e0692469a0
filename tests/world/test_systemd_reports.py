"""What `explain` says of the sockets of real units, in a systemd's own machine; the reports are kept as text."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.golden import UNBROKEN, assert_golden, service
from tests.support.guarding import Outcome
from tests.support.packages import needs

if TYPE_CHECKING:
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
GOLDEN = Path(__file__).with_name("golden")


def in_machine(host: Machine, *words: str) -> Outcome:
    """Explain as root in there."""
    done = host.run(
        "env", *(f"{name}={value}" for name, value in UNBROKEN.items()), "portwait", "explain", *words, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_listener_of_a_unit(host: Machine) -> None:
    """Master and workers share nginx's socket: all are named, and the unit is what is stopped."""
    needs("/lib/systemd/system/nginx.service", "nginx-light")
    configuration = host.root / "etc/nginx/nginx.conf"
    host.write(
        "/etc/nginx/nginx.conf", configuration.read_text().replace("worker_processes auto", "worker_processes 2")
    )
    host.systemctl("start", "nginx.service")
    try:
        assert_golden(GOLDEN / "unit-nginx.txt", functools.partial(in_machine, host, "80"))
    finally:
        host.systemctl("stop", "nginx.service")


def test_the_listener_of_a_socket_unit(host: Machine) -> None:
    """It is PID 1's, and the command shown stops the unit."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n",
        "app.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    }
    with host.units(files):
        host.systemctl("start", "app.socket")
        look = functools.partial(in_machine, host, str(PORT))
        assert_golden(GOLDEN / "unit-socket.txt", look)
        stop = look().out.splitlines()[-1].strip()
        host.run("sh", "-ec", stop)
        assert look().out.startswith(f"{PORT}/tcp is free")


def test_the_outbound_connection_of_a_unit(host: Machine) -> None:
    """Its service can be started later than the one that wants the port."""
    with host.blocked(PORT, "outbound"):
        assert_golden(GOLDEN / "unit-outbound.txt", functools.partial(in_machine, host, str(PORT)), service(7000))

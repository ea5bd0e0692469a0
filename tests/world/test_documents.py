"""What the documents show of real software is so: the picture, and the lines that guard a unit."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.packages import needs
from tests.support.programs import eventually, running
from tests.support.systemd import HELPERS, ROOT, contrib

if TYPE_CHECKING:
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world
_PORT = 30010


def test_the_picture_shows_what_portwait_says_now() -> None:
    """It is drawn from a real session, which is run again here. Draw it anew where the words change."""
    needs("javac", "openjdk-17-jdk-headless")
    needs("redis-server", "redis-server")
    needs("netstat", "net-tools")
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "picture.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_three_lines_guard_a_unit(host: Machine, page: str) -> None:
    """Typed as they stand, over a held port: the unit waits, says for what, and starts once the port is free."""
    [lines] = re.findall(r"(?ms)^```sh\n(mkdir -p /etc/systemd/system/orders.*?)^```", (ROOT / page).read_text())
    service = f"[Service]\nExecStart=/usr/bin/python3 {HELPERS}/unit_service.py simple {_PORT}\n"
    host.write("/root/portwait/contrib/systemd/guard-pre.conf", contrib("guard-pre.conf"))
    dropin = "orders.service.d/portwait.conf"
    with host.network(), host.units({"orders.service": service, dropin: ""}):
        (host.root / "etc/systemd/system" / dropin).unlink()
        typed = host.start("sh", "-ec", f"cd /root/portwait; {lines}")
        with host.blocked(_PORT, "outbound"), running(typed) as shell:
            status = eventually(lambda: host.show("orders", "StatusText")["StatusText"], "the wait")
            assert status.startswith(f"waiting: {_PORT}/tcp is held by an outbound connection: python3 (pid ")
            host.systemctl("stop", "blocker")
            assert shell.status() == 0, shell.describe()
        assert host.show("orders", "ActiveState")["ActiveState"] == "active"

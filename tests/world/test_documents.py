"""What the documents show of real software is so: the picture, and the lines that guard a unit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
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


def test_the_tests_that_need_neither_root_nor_debian() -> None:
    """README's line, typed by nobody in a fresh clone, with the distribution's own Python."""
    [line] = re.findall(r"(?ms)^```sh\n([^`]*?pytest tests/unit)\n```", (ROOT / "README.md").read_text())
    needs("/usr/share/python-wheels", "python3-venv")
    with tempfile.TemporaryDirectory() as home:
        clone = Path(home) / "portwait"
        subprocess.run(["git", "-c", "safe.directory=*", "clone", "-q", ROOT, clone], check=True)
        subprocess.run(["chown", "-R", "65534:65534", home], check=True)
        unprivileged = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
        settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        done = subprocess.run(
            [*unprivileged, "sh", "-c", line],
            cwd=clone,
            env={**settings, "HOME": home, "PATH": "/usr/bin:/bin", "TMPDIR": home},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

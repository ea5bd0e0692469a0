"""contrib/ansible: the task file reserves and guards, and does nothing the second time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.mounts import private_host
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE, portwait
from tests.support.systemd import ROOT

pytest.importorskip("ansible", reason="ansible-core needs Python 3.11")
pytestmark = pytest.mark.world

_FOLDER = ROOT / "contrib" / "ansible"
_PROGRAMS = Path(sys.executable).parent
_PORTWAIT = os.fsdecode(portwait()[0])
_DROPIN = "/etc/systemd/system/orders.service.d/portwait.conf"


def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    """Not even with its strictest profile."""
    argv = [
        str(_PROGRAMS / "ansible-lint"),
        "--offline",
        "--profile",
        "production",
        "--nocolor",
        "portwait.yaml",
        "example.yaml",
    ]
    environment = {"PATH": f"{_PROGRAMS}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    done = subprocess.run(argv, cwd=_FOLDER, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_playbook_reserves_and_guards_once(net: None, tmp_path: Path) -> None:  # noqa: ARG001
    """The port is reserved now and at boot, the unit has its drop-in; the second run changes nothing."""
    with private_host() as host:
        argv = [
            *("env", f"HOME={tmp_path}", "LANG=C.UTF-8", f"PATH={_PROGRAMS}:/usr/sbin:/usr/bin:/sbin:/bin"),
            *(str(_PROGRAMS / "ansible-playbook"), "--connection", "local", "--inventory", "localhost,"),
            *("--extra-vars", f"ansible_python_interpreter={sys.executable} ansible_become=false"),
            *("--extra-vars", f"portwait_path={_PORTWAIT}", str(_FOLDER / "example.yaml")),
        ]
        runs = [
            subprocess.run(host.argv(argv), capture_output=True, text=True, check=False, timeout=2 * DEADLINE)
            for _ in range(2)
        ]
        assert [run.returncode for run in runs] == [0, 0], runs
        assert "changed=3" in runs[0].stdout, runs[0].stdout
        assert "changed=0" in runs[1].stdout, runs[1].stdout
        assert sysctl("net.ipv4.ip_local_reserved_ports") == "30010"
        assert any("30010" in file.read_text() for file in host.path("/etc/sysctl.d").iterdir())
        dropin = host.path(_DROPIN).read_text()
        assert f"ExecStartPre=+{_PORTWAIT} 30010\n" in dropin
        settings = [line for line in dropin.splitlines() if not line.startswith("#")]
        offered = (
            (ROOT / "contrib" / "systemd" / "guard-pre.conf").read_text().replace("/usr/local/bin/portwait", _PORTWAIT)
        )
        assert settings == [line for line in offered.splitlines() if line and not line.startswith("#")]

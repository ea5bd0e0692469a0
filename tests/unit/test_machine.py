"""What the kernel says of this process, read out of /proc/self/status; and how portwait is called in a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from portwait.host import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),
        ("CapEff:\t0000000000001000\n", True),
        ("CapEff:\t0000000000000fff\n", False),
        ("CapPrm:\t000001ffffffffff\n", False),
        ("CapEff:\n", False),
        ("CapEff:\tno number\n", False),
        ("", False),
    ],
)
def test_a_capability(status: str, expected: bool) -> None:
    """A text that does not say it is a capability that the process does not have."""
    assert machine._has_capability(status, machine._CAP_NET_ADMIN) is expected


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make folders with a portwait, with one that is no program, and with a stranger's, which sudo finds."""
    for name in ("bin", "none", "stranger", "link", "system"):
        (tmp_path / name).mkdir()
    for name in ("bin", "stranger", "system"):
        (tmp_path / name / "portwait").touch(0o755)
    (tmp_path / "none" / "portwait").touch(0o644)
    (tmp_path / "link" / "portwait").symlink_to(tmp_path / "bin" / "portwait")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "_OF_SUDO", (str(tmp_path / "stranger"),))
    return tmp_path


@pytest.mark.parametrize(
    ("called", "path", "sudo", "shown"),
    [
        ("bin/portwait", "bin", False, "portwait"),
        ("bin/portwait", "none:bin", False, "portwait"),
        ("link/portwait", "bin", False, "portwait"),
        ("bin/portwait", "bin", True, "bin/portwait"),
        ("system/portwait", "bin", True, "system/portwait"),
        ("bin/portwait", "none", False, "bin/portwait"),
        ("bin/portwait", "stranger:bin", False, "bin/portwait"),
        ("portwait", "none:bin", False, "portwait"),
        ("portwait", "none:bin", True, "bin/portwait"),
        ("portwait", "none", False, "portwait"),
        ("lib/portwait/__main__.py", "none", False, "bin/portwait"),
        ("lib/portwait/__main__.py", "bin", False, "portwait"),
        ("lib/pytest/__main__.py", "none", False, "portwait"),
        ("", "none", True, "portwait"),
    ],
)
def test_how_portwait_is_called(folders: Path, called: str, path: str, sudo: bool, shown: str) -> None:
    """By its name where a shell, or sudo, finds this very program, else by its path; for `python -m`, beside Python."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", [called, "explain"])
        patch.setattr("sys.executable", str(folders / "bin" / "python"))
        patch.setenv("PATH", ":".join(str(folders / name) for name in path.split(":")))
        assert machine.program(by_sudo=sudo) == (shown if shown == "portwait" else str(folders / shown))

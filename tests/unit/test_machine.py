"""What the kernel says of this process, read out of /proc/self/status; and how portwait is called in a command."""

from __future__ import annotations

import os
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


DOCKER_ID = "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    ("cgroup", "mark", "may_set"),
    [
        ("0::/system.slice/orders.service", None, True),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service", None, True),
        ("0::/user.slice/user-1000.slice/session-3.scope", None, False),
        ("0::/", None, False),
        ("0::/system.slice/orders.service", "podman", False),
        ("0::/system.slice/orders.service", "container", False),
        (f"0::/system.slice/docker.service/docker/{DOCKER_ID}", None, False),
    ],
)
def test_where_the_settings_are_read_only_for_a_unit_alone(
    monkeypatch: pytest.MonkeyPatch, cgroup: str, mark: str | None, may_set: bool
) -> None:
    """Below ProtectKernelTunables= the host has no other settings than for everybody, and no engine starts the unit."""
    read = {"/proc/self/cgroup": f"{cgroup}\n"}
    monkeypatch.setattr(machine, "_read", lambda path: read.get(path, ""))
    monkeypatch.setattr(machine, "_container", lambda *_: mark)
    monkeypatch.setattr(machine, "_is_read_only", lambda _: True)
    assert machine.machine().may_set is may_set


@pytest.mark.parametrize(
    ("place", "number", "path", "way_in"),
    [
        ("orders.service", 4026532300, "/run/netns/vpn", "nsenter --net=/run/netns/vpn"),
        ("orders.service", 4026532300, "/run/netns/my vpn", "nsenter '--net=/run/netns/my vpn'"),
        (
            "orders.service",
            4026532300,
            None,
            r"""nsenter --net="$(find /proc -maxdepth 3 -lname 'net:\[4026532300\]' -print -quit 2>/dev/null)""" + '"',
        ),
        ("orders.service", 0, None, ""),
        ("orders.service, docker", 4026532300, "/run/netns/vpn", ""),
        ("session-3.scope", 4026532300, "/run/netns/vpn", ""),
    ],
    ids=["named", "quoted", "without a name", "the host's", "a container", "a login"],
)
def test_the_way_into_a_units_network(
    monkeypatch: pytest.MonkeyPatch, place: str, number: int, path: str | None, way_in: str
) -> None:
    """What a unit says is read in the journal: commands lead into its network. Who types a command is there already."""
    unit, _, mark = place.partition(", ")
    monkeypatch.setattr(machine, "_read", lambda path: f"0::/system.slice/{unit}\n" if "cgroup" in path else "")
    monkeypatch.setattr(machine, "_container", lambda *_: mark or None)
    monkeypatch.setattr(machine, "_own_network", lambda: number)
    monkeypatch.setattr(machine, "_is_root", lambda: True)
    monkeypatch.setattr("portwait._linux.netns.path_of", lambda _: path)
    assert machine.machine().way_in == way_in
    assert machine.call("explain", "30010") == f"{way_in} portwait explain 30010".strip()
    monkeypatch.setattr(machine, "_is_root", lambda: False)
    assert machine.machine().way_in.count("sudo ") == way_in.count("nsenter") + way_in.count("find")


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


@pytest.mark.parametrize(
    ("called", "path", "shown"),
    [
        ("bin/portwait", "bin", "portwait"),
        ("bin/portwait", "none:bin", "portwait"),
        ("bin/portwait", "link", "bin/portwait"),
        ("bin/portwait", "link:bin", "bin/portwait"),
        ("portwait", "link:bin", "portwait"),
    ],
)
def test_who_cannot_be_abandoned_searches_no_folder_of_others(
    monkeypatch: pytest.MonkeyPatch, folders: Path, called: str, path: str, shown: str
) -> None:
    """Rule: the guard looks into the system's folders alone, up to the first other one, which may never answer."""
    looked: list[str] = []
    access = os.access

    def note(path: str, mode: int) -> bool:
        looked.append(path)
        return access(path, mode)

    monkeypatch.setattr(machine, "_OF_THE_SYSTEM", tuple(str(folders / name) for name in ("bin", "none")))
    monkeypatch.setattr("sys.argv", [called, "30010"])
    monkeypatch.setenv("PATH", ":".join(str(folders / name) for name in path.split(":")))
    monkeypatch.setattr("os.access", note)
    assert machine.program(patient=False) == (shown if shown == "portwait" else str(folders / shown))
    assert not any(path.startswith(str(folders / "link")) for path in looked)

"""Our file in sysctl.d, read back by what reads it at boot: systemd-sysctl, and procps' `sysctl --system`."""

from __future__ import annotations

import contextlib
import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from portwait._linux import sysctl
from portwait.advice import shell_commands
from portwait.host.machine import Machine
from portwait.model import ports
from portwait.reserved import boot_file, sysctld
from portwait.reserved.runtime import KEY
from portwait.reserved.sysctld import CONF, READERS
from tests.support.mounts import Host, private_host
from tests.support.netns import private_network
from tests.support.netns import sysctl as setting
from tests.support.packages import needs
from tests.support.programs import Program, portwait

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

SYSTEMD, PROCPS = READERS
PROGRAMS = {SYSTEMD: ("/lib/systemd/systemd-sysctl",), PROCPS: ("sysctl", "--system")}
VENDOR = "/usr/lib/sysctl.d/50-vendor.conf"
both_readers = pytest.mark.parametrize("reader", READERS)


@pytest.fixture
def host() -> Iterator[Host]:
    needs("/lib/systemd/systemd-sysctl", "systemd")
    needs("sysctl", "procps")
    with private_host() as made:
        yield made


def after_boot(host: Host, reader: str) -> tuple[tuple[int, int], ...]:
    """Let the program set what the files say, from an empty list on; what is reserved then."""
    setting(KEY, "\n")
    host.run(*PROGRAMS[reader], check=False)  # it complains of broken lines by its status, too
    return ports.from_kernel(sysctl.read(sysctl.RESERVED) or "")


def expected(text: str) -> tuple[tuple[int, int], ...]:
    return ports.from_kernel(text)


@both_readers
@pytest.mark.parametrize(
    ("files", "after"),
    [
        pytest.param({}, "30010", id="ours-alone"),
        pytest.param({VENDOR: f"{KEY} = 8080\n"}, "8080,30010", id="vendor"),
        pytest.param({CONF: f"{KEY}=8080,30010\n"}, "8080,30010", id="sysctl.conf-says-as-much"),
        pytest.param({VENDOR: "net/ipv4/ip_local_reserved_ports=8080\n"}, "8080,30010", id="slashes"),
        pytest.param({VENDOR: "net.ipv4.ip_local_reserved_*=8080\n"}, "8080,30010", id="pattern"),
        pytest.param({"/etc/sysctl.d/zzzz.conf": "net.ipv4.ip_local_res*=1\n"}, "1,30010", id="later-pattern"),
        pytest.param({VENDOR: f"-{KEY}=8080\n"}, "8080,30010", id="dash"),
        pytest.param({VENDOR: f"-{KEY}\n"}, "30010", id="exclusion"),
        pytest.param({VENDOR: f'{KEY}="8080"\nwhat is this\n'}, "30010", id="broken"),
        pytest.param(
            {VENDOR: f"{KEY}=8080\n", "/etc/sysctl.d/50-vendor.conf": "# masked\n"}, "30010", id="masked-by-name"
        ),
        pytest.param({"/run/sysctl.d/99-z.conf": f"{KEY}=8080\n{KEY}=9090\n"}, "8080,9090,30010", id="twice"),
    ],
)
def test_both_programs_set_the_union(host: Host, reader: str, files: dict[str, str], after: str) -> None:
    """Rule: whatever the other files say, after a boot our ports and theirs are reserved."""
    for name, text in files.items():
        host.write(name, text)
    host.run(*portwait("reserve", "--persist", "30010"))
    assert after_boot(host, reader) == expected(after)


@both_readers
def test_released_is_released_at_boot_and_theirs_stays(host: Host, reader: str) -> None:
    """Rule: the file goes with our last port, and the others have the word again."""
    host.write(VENDOR, f"{KEY} = 8080\n")
    host.run(*portwait("reserve", "--persist", "30010"))
    host.run(*portwait("release", "--persist", "30010"))
    assert not host.path(boot_file.PLACE).exists()
    assert after_boot(host, reader) == expected("8080")


def test_where_another_file_would_win_nothing_is_changed(host: Host) -> None:
    """Rule: neither the file nor the kernel's list, and the file that would win is named."""
    host.write(CONF, f"vm.swappiness=10\n{KEY}=8080\n")
    setting(KEY, "\n")
    done = host.run(*portwait("reserve", "--persist", "30010"), check=False)
    assert done.returncode == 125
    assert f"{CONF}:2 is about {KEY} and is read after {boot_file.PLACE}" in done.stderr
    assert not host.path(boot_file.PLACE).exists()
    assert sysctl.read(sysctl.RESERVED) == ""


RANGE = "net.ipv4.ip_local_port_range"


@both_readers
@pytest.mark.parametrize("file", ["/etc/sysctl.d/50-ours.conf", "/etc/sysctl.d/99-sysctl.conf", CONF])
def test_an_advised_range_is_there_after_the_boot(host: Host, reader: str, file: str) -> None:
    """Rule: the lines that `explain` and `audit` print outlast the file in which somebody has set the range before."""
    machine = Machine(systemd=reader == SYSTEMD)
    host.write(file, f"{RANGE} = 1024 65000\n")
    for line in shell_commands.port_range(machine, 32768, 60999):
        host.run("sh", "-ec", line)
    setting(RANGE, "1024 65000")
    host.run(*PROGRAMS[reader], check=False)
    assert setting(RANGE).split() == ["32768", "60999"]


def test_a_full_disk_changes_nothing(host: Host) -> None:
    """Rule: an error that says so; the old file is whole, nothing lies about, and the kernel's list is as it was."""
    host.run("mount", "-t", "tmpfs", "-o", "size=12k,mode=755", "tmpfs", "/etc/sysctl.d")
    host.run(*portwait("reserve", "--persist", "30010"))
    before = host.path(boot_file.PLACE).read_text()
    host.run("sh", "-c", "head -c 1M /dev/zero > /etc/sysctl.d/big", check=False)
    done = host.run(*portwait("reserve", "--persist", "30020"), check=False)
    assert done.returncode == 125
    assert "No space left on device; nothing was changed" in done.stderr
    assert host.path(boot_file.PLACE).read_text() == before
    assert sorted(path.name for path in host.path("/etc/sysctl.d").iterdir()) == ["big", "zzz-portwait.conf"]
    assert sysctl.read(sysctl.RESERVED) == "30010"


def test_twenty_at_once_lose_nothing(host: Host) -> None:
    """Rule: the file is changed by one at a time, also from network namespaces that share it."""
    with contextlib.ExitStack() as stack:
        programs = []
        for port in range(30001, 30041, 2):
            stack.enter_context(private_network())
            programs.append(Program(host.argv(portwait("reserve", "--persist", str(port)))))
            stack.callback(programs[-1].stop)
        assert [program.status() for program in programs] == [0] * 20
    value = host.path(boot_file.PLACE).read_text().splitlines()[-1].partition("=")[2]
    assert ports.parse(value) == ports.merge((port, port) for port in range(30001, 30041, 2))


@both_readers
def test_the_longest_list_is_loaded_whole(host: Host, reader: str) -> None:
    """Rule: the limit of the file is not above what both programs load."""
    text = ports.show((port, port) for port in range(10001, 10001 + 2 * 682, 2)) + ",20"
    assert len(text) == boot_file.LONGEST
    host.run(*portwait("reserve", "--persist", text))
    assert after_boot(host, reader) == ports.parse(text)


def test_one_byte_more_is_cut_by_procps(host: Host) -> None:
    """Rule: nor is the limit below it without need."""
    text = ports.show((port, port) for port in range(10001, 10001 + 2 * 682, 2)) + ",200"
    host.write("/etc/sysctl.d/long.conf", f"{KEY}={text}\n")
    assert after_boot(host, SYSTEMD) == ports.parse(text)
    assert after_boot(host, PROCPS) != ports.parse(text)


KEYS = [
    *([KEY] * 3),
    "net/ipv4/ip_local_reserved_ports",
    "net.ipv4.ip_local_reserved_*",
    "net/*/ip_local_reserved_port[s]",
    f"-{KEY}",
    "net.ipv4.ip_local_port_*",
    "net/ipv4.ip_local_reserved_ports",
]
VALUES = ["=8080", " = 9090-9099", "=1,2,3 ", "=7,", "=", '="8080"', "=1, 2", "=65536", "=08", "", " 8080"]


@pytest.mark.parametrize("seed", range(40))
def test_our_reading_is_that_of_both_programs(host: Host, seed: int) -> None:
    """Rule: who wins in files put together at random is what the programs themselves do with them."""
    chance = random.Random(seed)  # noqa: S311  # no secret
    for _ in range(chance.randint(1, 5)):
        folder = chance.choice(sysctld.FOLDERS[:4])
        name = chance.choice(["/10-a", "/50-b", "/50-c", "/99-d", "/a-e"])
        lines = [chance.choice(KEYS) + chance.choice(VALUES) for _ in range(chance.randint(0, 3))]
        host.write(f"{folder}{name}.conf", "\n".join(["# a file", *lines, ""]))
    if chance.random() < 0.4:
        host.write(CONF, chance.choice(KEYS) + chance.choice(VALUES) + "\n")
    found = sysctld.read(str(host.path("")))
    for reader in READERS:
        line = sysctld.last(found, KEY, reader)
        wins = None if line is None else line.ports
        assert after_boot(host, reader) == (wins or ()), (reader, line, found)


def test_the_programs_are_the_systems_own(host: Host) -> None:
    """Rule: a test whose programs do nothing would prove nothing."""
    host.write("/etc/sysctl.d/a.conf", f"{KEY}=8080\n")
    for reader in READERS:
        assert after_boot(host, reader) == expected("8080")
    assert "systemd" in subprocess.check_output([*PROGRAMS[SYSTEMD], "--version"], text=True)

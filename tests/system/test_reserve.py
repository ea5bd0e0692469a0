"""Reserving and releasing on the real kernel, in a private network namespace."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from portwait._linux import netns_lock, sysctl
from portwait.model import ports
from portwait.reserved import runtime
from tests.support import schemas, storm
from tests.support.mounts import Host, private_host
from tests.support.netns import private_network
from tests.support.netns import sysctl as setting
from tests.support.programs import Program, portwait, running
from tests.support.states import LOOPBACK, outbound_established
from tests.support.surroundings import AS_NOBODY
from tests.unit.test_sysctld import VALUES

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
MANY = tuple((port, port) for port in range(2000, 2000 + 2 * 9140, 2))
"""9,140 separate ports: 50 KB of list."""


@pytest.fixture
def host() -> Iterator[Host]:
    """Give portwait a /run and an /etc of its own, for its notes and its file."""
    with private_host() as made:
        yield made


def listed() -> str:
    """Read the list in one read(), as it must be."""
    descriptor = os.open(f"/proc/sys/{sysctl.RESERVED}", os.O_RDONLY)
    try:
        return os.read(descriptor, 1 << 20).decode().strip()
    finally:
        os.close(descriptor)


@pytest.mark.kernel
@pytest.mark.parametrize(("text", "expected"), VALUES, ids=ascii)
def test_the_kernel_takes_a_value_for_the_same(text: str, expected: tuple[tuple[int, int], ...] | None) -> None:
    """What the files of sysctl.d say is read as the kernel would read it."""
    descriptor = os.open(f"/proc/sys/{sysctl.RESERVED}", os.O_WRONLY)
    try:
        os.write(descriptor, text.encode() + b"\n")
    except OSError:
        assert expected is None
    else:
        assert ports.from_kernel(listed()) == expected
    finally:
        os.close(descriptor)


def write_by_hand(items: str) -> None:
    """Write a list as somebody else would who knows how."""
    descriptor = os.open(f"/proc/sys/{sysctl.RESERVED}", os.O_WRONLY)
    try:
        rest = items.split(",")
        while rest:
            os.write(descriptor, ",".join(rest[:500]).encode())
            rest = rest[500:]
    finally:
        os.close(descriptor)


class TestReserve:
    def test_a_long_list_of_somebody_else_survives_whole(self, host: Host) -> None:
        """Rule: one page is what the kernel takes of a write, and no reason to lose a port."""
        write_by_hand(ports.show(MANY))
        host.run(*portwait("reserve", "30011"))
        assert listed() == ports.show(ports.merge([*MANY, (30011, 30011)]))
        assert listed().count(",") == 9140

    def test_release_leaves_the_rest_of_a_long_list(self, host: Host) -> None:
        """Rule: a list that takes many writes is put back whole, without the ports that were named."""
        write_by_hand(ports.show(MANY))
        host.run(*portwait("release", "2000,2500-2600"))
        assert listed() == ports.show(ports.subtract(MANY, [(2000, 2000), (2500, 2600)]))

    def test_reserving_twice_changes_nothing(self, host: Host) -> None:
        """Rule: idempotent, and it says so."""
        first, second = (host.run(*portwait("reserve", "30010,30012-30014")) for _ in range(2))
        assert first.stdout == "30010,30012-30014 are reserved\n"
        assert second.stdout == "30010,30012-30014 were reserved already\n"
        assert listed() == "30010,30012-30014"

    def test_release_takes_out_only_what_is_named(self, host: Host) -> None:
        """Rule: the middle of a range goes, its ends stay, and what was not reserved is said."""
        setting(RESERVED, "30000-30010,40000")
        done = host.run(*portwait("release", "30005", "50000-50001"))
        assert done.stdout == "30005 is released\n50000-50001 were not reserved\n"
        assert listed() == "30000-30004,30006-30010,40000"

    def test_releasing_the_last_port_empties_the_list(self, host: Host) -> None:
        """Rule: a write of nothing at all would change nothing."""
        setting(RESERVED, "30010")
        host.run(*portwait("release", "30010"))
        assert listed() == ""

    def test_port_0_of_somebody_else_is_kept(self, host: Host) -> None:
        """Rule: the kernel lets 0 be reserved, so a list with it can be read and written back."""
        setting(RESERVED, "0-5")
        host.run(*portwait("reserve", "30010"))
        host.run(*portwait("release", "3"))
        assert listed() == "0-2,4-5,30010"

    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            (["0"], "'0'"),
            (["70000"], "'70000'"),
            (["30010-30000"], "'30010-30000'"),
            (["1-"], "'1-'"),
            (["30010,,30011"], "''"),
            (["30010 30011"], "'30010 30011'"),
            (['"30010"'], "'\"30010\"'"),
            (["30010/tcp"], "'30010/tcp'"),
            (["--persist"], "name PORTS"),
        ],
        ids=lambda value: value[0] if isinstance(value, list) else "",
    )
    def test_bad_ports_change_nothing(self, host: Host, words: list[str], expected: str) -> None:
        """Rule: one line that says what was expected, 125, and the list is as it was."""
        setting(RESERVED, "8080")
        done = host.run(*portwait("reserve", *words), check=False)
        assert (done.returncode, done.stdout, listed()) == (125, "", "8080")
        assert expected in done.stderr
        assert done.stderr.count("\n") == 1

    def test_a_port_in_use_is_said_to_stay_so(self, host: Host) -> None:
        """Rule: reserving moves no connection, and the answer says it."""
        with outbound_established(30010):
            done = host.run(*portwait("reserve", "30010"))
        assert "note: 30010 is in use by a connection, which keeps it: portwait explain 30010\n" in done.stdout

    def test_several_ports_in_use_are_named_for_explain(self, host: Host) -> None:
        """Rule: the command of the note can be pasted: explain reads words, not a list with commas."""
        with outbound_established(30010), outbound_established(30012):
            done = host.run(*portwait("reserve", "30010-30012"))
        said = "30010,30012 are in use by connections, which keep them: portwait explain 30010 30012"
        assert f"note: {said}\n" in done.stdout

    def test_options_may_stand_between_ports(self, host: Host) -> None:
        """Rule: as everywhere."""
        host.run(*portwait("reserve", "30010", "--json", "30012"))
        assert listed() == "30010,30012"

    def test_releasing_nothing_is_called_wrongly(self, host: Host) -> None:
        """Rule: no ports is not all ports."""
        setting(RESERVED, "30010")
        assert host.run(*portwait("release"), check=False).returncode == 125
        assert listed() == "30010"


SQUAT = """
import socket, sys
name = "\\0portwait/reserved-ports"
lock = socket.socket(socket.AF_UNIX)
lock.bind(name)
if sys.argv[1] != "only-binds":
    lock.listen(0)
clients = []
while sys.argv[1] == "full-queue":
    client = socket.socket(socket.AF_UNIX)
    client.setblocking(False)
    clients.append(client)
    try:
        client.connect(name)
    except BlockingIOError:
        break
print("ready", flush=True)
import signal
signal.pause()
"""
"""A program of a user's that takes the name of the lock."""


class TestConcurrency:
    def test_two_hundred_at_once_lose_nothing(self, host: Host) -> None:
        """Rule: whoever merges does it alone; half of them reserve, half release, each its own port."""
        theirs = ports.merge((port, port) for port in range(40001, 40400, 4))
        setting(RESERVED, ports.show(theirs))
        verbs = [("reserve", port) for port in range(30001, 30201, 2)] + [("release", low) for low, _ in theirs]
        script = "from portwait.cli import main; import sys; sys.exit(main())"
        order = [verb for pair in zip(verbs[:100], verbs[100:]) for verb in pair]
        programs = [Program(host.argv([sys.executable, "-c", script, verb, str(port)])) for verb, port in order]
        try:
            statuses = [program.status() for program in programs]
        finally:
            for program in programs:
                program.stop()
        assert statuses == [0] * 200, [program.describe() for program in programs if program.status()][:3]
        assert listed() == ports.show(ports.merge((port, port) for port in range(30001, 30201, 2)))

    def test_the_lock_belongs_to_the_network_namespace(self, host: Host) -> None:
        """Rule: a lock of another namespace is not in the way, for its list is another one."""
        with netns_lock.locked("reserved-ports", 1, lambda _: None), private_network():
            done = host.run(*portwait("reserve", "30010"))
            assert (done.stderr, listed()) == ("", "30010")

    def test_whoever_waits_says_for_whom_and_gives_up(self) -> None:
        """Rule: the wait has an end, and both its length and the holder are named."""
        setting(RESERVED, "30010")
        said: list[str] = []
        refusal = pytest.raises(runtime.ReservationError)
        with netns_lock.locked("reserved-ports", 1, said.append), refusal as refused:
            runtime.release(((30010, 30010),), patience=1.2, say=said.append)
        assert said == [f"waiting for another process (pid {os.getpid()}) that holds the lock @portwait/reserved-ports"]
        assert str(refused.value) == (
            f"cannot release 30010: another process (pid {os.getpid()}) holds the lock for 1.2 s"
        )
        assert listed() == "30010"

    def test_adding_waits_for_nobody(self, host: Host) -> None:
        """Rule: the kernel joins what is added with the list, so the ports are there before any lock is asked for."""
        with (
            netns_lock.locked("reserved-ports", 1, lambda _: None),
            running(host.argv(portwait("reserve", "30010"))) as reserving,
        ):
            reserving.complains("waiting for another process")
            assert listed() == "30010"
        said: list[str] = []
        with netns_lock.locked("reserved-ports", 1, said.append):
            change = runtime.reserve(((30012, 30012),), patience=0, say=said.append)
        assert (change.changed, listed()) == (((30012, 30012),), "30010,30012")
        assert "holds the lock" in (change.unrecorded or "")

    @pytest.mark.parametrize("kind", ["listens", "only-binds", "full-queue"])
    @pytest.mark.parametrize("verb", ["reserve", "release"])
    def test_a_user_who_has_the_name_of_the_lock_delays_nobody(self, host: Host, verb: str, kind: str) -> None:
        """Rule: anybody can bind an abstract name; only root's lock counts."""
        setting(RESERVED, "30011")
        with running([*AS_NOBODY, sys.executable, "-c", SQUAT, kind]) as squatter:
            squatter.says("ready")
            began = time.monotonic()
            host.run(*portwait(verb, "30010" if verb == "reserve" else "30011"))
            assert time.monotonic() - began < 5  # instead of 30
        assert listed() == ("30010-30011" if verb == "reserve" else "")

    def test_a_user_who_locks_the_folder_of_sysctl_delays_nobody(self, host: Host) -> None:
        """Rule: anybody can flock a folder that he can read; the lock is a file that only root can open."""
        locking = (
            "import fcntl,os,sys; fcntl.flock(os.open('/etc/sysctl.d', 0), 2); print('ready', flush=True); input()"
        )
        argv = host.argv([*AS_NOBODY, sys.executable, "-c", locking])
        with running(argv, stdin=subprocess.PIPE) as holder:
            holder.says("ready")
            began = time.monotonic()
            host.run(*portwait("reserve", "--persist", "30010"))
            assert time.monotonic() - began < 5
        assert host.path("/run/portwait/sysctl.d.lock").stat().st_mode & 0o777 == 0o600

    def test_a_lock_file_that_others_can_open_is_none(self, host: Host) -> None:
        """Rule: a file that is not root's alone is not trusted, and not waited for."""
        host.write("/run/portwait/reserved-ports.lock", "")
        host.path("/run/portwait/reserved-ports.lock").chmod(0o666)
        descriptor = os.open(host.path("/run/portwait/reserved-ports.lock"), os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        began = time.monotonic()
        host.run(*portwait("reserve", "30010"))
        os.close(descriptor)
        assert time.monotonic() - began < 5

    def test_the_file_locks_out_another_portwait(self, host: Host) -> None:
        """Rule: root's own lock counts, and whoever waits for it says for whom."""
        setting(RESERVED, "30010")
        host.run(*portwait("reserve", "30012"))
        path = host.path("/run/portwait/reserved-ports.lock")
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with running(host.argv(portwait("release", "30010"))) as releasing:
            said = releasing.complains("waiting for another process")
            assert said.endswith("that holds the lock /run/portwait/reserved-ports.lock")
            assert listed() == "30010,30012"
            os.close(descriptor)
            assert releasing.status() == 0
        assert listed() == "30012"

    def test_the_end_of_the_holder_wakes_who_waits(self) -> None:
        """Rule: a lock ends with its process, however that ends."""
        holding = (
            "from portwait._linux import netns_lock\n"
            "import functools, sys\n"
            "with netns_lock.locked('test', 1, functools.partial(print, flush=True)):\n"
            "    print('ready', flush=True)\n"
            "    sys.stdin.read()\n"
        )
        with running([sys.executable, "-c", holding], stdin=subprocess.PIPE) as holder:
            holder.says("ready")
            waiting = holding.replace("locked('test', 1,", "locked('test', 30,")
            with running([sys.executable, "-c", waiting], stdin=subprocess.PIPE) as waiter:
                waiter.says("waiting for another process")
                assert not any(line == "ready" for line in waiter.out)
                holder.process.kill()
                waiter.says("ready")


LONG = tuple((port, port) for port in range(2000, 2000 + 2 * 2001, 2))
"""2,001 separate ports: three writes."""


def inject(*what: str) -> list[str]:
    """Make strace put these errors and signals into the system calls of a program."""
    return [
        "strace",
        "-qq",
        "-f",
        "-o",
        "/dev/null",
        "-e",
        "trace=pwrite64",
        *(f"--inject=pwrite64:{one}" for one in what),
    ]


class TestCutShort:
    """A release of a long list takes several writes, the first of which replaces the list."""

    @pytest.fixture(autouse=True)
    def _long_list(self, request: pytest.FixtureRequest) -> None:
        """Fill the list of the test's own namespace, and of no other."""
        request.getfixturevalue("net")
        write_by_hand(ports.show(LONG))

    def test_one_failing_write_is_tried_again(self, host: Host) -> None:
        """Rule: memory was short for a moment; nobody's port is lost."""
        # The first pwrite64 is the process's own number, in the lock's file.
        host.run(*inject("error=ENOMEM:when=3"), *portwait("release", "2000"))
        assert listed() == ports.show(LONG[1:])

    def test_a_first_write_that_fails_changes_nothing(self, host: Host) -> None:
        """Rule: refused is refused; the list is whole and no note stays."""
        done = host.run(*inject("error=ENOMEM:when=2"), *portwait("release", "2000"), check=False)
        assert (done.returncode, listed()) == (125, ports.show(LONG))
        assert done.stderr == "portwait: cannot release 2000: Cannot allocate memory\n"
        assert host.run(*portwait("reserve", "30010")).stderr == ""

    @pytest.mark.parametrize("what", ["error=ENOMEM:when=3+", "signal=SIGKILL:when=3"])
    @pytest.mark.parametrize("verb", ["reserve", "release"])
    def test_the_next_run_repairs(self, host: Host, what: str, verb: str) -> None:
        """Rule: what could not be put back, or by a process that was killed, the next run puts back by a note."""
        done = host.run(*inject(what), *portwait("release", "2000"), check=False)
        assert done.returncode != 0
        assert listed() != ports.show(LONG[1:])
        if "ENOMEM" in what:
            assert "came off the list too, and the next portwait reserve or release puts them back" in done.stderr
        assert "note: a release was cut short" in host.run(*portwait("reserve")).stdout
        repaired = host.run(*portwait(verb, "30010"))
        assert "off the list too: reserved again" in repaired.stderr
        assert listed() == ports.show(LONG[1:] if verb == "release" else ports.merge([*LONG[1:], (30010, 30010)]))
        assert host.run(*portwait(verb, "30010")).stderr == ""
        assert "cut short" not in host.run(*portwait("reserve")).stdout


class TestLeftBehind:
    """Files under hidden names, on the way to their place."""

    @pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP", "SIGKILL"])
    @pytest.mark.parametrize("call", ["fsync", "renameat", "fchmod"])
    def test_no_temporary_file_stays(self, host: Host, call: str, number: str) -> None:
        """Rule: a signal waits until the file is whole; what SIGKILL leaves is removed by the next run."""
        strace = [
            "strace",
            "-qq",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            f"--inject={call}:signal={number}:when=1",
        ]
        done = host.run(*strace, *portwait("reserve", "--persist", "30010"), check=False)
        assert done.returncode != 0
        left = [path.name for path in host.path("/etc/sysctl.d").iterdir()]
        assert left == ["zzz-portwait.conf"] or number == "SIGKILL"
        host.run(*portwait("reserve", "--persist", "30010"))
        for folder in ("/etc/sysctl.d", "/run/portwait"):
            assert not [path.name for path in host.path(folder).iterdir() if path.name.startswith(".")]

    def test_what_another_program_writes_now_is_left_alone(self, host: Host) -> None:
        """Rule: a file that is locked belongs to a process that lives; one of another name is nobody's business."""
        names = (".zzz-portwait.conf.0123abcd", ".zzz-portwait.conf.old", ".zzz-portwait.conf.0123abcg", ".x")
        for name in names:
            host.write(f"/etc/sysctl.d/{name}", "")
        descriptor = os.open(host.path(f"/etc/sysctl.d/{names[0]}"), os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        host.run(*portwait("reserve", "--persist", "30010"))
        assert {path.name for path in host.path("/etc/sysctl.d").iterdir()} == {*names, "zzz-portwait.conf"}
        os.close(descriptor)
        host.run(*portwait("reserve", "--persist", "30012"))
        assert {path.name for path in host.path("/etc/sysctl.d").iterdir()} == {*names[1:], "zzz-portwait.conf"}


class TestKernel:
    @pytest.mark.kernel
    def test_a_write_behind_the_start_adds(self) -> None:
        """Rule: what reserving stands on. Only a write at offset 0 replaces."""
        setting(RESERVED, "8080")
        sysctl.add_to_list(sysctl.RESERVED, "30010")
        assert listed() == "8080,30010"
        sysctl.replace_list(sysctl.RESERVED, "30012")
        assert listed() == "30012"

    @pytest.mark.kernel
    @pytest.mark.parametrize("write", [sysctl.add_to_list, sysctl.replace_list])
    def test_no_list_is_too_long(self, write: object) -> None:
        """Rule: every port of every length arrives, wherever the list is cut."""
        for odd in (1, 2, 3):  # so that the cuts fall elsewhere
            setting(RESERVED, "\n")
            items = ports.show((port, port) for port in range(odd, 65536, 5))
            write(sysctl.RESERVED, items)  # type: ignore[operator]  # one of the two above
            assert listed() == items

    def test_connect_never_gets_a_reserved_port(self, host: Host) -> None:
        """Rule: 100,000 connects in a range of 16 ports; an explicit bind still gets it; without, connect does too."""
        setting(RANGE, "40000 40015")
        before = storm.counted(itertools.repeat(LOOPBACK, 1000))
        assert before[40004] > 0
        host.run(*portwait("reserve", "40004"))
        after = storm.counted(itertools.repeat(LOOPBACK, 100_000))
        assert (sum(after.values()), after[40004]) == (100_000, 0)
        with socket.create_server((LOOPBACK, 40004)) as server:
            assert server.getsockname()[1] == 40004


class TestGuard:
    def test_reserves_first_and_then_waits(self, host: Host) -> None:
        """Rule: the port is reserved while the guard still waits for it."""
        with contextlib.ExitStack() as blocker:
            blocker.enter_context(outbound_established(30010))
            with running(host.argv(portwait("--reserve", "30010", "--", "true"))) as guard:
                guard.complains("waiting for 30010")
                assert listed() == "30010"
                blocker.close()
                assert guard.status() == 0

    @pytest.mark.parametrize(
        ("flags", "environment", "reserved"),
        [
            ([], {"PORTWAIT_RESERVE": "1"}, "30010-30011"),
            (["--no-reserve"], {"PORTWAIT_RESERVE": "1"}, ""),
            ([], {}, ""),
            (["--reserve", "--dry-run"], {}, ""),
        ],
        ids=["variable", "flag-wins", "off", "dry-run"],
    )
    def test_only_when_asked(self, host: Host, flags: list[str], environment: dict[str, str], reserved: str) -> None:
        """Rule: nothing is written without being asked for, by flag or variable."""
        names = [f"{name}={value}" for name, value in environment.items()]
        host.run("env", *names, *portwait(*flags, "30010-30011", "--", "true"))
        assert listed() == reserved

    def test_a_failure_is_one_line_and_the_service_starts(self, host: Host) -> None:
        """Rule: a fault of the guard's own keeps no service down."""
        host.run("mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys")
        host.run("mount", "-o", "remount,bind,ro", "/proc/sys")
        done = host.run(*portwait("--reserve", "30010", "--", "echo", "started"))
        assert done.stdout == "started\n"
        assert done.stderr == (
            "portwait: failed to reserve 30010: /proc/sys is read-only here, as in a container or below "
            "ProtectKernelTunables=; continuing without it\n"
        )


class TestRefusals:
    def test_a_read_only_sysctl_gets_the_lines_for_containers(self, host: Host) -> None:
        """Rule: the exact lines, with the whole list, for whoever starts the container."""
        setting(RESERVED, "8080")
        host.run("mount", "--bind", "/proc/sys", "/proc/sys")
        host.run("mount", "-o", "remount,bind,ro", "/proc/sys")
        done = host.run(*portwait("reserve", "30010"), check=False)
        assert done.returncode == 125
        lines = [line.strip() for line in done.stderr.splitlines()]
        assert "--sysctl net.ipv4.ip_local_reserved_ports=8080,30010" in lines
        assert 'net.ipv4.ip_local_reserved_ports: "8080,30010"' in lines
        assert lines[lines.index("- name: net.ipv4.ip_local_reserved_ports") + 1] == 'value: "8080,30010"'

    def test_without_root_it_says_so(self, host: Host) -> None:
        """Rule: refused is an error with its own words, never a silent 0."""
        done = host.run(*AS_NOBODY, *portwait("reserve", "30010"), check=False)
        assert (done.returncode, listed()) == (125, "")
        said = "portwait: cannot reserve 30010: permission denied; it requires root in this network namespace\n"
        assert done.stderr == said

    @pytest.mark.parametrize(
        ("verb", "port", "what"),
        [("reserve", "30012", "persist 30012"), ("release", "30010", "release 30010 at boot")],
        ids=["reserve", "release"],
    )
    def test_without_root_nothing_is_persisted(self, host: Host, verb: str, port: str, what: str) -> None:
        """Rule: a refusal names its cure, for the file as for the list, and both are as they were."""
        host.run(*portwait("reserve", "--persist", "30010"))
        done = host.run(*AS_NOBODY, *portwait(verb, "--persist", port), check=False)
        assert (done.returncode, done.stdout, listed()) == (125, "", "30010")
        assert done.stderr == (
            f"portwait: cannot {what}: /etc/sysctl.d/zzz-portwait.conf: Permission denied; it requires root; "
            "nothing was changed\n"
        )

    def test_without_root_listing_works(self, host: Host) -> None:
        """Rule: what is reserved is no secret."""
        setting(RESERVED, "8080")
        done = host.run(*AS_NOBODY, *portwait("reserve"))
        assert "reserved              8080 (1 port)\n" in done.stdout


OTHERS = "/usr/lib/sysctl.d/50-vendor.conf"
PLACE = "/etc/sysctl.d/zzz-portwait.conf"


class TestAtBoot:
    """What is said of the file."""

    @pytest.mark.parametrize(
        ("words", "others", "expected"),
        [
            (["reserve", "5000"], "", "{} is as it was: it reserves 5000"),
            (["reserve", "5001"], "", "{} is written: it reserves 5000-5001"),
            (["reserve", "5000"], "4000", "{} is as it was: it reserves 5000, and repeats 4000 from other files"),
            (["release", "5000"], "4000", "{} is removed"),
            (["release", "6000"], "", "{} is as it was, because 6000 was not among portwait's own: it reserves 5000"),
            (
                ["release", "40,41"],
                "40-41",
                (
                    "{} is as it was, because 40-41 were not among portwait's own: it reserves 5000, and repeats 40-41 "
                    "from other files"
                ),
            ),
        ],
        ids=["again", "more", "beside-others", "the-last", "not-ours", "of-another-file"],
    )
    def test_says_what_it_holds_and_why(self, host: Host, words: list[str], others: str, expected: str) -> None:
        """Rule: whatever was asked, what is reserved at boot can be read from the answer."""
        if others:
            host.write(OTHERS, f"{RESERVED}={others}\n")
        host.run(*portwait("reserve", "--persist", "5000"))
        done = host.run(*portwait(words[0], "--persist", *words[1:]))
        assert f"at boot: {expected.format(PLACE)}" in done.stdout.splitlines()


class TestFilesOfOthers:
    """What somebody has put into sysctl.d."""

    @pytest.mark.parametrize("words", [("reserve", "--persist", "30010"), ("audit", "--window", "0.1s"), ("reserve",)])
    def test_a_fifo_or_a_giant_stops_nobody(self, host: Host, words: tuple[str, ...]) -> None:
        """Rule: what cannot be read is named, and the rest is done."""
        os.mkfifo(host.path("/etc/sysctl.d/10-fifo.conf"))
        with host.path("/etc/sysctl.d/20-sparse.conf").open("wb") as sparse:
            sparse.truncate(3 << 30)
        host.write(OTHERS, f"{RESERVED}=8080\n")
        done = host.run(*portwait(*words))
        text = " ".join(done.stdout.split())
        assert "note: /etc/sysctl.d/10-fifo.conf cannot be read and was left out: it is no regular file" in text
        assert "note: /etc/sysctl.d/20-sparse.conf cannot be read and was left out: it is too large" in text
        assert words != ("reserve", "--persist", "30010") or "repeats 8080 from other files" in text


class TestListing:
    def test_tells_ours_from_theirs(self, host: Host) -> None:
        """Rule: what portwait added in this network namespace is noted down; what was there before is not ours."""
        setting(RANGE, "32768 60999")
        setting(RESERVED, "8080")
        host.run(*portwait("reserve", "8080,30010-30011"))
        host.run(*portwait("release", "30011"))
        assert host.run(*portwait("reserve")).stdout == (
            "range                 32768-60999 (28,232 ports)\n"
            "reserved              8080,30010 (2 ports)\n"
            "by portwait, now      30010 (1 port)\n"
            "by portwait, at boot  none (/etc/sysctl.d/zzz-portwait.conf is not there, or not written by portwait)\n"
        )

    def test_another_namespace_has_its_own_note(self, host: Host) -> None:
        """Rule: the note has the scope of the setting, also where several namespaces share one /run."""
        host.run(*portwait("reserve", "30010"))
        with private_network():
            assert "by portwait, now      none\n" in host.run(*portwait("reserve")).stdout

    def test_what_others_have_taken_off_is_said(self, host: Host) -> None:
        """Rule: somebody who wrote the whole list anew has deleted our port, and that is worth knowing."""
        host.run(*portwait("reserve", "30010"))
        setting(RESERVED, "8080")
        assert "none; 30010 too, but somebody has taken that off the list" in host.run(*portwait("reserve")).stdout

    def test_where_there_can_be_no_note_the_answer_says_so(self, host: Host) -> None:
        """Rule: what cannot be known is said; the reservation itself stands."""
        host.run("mount", "-o", "remount,ro", "/run")
        done = host.run(*portwait("reserve", "30010"))
        assert "note: portwait will not know later that this was its doing: cannot write /run/portwait/" in done.stdout
        assert listed() == "30010"


class TestJson:
    @pytest.mark.parametrize(
        ("words", "name"),
        [
            (["reserve"], "reserved"),
            (["reserve", "30010"], "changed"),
            (["reserve", "--persist", "30010"], "changed"),
            (["release", "8080,30010"], "changed"),
            (["release", "--persist", "30010"], "changed"),
        ],
        ids=" ".join,
    )
    def test_follows_the_schema(self, host: Host, words: list[str], name: str) -> None:
        """Rule: the keys are a promise."""
        setting(RESERVED, "8080")
        for before in ([], ["reserve", "--persist", "30010"]):
            if before:
                host.run(*portwait(*before))
            document = json.loads(host.run(*portwait(*words, "--json")).stdout)
            schemas.validate(document, name)
            assert document["verb"] == words[0]

"""Several who reserve and release at once, and users who take the lock: nothing is lost, nobody waits long."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait._linux import netns_lock
from portwait.model import ports
from portwait.reserved import runtime
from tests.support.netns import private_network
from tests.support.netns import sysctl as setting
from tests.support.programs import Program, portwait, running
from tests.support.reserved_ports import RESERVED, listed
from tests.support.surroundings import AS_NOBODY

if TYPE_CHECKING:
    from tests.support.mounts import Host

pytestmark = pytest.mark.usefixtures("net")

UNRECORDED = "portwait will not know later that this was its doing"
"""What `reserve` says where it has waited for the lock in vain; `release` fails then."""
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
            done = host.run(*portwait(verb, "30010" if verb == "reserve" else "30011"))
        assert (done.stderr, UNRECORDED in done.stdout) == ("", False)
        assert listed() == ("30010-30011" if verb == "reserve" else "")

    def test_a_user_who_locks_the_folder_of_sysctl_delays_nobody(self, host: Host) -> None:
        """Rule: anybody can flock a folder that he can read; the lock is a file that only root can open."""
        locking = (
            "import fcntl,os,sys; fcntl.flock(os.open('/etc/sysctl.d', 0), 2); print('ready', flush=True); input()"
        )
        argv = host.argv([*AS_NOBODY, sys.executable, "-c", locking])
        with running(argv, stdin=subprocess.PIPE) as holder:
            holder.says("ready")
            done = host.run(*portwait("reserve", "--persist", "30010"))
        assert (done.stderr, UNRECORDED in done.stdout) == ("", False)
        assert host.path("/run/portwait/sysctl.d.lock").stat().st_mode & 0o777 == 0o600

    def test_a_lock_file_that_others_can_open_is_none(self, host: Host) -> None:
        """Rule: a file that is not root's alone is not trusted, and not waited for."""
        host.write("/run/portwait/reserved-ports.lock", "")
        host.path("/run/portwait/reserved-ports.lock").chmod(0o666)
        descriptor = os.open(host.path("/run/portwait/reserved-ports.lock"), os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        done = host.run(*portwait("reserve", "30010"))
        os.close(descriptor)
        assert (done.stderr, UNRECORDED in done.stdout) == ("", False)

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

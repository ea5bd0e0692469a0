"""Reserving and releasing that fail or are killed midway: the next run repairs, and leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from portwait.model import ports
from tests.support.packages import needs
from tests.support.programs import portwait
from tests.support.reserved_ports import listed, write_list

if TYPE_CHECKING:
    from tests.support.mounts import Host

pytestmark = pytest.mark.usefixtures("net")

LONG = tuple((port, port) for port in range(2000, 2000 + 2 * 2001, 2))
"""2,001 separate ports: three writes."""


def injected(call: str, what: str) -> list[str]:
    """Have strace put an error or a signal into a system call of a program."""
    needs("strace", "strace")
    return ["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={call}", f"--inject={call}:{what}"]


class TestCutShort:
    """A release of a long list takes several writes, the first of which replaces the list."""

    @pytest.fixture(autouse=True)
    def _long_list(self, request: pytest.FixtureRequest) -> None:
        """Fill the list of the test's own namespace, and of no other."""
        request.getfixturevalue("net")
        write_list(ports.show(LONG))

    def test_one_failing_write_is_tried_again(self, host: Host) -> None:
        """Rule: memory was short for a moment; nobody's port is lost."""
        # The first pwrite64 is the process's own number, in the lock's file.
        host.run(*injected("pwrite64", "error=ENOMEM:when=3"), *portwait("release", "2000"))
        assert listed() == ports.show(LONG[1:])

    def test_a_first_write_that_fails_changes_nothing(self, host: Host) -> None:
        """Rule: refused is refused; the list is whole and no note stays."""
        done = host.run(*injected("pwrite64", "error=ENOMEM:when=2"), *portwait("release", "2000"), check=False)
        assert (done.returncode, listed()) == (125, ports.show(LONG))
        assert done.stderr == "portwait: cannot release 2000: Cannot allocate memory\n"
        assert host.run(*portwait("reserve", "30010")).stderr == ""

    @pytest.mark.parametrize("what", ["error=ENOMEM:when=3+", "signal=SIGKILL:when=3"])
    @pytest.mark.parametrize("verb", ["reserve", "release"])
    def test_the_next_run_repairs(self, host: Host, what: str, verb: str) -> None:
        """Rule: what could not be put back, or by a process that was killed, the next run puts back by a note."""
        done = host.run(*injected("pwrite64", what), *portwait("release", "2000"), check=False)
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
        done = host.run(
            *injected(call, f"signal={number}:when=1"), *portwait("reserve", "--persist", "30010"), check=False
        )
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

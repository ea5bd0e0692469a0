"""Reserving and releasing on the real kernel, in a private network namespace."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from portwait._linux import sysctl
from portwait.model import ports
from tests.support import schemas, storm
from tests.support.netns import private_network
from tests.support.netns import sysctl as setting
from tests.support.programs import portwait, running
from tests.support.reserved_ports import RANGE, RESERVED, listed, write_list
from tests.support.states import LOOPBACK, outbound_established
from tests.support.surroundings import AS_NOBODY
from tests.unit.test_sysctld import VALUES

if TYPE_CHECKING:
    from tests.support.mounts import Host

pytestmark = pytest.mark.usefixtures("net")

MANY = tuple((port, port) for port in range(2000, 2000 + 2 * 9140, 2))
"""9,140 separate ports: 50 KB of list."""


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


class TestReserve:
    def test_a_long_list_of_somebody_else_survives_whole(self, host: Host) -> None:
        """Rule: one page is what the kernel takes of a write, and no reason to lose a port."""
        write_list(ports.show(MANY))
        host.run(*portwait("reserve", "30011"))
        assert listed() == ports.show(ports.merge([*MANY, (30011, 30011)]))
        assert listed().count(",") == 9140

    def test_release_leaves_the_rest_of_a_long_list(self, host: Host) -> None:
        """Rule: a list that takes many writes is put back whole, without the ports that were named."""
        write_list(ports.show(MANY))
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

"""The hold passes to the service by exec, and through commands that close what they do not know."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.descriptors import sockets_of
from tests.support.guarding import guard, run
from tests.support.packages import needs
from tests.support.programs import eventually, portwait, running
from tests.support.slow_services import LAST, PORT, SLOW_SERVICE, guarded, holds_of, name_of, slow_service
from tests.support.states import LOOPBACK, listening, reset

pytestmark = pytest.mark.usefixtures("net")


class TestAcrossExec:
    """What the service finds among its descriptors."""

    def test_descriptor(self) -> None:
        """One bound socket that does not listen, with a number out of the way of scripts and of select()."""
        with slow_service(PORT) as service:
            service.says("started")
            (held,) = sockets_of(service.pid)
            assert name_of(held) == "[::] 6"
            assert 100 <= held.number < 1024
            assert not held.listening
            assert held.reuseaddr

    def test_a_number_that_is_taken(self, tmp_path: Path) -> None:
        """Descriptors that were passed to the service stay what they are."""
        script = 'exec 100<"$0" 101<"$0"; exec "$@"'
        (tmp_path / "taken").write_text("")
        words = ["bash", "-c", script, str(tmp_path / "taken"), *portwait(str(PORT), "--", *SLOW_SERVICE, str(PORT))]
        with running(words, stdin=subprocess.PIPE) as service:
            service.says("started")
            assert [held.number for held in sockets_of(service.pid)] == [102]
            for number in 100, 101:
                assert Path(f"/proc/{service.pid}/fd/{number}").readlink() == tmp_path / "taken"

    def test_after_the_wait(self) -> None:
        """The hold that stood during the wait is the one that the service gets."""
        with guarded(PORT) as (service, blocker):
            eventually(lambda: holds_of(service.pid) == ["[::] 6"], "the hold")
            reset(blocker.sock)
            service.says("started")
            (held,) = sockets_of(service.pid)
            assert (name_of(held), held.number >= 100) == ("[::] 6", True)

    def test_over_an_ipv6_blocker(self) -> None:
        """The interim hold is for the wait only."""
        with guarded(PORT, blocker="::1") as (service, blocker):
            assert holds_of(service.pid) == [LAST]
            reset(blocker.sock)
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]

    def test_full_over_a_blocker(self) -> None:
        """A lesser hold stands at once; the full one follows as soon as the kernel allows it, at the latest at the end.

        The kernel lets it bind beside that blocker as soon as a socket of the same user with SO_REUSEPORT is on the
        port (FASTREUSEPORT_STRICT in net/ipv4/inet_connection_sock.c), and the lesser hold is one.
        """
        with guarded(PORT, "--hold=full") as (service, blocker):
            eventually(lambda: holds_of(service.pid) == ["[::]"], "the full hold")
            reset(blocker.sock)
            service.says("started")
            assert holds_of(service.pid) == ["[::]"]

    def test_beside_a_listener(self) -> None:
        """Nothing while it lives, the hold when it has gone."""
        with contextlib.ExitStack() as stack:
            with listening(PORT):
                service = stack.enter_context(slow_service(PORT))
                service.complains("waiting for")
                assert holds_of(service.pid) == []
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]

    @pytest.mark.parametrize("words", [("--no-hold",), ("--no-reuseaddr",), ("--hold=none",)])
    def test_none(self, words: tuple[str, ...]) -> None:
        with slow_service(PORT, *words) as service:
            service.says("started")
            assert holds_of(service.pid) == []

    def test_udp_has_none(self) -> None:
        """Of two targets the one that can be held is; -v says why the other one is not."""
        with slow_service(PORT, "-v", f"{PORT}/udp") as service:
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]
            assert "none" in service.complains(f"hold on {PORT}/udp")

    def test_full_for_udp(self) -> None:
        """127.255.255.254, and over it a service with SO_REUSEADDR; the guard's own probe does not stumble over it."""
        words = ("--hold=full", f"127.0.0.1:{PORT}/udp", f"{PORT}/udp")
        with running([*portwait(*words, "--", *SLOW_SERVICE, str(PORT))], stdin=subprocess.PIPE) as service:
            service.says("started")
            assert set(holds_of(service.pid)) == {LAST}
            assert service.err == []

    @pytest.mark.parametrize(
        ("words", "fails"),
        [
            ([f"{PORT}/udp"], True),
            (["-4", f"{PORT}/udp"], True),
            ([f"0.0.0.0:{PORT}/udp"], True),
            ([f"[::]:{PORT}/udp"], True),
            ([f"{LAST}:{PORT}/udp"], True),
            (["-6", f"{PORT}/udp"], False),
            ([f"{LOOPBACK}:{PORT}/udp"], False),
            ([f"[::1]:{PORT}/udp"], False),
        ],
        ids=str,
    )
    def test_full_for_udp_says_which_services_it_fails(self, words: list[str], fails: bool) -> None:
        """-v warns of it exactly where a service that binds that target without SO_REUSEADDR fails beside the hold."""
        code = "import sys\nfrom portwait.bind.probe import attempt\nfrom portwait.options import reader\n"
        code += "(target,) = reader.read('explain', sys.argv[1:], ('', '')).wanted({})\n"
        code += "print(attempt(target, reuseaddr=True)[0].state)"  # a UDP probe never sets SO_REUSEADDR
        done = run([*portwait("-v", "--hold=full", *words, "--", sys.executable, "-c", code, *words)])
        assert done.out.strip() == ("held" if fails else "free"), done
        assert ("that does not set SO_REUSEADDR, as most do not, cannot start beside it" in done.err) == fails

    def test_a_udp_hold_of_another_guard(self) -> None:
        """The guard waits for it whatever the service sets; what it says to do instead starts the service."""
        with running(
            [*portwait("--hold=full", f"{PORT}/udp", "--", *SLOW_SERVICE, str(PORT))], stdin=subprocess.PIPE
        ) as (service):
            service.says("started")
            told = run(portwait("explain", f"{PORT}/udp")).out
            code = f"import socket; s = socket.socket(type=2); s.setsockopt(1, 2, 1); s.bind(('', {PORT})); print('ok')"
            options = re.search(r"start it with (--timeout 0 --anyway)\.", " ".join(told.split()))
            assert options is not None, told
            done = run(portwait(*options[1].split(), f"{PORT}/udp", "--", sys.executable, "-c", code))
        assert done.out == "ok\n"
        assert "or stop it." in told

    def test_several(self) -> None:
        words = ("30020", "127.0.0.1:30030", "[::1]:30040")
        with slow_service(PORT, *words) as service:
            service.says("started")
            names = {(name_of(held), held.port) for held in sockets_of(service.pid)}
            assert names == {("[::] 6", PORT), ("[::] 6", 30020), ("[::] 6", 30030), (LAST, 30040)}

    def test_all_or_none(self) -> None:
        """With room for one of two descriptors there is neither; the service starts, and one line says why."""
        low = ("prlimit", "--nofile=101")
        with slow_service(PORT, before=low) as service:
            service.says("started")
            assert [held.number for held in sockets_of(service.pid)] == [100]
        with slow_service(PORT, "30020", before=low) as service:
            service.says("started")
            assert holds_of(service.pid) == []
            assert "RLIMIT_NOFILE" in service.complains("failed to hold the port")
            assert len(service.err) == 1

    @pytest.mark.parametrize(("span", "count"), [("30010-30073", 64), ("30010-30074", 0)])
    def test_at_most_64(self, span: str, count: int) -> None:
        """A wider range is for reserving."""
        with slow_service(PORT, span, before=("prlimit", "--nofile=256")) as service:
            service.says("started")
            assert len(sockets_of(service.pid)) == count

    @pytest.mark.parametrize(
        ("words", "said"), [((), False), (("-v",), True), (("--hold",), True), (("--dry-run",), True)], ids=str
    )
    def test_what_is_said_of_more(self, words: tuple[str, ...], said: bool) -> None:
        """A hold that was asked for by name is not left out without a word, and none is promised."""
        seen = guard(*words, "30010-30074", "--", "true")
        assert seen.status == 0
        assert ("no hold on 30010-30074, because portwait holds at most 64 ports" in seen.err) == said
        assert "would hold" not in seen.err


LISTS = ("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '")
"""Says which descriptors it has."""


START = ("--start", "--name", "none", "--startas", "/bin/sh", "--")


class TestCommandsThatClose:
    """Some programs close all descriptors when they start: the hold is gone before the service has bound its port."""

    @pytest.mark.parametrize(
        ("command", "package"),
        [
            (("sudo", *LISTS), "sudo"),
            (("daemon", "--", *LISTS), "daemon"),
            (
                (
                    "start-stop-daemon",
                    "--start",
                    "--background",
                    "--name",
                    "none",
                    "--startas",
                    "/bin/sh",
                    "--",
                    *LISTS[1:],
                ),
                "dpkg",
            ),
        ],
        ids=lambda value: value[0] if isinstance(value, tuple) else "",
    )
    def test_it_is_said(self, command: tuple[str, ...], package: str, tmp_path: Path) -> None:
        """For those that really close it, in one line with the cures; a port without a hold needs none."""
        needs(command[0], package)
        seen = tmp_path / "seen"
        command = (*command[:-1], f"{command[-1]} >{seen}")
        done = guard(str(PORT), "--", *command)
        assert done.status == 0
        eventually(seen.exists, "the service")
        numbers = [int(word) for word in eventually(seen.read_text, "its descriptors").split()]
        assert [number for number in numbers if number >= 100] == []
        (line,) = done.err.splitlines()
        assert line.startswith(f"portwait: {command[0]} closes the hold when it starts")
        assert f"portwait reserve {PORT}" in line
        assert guard("--no-hold", str(PORT), "--", *command).err == ""

    @pytest.mark.parametrize(
        ("command", "put"),
        [
            (("unshare", "--net", *LISTS), "unshare [OPTION...] portwait"),
            (("nsenter", "--net=/proc/self/ns/net", *LISTS), "nsenter [OPTION...] portwait"),
            (("ip", "netns", "exec", "absent", *LISTS), "ip netns exec NAME portwait"),
        ],
        ids=["unshare", "nsenter", "ip"],
    )
    def test_another_network_is_said(self, command: tuple[str, ...], put: str) -> None:
        """Rule: what portwait has asked and holds here is nothing to a service that binds there."""
        line = guard(str(PORT), f"{LOOPBACK}:{PORT}", "--", *command).err.splitlines()[0]
        assert line.startswith(f"portwait: {command[0]} starts the command in another network, and portwait has asked")
        assert line.endswith(f"Put portwait behind it: {put} {PORT} {LOOPBACK}:{PORT} -- COMMAND")
        assert "another network" not in guard("--listen", str(PORT), "--", *command).err

    def test_the_cures_are_for_these_targets(self) -> None:
        """What portwait is to be given behind sudo is what it was given before it."""
        done = guard("--hold=full", f"{LOOPBACK}:{PORT}/udp", str(PORT + 1), "--", "sudo", "--version")
        (line,) = [line for line in done.err.splitlines() if "portwait" in line]
        assert f"sudo [OPTION...] portwait {LOOPBACK}:{PORT}/udp {PORT + 1} -- COMMAND" in line
        assert f"portwait reserve {PORT}-{PORT + 1}" in line

    @pytest.mark.parametrize(
        "command",
        [
            ("runuser", "-u", "root", "--", *LISTS),
            ("su", "-s", "/bin/sh", "root", *LISTS[1:]),
            ("setpriv", "--reuid", "0", *LISTS),
            ("setsid", "--wait", *LISTS),
            ("nohup", *LISTS),
            ("daemon", "--foreground", "--", *LISTS),
            ("start-stop-daemon", *START, *LISTS[1:]),
        ],
        ids=lambda command: command[0],
    )
    def test_others_keep_it(self, command: tuple[str, ...]) -> None:
        """And not a word is said."""
        done = guard(str(PORT), "--", *command)
        assert [number for number in done.out.split() if int(number) >= 100] != []
        assert "portwait" not in done.err

    def test_behind_sudo(self) -> None:
        """The advised order keeps it."""
        needs("sudo", "sudo")
        done = run(["sudo", *portwait(str(PORT), "--", *LISTS)])
        assert [number for number in done.out.split() if int(number) >= 100] != []

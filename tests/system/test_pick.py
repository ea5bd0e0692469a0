"""`portwait pick` takes a port that nobody else has, keeps it alone, and tells it to the command that it becomes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import portwait
from portwait import api
from portwait.bind.claim import Claim
from tests.support.descriptors import sockets_of
from tests.support.guarding import GAVE_UP, NOT_FOUND, WRONG, guard, run, target_of
from tests.support.netns import sysctl
from tests.support.programs import Program, running
from tests.support.programs import portwait as command
from tests.support.states import LOOPBACK, WILDCARD, accepted_time_wait, listening, outbound_established
from tests.support.surroundings import AS_NOBODY
from tests.support.without import NO_IPV6, NO_NETLINK, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.bind.hold import Mode

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 10000
HELPERS = Path(__file__).parent / "helpers"
ROOT = Path(__file__).parents[2]
SLOW_SERVICE = (sys.executable, "-IS", str(HELPERS / "slow_service.py"), "{}")
WAITER = ("sh", "-c", "echo picked {}; read line")


def pick(*words: str, **how: object) -> tuple[int, str, str]:
    seen = guard("pick", *words, **how)  # type: ignore[arg-type]  # subprocess's own keywords
    return seen.status, seen.out, seen.err


class TestWords:
    """What the command line and the environment say."""

    @pytest.mark.parametrize(
        ("words", "out"),
        [
            (["10000-10009", "--", "echo", "p{}", "{{}}", "{2}"], "p10000 {} {2}\n"),
            (["--count", "2", "10000-10009", "--", "echo", "{2}", "{1}"], "10001 10000\n"),
            (["--count=3", "10005", "10000-10009", "--", "echo", "{1}", "{2}", "{3}"], "10005 10000 10001\n"),
            (["10000/udp", "--", "echo", "{}"], "10000\n"),
            (["127.0.0.1:10000-10001", "--", "echo", "{}"], "10000\n"),
            (["[::1]:10000-10001", "--", "echo", "{}"], "10000\n"),
            (["-4", "10000", "--", "echo", "{}"], "10000\n"),
            (["-6", "10000", "--", "echo", "{}"], "10000\n"),
            (["--hold=full", "10000", "--", "echo", "{}"], "10000\n"),
            (["--no-hold", "10000", "--", "echo", "{}"], "10000\n"),
            (["--no-reuseaddr", "10000", "--", "echo", "{}"], "10000\n"),
            (["--env", "PORT", "10000", "--", "sh", "-c", "echo $PORT"], "10000\n"),
            (["--env", "A,B", "--count", "2", "10000-10009", "--", "sh", "-c", "echo $A $B"], "10000 10001\n"),
            (["--env", "A", "--count", "2", "10000-10009", "--", "sh", "-c", "echo $A {2}"], "10000 10001\n"),
            (["10000", "--", "echo", "{}", "--", "--count"], "10000 -- --count\n"),
        ],
        ids=" ".join,
    )
    def test_the_command_is_told_its_ports(self, words: list[str], out: str) -> None:
        """Silently, as the guard is where the port is free."""
        assert pick(*words) == (0, out, "")

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ([], "cannot pick from nothing"),
            (["10000", "--"], "cannot run nothing"),
            (["10000", "--", "true"], "cannot tell the command its port: write {}"),
            (["--count", "2", "10000-10009", "--", "echo", "{1}"], "write {2}"),
            (["--count", "2", "10000-10009", "--", "echo", "{}"], "cannot replace {}"),
            (["--count", "0", "10000"], "from 1 to 64"),
            (["--count", "65", "10000-10999"], "from 1 to 64"),
            (["--env", "A,B", "10000", "--", "true"], "cannot set 2 variables"),
            (["--env", "A=B", "10000", "--", "true"], "a name has no ="),
            (["--hold=full", "--no-reuseaddr", "10000"], "cannot use --hold=full"),
            (["70000"], "a port is a number"),
            (["--evict", "10000"], "--evict"),
        ],
        ids=" ".join,
    )
    def test_wrong_words_are_one_line(self, words: list[str], said: str) -> None:
        """Status 125, and nothing was started."""
        status, out, err = pick(*words)
        assert (status, out) == (WRONG, "")
        assert said in err
        assert err.count("\n") == 1

    def test_variables_stand_in_for_options(self) -> None:
        """As for the guard, and the option wins; the service's TARGETs are no RANGE to pick from."""
        said = {**os.environ, "PORTWAIT_TARGETS": "10000-10009", "PORTWAIT_TIMEOUT": "0", "PORTWAIT_HOLD": "full"}
        assert pick("10000-10009", "--", "echo", "{}", env=said) == (0, "10000\n", "")
        status, out, err = pick("--", "echo", "{}", env=said)
        assert (status, out) == (WRONG, "")
        assert "name a RANGE" in err
        with listening(PORT):
            assert pick("10000", env=said)[0] == GAVE_UP

    def test_the_commands_own_failures(self) -> None:
        assert pick("10000", "--", "no-such-command", "{}")[0] == NOT_FOUND
        assert pick("10000", "--", "sh", "-c", "exit 7 # {}")[0] == 7

    def test_without_a_command_it_prints_the_number(self) -> None:
        """Alone on stdout, and one line on stderr says that nothing keeps it."""
        status, out, err = pick("10000-10009")
        assert (status, out) == (0, "10000\n")
        assert "nothing keeps this port" in err
        assert err.count("\n") == 1
        assert pick("--count", "2", "-q", "10000-10009") == (0, "10000\n10001\n", "")

    def test_it_says_why_this_one(self) -> None:
        """With -v: which it was, how many cannot be had, and where the kernel's range is."""
        sysctl("net.ipv4.ip_local_port_range", "10000 10004")
        with listening(10005):
            _, out, err = pick("-v", "10000-10006", "--", "echo", "{}")
        assert out == "10006\n"
        assert "the first of 10000-10006 that can be had (1 cannot); it is outside of ip_local_port_range" in err
        assert pick("10000-10004")[1] == "10000\n", "inside, where that is all there is"

    def test_random_takes_any(self) -> None:
        """Of 200 ports, twenty picks do not all take the same."""
        assert len({pick("-q", "--random", "10000-10199")[1] for _ in range(20)}) > 1


class TestTaken:
    """Where all ports are taken it waits, and says in one line what holds them."""

    def test_it_gives_up(self) -> None:
        with listening(10000), outbound_established(10001):
            status, out, err = pick("--timeout", "0", "10000-10001", "--", "echo", "{}")
        assert (status, out) == (GAVE_UP, "")
        assert err.count("\n") == 1
        assert "1 is held by listeners" in err
        assert f"pid {os.getpid()}" in err
        assert "1 is held by outbound connections" in err

    def test_it_waits(self) -> None:
        with contextlib.ExitStack() as stack:
            with listening(PORT):
                waiting = stack.enter_context(running(command("pick", str(PORT), "--", "echo", "{}")))
                waiting.complains("waiting for at most 1m15s: no port of 10000 can be had: 1 is held by listeners")
            waiting.says("10000")
            assert waiting.status() == 0

    @pytest.mark.parametrize(("words", "timeout"), [("100ms", 0.1), ("inf", None)])
    def test_the_wait_is_told_to_programs(self, words: str, timeout: float | None) -> None:
        """The event has the fields that the guard's has."""
        with listening(PORT), running(command("pick", "-t", words, "--log-format", "json", str(PORT))) as waiting:
            event = json.loads(waiting.complains("waiting"))
        known = {key: event[key] for key in ("event", "level", "target", "timeout", "hold")}
        assert known == {"event": "waiting", "level": "warning", "target": "10000", "timeout": timeout, "hold": False}

    def test_its_events_name_what_was_typed(self) -> None:
        """Rule: `target` is the ranges before the choice, and the port after it."""
        with listening(PORT):
            words = ("pick", "-v", "--log-format", "json")
            picked = run(command(*words, "10000/tcp", "10001/tcp", "--", "echo", "{}"))
            gave_up = run(command(*words, "-t", "0", "10000/tcp", "10000"))
        said = [(event["event"], event["target"]) for event in (*picked.events, *gave_up.events)]
        assert said == [("picked", "10001/tcp"), ("hold", "10001/tcp"), ("gave-up", "10000/tcp, 10000")]

    def test_a_signal_ends_the_wait(self) -> None:
        with listening(PORT), running(command("pick", str(PORT), "--", "echo", "{}")) as waiting:
            waiting.complains("waiting")
            waiting.signal(signal.SIGTERM)
            assert waiting.status() == -signal.SIGTERM

    def test_denied_ports_are_not_waited_for(self) -> None:
        """No wait gives this user a port below 1024."""
        status, _, err = pick("10-20", "--", "echo", "{}", before=AS_NOBODY)
        assert status == WRONG
        assert "this user may not bind 11 of them" in err

    def test_too_few_are_none(self) -> None:
        """It takes all that were asked for, or none."""
        with listening(10001):
            assert pick("--timeout", "0", "--count", "2", "10000-10001")[0] == GAVE_UP
            assert pick("-q", "--timeout", "0", "--count", "2", "10000-10002")[1] == "10000\n10002\n"

    @pytest.mark.parametrize("address", [WILDCARD, LOOPBACK, "::", "::1"])
    def test_a_server_that_is_live(self, address: str) -> None:
        """Whatever its address."""
        with listening(10000, address=address):
            assert pick("-q", "10000-10001")[1] == "10001\n"

    @pytest.mark.parametrize("server", ["127.0.0.1", "::1"])
    @pytest.mark.parametrize(
        ("words", "port"),
        [
            (["10000-10001"], 10000),
            (["-4", "10000-10001"], 10000),
            (["-6", "10000-10001"], 10000),
            (["--hold=full", "10000-10001"], 10000),
            (["--no-reuseaddr", "10000-10001"], 10001),
        ],
        ids=str,
    )
    def test_leftovers_of_a_server_are_no_obstacle(self, server: str, words: list[str], port: int) -> None:
        """A server with SO_REUSEADDR binds over its TIME_WAIT, so the port can be had, with the hold beside it."""
        with accepted_time_wait(10000, address=server), picked_by(*words, *WAITER) as picked:
            picked.says(f"picked {port}")
            assert len(sockets_of(picked.pid)) == ("--no-reuseaddr" not in words)


ALONE: list[tuple[str, Mode, bool]] = [  # the second pick, beside each of these
    ("10000", "default", True),
    ("10000", "full", True),
    ("10000", "none", True),
    ("10000", "default", False),
    ("-4 10000", "default", True),
    ("-6 10000", "default", True),
    ("127.0.0.1:10000", "default", True),
    ("[::1]:10000", "default", True),
    ("[::1]:10000", "default", False),
]


class TestAlone:
    """What one pick has taken no other pick takes, whatever each of them is for."""

    @kernel
    @pytest.mark.parametrize("first", ALONE, ids=str)
    @pytest.mark.parametrize("second", ALONE, ids=str)
    def test_two_picks(self, first: tuple[str, Mode, bool], second: tuple[str, Mode, bool]) -> None:
        """The second one is told `held`, until the first one has let go."""
        one = Claim(target_of(first[0]), first[1], reuseaddr=first[2])
        two = Claim(target_of(second[0]), second[1], reuseaddr=second[2])
        try:
            assert one.claim().state == "free"
            assert two.claim().state == "held"
            one.drop()
            assert two.claim().state == "free"
        finally:
            one.drop()
            two.drop()

    @kernel
    @pytest.mark.parametrize("words", ["10000", "-4 10000", "-6 10000", "127.0.0.1:10000", "[::1]:10000"])
    @pytest.mark.parametrize("mode", ["default", "full"])
    def test_beside_a_guards_hold(self, words: str, mode: Mode) -> None:
        """Its service could bind beside it, and so the port looks free to bind(); a pick for any target leaves it."""
        hold = portwait.Hold(target_of(words), mode)
        assert hold.take()
        try:
            for picks, other, reuseaddr in ALONE:
                claim = Claim(target_of(picks), other, reuseaddr=reuseaddr)
                assert (picks, claim.claim().state) == (picks, "held")
        finally:
            hold.drop()

    def test_udp(self) -> None:
        """There is no hold for UDP; the port's name keeps other picks away, and UDP and TCP do not meet."""
        udp, other, tcp = (Claim(target_of(words)) for words in ("10000/udp", "127.0.0.1:10000/udp", "10000"))
        try:
            assert [claim.claim().state for claim in (udp, other, tcp)] == ["free", "held", "free"]
        finally:
            udp.drop()
            tcp.drop()

    @pytest.mark.parametrize("rules", [(NO_NETLINK,), (NO_IPV6,), (NO_NETLINK, NO_IPV6), (f"socket:{1}=EAFNOSUPPORT",)])
    def test_with_less_of_a_kernel(self, rules: tuple[str, ...]) -> None:
        """Without netlink, IPv6 or Unix sockets: bind() needs none of the others to see a hold."""
        with contextlib.ExitStack() as stack:
            for port in ("10000", "10001", "10002"):
                argv = [*without(*rules), *command("pick", "10000-10002", "--", *WAITER)]
                stack.enter_context(running(argv, stdin=subprocess.PIPE)).says(f"picked {port}")
            status, _, err = pick("--timeout", "0", "10000-10002", "--", "echo", "{}", before=without(*rules))
            assert status == GAVE_UP
            assert "can be had" in err

    @pytest.mark.parametrize(
        ("words", "told"),
        [
            (("10000",), ""),
            (("--hold=full", "10000/udp"), ""),
            (("-q", "10000/udp"), ""),
            (("10000/udp",), "10000/udp"),
            (("--no-hold", "10000"), "10000/tcp"),
            (("--no-reuseaddr", "10000"), "10000/tcp"),
        ],
        ids=str,
    )
    def test_without_a_name(self, words: tuple[str, ...], told: str) -> None:
        """Where the hold does not keep other picks away either, one line says that nothing does."""
        status, out, err = pick(*words, "--", "echo", "{}", before=without(f"socket:{1}=EAFNOSUPPORT"))
        why = "Address family not supported by protocol; continuing without it"
        assert (status, out) == (0, "10000\n")
        assert err == (f"portwait: failed to keep other picks from {told}: {why}\n" if told else "")

    def test_other_users_and_namespaces(self) -> None:
        """Root, another user, a user namespace and a PID namespace of their own, on one network: five ports."""
        starts = [(), AS_NOBODY, ("unshare", "--user", "--map-root-user"), ("unshare", "--pid", "--fork"), AS_NOBODY]
        with contextlib.ExitStack() as stack:
            for number, before in enumerate(starts):
                argv = [*before, *command("pick", "10000-10004", "--", *WAITER)]
                stack.enter_context(running(argv, stdin=subprocess.PIPE)).says(f"picked {10000 + number}")

    def test_it_lasts_as_long_as_the_command(self) -> None:
        with picked_by("10000-10001", *WAITER) as first:
            first.says("picked 10000")
            with picked_by("10000-10001", *WAITER) as second:
                second.says("picked 10001")
            first.tell("end")
            assert first.status() == 0
            assert pick("-q", "10000-10001")[1] == "10000\n"

    def test_200_at_once_in_200_ports(self) -> None:
        """Each gets its own, and none fails."""
        argv = command("pick", "10000-10199", "--", *WAITER)
        with contextlib.ExitStack() as stack:
            programs = [stack.enter_context(running(argv, stdin=subprocess.PIPE)) for _ in range(200)]
            said = [program.says("picked ", deadline=60) for program in programs]
            assert sorted(said) == sorted(f"picked {port}" for port in range(10000, 10200))
            assert [program.err for program in programs if program.err] == []
            status, _, err = pick("--timeout", "0", "10000-10199")
            assert status == GAVE_UP
            assert "200 are held by" in err


class TestHold:
    """The port is kept until the server has bound it."""

    @pytest.mark.parametrize("address", ["::", WILDCARD, LOOPBACK, "::1"])
    def test_beside_clients_that_connect_without_pause(self, address: str) -> None:
        """Ten servers on ten of sixteen ports, all of them in the clients' range: none is lost, all listen."""
        storm = [sys.executable, "-IS", str(HELPERS / "storm.py"), "10000", "connect"]
        sysctl("net.ipv4.ip_local_port_range", "10000 10015")
        with contextlib.ExitStack() as stack:
            clients = stack.enter_context(running(storm, stdin=subprocess.PIPE))
            clients.says("storming")
            servers = [
                stack.enter_context(picked_by("--timeout=20", "10000-10015", *SLOW_SERVICE, address)) for _ in range(10)
            ]
            for server in servers:
                server.says("started")
            clients.tell("holding")
            clients.says("holding ")
            for server in servers:
                server.tell("bind")
                server.says("listening")

    @kernel
    def test_the_hold_is_the_guards(self) -> None:
        """One bound socket of [::] for IPv6 alone, at a descriptor from 100 on; nothing else stays open."""
        with picked_by("10000", *WAITER) as server, picked_by("10001/udp", *WAITER) as udp:
            server.says("picked")
            (held,) = sockets_of(server.pid)
            assert held._replace(number=0) == (0, "::", 10000, False, True, True)
            assert held.number == 100
            udp.says("picked")
            assert sockets_of(udp.pid) == [], "a UDP socket would take the server's datagrams"
            opened = [entry.name for entry in Path(f"/proc/{udp.pid}/fd").iterdir() if int(entry.name) >= 100]
            assert len(opened) == 1

    @kernel
    @pytest.mark.parametrize("reuseaddr", [True, False])
    @pytest.mark.parametrize("address", [WILDCARD, LOOPBACK])
    def test_ipv4_servers_need_no_option(self, address: str, reuseaddr: bool) -> None:
        """As over the guard's hold."""
        claim = Claim(target_of("10000"))
        assert claim.claim().state == "free"
        with contextlib.closing(_Dropping(claim)), listening(10000, address=address, reuseaddr=reuseaddr):
            pass

    def test_no_room_for_a_descriptor(self) -> None:
        """The command starts all the same, and one line says why nothing holds its port."""
        status, out, err = pick("10000", "--", "echo", "{}", before=("prlimit", "--nofile=50"))
        assert (status, out) == (0, "10000\n")
        assert "RLIMIT_NOFILE" in err
        assert err.count("\n") == 1


class TestPython:
    """`portwait.pick` gives a Hold whose port is known."""

    def test_what_the_docstring_says(self) -> None:
        """Two have two ports; a server binds beside its hold; what was dropped is picked again."""
        first, second = portwait.pick("10000-10001"), portwait.pick("10000-10001")
        assert isinstance(first, portwait.Hold)
        assert (first.port, second.port) == (10000, 10001)
        with (
            socket.create_server(("127.0.0.1", first.port)),
            pytest.raises(portwait.PortwaitError, match="none can be had"),
        ):
            portwait.pick("10000-10001", timeout=0.1)
        first.drop()
        third = portwait.pick("10000-10001")
        assert third.port == 10000
        second.drop()
        third.drop()

    def test_the_example_with_pytest(self, tmp_path: Path) -> None:
        """The one of docs/python.md passes as it stands."""
        _, _, rest = (ROOT / "docs/python.md").read_text().partition("```python\n")
        (tmp_path / "test_example.py").write_text(rest.partition("```")[0])
        seen = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], cwd=tmp_path)
        assert seen.status == 0, seen.out
        assert "1 passed" in seen.out

    @pytest.mark.parametrize(
        ("words", "how"),
        [
            ("10000-10009", {}),
            ("10000-10009", {"mode": "full"}),
            ("10000-10009", {"mode": "none"}),
            ("10000-10009", {"reuseaddr": False}),
            ("10000-10009/udp", {}),
            ("10000-10009/udp", {"mode": "full"}),
        ],
    )
    def test_a_port_is_kept_although_only_its_number_is(self, words: str, how: dict[str, Any]) -> None:
        """What keeps it stands until it is dropped, whoever forgets it: a hold, or where none may stand its name."""
        try:
            assert [portwait.pick(words, **how).port for _ in range(4)] == [10000, 10001, 10002, 10003]
        finally:
            for hold in api._picked:  # nobody else has them
                hold.drop()

    def test_wrong_words(self) -> None:
        with pytest.raises(portwait.UsageError):
            portwait.pick("99999")


# What the tests are made of


class _Dropping:
    def __init__(self, claim: Claim) -> None:
        self.close = claim.drop


@contextlib.contextmanager
def picked_by(*words: str) -> Iterator[Program]:
    """Start a program of the tests through pick; the words in front of the program's are pick's."""
    cut = next(place for place, word in enumerate(words) if word in ("sh", sys.executable))
    with running(command("pick", *words[:cut], "--", *words[cut:]), stdin=subprocess.PIPE) as program:
        yield program

"""Waiting: what wakes it, when it gives up, and what it says meanwhile."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import signal
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from portwait import parse, wait_until_free
from portwait.bind.survey import Survey
from portwait.log import Log
from portwait.model.verdict import Verdict
from portwait.wait import channel
from portwait.wait.loop import WaitLoop
from portwait.wait.narrator import Narrator
from tests.support import states
from tests.support.blockers import BLOCKERS, makers
from tests.support.descriptors import sockets_of
from tests.support.destroy_events import cookie_of, subscribed
from tests.support.guarding import GAVE_UP, STARTED, events, guard, in_order, run
from tests.support.netns import sysctl
from tests.support.pipes import full_pipe
from tests.support.programs import DEADLINE, Program, eventually, portwait, running
from tests.support.shown import link_of
from tests.support.states import LOOPBACK, outbound_established, reset
from tests.support.terminals import on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010
SLEEPLESS = (
    "import sys; from portwait.wait import polling, schedule; from portwait.__main__ import start;"
    "polling.POLL = schedule.LOOK = 3600; sys.argv[0] = 'portwait'; sys.exit(start())"
)
"""The guard without its slow poll, so that only an event or a timer can wake it."""


def close(made: Any) -> None:
    """End a connection at once: with RST, or as it is where there is nobody to tell."""
    reset(made.sock) if made.sock.type == socket.SOCK_STREAM else made.sock.close()


def peer_resets(made: states.Connection) -> None:
    """Let the other end reset the connection; the descriptor on the port stays open."""
    reset(made.peer)


def destroyed(made: states.Connection) -> None:  # noqa: ARG001  # the same signature as the others
    """Destroy the connection as `ss -K` does; the descriptor on the port stays open."""
    run(["ss", "-K", f"sport = :{PORT}"])


WITH_EVENT: dict[str, Callable[[Any], None]] = {
    "established": close,
    "established-ipv6": close,
    "established-mapped": close,
    "established-bound-first": close,
    "close-wait": lambda made: made.sock.close(),
    "syn-sent": lambda made: made.sock.close(),
    "self-connect": close,
    "listener": lambda made: made.sock.close(),
    "udp-connected": close,
    "udp-connected-ipv6": close,
    "udp-bound": close,
}
"""How each of BLOCKERS is closed."""
WITHOUT_EVENT = {"reset-by-peer": peer_resets, "ss-K": destroyed}
"""How an established connection ends while its descriptor on the port stays open."""


class TestEvents:
    """The kernel's word that a socket was destroyed."""

    @kernel
    @pytest.mark.parametrize(("there", "end"), WITH_EVENT.items(), ids=WITH_EVENT)
    def test_a_close_is_announced(self, there: str, end: Callable[[Any], None]) -> None:
        with BLOCKERS[there](PORT) as made, subscribed((PORT, PORT)) as listening:
            end(made)
            assert select.select([listening], [], [], DEADLINE)[0], "no event"

    @kernel
    @pytest.mark.parametrize("end", WITHOUT_EVENT.values(), ids=WITHOUT_EVENT)
    def test_these_are_not(self, end: Callable[[Any], None]) -> None:
        """The port becomes free while the descriptor stays open; the next close that is announced is another one's."""
        with outbound_established(PORT) as made, subscribed((PORT, PORT)) as listening:
            end(made)
            eventually(lambda: states.service_bind(PORT, reuseaddr=True) == "ok", "the free port")
            with outbound_established(PORT) as marker:
                cookie = cookie_of(marker.sock)
                reset(marker.sock)
            assert cookie_of(made.sock) not in [event.cookie for event in listening.until(cookie)]

    @kernel
    def test_only_of_the_ports_that_are_asked_for(self) -> None:
        """Other people's closes, and one's own failed probes, wake nobody."""
        with subscribed((PORT, PORT)) as listening, outbound_established(PORT) as made:
            for _ in range(20):
                assert states.service_bind(PORT) == "EADDRINUSE"
            for port in (PORT - 1, PORT + 1, 8000):
                with outbound_established(port) as other:
                    reset(other.sock)
            cookie = cookie_of(made.sock)
            reset(made.sock)
            assert [event.cookie for event in listening.until(cookie)] == [cookie]

    @kernel
    def test_other_ports_can_be_asked_for(self) -> None:
        with subscribed((PORT + 1, PORT + 1)) as listening, outbound_established(PORT) as made:
            listening.watch([(PORT, PORT)])
            reset(made.sock)
            assert select.select([listening], [], [], DEADLINE)[0], "no event"


class TestWaking:
    """The service starts when the port becomes free, however that happens."""

    @pytest.mark.parametrize("there", ["established", "established-ipv6", "close-wait", "listener"])
    def test_by_an_event(self, there: str) -> None:
        """With no poll under it the close alone wakes it."""
        with BLOCKERS[there](PORT) as made, waiting(str(PORT), "--", *STARTED, poll=False) as guarded:
            WITH_EVENT[there](made)
            guarded.says("started")
            assert guarded.status() == 0

    @pytest.mark.parametrize("there", makers("udp-connected", "udp-bound"))
    def test_by_an_event_of_udp(self, there: Maker) -> None:
        with there(PORT) as made, waiting(f"{PORT}/udp", "--", *STARTED, poll=False) as guarded:
            made.sock.close()
            guarded.says("started")

    @pytest.mark.parametrize("end", WITHOUT_EVENT.values(), ids=WITHOUT_EVENT)
    def test_by_the_poll(self, end: Callable[[Any], None]) -> None:
        """No event comes, and the descriptor on the port stays open."""
        with outbound_established(PORT) as made, waiting(str(PORT), "--", *STARTED) as guarded:
            end(made)
            guarded.says("started")
            assert made.sock.fileno() != -1

    def test_by_a_timer(self) -> None:
        """An orphaned FIN_WAIT2 has the same kind of timer as a TIME_WAIT, and no event at its end."""
        sysctl("net.ipv4.tcp_fin_timeout", "10")  # a busy host needs some of it to start the guard
        with states.fin_wait2_orphan(PORT), waiting(str(PORT), "--", *STARTED, poll=False, form="json") as guarded:
            guarded.says("started")
            guarded.status()
        said = in_order(events("\n".join(guarded.err)))
        assert [event["event"] for event in said] == ["held", "waiting", "free"]
        assert said[0]["blockers"][0]["state"] == "FIN_WAIT2"
        assert 0 < said[0]["blockers"][0]["expires_in"] <= 11

    def test_an_address_that_comes_up(self) -> None:
        """Neither free nor held: the interface may still get it."""
        with waiting("192.0.2.7:30010", "--", *STARTED) as guarded:
            assert "unavailable" in guarded.complains("192.0.2.7")
            run(["ip", "address", "add", "192.0.2.7/32", "dev", "lo"])
            guarded.says("started")

    @pytest.mark.parametrize(
        ("held", "is_kept"),
        [
            ((outbound_established,), True),
            ((states.listening,), False),
            ((states.listening, outbound_established), False),
        ],
        ids=["a client", "a server", "one of each"],
    )
    def test_says_what_keeps_new_connections_away(self, held: tuple[Maker, ...], is_kept: bool) -> None:
        """Only where a hold stands on each port that is waited for; the one on a free port says nothing of these."""
        with contextlib.ExitStack() as stack:
            for port, make in enumerate(held, PORT):
                stack.enter_context(make(port))
            wanted = (str(port) for port in range(PORT, PORT + len(held) + 1))
            guarded = stack.enter_context(waiting(*wanted, "--", *STARTED))
            assert ("no new connection" in guarded.complains("waiting for")) is is_kept

    def test_several_targets(self) -> None:
        """All of them have to be free at once; only those that are not are waited for."""
        with (
            outbound_established(PORT) as first,
            outbound_established(30020) as second,
            waiting(str(PORT), "30020", "30030", "--", *STARTED) as guarded,
        ):
            assert "30030" not in guarded.complains("waiting for")
            reset(second.sock)
            seen = guard("--timeout", "0", "--log-format", "json", str(PORT), "30020", "--", *STARTED)
            assert (seen.status, seen.out) == (GAVE_UP, "")
            assert seen.event("held")["target"] == str(PORT)
            assert guarded.process.poll() is None
            reset(first.sock)
            guarded.says("started")

    def test_in_python(self) -> None:
        """The API waits in the same way, without a word, and answers with the holds; it leaves nothing behind."""
        targets = parse([str(PORT), "30020"])
        with outbound_established(PORT):
            assert wait_until_free(*targets, timeout=0.2) is None
            assert [held for held in sockets_of(os.getpid()) if held.port == 30020] == []
        survey = wait_until_free(*targets, timeout=DEADLINE)
        assert survey is not None
        assert [one.form for one in survey.holds] == ["v6only", "v6only"]
        for one in survey.holds:
            one.drop()


class TestGivingUp:
    """The deadline is a moment, not a number of tries."""

    def test_events_do_not_move_it(self) -> None:
        """Sockets that come and go on the port wake the guard again and again, and it ends all the same."""
        with (
            outbound_established(PORT),
            running(portwait("--timeout", "1", str(PORT), "--", *STARTED)) as guarded,
            socket.create_server((LOOPBACK, 7100)) as server,
        ):
            while guarded.process.poll() is None:  # somebody who binds the port of another address by number
                with socket.create_connection((LOOPBACK, 7100), source_address=("127.0.0.2", PORT)) as other:
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                server.accept()[0].close()
            assert guarded.status() == GAVE_UP
            assert guarded.out == []

    @pytest.mark.parametrize("timeout", ["0", "100ms"])
    def test_nothing_is_started(self, timeout: str) -> None:
        with outbound_established(PORT):
            seen = guard("--timeout", timeout, str(PORT), "--", *STARTED)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert "gave up" in seen.err
        assert "nothing was started" in seen.err

    @pytest.mark.parametrize(
        "how", [{"words": ("--anyway",)}, {"env": {"PORTWAIT_ANYWAY": "1"}}], ids=["flag", "variable"]
    )
    def test_anyway(self, how: dict[str, Any]) -> None:
        """The command runs all the same, its status comes through, and the line says so."""
        env = {**os.environ, **how.get("env", {})}
        with outbound_established(PORT):
            seen = guard("--timeout", "0.1", *how.get("words", ()), str(PORT), "--", "sh", "-c", "exit 7", env=env)
        assert seen.status == 7
        assert "starting all the same" in seen.err

    def test_the_environment_gives_the_deadline(self) -> None:
        with outbound_established(PORT):
            assert guard(str(PORT), env={**os.environ, "PORTWAIT_TIMEOUT": "100ms"}).status == GAVE_UP

    def test_without_a_command(self) -> None:
        """As ExecStartPre=: it only waits, and holds nothing."""
        assert guard(str(PORT)) == (0, "", "")
        with outbound_established(PORT) as blocker, waiting(str(PORT)) as guarded:
            assert [held for held in sockets_of(guarded.pid) if held.port] == []
            reset(blocker.sock)
            assert guarded.status() == 0


def test_a_deadline_that_has_passed_when_the_wait_is_announced(capfd: pytest.CaptureFixture[str]) -> None:
    """Rule: on a busy machine naming may take longer than there was to wait; no negative time is said."""
    survey, now = Survey(parse(["30010"])), time.monotonic()
    WaitLoop(survey, Log(), now - 2, now - 1, None)._say_waiting()
    assert "for at most 0ms" in capfd.readouterr().err


SLOW_NARRATOR = """
import sys, time
from portwait.__main__ import start
from portwait.wait import inspection
diagnose = inspection.diagnose
inspection.diagnose = lambda *words, **named: (time.sleep(1.5), diagnose(*words, **named))[1]
sys.argv[0] = "portwait"
sys.exit(start())
"""
"""The guard of a host where reading the tables takes longer than the second from one look at them to the next."""


@pytest.mark.parametrize("targets", [("30000-30099",), ("30010-30012",)], ids=["tables decide", "bind decides"])
def test_news_while_the_narrator_is_busy(targets: tuple[str, ...]) -> None:
    """Rule: an event that comes while the tables are read keeps nobody from hearing what they say."""
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            argv = (sys.executable, "-Ic", SLOW_NARRATOR, *targets, "--", *STARTED)
            guarded = stack.enter_context(running(argv))
            guarded.complains("waiting for")
        guarded.says("started")


@pytest.mark.parametrize("narrator", [None, "lost", "busy"])
def test_a_pause_is_a_pause(narrator: str | None) -> None:
    """Rule: where the tables decide, news does not make the guard spin while nobody can be asked about them."""
    wide = Survey(parse(["30000-30099"]))
    ours, its = channel.pair()
    asked = None if narrator is None else Narrator(ours, 0, Log(), acts=False, was_pending=False)
    if asked is not None:
        asked.lost, asked.busy = narrator == "lost", narrator == "busy"
    wide.learn({wide.targets[10]: Verdict("held", 98, "tables")}, ())
    wide.probe()
    now = time.monotonic()
    WaitLoop(wide, Log(), now - 2, now + 60, asked)._pause(0.1)
    assert time.monotonic() - now >= 0.1
    its.close()
    ours.close()


class TestWhatItSays:
    """It speaks when something changes, and not at every try."""

    def test_nothing_while_nothing_changes(self) -> None:
        """A held port, a wait of many looks, the end: three events, whatever the number of lines of each."""
        with outbound_established(PORT):
            seen = guard("--timeout", "8", "--log-format", "json", str(PORT))
        assert [event["event"] for event in in_order(seen.events)] == ["held", "waiting", "gave-up"]

    def test_advice_is_for_the_bind_that_was_asked_for(self) -> None:
        """A command to paste asks with the same options: without SO_REUSEADDR there can be more in the way."""
        with outbound_established(PORT):
            (held, *_) = guard("--timeout", "0", "--no-reuseaddr", "--log-format", "json", str(PORT)).events
        commands = [line for one in held["remedies"] for line in one["commands"]]
        assert f"portwait evict --no-reuseaddr {PORT}" in commands

    def test_another_blocker(self) -> None:
        """Whoever takes the place of the first one is named."""
        with contextlib.ExitStack() as stack:
            first, second = stack.enter_context(states.shared_local_port(PORT, 2))
            guarded = stack.enter_context(waiting(str(PORT), "--", *STARTED, form="json"))
            reset(first.sock)
            changed = guarded.complains('"changed"')
            reset(second.sock)
            guarded.says("started")
            guarded.status()
        said = in_order(events("\n".join(guarded.err)))
        assert [event["event"] for event in said] == ["held", "waiting", "changed", "free"]
        assert {one["remote"] for one in said[0]["blockers"]} == {first.remote, second.remote}
        assert [one["remote"] for one in events(changed)[0]["blockers"]] == [second.remote]

    def test_another_state(self) -> None:
        """A connection that its server has ended is told again, for it is another case now."""
        with outbound_established(PORT) as made, waiting(str(PORT), form="json") as guarded:
            made.peer.shutdown(socket.SHUT_WR)
            with socket.socket() as other:  # an event, for a change of state makes none
                other.bind(("127.0.0.2", PORT))
            changed = guarded.complains('"changed"')
        assert events(changed)[0]["blockers"][0]["state"] == "CLOSE_WAIT"

    def test_silent_when_free(self) -> None:
        assert guard(str(PORT), "--", *STARTED) == (0, "started\n", "")

    def test_verbose(self) -> None:
        seen = guard("-v", str(PORT), "--", *STARTED)
        assert seen.started
        assert f"{PORT}/tcp is free" in seen.err
        assert "hold on" in seen.err

    def test_quiet(self) -> None:
        """Only why the command was not started."""
        with outbound_established(PORT):
            seen = guard("-q", "--timeout", "0.1", str(PORT), "--", *STARTED)
        assert seen.status == GAVE_UP
        assert len(seen.err.splitlines()) == 1
        assert "gave up" in seen.err

    @pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
    def test_dry_run(self, held: bool) -> None:
        """It says what it would do, at once, and starts nothing."""
        with outbound_established(PORT) if held else contextlib.nullcontext():
            seen = guard("--dry-run", str(PORT), "--", "sh", "-c", "echo $HOME; exit 9")
        assert (seen.status, seen.out) == (GAVE_UP if held else 0, "")
        assert "would become sh -c" in seen.err
        assert ("would wait" in seen.err) == held

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ((), ["would wait for 30010/tcp for at most 1m15s", "would hold", "would become echo started as soon as"]),
            (("-t0",), ["would give up on 30010/tcp at once (--timeout 0)"]),
            (("-t0", "--evict"), ["would evict", "would look at 30010/tcp once more", "would hold", "would become"]),
            (("-t0", "--anyway"), ["would not wait for 30010/tcp", "would hold", "would become echo started, free or"]),
        ],
        ids=["wait", "look-once", "evict", "anyway"],
    )
    def test_dry_run_promises_what_a_run_would_do(self, words: tuple[str, ...], said: list[str]) -> None:
        """Whether it would wait or give up, and whether the command would start at all."""
        with outbound_established(PORT):
            seen = guard("--dry-run", "--log-format=json", *words, str(PORT), "--", *STARTED)
        rehearsed = [event["text"] for event in seen.events if event["event"] in ("dry-run", "would-evict")]
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert len(rehearsed) == len(said)
        for text, part in zip(rehearsed, said):
            assert text.startswith(f"dry run: {part}")

    @pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
    @pytest.mark.parametrize(
        ("name", "status"),
        [("nosuchcommand", 127), ("/nosuch/command", 127), ("/etc/passwd", 126), ("/etc", 126), ("", 127)],
    )
    def test_dry_run_of_a_command_that_cannot_be_run(self, name: str, status: int, held: bool) -> None:
        """It says so, and where the port is free it ends as a run would."""
        with outbound_established(PORT) if held else contextlib.nullcontext():
            seen = guard("--dry-run", str(PORT), "--", name)
        assert f"dry run: cannot run {name}: " in seen.err
        assert seen.err.endswith(f"; would end with {status}\n")
        assert seen.status == (GAVE_UP if held else status)
        assert guard(str(PORT), "--", name).status == status

    def test_anyway_without_a_command(self) -> None:
        """Nothing is started, so it does not say so; as ExecStartPre= it lets the service try."""
        with outbound_established(PORT):
            seen = guard("-t0", "--anyway", str(PORT))
            rehearsed = guard("-t0", "--anyway", "--dry-run", str(PORT))
        assert seen.status == 0
        assert "still held; ending with 0 all the same (--anyway)" in seen.err
        assert "starting" not in seen.err
        assert rehearsed.status == GAVE_UP
        assert rehearsed.err.endswith("dry run: would end with 0 all the same (--anyway)\n")

    def test_json(self) -> None:
        """A line is an object; each has a time, a level, an event and a text."""
        said = in_order(events(spoken("json")))
        assert [event["event"] for event in said] == ["held", "waiting", "free"]
        assert [event["level"] for event in said] == ["warning", "info", "info"]
        assert all({"timestamp", "level", "event", "text"} <= event.keys() for event in said)

    def test_logfmt(self) -> None:
        """A line is key=value, quoted where it must be."""
        lines = (shlex.split(line) for line in spoken("logfmt").splitlines())
        said = in_order([dict(word.split("=", 1) for word in line) for line in lines])
        assert [line["event"] for line in said] == ["held", "waiting", "free"]
        assert [line["level"] for line in said] == ["warning", "info", "info"]
        assert said[0]["verdict"] == "held"
        assert "outbound connection" in said[0]["text"]

    @pytest.mark.parametrize("ours", [True, False], ids=["journal", "another-socket"])
    def test_priorities(self, ours: bool) -> None:
        """Where stderr is the socket that JOURNAL_STREAM names, each line has its priority."""
        mine, its = socket.socketpair()
        with mine, its, outbound_established(PORT):
            status = os.fstat(its.fileno())
            env = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (not ours)}"}
            assert guard("--timeout", "3", str(PORT), env=env, stderr=its).status == GAVE_UP
            its.close()
            said = b"".join(iter(lambda: mine.recv(1 << 16), b"")).decode().splitlines()
        assert all(bool(re.match(r"<[3-7]>", line)) == ours for line in said)
        if ours:
            assert said[0].startswith("<4>portwait: ")
            assert said[-1].startswith("<3>portwait: gave up")


IN_BACKGROUND = ("bash", "-mc", '"$@" & wait $!', "bash")
"""A shell with job control, which starts a job and has the terminal itself."""


class TestTerminal:
    """On a terminal there is a live line; it never stays behind."""

    def test_it_becomes_the_service(self) -> None:
        with outbound_established(PORT) as blocker, on_terminal(str(PORT), "--", *STARTED) as (guarded, screen):
            eventually(lambda: screen.live("waiting for 30010/tcp for "), "the live line")
            reset(blocker.sock)
            eventually(lambda: "started" in screen.lines(), "the service")
            assert guarded.status() == 0
            assert all("giving up in" not in line for line in screen.lines())

    def test_ctrl_c(self) -> None:
        """The terminal's own SIGINT ends it, by that signal, without a traceback and on a line of its own."""
        with outbound_established(PORT), on_terminal(str(PORT), "--", *STARTED) as (guarded, screen):
            eventually(lambda: screen.live("waiting for"), "the live line")
            screen.type(b"\x03")
            assert guarded.status() == -signal.SIGINT
            assert screen.lines()[-2:] == ["portwait: stopped by SIGINT; nothing was started", ""]
            assert "Traceback" not in screen.text

    def test_not_in_the_background(self) -> None:
        """The user types on that line; what happens is told all the same."""
        words = ("--timeout", "1", str(PORT))
        with outbound_established(PORT), on_terminal(*words, before=IN_BACKGROUND) as (shell, screen):
            assert shell.status() == GAVE_UP
            assert any("gave up" in line for line in screen.lines())
            assert "\x1b[K" not in screen.text

    @pytest.mark.parametrize("words", [("--log-format", "json"), ("-q",)], ids=["json", "quiet"])
    def test_not_with_these(self, words: tuple[str, ...]) -> None:
        with outbound_established(PORT), on_terminal(*words, "--timeout", "0.2", str(PORT)) as (guarded, screen):
            assert guarded.status() == GAVE_UP
            assert "gave up" in screen.lines()[-2]
            assert "\x1b[K" not in screen.text

    def test_not_in_a_pipe(self) -> None:
        with outbound_established(PORT):
            assert "\x1b" not in guard("--timeout", "0.2", str(PORT)).err


class TestStandardStreams:
    """Nothing that stderr does, or does not do, keeps a service down."""

    def test_nobody_reads(self) -> None:
        """The pipe is full when portwait starts, and nobody ever takes a byte out of it."""
        with full_pipe() as writing, contextlib.ExitStack() as stack:
            with outbound_established(PORT):
                guarded = stack.enter_context(running(portwait("-v", str(PORT), "--", *STARTED), stderr=writing))
                eventually(lambda: any(held.port for held in sockets_of(guarded.pid)), "the hold")
            guarded.says("started")
            assert guarded.status() == 0

    @pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-", "2>/dev/full"])
    def test_closed(self, closed: str, tmp_path: Path) -> None:
        """Without them it waits, gives up and starts as with them."""
        argv = ["sh", "-c", f'exec "$@" {closed}', "sh", *portwait("--timeout", "0.2", str(PORT), "--")]
        proof = tmp_path / "proof"
        with outbound_established(PORT):
            assert run([*argv, "touch", str(proof)]).status == GAVE_UP
        assert not proof.exists()
        assert run([*argv, "touch", str(proof)]).status == 0
        assert proof.exists()

    def test_a_reader_that_has_gone(self) -> None:
        """SIGPIPE does not end the wait."""
        reading, writing = os.pipe()
        os.close(reading)
        with outbound_established(PORT), contextlib.ExitStack() as stack:
            stack.callback(os.close, writing)
            assert guard("--timeout", "0.2", str(PORT), stderr=writing).status == GAVE_UP


class TestPassedIn:
    """A socket for the target that systemd has passed in: the port is the service's already."""

    SCRIPT = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&$0'
    SHOW = ("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $$; readlink /proc/self/fd/3")

    def test_it_goes_on_at_once(self) -> None:
        """Its own listener is not in its way; everything is passed through."""
        with states.listening(PORT) as made:
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number), *portwait("--timeout", "0", str(PORT), "--", *self.SHOW)]
            with running(argv, pass_fds=[number]) as service:
                assert service.status() == 0, service.describe()
                assert service.out == [f"1 {service.pid} {service.pid}", link_of(number)]
                assert service.err == []

    def test_another_port_is_waited_for(self) -> None:
        with states.listening(PORT + 1) as made, outbound_established(PORT):
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number), *portwait("--timeout", "0", str(PORT), "--", *self.SHOW)]
            assert run(argv, pass_fds=[number]).status == GAVE_UP


# What the tests are made of


@contextlib.contextmanager
def waiting(*words: str, poll: bool = True, form: str = "auto") -> Iterator[Program]:
    """Start portwait, and go on when it waits; without `poll` only events and timers wake it."""
    start = portwait() if poll else [sys.executable, "-Ic", SLEEPLESS]
    with running([*start, "--log-format", form, *words]) as program:
        program.complains("waiting for")
        yield program


def spoken(form: str) -> str:
    """Let a guard wait until its blocker goes; all that it said in this form."""
    with outbound_established(PORT) as blocker, waiting(str(PORT), "--", *STARTED, form=form) as guarded:
        reset(blocker.sock)
        assert guarded.status() == 0
    return "\n".join(guarded.err)

"""What is said while it waits: in lines, on a terminal, into whatever stderr is."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support import states
from tests.support.descriptors import sockets_of
from tests.support.guarding import GAVE_UP, STARTED, events, guard, in_order, run, waiting
from tests.support.pipes import full_pipe
from tests.support.programs import eventually, portwait, running
from tests.support.states import outbound_established, reset
from tests.support.surroundings import AS_STRANGER
from tests.support.terminals import IN_BACKGROUND, STOPPING_WRITERS, on_terminal

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.usefixtures("net")

PORT = 30010


class TestWhatItSays:
    """It speaks when something changes, and not at every try."""

    def test_nothing_while_nothing_changes(self) -> None:
        """A held port, a wait of many looks, the end: three events, whatever the number of lines of each."""
        with outbound_established(PORT), waiting(str(PORT), form="json") as guarded:
            with contextlib.suppress(subprocess.TimeoutExpired):
                guarded.process.wait(4)
            guarded.signal()
            guarded.status()
        said = in_order(events("\n".join(guarded.err)))
        assert [event["event"] for event in said] == ["held", "waiting", "stopped"]

    def test_advice_is_for_the_bind_that_was_asked_for(self) -> None:
        """A command to paste asks with the same options: without SO_REUSEADDR there can be more in the way."""
        with outbound_established(PORT):
            (held, *_) = guard("--timeout", "0", "--no-reuseaddr", "--log-format", "json", str(PORT)).events
        commands = [line for one in held["remedies"] for line in one["commands"]]
        assert f"portwait evict --no-reuseaddr {PORT}" in commands

    @pytest.mark.parametrize("words", [["30010"], ["30010/tcp"], ["127.0.0.1:30010"], ["30010", "30011/tcp"]], ids=str)
    def test_every_event_names_a_target_as_it_was_typed(self, words: list[str]) -> None:
        """Whatever tells of a target can be joined with its report; several have commas between them."""
        options = ["-v", "--log-format", "json", "--reserve"]
        with outbound_established(PORT):
            with waiting(*options, *words, form="json") as guarded:
                guarded.signal()
                guarded.status()
            said = events("\n".join(guarded.err))
            said += guard(*options, "--timeout", "0", *words).events
            said += guard(*options, "--dry-run", *words, "--", *STARTED).events
            said += guard(*options, "--evict", *words, "--", *STARTED).events
        told = {(event["event"], event["target"]) for event in said if "target" in event}
        first, every = words[0], ", ".join(words)
        of_one = {"held", "waiting", "gave-up", "evicted"}
        of_all = {"reserved", "free"}
        each = {("dry-run", first), ("dry-run", every)} | {("hold", word) for word in words}
        assert told == {(name, first) for name in of_one} | {(name, every) for name in of_all} | each

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

    def test_no_hold_is_told_that_could_not_be_made_to_last(self) -> None:
        """Rule: -v says of a hold that it stays only when it does; here no descriptor has a number for it."""
        seen = guard("-v", str(PORT), "--", *STARTED, before=("prlimit", "--nofile=100"))
        assert seen.started
        assert "failed to hold the port" in seen.err
        assert "hold on" not in seen.err

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
        """It says so, and where the port is free it ends as a run would; held, it says when it would end so."""
        with outbound_established(PORT) if held else contextlib.nullcontext():
            seen = guard("--dry-run", str(PORT), "--", name)
        assert f"dry run: cannot run {name}: " in seen.err
        when = " as soon as that is free" if held else ""
        assert seen.err.endswith(f"; would end with {status}{when}\n")
        assert seen.status == (GAVE_UP if held else status)
        assert guard(str(PORT), "--", name).status == status

    def test_free_is_the_word_of_bind_alone(self) -> None:
        """Rule: what bind() may not be asked about can be tried, and nothing holds it until the service has it."""
        argv = [*AS_STRANGER, *portwait("--dry-run", "80", "443", str(PORT), "--", *STARTED)]
        lines = [line for line in run(argv).err.splitlines() if "dry run" in line]
        unsure = "80/tcp, 443/tcp can be tried: nobody can tell whether they are free"
        assert lines[:2] == [
            f"portwait: dry run: {PORT}/tcp is free and {unsure}",
            f"portwait: dry run: would hold {PORT}/tcp (default) until the service has bound it",
        ]

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
            assert guard("--timeout", "0", str(PORT), env=env, stderr=its).status == GAVE_UP
            its.close()
            said = b"".join(iter(lambda: mine.recv(1 << 16), b"")).decode().splitlines()
        assert all(bool(re.match(r"<[3-7]>", line)) == ours for line in said)
        if ours:
            assert said[0].startswith("<4>portwait: ")
            assert said[-1].startswith("<3>portwait: gave up")


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

    @pytest.mark.parametrize("start", [IN_BACKGROUND, STOPPING_WRITERS], ids=["usual", "tostop"])
    def test_not_in_the_background(self, start: tuple[str, ...]) -> None:
        """The user types on that line; what happens is told all the same, and nothing waits for the foreground."""
        words = ("--timeout", "1", str(PORT))
        with outbound_established(PORT), on_terminal(*words, before=start) as (shell, screen):
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


def spoken(form: str) -> str:
    """Let a guard wait until its blocker goes; all that it said in this form."""
    with outbound_established(PORT) as blocker, waiting(str(PORT), "--", *STARTED, form=form) as guarded:
        reset(blocker.sock)
        assert guarded.status() == 0
    return "\n".join(guarded.err)

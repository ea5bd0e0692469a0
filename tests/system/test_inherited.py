"""A portwait that was started with a socket on the port open: it says so, and never names itself as who is to stop."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import states
from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import GAVE_UP, STARTED, events, guard, run
from tests.support.programs import eventually, portwait, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.guarding import Outcome

pytestmark = pytest.mark.usefixtures("net")

HERE = Path(__file__).parent
PORT = 30010
SOCKETS = {
    "listener": "socket.create_server(('', port))",
    "bound": "socket.socket()",
    "udp": "socket.socket(type=socket.SOCK_DGRAM)",
    "outbound": "socket.socket()",
}
_MAKE = f"""
import os, socket, subprocess, sys
how, port = sys.argv[1], {PORT}
sock = eval({SOCKETS!r}[how])
if how != "listener":
    sock.bind(("127.0.0.1" if how == "outbound" else "", port))
kept = [sock]
if how == "outbound":
    server = socket.create_server(("127.0.0.1", 0))
    sock.connect(server.getsockname())
    kept += [server, server.accept()[0]]
for each in kept:
    each.set_inheritable(True)
"""
ALONE = f"{_MAKE}os.execvp(sys.argv[2], sys.argv[2:])"
"""A program that makes a socket and becomes portwait, which has it alone then."""
PARENT = f"{_MAKE}print('ready', flush=True); subprocess.run(sys.argv[2:], close_fds=False); print('done', flush=True)"
PARENT += "; sys.stdin.read()"
"""A program that makes a socket, runs portwait and goes on."""
each_socket = pytest.mark.parametrize("how", SOCKETS)


@each_socket
@pytest.mark.parametrize("more", [(), ("--terminate=listener,bound,outbound,udp",)], ids=["", "terminate"])
def test_a_guard_has_it_alone(how: str, more: tuple[str, ...]) -> None:
    """Rule: it names no process, says that it has inherited the socket, advises no kill and signals nobody."""
    seen = run(started(ALONE, how, "-t", "0", "--log-format", "json", *more, target(how), "--", *STARTED))
    assert (seen.status, seen.out) == (GAVE_UP, "")
    (held, *_) = [event for event in seen.events if event["event"] == "held"]
    assert "this portwait has inherited it" in held["text"].splitlines()[0]
    check_alone(held)
    refused = [event["code"] for event in seen.events if event["event"] == "not-signalled"]
    assert refused == (["self"] if more else [])


@each_socket
@pytest.mark.parametrize("verb", ["explain", "evict"])
def test_a_verb_has_it_alone(how: str, verb: str) -> None:
    """Rule: the same for the other verbs that name who is in the way; they end, so that nobody is left to stop."""
    dry = ("--dry-run",) if verb == "evict" else ()
    seen = run(started(ALONE, how, verb, "--json", *dry, target(how)))
    assert seen.status == 1
    (held,) = json.loads(seen.out)["targets"]
    check_alone(held)


@pytest.mark.parametrize("how", ["listener", "bound", "udp"])
def test_the_parent_has_it_too(how: str) -> None:
    """Rule: the parent is named, and nobody else. The advice, pasted, frees the port."""
    with running(started(PARENT, how, "explain", "--json", target(how)), stdin=-1) as parent:
        parent.says("done")
        (held,) = json.loads("".join(line for line in parent.out if line not in ("ready", "done")))["targets"]
        (blocker,) = held["blockers"]
        assert [owner["pid"] for owner in blocker["owners"]] == [parent.pid]
        assert blocker["inherited"]
        commands = [line for remedy in held["remedies"] for line in remedy["commands"] if line.startswith("kill")]
        assert commands == [f"kill {parent.pid}"]
        run(shlex.split(commands[0]))
        eventually(lambda: states.service_bind(PORT, udp=how == "udp") == "ok", "the free port")


def test_the_report_on_a_socket() -> None:
    """Rule: headline, detail and advice say the same."""
    assert_golden(HERE / "golden" / "inherited.txt", lambda *words: asked("explain", *words, str(PORT)))


class TestNested:
    """A guard whose command is a guard of the same port."""

    @pytest.mark.parametrize("between", [(), ("sh", "-c", '"$@"; exit $?', "sh")], ids=["exec", "a shell"])
    def test_what_it_says(self, between: tuple[str, ...]) -> None:
        """Rule: the hold of the outer one is no reason to stop anybody."""
        inner = portwait("-t", "0", "--no-reuseaddr", "--log-format", "json", str(PORT), "--", *STARTED)
        seen = guard(str(PORT), "--", *between, *map(os.fsdecode, inner))
        assert (seen.status, seen.out) == (GAVE_UP, "")
        (held, *_) = events(seen.err)
        assert [remedy["code"] for remedy in held["remedies"]] == ["inherited-hold"]
        assert [remedy["commands"] for remedy in held["remedies"]] == [[]]
        assert all(blocker["inherited"] for blocker in held["blockers"])

    def test_the_report(self) -> None:
        """Rule: an explain inside says the same."""

        def explain(*words: str) -> Outcome:
            inside = portwait("explain", "--no-reuseaddr", *words, str(PORT))
            return guard(str(PORT), "--", *inside, env={**os.environ, **UNBROKEN})

        assert_golden(HERE / "golden" / "inherited-hold.txt", explain)

    def test_a_free_port(self) -> None:
        """Rule: nor is the explain inside the keeper of the hold, where that is in nobody's way."""
        seen = guard(str(PORT), "--", *portwait("explain", str(PORT)))
        assert "A hold of portwait stands on it: no connect() gets it." in seen.out
        assert "pid" not in seen.out

    @pytest.mark.parametrize(
        ("outer", "inner"), [((), ()), (("--no-hold",), ("--no-reuseaddr",))], ids=["both set it", "no hold outside"]
    )
    def test_the_advice_helps(self, outer: tuple[str, ...], inner: tuple[str, ...]) -> None:
        """Rule: without --no-reuseaddr inside, or without a hold outside, the command starts."""
        seen = guard(*outer, str(PORT), "--", *portwait("-t", "1", *inner, str(PORT), "--", *STARTED))
        assert (seen.status, seen.out, seen.err) == (0, "started\n", "")


# What the tests are made of


def started(script: str, how: str, *words: str) -> Sequence[str]:
    return [sys.executable, "-ISc", script, how, *map(os.fsdecode, portwait(*words))]


def asked(*words: str) -> Outcome:
    """Let a portwait that has a listener alone run to its end."""
    return run(started(ALONE, "listener", *words), env={**os.environ, **UNBROKEN})


def target(how: str) -> str:
    return f"{PORT}/udp" if how == "udp" else str(PORT)


def check_alone(held: dict[str, Any]) -> None:
    """Nobody is named, and nothing says that somebody is to stop."""
    assert held["verdict"] == "held"
    (blocker,) = held["blockers"]
    assert (blocker["owners"], blocker["inherited"], blocker["unseen"]) == ([], True, None)
    assert "inherited-socket" in [remedy["code"] for remedy in held["remedies"]]
    assert not any("kill" in line or "stop" in line for remedy in held["remedies"] for line in remedy["commands"])

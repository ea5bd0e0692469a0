"""One system call of portwait fails, each in its turn: no traceback, no hang, nothing is half done without a word.

strace gives each call of a verb, from portwait's first line on, each error that the call documents, one at a time
(`tests.support.faults`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import portwait
from portwait.model import ports
from portwait.options import completion
from portwait.options.record import VERBS
from tests.support import states
from tests.support.fault_situations import (
    BEFORE,
    BLOCKER,
    LONGER,
    METRICS,
    MISSING,
    PASSED,
    PATIENT,
    PORT,
    SCRIPT,
    SERVICE,
    SHORT,
    SITUATIONS,
    STORED,
    THEIRS,
    Beside,
    Situation,
    privileged,
)
from tests.support.faults import Laboratory, Order, try_faults
from tests.support.manager import Manager
from tests.support.mounts import Host, private_host
from tests.support.netns import sysctl as setting
from tests.support.programs import Program, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.faults import Call, Fault, Run
    from tests.system.conftest import Tools

pytestmark = pytest.mark.usefixtures("net")

RESERVED = "net.ipv4.ip_local_reserved_ports"
PICKED = (PORT + 1, PORT + 2)
OURS = "/etc/sysctl.d/zzz-portwait.conf"
SECONDS = 15
"""After which a run hangs; every one ends by itself in less than 5. On a busy machine four times as many."""


class Bench(NamedTuple):
    """All that a run needs."""

    laboratory: Laboratory
    host: Host
    manager: Manager
    blocker: Program
    state: str
    shown: Path
    script: Path
    after: dict[str, Any]
    """Of the last run: what bind() said behind it (`port`), its service's own sockets, and what systemd has stored; how
    many holds its service had (`holds`). Of a run without a fault: these, and what was said (`usual`)."""


@pytest.fixture
def bench(request: pytest.FixtureRequest, tools: Tools, tmp_path: Path) -> Iterator[Bench]:
    """Set it up: folders of its own, a stand-in for systemd, a helper that forks one portwait after the other.

    They see no processes but each other: how many calls a run makes does not depend on what else there is.
    """
    without = SITUATIONS[request.node.callspec.params["name"]].without
    lacking = ["setpriv", f"--bounding-set=-{without.replace(',', ',-')}"] if without else []
    with private_host(apart=True) as host, running(host.argv(BLOCKER), stdin=subprocess.PIPE) as blocker:
        script = tmp_path / "script"
        script.write_text(f"exec {tools.state} {tmp_path / 'shown'}\n")
        script.chmod(0o755)
        manager = Manager(tmp_path, room=100_000)
        laboratory = Laboratory(tmp_path, host.argv(lacking))
        yield Bench(laboratory, host, manager, blocker, tools.state, tmp_path / "shown", script, {})
        laboratory.close()
        manager.stop()


@pytest.mark.parametrize("name", SITUATIONS)
def test_one_failing_call(bench: Bench, name: str) -> None:
    """Rule: a service that is free starts, one that is held does not, what was promised is so, or words say why not."""
    situation = SITUATIONS[name]
    calls = undisturbed(bench, situation)
    usual = bench.after["usual"]
    elsewhere: list[Call] = []
    if os.environ.get("FAULTS"):
        elsewhere = [call for other in situation.like for call in undisturbed(bench, SITUATIONS[other])]
    bench.after["usual"] = usual

    def wrong(fault: Fault) -> str | None:
        before = bench.laboratory.struck
        for patience in (SHORT, PATIENT if os.environ.get("FAULTS") else LONGER):
            what = wrong_with(bench, situation, once(bench, situation, patience, fault)[0], fault.call)
            if what or bench.laboratory.struck > before:
                return what
        return None

    try_faults(bench.laboratory, name, calls, wrong, elsewhere)


def undisturbed(bench: Bench, situation: Situation) -> list[Call]:
    """Run it without a fault; the calls. Where all are to be tried, a longer run adds the kinds that only it comes to.

    It does not add what it makes more often, as each look of the wait.
    """
    runs = []
    for patience in (PATIENT, SHORT) if os.environ.get("FAULTS") else (SHORT,):
        done, calls = once(bench, situation, patience)
        assert wrong_with(bench, situation, done, "") is None, done
        assert bench.shown.exists() or situation.expected != "cleared" or patience is SHORT, done
        runs.append(calls)
    bench.after["usual"] = bench.after["holds"], done.err
    known = {(call.process, call.name, call.likeness) for call in runs[-1]}
    return [*runs[-1], *(call for call in runs[0] if (call.process, call.name, call.likeness) not in known)]


def is_busy() -> bool:
    """Whether so many programs want to run that one of them may have to wait for seconds."""
    return os.getloadavg()[0] > 2 * len(os.sched_getaffinity(0))


def once(
    bench: Bench, situation: Situation, patience: Mapping[str, str], fault: Fault | None = None
) -> tuple[Run, list[Call]]:
    """Run it, from the same beginning each time."""
    setting(RESERVED, ports.show(THEIRS))
    bench.host.path(OURS).unlink(missing_ok=True)
    bench.host.write(METRICS, BEFORE)
    bench.shown.unlink(missing_ok=True)
    bench.manager.forget()
    replaced = {SERVICE: (bench.state, str(bench.shown)), SCRIPT: (str(bench.script),)}
    words = [part for word in situation.words for part in replaced.get(word, (patience.get(word, word),))]
    bench.laboratory.err.unlink(missing_ok=True)
    beside = Beside(bench.laboratory.err, bench.manager, bench.blocker, bench.host)
    with situation.beside(beside):
        variables = {**situation.variables, "NOTIFY_SOCKET": bench.manager.address if situation.notify else ""}
        order = Order(words, variables, beside.passed, situation.terminal)
        seconds = 4 * SECONDS if is_busy() else SECONDS
        if fault is None:
            answer = bench.laboratory.undisturbed(order, seconds)
        else:
            answer = bench.laboratory.inject(fault, order, seconds), []
        bound = states.service_bind(PORT, udp=situation.udp)
        holds = len(holds_among(numbers_and_variables(bench.shown)[0]))
        bench.after.update(port=bound, own=beside.own, stored=bench.manager.names, holds=holds)
        return answer


def wrong_with(bench: Bench, situation: Situation, done: Run, failing: str) -> str | None:
    """Say what is wrong with the outcome, or None."""
    if done.status is None:
        return f"it hangs: {done.err[-300:]}"
    if "Traceback" in done.err or "a bug in portwait" in done.err:
        return f"status {done.status}: {done.err[-300:]}"
    if bench.laboratory.left():
        return "a process of it is left"
    if temporary := temporary_files(bench.host):
        return f"left {temporary}"
    if situation.spares and bench.after["port"] == "ok":
        return f"it removed who was in the way: {done.err[-300:]}"
    kept = ports.subtract(THEIRS, ((9005, 9005),)) if "release" in situation.words else THEIRS
    now = ports.from_kernel(setting(RESERVED))
    if lost := ports.subtract(kept, now):
        return f"took {ports.show(lost)} off the list"
    if "--dry-run" in situation.words and now != THEIRS:
        return f"a rehearsal reserved {ports.show(ports.subtract(now, THEIRS))}"
    if situation.expected:
        return wrong_with_service(bench, situation, done, failing)
    if situation.words[0] not in (*VERBS, "--help", "--version") and SERVICE not in situation.words:
        return wrong_without_command(situation, done, failing)
    return wrong_with_report(bench, situation, done, failing, now)


def wrong_without_command(situation: Situation, done: Run, failing: str) -> str | None:
    """Say what is wrong with a guard without a command: 0 is free, 124 is held."""
    unloaded = done.status == 125 and re.match(r"portwait: failed to (load|run|write)|portwait: cannot write", done.err)
    if unloaded or (done.status == 125 and failing == "write"):
        return None
    expected = 124 if situation.held else 0
    if done.status == expected and (done.err or not situation.held):
        return None
    return f"status {done.status}: {done.err}"


def temporary_files(host: Host) -> list[str]:
    """List what should have been removed."""
    found: list[str] = []
    for folder in ("/etc/sysctl.d", "/run/portwait", str(Path(METRICS).parent)):
        with contextlib.suppress(FileNotFoundError):
            found += [path.name for path in host.path(folder).iterdir() if path.name.startswith(".")]
    return found


def wrong_with_service(bench: Bench, situation: Situation, done: Run, failing: str) -> str | None:
    """Say what is wrong with what a guard, or pick, did."""
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    if bench.shown.exists():
        return wrong_with_start(bench, situation, done)
    if (
        not done.err
        and failing != "write"
        and not failing.startswith(("open", "fstat", "newfstatat", "stat", "socket"))
    ):
        return f"no words: {ending}"
    if failing == "execve":
        return None if done.status in (124, 126, 127) else ending
    if situation.beside is privileged and kernel_says_held(done, "EADDRINUSE", "EADDRNOTAVAIL"):
        return None if done.status == 124 else ending  # what bind() has said once, a refusal to bind does not take back
    if situation.expected == "starts":
        return f"it does not start a service whose port is free: {ending}"
    if situation.expected == "fails":
        return None if done.status in {127: (126, 127)}.get(situation.status, (situation.status,)) else ending
    if situation.expected == "rehearses":
        allowed = {0, 125}
        if kernel_says_held(done):
            allowed.add(124)
        if failing in ("access", "stat", "newfstatat"):  # the command cannot be executed, as far as it knows
            allowed |= {126, 127}
        return None if done.status in allowed else ending
    refused = (124, 125) if situation.words[0] in ("pick", "--dry-run") else (124,)
    return None if done.status in refused else ending


def wrong_with_start(bench: Bench, situation: Situation, done: Run) -> str | None:
    """Say what is wrong with a service that was started."""
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    if done.status != 0:
        return ending
    if "--dry-run" in situation.words or MISSING in situation.words:
        return f"it starts something: {ending}"
    if situation.expected == "fails" and "continuing without it" not in done.err:
        return f"it starts a service with words that make no sense: {ending}"
    if situation.expected == "waits" and (kernel_says_held(done) or not done.err):
        return f"it starts a service whose port is held: {ending}"
    if "--fdstore" in situation.words and not bench.after["stored"] and not done.err:
        return "the store is empty, and there are no words"
    holds, said = bench.after.get("usual", (0, ""))
    if holds > bench.after["holds"] and not said and not done.err:
        return "the service has no hold, and there are no words"
    return wrong_with_descriptors(bench, situation, done)


def kernel_says_held(done: Run, *errors: str) -> bool:
    """Whether a bind() was told EADDRINUSE, or one of these; strace's own errors count, as the kernel's would."""
    answers = [line for line in done.calls if f"htons({PORT})" in line]
    return any(error in line for line in answers for error in errors or ("EADDRINUSE",))


def is_told_unavailable(done: Run, text: str) -> bool:
    """Whether the kernel said that the address, or the device, is not here: nobody is in the way of such a one."""
    told = any("EADDRNOTAVAIL" in line or "ENODEV" in line for line in done.calls)
    return told and ('"verdict_after": "unavailable"' in text or " is unavailable" in text)


def numbers_and_variables(shown: Path) -> tuple[dict[int, str], dict[str, str]]:
    """Read a service's descriptors, as /proc shows them, standard streams aside, and its variables."""
    state = json.loads(shown.read_text()) if shown.exists() else {"descriptors": {}, "environ": []}
    numbers = {int(number): entry[0] for number, entry in state["descriptors"].items() if int(number) > 2}
    return numbers, dict(bytes.fromhex(entry).decode().partition("=")[::2] for entry in state["environ"])


def holds_among(numbers: Mapping[int, str]) -> list[int]:
    """Choose those that are holds, by their numbers."""
    return [number for number, what in numbers.items() if 100 <= number < 1024 and what.startswith("socket:")]


def wrong_with_descriptors(bench: Bench, situation: Situation, done: Run) -> str | None:
    """Say what is wrong with what the service has: its own sockets, those of --listen, and a hold, no more."""
    own, state = bench.after["own"], json.loads(bench.shown.read_text())
    numbers, variables = numbers_and_variables(bench.shown)
    passed = [numbers.pop(number, "") for number in range(3, 3 + int(variables.get("LISTEN_FDS", "0")))]
    if passed[: len(own)] != own:
        return f"its own sockets are {own}, and it is passed {passed}: {done.err}"
    if passed and variables.get("LISTEN_PID") != str(state["pid"]):
        return f"LISTEN_PID is {variables.get('LISTEN_PID')}"
    if STORED in variables.get("LISTEN_FDNAMES", ""):
        return f"it sees the store: {variables['LISTEN_FDNAMES']}"
    listens = "--listen" in situation.words and situation.beside is not PASSED
    if listens and len(passed) != len(own) + 1 and "failed" not in done.err and "denied" not in done.err:
        return f"it passes no socket, and says nothing: {done.err}"
    if len(passed) > len(own) + ("--listen" in situation.words):
        return f"it is passed {passed}"
    if not all(what.startswith("socket:") for what in passed):
        return f"LISTEN_FDS names what is no socket: {passed}"
    if int(state["SigIgn"], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1):
        return f"signals are ignored: {state['SigIgn']}"
    most = 2 if "--count=2" in situation.words else 0 if situation.words[0] == "--no-hold" else 1
    if not len(numbers) == len(holds_among(numbers)) <= most:
        return f"it has {numbers}"
    if "--env=WEB,ADMIN" in situation.words and {variables["WEB"], variables["ADMIN"]} != {*map(str, PICKED)}:
        return f"its variables are {variables}"
    return None


def wrong_with_report(
    bench: Bench, situation: Situation, done: Run, failing: str, now: tuple[tuple[int, int], ...]
) -> str | None:
    """Say what is wrong with what a verb reports, or with what it did."""
    verb, words = situation.words[0], situation.words
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    written = bench.host.path(METRICS).read_text()
    if done.status == 125:
        if written != BEFORE:
            return f"it has changed the file: {written[-300:]}"
        said = re.search(r'^(portwait: |\{"text": ").*(cannot|failed to) .', done.err, re.MULTILINE)  # or in JSON
        return None if said or failing == "write" else f"no words: {ending}"
    if verb == "pick" and done.status == 124:
        return None if done.err and not done.out else ending  # its bind() was told that a port is held
    if done.status not in (0, 1):
        return ending
    if failing == "write" and not done.out and written == BEFORE:
        return None  # EPIPE: the reader has seen enough
    text = written if METRICS in words else done.out
    if "--help" in words:
        return None if text.startswith("usage: portwait") and "examples:" in text else f"it is not whole: {text}"
    if "--version" in words:
        return None if text == f"portwait {portwait.__version__}\n" else f"it is not whole: {text}"
    if verb == "completion":
        return None if text == completion.script(words[1]) else "it is not whole"
    if verb == "pick":
        picked = {*map(int, text.split())}
        return None if picked == {*PICKED} else f"it picks {picked}"
    if {*words} <= {"reserve", "--json"}:
        return wrong_with_list(text, "--json" in words)
    if "--json" in words:
        json.loads(text)
    elif str(9005 if verb == "release" else PORT) not in text or not text.endswith("\n"):
        return f"it is not whole: {text}"
    if verb == "explain":
        return wrong_with_explanation(situation, done)
    if verb == "audit" and done.status != 1:
        return f"it says that nothing is at risk: {text}"
    if verb == "evict" and (done.status == 0) != (bench.after["port"] == "ok" or is_told_unavailable(done, text)):
        return f"status {done.status}, and the port is {bench.after['port']}: {done.err}"
    if verb == "reserve" and done.status == 0 and not ports.contains(now, PORT):
        return "it says that the port is reserved"
    if verb == "release" and done.status == 0 and ports.contains(now, 9005):
        return "it says that the port is released"
    if "--persist" in words and done.status == 0 and verb == "reserve":
        kept = bench.host.path(OURS).read_text() if bench.host.path(OURS).exists() else ""
        if str(PORT) not in kept:
            return f"it says that the port is reserved at boot: {kept}"
    return None


def wrong_with_list(text: str, as_json: bool) -> str | None:
    """Say what is wrong with the list of what is reserved: it has what others have reserved, whole."""
    theirs = ports.show(THEIRS)
    listed = json.loads(text)["reserved"] if as_json else text
    return None if theirs in listed and text.endswith("\n") else f"it is not whole: {text}"


def wrong_with_explanation(situation: Situation, done: Run) -> str | None:
    """Say what is wrong with a verdict: `free` is bind's word alone, `held` has somebody."""
    if "--json" in situation.words:
        verdict = json.loads(done.out)["targets"][0]["verdict"]
    else:
        verdict = next(iter(re.findall(r"^\S+ is (free|held|unavailable)\b", done.out)), "")
    if (situation.held and verdict == "free") or (done.status == 1) != (verdict == "held"):
        return f"{verdict}: status {done.status}, said {done.err[-300:]!r}"
    if verdict == "free" and not any(f"htons({PORT})" in line and line.endswith("= 0") for line in done.calls):
        return "free, without bind's word"
    if not situation.held and verdict == "held" and not kernel_says_held(done):
        return "held, and nobody is there"
    return None

"""One system call of portwait fails, each in its turn: no traceback, no hang, nothing is half done without a word.

strace gives each call of a verb, from portwait's first line on, each error that the call documents, one at a time
(`tests.support.faults`). The suite tries a sample that a seed fixes; all of them, or a share, are tried by

    FAULTS=all pytest tests/system/test_fault_injection.py       (hours)
    FAULTS=all:2/8 pytest tests/system/test_fault_injection.py   (the second of eight shares, to run them side by side)
    FAULTS=100:42 pytest tests/system/test_fault_injection.py    (100 of each situation, seed 42)

With FAULTS_TABLE=FILE a line of Markdown is added to FILE for each situation: its calls, their faults, how many of these
were tried, and how many failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait.model import ports
from tests.support import states
from tests.support.faults import Laboratory, all_faults
from tests.support.manager import Manager
from tests.support.mounts import Host, private_host
from tests.support.netns import forced_source_port
from tests.support.netns import sysctl as setting
from tests.support.programs import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.support.faults import Fault, Run
    from tests.system.conftest import Tools

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
REMOTE = 7000
RESERVED = "net.ipv4.ip_local_reserved_ports"
THEIRS = ((8080, 8080), (9000, 9010))
OURS = "/etc/sysctl.d/zzz-portwait.conf"
SAMPLE = 10
SECONDS = 15
"""After which a run hangs; every one ends by itself in less than 4."""
CLIENT = (sys.executable, "-IS", str(Path(__file__).parent / "helpers" / "client.py"), str(REMOTE))


@contextlib.contextmanager
def outbound(_err: Path) -> Iterator[None]:
    """Let a connection of this process have the port."""
    with states.outbound_established(PORT):
        yield


@contextlib.contextmanager
def outbound_for_a_moment(err: Path) -> Iterator[None]:
    """Let one have it that is reset as soon as the guard says that it waits, or where it cannot say so after 2 s."""
    with states.outbound_established(PORT) as made:
        ended = threading.Event()

        def release() -> None:
            until = time.monotonic() + 2
            while not ended.wait(0.01) and time.monotonic() < until:
                if err.exists() and "waiting for" in err.read_text(errors="replace"):
                    break
            states.reset(made.sock)

        watcher = threading.Thread(target=release)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


@contextlib.contextmanager
def outbound_of_another(_err: Path) -> Iterator[None]:
    """Let a connection of another process have it, which SIGTERM ends."""
    with states.listening(REMOTE, address=states.LOOPBACK), contextlib.ExitStack() as stack:
        with forced_source_port(PORT):
            program = stack.enter_context(running(CLIENT, stdin=subprocess.PIPE))
            assert program.says("ready") == f"ready {PORT}"
        yield


class Situation(NamedTuple):
    """What is run, and beside what."""

    words: tuple[str, ...]
    beside: Callable[[Path], AbstractContextManager[object]] = contextlib.nullcontext
    expected: str = ""
    """Of a service: `starts`, `waits` (never starts), `cleared` (starts where the obstacle could be removed)."""


SERVICE = ("--", "SERVICE")
SILENCING = ("write", "open", "openat", "fstat", "newfstatat", "socket", "sendto", "dup")
"""The calls by which something is said; where one fails nothing may be heard."""
SITUATIONS = {
    "guard, free": Situation((str(PORT), *SERVICE), expected="starts"),
    "guard, free, without a command": Situation((str(PORT),)),
    "guard, free, --hold=full -v": Situation(("--hold=full", "-v", str(PORT), *SERVICE), expected="starts"),
    "guard, free, --log-format=json -v": Situation(("--log-format=json", "-v", str(PORT), *SERVICE), expected="starts"),
    "guard, free, UDP": Situation((f"{PORT}/udp", *SERVICE), expected="starts"),
    "guard, held": Situation(("-t", "0.3", str(PORT), *SERVICE), outbound, "waits"),
    "guard, held, --dry-run": Situation(("--dry-run", str(PORT), *SERVICE), outbound, "waits"),
    "guard, held for a moment": Situation(("-t", "9", str(PORT), *SERVICE), outbound_for_a_moment, "starts"),
    "guard, --evict": Situation(("-t", "0.5", "--evict", str(PORT), *SERVICE), outbound, "cleared"),
    "guard, --terminate": Situation(("-t", "0.5", "--terminate", str(PORT), *SERVICE), outbound_of_another, "cleared"),
    "guard, free, --reserve": Situation(("--reserve", str(PORT), *SERVICE), expected="starts"),
    "guard, free, --listen": Situation(("--listen", str(PORT), *SERVICE), expected="starts"),
    "guard, held, --listen": Situation(("-t", "0.3", "--listen", str(PORT), *SERVICE), outbound, "waits"),
    "guard, free, --fdstore": Situation(("--fdstore", str(PORT), *SERVICE), expected="starts"),
    "explain, free": Situation(("explain", "--json", str(PORT))),
    "explain, held": Situation(("explain", "--json", str(PORT)), outbound),
    "evict": Situation(("evict", "--json", str(PORT)), outbound),
    "reserve": Situation(("reserve", "--json", str(PORT))),
    "reserve --persist": Situation(("reserve", "--json", "--persist", str(PORT))),
    "release": Situation(("release", "--json", "9005")),
    "release --persist": Situation(("release", "--json", "--persist", "9005")),
    "audit": Situation(("audit", "--json", "--window", "0", str(PORT)), outbound),
    "pick": Situation(("pick", f"{PORT}-{PORT + 2}", *SERVICE, "{}"), outbound, "cleared"),
}


class Bench(NamedTuple):
    """All that a run needs."""

    laboratory: Laboratory
    host: Host
    manager: Manager
    state: str
    shown: Path
    after: dict[str, str]
    """What bind() said behind the last run, by `port`."""


@pytest.fixture
def bench(tools: Tools, tmp_path: Path) -> Iterator[Bench]:
    """Set it up: folders of its own, a stand-in for systemd, a helper that forks one portwait after the other."""
    with private_host() as host:
        manager = Manager(tmp_path, room=100_000)
        laboratory = Laboratory(tmp_path, host.argv([]))
        yield Bench(laboratory, host, manager, tools.state, tmp_path / "shown", {})
        laboratory.close()
        manager.stop()


def chosen(faults: list[Fault], name: str) -> list[Fault]:
    """Answer all, or the share or sample that was asked for."""
    count, _, seed = os.environ.get("FAULTS", "").partition(":")
    if count == "all":
        part, _, parts = (seed or "1/1").partition("/")
        return [fault for fault in faults if zlib.crc32(str(fault).encode()) % int(parts) == int(part) - 1]
    # no secret
    return random.Random(f"{name}{seed}").sample(faults, min(int(count or SAMPLE), len(faults)))  # noqa: S311


@pytest.mark.parametrize("name", SITUATIONS)
def test_one_failing_call(bench: Bench, name: str) -> None:
    """Rule: a service that is free starts, one that is held does not, what was promised is so, or words say why not."""
    situation = SITUATIONS[name]
    done, calls = once(bench, situation)
    assert wrong_with(bench, situation, done, "") is None, done
    every = all_faults(calls)
    tried = chosen(every, name)
    assert len(tried) >= SAMPLE
    wrong = []
    for fault in tried:
        done, _ = once(bench, situation, fault)
        if what := wrong_with(bench, situation, done, fault.call):
            wrong.append(f"{fault}: {what}")
    if table := os.environ.get("FAULTS_TABLE"):
        with open(table, "a") as file:  # noqa: PTH123  # to add to it
            file.write(f"| {name} | {len(calls)} | {len(every)} | {len(tried)} | {len(wrong)} |\n")
    assert wrong == [], f"{len(wrong)} of {len(tried)}:\n" + "\n".join(wrong)


def once(bench: Bench, situation: Situation, fault: Fault | None = None) -> tuple[Run, list[Any]]:
    """Run it, from the same beginning each time."""
    setting(RESERVED, ports.show(THEIRS))
    bench.host.path(OURS).unlink(missing_ok=True)
    bench.shown.unlink(missing_ok=True)
    words = [
        part for word in situation.words for part in ((bench.state, str(bench.shown)) if word == "SERVICE" else (word,))
    ]
    variables = {"NOTIFY_SOCKET": bench.manager.address if "--fdstore" in words else ""}
    bench.laboratory.err.unlink(missing_ok=True)
    with situation.beside(bench.laboratory.err):
        if fault is None:
            answer = bench.laboratory.undisturbed(words, variables, SECONDS)
        else:
            answer = bench.laboratory.inject(fault, words, variables, SECONDS), []
        bench.after["port"] = states.service_bind(PORT)
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
    kept = ports.subtract(THEIRS, ((9005, 9005),)) if "release" in situation.words else THEIRS
    now = ports.from_kernel(setting(RESERVED))
    if lost := ports.subtract(kept, now):
        return f"took {ports.show(lost)} off the list"
    if situation.expected:
        return wrong_with_service(bench, situation, done, failing)
    if situation.words[0].isdigit():
        unloaded = done.status == 125 and done.err.startswith(("portwait: failed to load", "portwait: failed to run"))
        return None if done.status == 0 or unloaded else f"status {done.status}: {done.err}"
    return wrong_with_report(bench, situation, done, failing, now)


def temporary_files(host: Host) -> list[str]:
    """List what should have been removed."""
    found: list[str] = []
    for folder in ("/etc/sysctl.d", "/run/portwait"):
        with contextlib.suppress(FileNotFoundError):
            found += [path.name for path in host.path(folder).iterdir() if path.name.startswith(".")]
    return found


def wrong_with_service(bench: Bench, situation: Situation, done: Run, failing: str) -> str | None:
    """Say what is wrong with what a guard, or pick, did."""
    started = bench.shown.exists()
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    if started:
        if done.status != 0:
            return ending
        if situation.expected == "waits" and (kernel_says_held(done) or not done.err):
            return f"it starts a service whose port is held: {ending}"
        return wrong_with_descriptors(situation, json.loads(bench.shown.read_text()), done)
    if (
        not done.err
        and failing != "write"
        and not failing.startswith(("open", "fstat", "newfstatat", "stat", "socket"))
    ):
        return f"no words: {ending}"
    if failing == "execve":
        return None if done.status in (124, 126, 127) else ending
    if situation.expected == "starts":
        return f"it does not start a service whose port is free: {ending}"
    refused = (124, 125) if situation.words[0] in ("pick", "--dry-run") else (124,)
    return None if done.status in refused else ending


def kernel_says_held(done: Run) -> bool:
    """Whether a bind() was told EADDRINUSE; strace's own errors count, as the kernel's would."""
    answers = [line for line in done.calls if f"htons({PORT})" in line]
    return any("EADDRINUSE" in line for line in answers)


def wrong_with_descriptors(situation: Situation, state: dict[str, Any], done: Run) -> str | None:
    """Say what the service has that is not its own: it may have a hold, or the sockets that it is passed."""
    numbers = {int(number): entry[0] for number, entry in state["descriptors"].items() if int(number) > 2}
    variables = dict(bytes.fromhex(entry).decode().partition("=")[::2] for entry in state["environ"])
    passed = range(3, 3 + int(variables.get("LISTEN_FDS", "0")))
    if "--listen" in situation.words and not passed and "failed" not in done.err and "denied" not in done.err:
        return f"it passes no socket, and says nothing: {done.err}"
    for number in passed:
        if not numbers.pop(number, "").startswith("socket:"):
            return f"LISTEN_FDS names {number}, which is no socket"
    if int(state["SigIgn"], 16) & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1):
        return f"signals are ignored: {state['SigIgn']}"
    holds = [number for number, what in numbers.items() if 100 <= number < 1024 and what.startswith("socket:")]
    return None if len(numbers) == len(holds) <= 1 else f"it has {numbers}"


def wrong_with_report(
    bench: Bench, situation: Situation, done: Run, failing: str, now: tuple[tuple[int, int], ...]
) -> str | None:
    """Say what is wrong with what a verb reports, or with what it did."""
    verb = situation.words[0]
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    if done.status == 125:
        return (
            None
            if re.match(r"portwait: .*(cannot|failed to) .", done.err) or failing == "write"
            else f"no words: {ending}"
        )
    if done.status not in (0, 1):
        return ending
    if failing == "write" and not done.out:
        return None  # EPIPE: the reader has seen enough
    report = json.loads(done.out)
    if verb == "explain":
        verdict = report["targets"][0]["verdict"]
        held = situation.beside is outbound
        if (held and verdict == "free") or (done.status == 1) != (verdict == "held"):
            return f"{verdict}: {ending}"
        if verdict == "free" and not any(f"htons({PORT})" in line and line.endswith("= 0") for line in done.calls):
            return "free, without bind's word"
        if not held and verdict == "held" and not kernel_says_held(done):
            return "held, and nobody is there"
    if verb == "evict" and (done.status == 0) != (bench.after["port"] == "ok"):
        return f"status {done.status}, and the port is {bench.after['port']}: {done.err}"
    if verb == "reserve" and done.status == 0 and not ports.contains(now, PORT):
        return "it says that the port is reserved"
    if verb == "release" and done.status == 0 and ports.contains(now, 9005):
        return "it says that the port is released"
    if "--persist" in situation.words and done.status == 0 and verb == "reserve":
        text = bench.host.path(OURS).read_text() if bench.host.path(OURS).exists() else ""
        if str(PORT) not in text:
            return f"it says that the port is reserved at boot: {text}"
    return None

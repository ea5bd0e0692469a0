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
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait.model import ports
from portwait.options import completion
from tests.support import states
from tests.support.faults import Laboratory, Order, try_faults
from tests.support.manager import Manager
from tests.support.mounts import Host, private_host
from tests.support.netns import forced_source_port
from tests.support.netns import sysctl as setting
from tests.support.programs import Program, portwait, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.support.faults import Call, Fault, Run
    from tests.system.conftest import Tools

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
OTHER = 30012
REMOTE = 7000
STORED = "portwait-"
"""How the names of those sockets begin that are in systemd's store."""
RESERVED = "net.ipv4.ip_local_reserved_ports"
THEIRS = ((8080, 8080), (9000, 9010))
OURS = "/etc/sysctl.d/zzz-portwait.conf"
WAIT, LONG = "WAIT", "LONG"
"""Stand for the seconds that a guard waits in vain, or until it has made room; see `SHORT` and `PATIENT`."""
SHORT = {WAIT: "0.3", LONG: "0.5"}
PATIENT = {WAIT: "2", LONG: "4"}
"""A busy machine needs more to come to the call that is to fail."""
SECONDS = 15
"""After which a run hangs; every one ends by itself in less than 5."""
BLOCKER = (sys.executable, "-IS", str(Path(__file__).parent / "helpers" / "blocker.py"), str(REMOTE))


class Beside:
    """What a run has beside it: its files and its systemd, who has the port, and the sockets that it is passed."""

    def __init__(self, err: Path, manager: Manager, blocker: Program) -> None:
        self.err = err
        self.manager = manager
        self._blocker = blocker
        self.passed: list[tuple[str, int]] = []

    @contextlib.contextmanager
    def blocked(self, how: str) -> Iterator[Callable[[], None]]:
        """Let another process have the port; answers what ends that before the body does."""
        program = self._blocker
        del program.out[:]
        with forced_source_port(PORT):
            program.tell(how)
            program.says("ready")

        def end() -> None:
            if "done" not in program.out:
                program.tell("end")
                program.says("done")

        yield end
        end()

    @property
    def own(self) -> list[str]:
        """The service's own among those that are passed, as /proc shows them."""
        return [f"socket:[{os.fstat(number).st_ino}]" for name, number in self.passed if not name.startswith(STORED)]


def outbound(beside: Beside) -> AbstractContextManager[object]:
    """Let a connection of another process have the port, which SIGTERM ends."""
    return beside.blocked("connect")


def stubborn(beside: Beside) -> AbstractContextManager[object]:
    """Let one of a process have it that ignores SIGTERM."""
    return beside.blocked("stubborn")


@contextlib.contextmanager
def outbound_for_a_moment(beside: Beside) -> Iterator[None]:
    """Let one have it that is reset as soon as the guard says that it waits, or where it cannot say so after 2 s."""
    err = beside.err
    with beside.blocked("connect") as end:
        ended = threading.Event()

        def release() -> None:
            until = time.monotonic() + 2
            while not ended.wait(0.01) and time.monotonic() < until:
                if err.exists() and "waiting for" in err.read_text(errors="replace"):
                    break
            end()

        watcher = threading.Thread(target=release)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()


@contextlib.contextmanager
def joinable(_beside: Beside) -> Iterator[None]:
    """Let a server have it that shares it with whoever sets SO_REUSEPORT too."""
    with socket.create_server(("::", PORT), family=socket.AF_INET6, reuse_port=True, dualstack_ipv6=True):
        yield


def passing(port: int) -> Callable[[Beside], AbstractContextManager[None]]:
    """Answer what passes a socket that listens on a port, as a socket unit does."""

    @contextlib.contextmanager
    def passed(beside: Beside) -> Iterator[None]:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as web:
            beside.passed = [("web", web.fileno())]
            yield

    return passed


def storing(*options: str) -> Callable[[Beside], AbstractContextManager[None]]:
    """Answer what passes the service that it is started again: what --fdstore left in the store, and an own socket."""

    @contextlib.contextmanager
    def stored(beside: Beside) -> Iterator[None]:
        manager = beside.manager
        with manager.running(*portwait("--fdstore", *options, str(PORT), "--", "true")) as program:
            assert program.status() == 0
        manager.settled()
        assert len(manager.store) == 1
        with passing(OTHER)(beside):
            beside.passed += [(one.name, one.descriptor) for one in manager.store]
            yield

    return stored


PASSED = passing(PORT)


class Situation(NamedTuple):
    """What is run, and beside what."""

    words: tuple[str, ...]
    beside: Callable[[Beside], AbstractContextManager[object]] = contextlib.nullcontext
    expected: str = ""
    """Of a service: `starts`, `waits` (never starts), `cleared` (starts where the obstacle could be removed)."""
    notify: bool = False
    """Whether systemd wants to be told."""


SERVICE = ("--", "SERVICE")
ELSEWHERE = f"192.0.2.1:{PORT}"
"""An address that this host has not."""
SITUATIONS = {
    "guard, free": Situation((str(PORT), *SERVICE), expected="starts"),
    "guard, free, without a command": Situation((str(PORT),)),
    "guard, free, --hold=full -v": Situation(("--hold=full", "-v", str(PORT), *SERVICE), expected="starts"),
    "guard, free, --log-format=json -v": Situation(("--log-format=json", "-v", str(PORT), *SERVICE), expected="starts"),
    "guard, free, UDP": Situation((f"{PORT}/udp", *SERVICE), expected="starts"),
    "guard, held": Situation(("-t", WAIT, str(PORT), *SERVICE), outbound, "waits"),
    "guard, held, --dry-run": Situation(("--dry-run", str(PORT), *SERVICE), outbound, "waits"),
    "guard, held for a moment": Situation(
        ("-t", "9", str(PORT), *SERVICE), outbound_for_a_moment, "starts", notify=True
    ),
    "guard, --evict": Situation(("-t", LONG, "--evict", str(PORT), *SERVICE), outbound, "cleared"),
    "guard, --terminate": Situation(("-t", LONG, "--terminate", str(PORT), *SERVICE), outbound, "cleared"),
    "guard, free, --reserve": Situation(("--reserve", str(PORT), *SERVICE), expected="starts"),
    "guard, free, --listen": Situation(("--listen", str(PORT), *SERVICE), expected="starts"),
    "guard, held, --listen": Situation(("-t", WAIT, "--listen", str(PORT), *SERVICE), outbound, "waits"),
    "guard, free, --fdstore": Situation(("--fdstore", str(PORT), *SERVICE), expected="starts", notify=True),
    "guard, free, --listen --fdstore": Situation(
        ("--listen", "--fdstore", str(PORT), *SERVICE), expected="starts", notify=True
    ),
    "guard, free, --reuseport": Situation(("--reuseport", str(PORT), *SERVICE), expected="starts"),
    "guard, joined, --reuseport": Situation(("--reuseport", str(PORT), *SERVICE), joinable, "starts"),
    "guard, --freebind": Situation(("--freebind", ELSEWHERE, *SERVICE), expected="starts"),
    "guard, no such address": Situation(("-t", WAIT, ELSEWHERE, *SERVICE), expected="waits"),
    "guard, free, --no-reuseaddr": Situation(("--no-reuseaddr", str(PORT), *SERVICE), expected="starts"),
    "guard, free, -6": Situation(("-6", str(PORT), *SERVICE), expected="starts"),
    "guard, free, 100 ports": Situation((f"{PORT}-{PORT + 99}", *SERVICE), expected="starts"),
    "guard, held, --anyway": Situation(("-t", WAIT, "--anyway", str(PORT), *SERVICE), outbound, "starts"),
    "guard, passed its socket": Situation(("-t", WAIT, str(PORT), *SERVICE), PASSED, "starts"),
    "guard, passed another socket": Situation((str(PORT), *SERVICE), passing(OTHER), "starts"),
    "guard, passed its socket, --listen": Situation(("-t", WAIT, "--listen", str(PORT), *SERVICE), PASSED, "starts"),
    "guard, passed another socket, --listen": Situation(("--listen", str(PORT), *SERVICE), passing(OTHER), "starts"),
    "guard, started again, --fdstore": Situation(
        ("-t", WAIT, "--fdstore", str(PORT), *SERVICE), storing(), "starts", notify=True
    ),
    "guard, started again, --listen --fdstore": Situation(
        ("-t", WAIT, "--listen", "--fdstore", str(PORT), *SERVICE), storing("--listen"), "starts", notify=True
    ),
    "guard, started again, without --fdstore": Situation(
        ("-t", WAIT, str(PORT), *SERVICE), storing(), "starts", notify=True
    ),
    "explain, free": Situation(("explain", "--json", str(PORT))),
    "explain, held": Situation(("explain", "--json", str(PORT)), outbound),
    "evict": Situation(("evict", "--json", str(PORT)), outbound),
    "reserve": Situation(("reserve", "--json", str(PORT))),
    "reserve --persist": Situation(("reserve", "--json", "--persist", str(PORT))),
    "release": Situation(("release", "--json", "9005")),
    "release --persist": Situation(("release", "--json", "--persist", "9005")),
    "audit": Situation(("audit", "--json", "--window", "0", str(PORT)), outbound),
    "pick": Situation(("pick", f"{PORT}-{PORT + 2}", *SERVICE, "{}"), outbound, "cleared"),
    "pick, without a command": Situation(("pick", "--random", "--count=2", f"{PORT}-{PORT + 2}"), outbound),
    "completion": Situation(("completion", "bash")),
}


class Bench(NamedTuple):
    """All that a run needs."""

    laboratory: Laboratory
    host: Host
    manager: Manager
    blocker: Program
    state: str
    shown: Path
    after: dict[str, Any]
    """Of the last run: what bind() said behind it (`port`), its service's own sockets, and what systemd has stored."""


@pytest.fixture
def bench(tools: Tools, tmp_path: Path) -> Iterator[Bench]:
    """Set it up: folders of its own, a stand-in for systemd, a helper that forks one portwait after the other.

    They see no processes but each other: how many calls a run makes does not depend on what else there is.
    """
    with private_host(apart=True) as host, running(host.argv(BLOCKER), stdin=subprocess.PIPE) as blocker:
        manager = Manager(tmp_path, room=100_000)
        laboratory = Laboratory(tmp_path, host.argv([]))
        yield Bench(laboratory, host, manager, blocker, tools.state, tmp_path / "shown", {})
        laboratory.close()
        manager.stop()


@pytest.mark.parametrize("name", SITUATIONS)
def test_one_failing_call(bench: Bench, name: str) -> None:
    """Rule: a service that is free starts, one that is held does not, what was promised is so, or words say why not."""
    situation = SITUATIONS[name]
    runs = []
    for patience in (SHORT, PATIENT):
        done, calls = once(bench, situation, patience)
        assert wrong_with(bench, situation, done, "") is None, done
        runs.append(calls)

    def wrong(fault: Fault) -> str | None:
        before = bench.laboratory.struck
        for patience in (SHORT, PATIENT):
            what = wrong_with(bench, situation, once(bench, situation, patience, fault)[0], fault.call)
            if what or bench.laboratory.struck > before:
                return what
        return None

    try_faults(bench.laboratory, name, with_late_kinds(*runs), wrong)


def with_late_kinds(calls: list[Call], later: list[Call]) -> list[Call]:
    """Add to the calls of a short run those that only a longer one comes to, not those that it makes more often."""
    known = {(call.name, call.kind) for call in calls}
    return [*calls, *(call for call in later if (call.name, call.kind) not in known)]


def once(
    bench: Bench, situation: Situation, patience: Mapping[str, str], fault: Fault | None = None
) -> tuple[Run, list[Call]]:
    """Run it, from the same beginning each time."""
    setting(RESERVED, ports.show(THEIRS))
    bench.host.path(OURS).unlink(missing_ok=True)
    bench.shown.unlink(missing_ok=True)
    bench.manager.forget()
    words = [
        part
        for word in situation.words
        for part in ((bench.state, str(bench.shown)) if word == "SERVICE" else (patience.get(word, word),))
    ]
    bench.laboratory.err.unlink(missing_ok=True)
    beside = Beside(bench.laboratory.err, bench.manager, bench.blocker)
    with situation.beside(beside):
        order = Order(words, {"NOTIFY_SOCKET": bench.manager.address if situation.notify else ""}, beside.passed)
        if fault is None:
            answer = bench.laboratory.undisturbed(order, SECONDS)
        else:
            answer = bench.laboratory.inject(fault, order, SECONDS), []
        bench.after.update(port=states.service_bind(PORT), own=beside.own, stored=bench.manager.names)
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
    if "SERVICE" not in situation.words and situation.words[0].isdigit():
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
        if "--fdstore" in situation.words and not bench.after["stored"] and not done.err:
            return "the store is empty, and there are no words"
        return wrong_with_descriptors(situation, bench.after["own"], json.loads(bench.shown.read_text()), done)
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


def wrong_with_descriptors(situation: Situation, own: list[str], state: dict[str, Any], done: Run) -> str | None:
    """Say what is wrong with what the service has: its own sockets, those of --listen, and a hold, no more."""
    numbers = {int(number): entry[0] for number, entry in state["descriptors"].items() if int(number) > 2}
    variables = dict(bytes.fromhex(entry).decode().partition("=")[::2] for entry in state["environ"])
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
    if verb == "pick" and done.status == 124:
        return None if done.err and not done.out else ending  # its bind() was told that a port is held
    if done.status not in (0, 1):
        return ending
    if failing == "write" and not done.out:
        return None  # EPIPE: the reader has seen enough
    if verb == "completion":
        return None if done.out == completion.script("bash") else "it is not whole"
    if verb == "pick":
        picked = set(map(int, done.out.split()))
        return None if picked == {PORT + 1, PORT + 2} else f"it picks {picked}"
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

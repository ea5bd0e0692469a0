"""What portwait is run with while one of its system calls fails, and what it has beside it: who has the port, say."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.netns import forced_source_port, sysctl
from tests.support.programs import portwait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from tests.support.manager import Manager
    from tests.support.mounts import Host
    from tests.support.programs import Program

PORT = 30010
OTHER = 30012
REMOTE = 7000
ELSEWHERE = f"192.0.2.1:{PORT}"
"""An address that this host has not."""
STORED = "portwait-"
"""How the names of those sockets begin that are in systemd's store."""
THEIRS = ((8080, 8080), (9000, 9010))
"""What others have reserved."""
METRICS = "/run/metrics/ports.prom"
BEFORE = "# as it was\n"
"""What that file holds before each run."""
WAIT, LONG = "WAIT", "LONG"
"""Stand for the seconds that a guard waits in vain, or until it has made room; see `SHORT` and `PATIENT`."""
SHORT = {WAIT: "0.2", LONG: "0.4"}
LONGER = {WAIT: "1", LONG: "1.5"}
"""For a second try, where a run did not come to the call that was to fail: a busy machine."""
PATIENT = {WAIT: "2", LONG: "4"}
"""For a second try where all faults are tried, and for the first run of those."""
SERVICE, SCRIPT, MISSING = "SERVICE", "SCRIPT", "/proc/portwait-faults/nothing"
"""Stand for a service that shows what it was given, and for a script without a shebang that becomes it."""
BLOCKER = (
    sys.executable,
    "-IS",
    str(Path(__file__).parents[1] / "system" / "helpers" / "blocker.py"),
    str(REMOTE),
    str(PORT),
)
MANY = 500
"""Processes; more than 400 are searched on all processors."""


class Beside:
    """What a run has beside it: its files and its systemd, who has the port, and the sockets that it is passed."""

    def __init__(self, err: Path, manager: Manager, blocker: Program, host: Host) -> None:
        self.err = err
        self.manager = manager
        self.host = host
        self._blocker = blocker
        self.passed: list[tuple[str, int]] = []

    @property
    def own(self) -> list[str]:
        """The service's own among those that are passed, as /proc shows them."""
        return [f"socket:[{os.fstat(number).st_ino}]" for name, number in self.passed if not name.startswith(STORED)]

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


def nobody(_beside: Beside) -> AbstractContextManager[object]:
    """Let nobody have the port."""
    return contextlib.nullcontext()


def outbound(beside: Beside) -> AbstractContextManager[object]:
    """Let a connection of another process have the port, which SIGTERM ends."""
    return beside.blocked("connect")


def stubborn(beside: Beside) -> AbstractContextManager[object]:
    """Let one of a process have it that ignores SIGTERM."""
    return beside.blocked("stubborn")


def listener(beside: Beside) -> AbstractContextManager[object]:
    """Let a server have it, which SIGTERM ends."""
    return beside.blocked("listen")


def udp_client(beside: Beside) -> AbstractContextManager[object]:
    """Let a connected UDP socket have it."""
    return beside.blocked("udp")


def among_many(beside: Beside) -> AbstractContextManager[object]:
    """Let a connection have it whose owner is one of many processes."""
    return beside.blocked(f"crowd {MANY}")


@contextlib.contextmanager
def time_wait(beside: Beside) -> Iterator[None]:
    """Let a connection have it that nobody owns any more."""
    try:
        with beside.blocked("time-wait"):
            yield
    finally:  # it would last for a minute
        subprocess.run(["ss", "-K", "-tan", f"sport = :{PORT}"], check=True, capture_output=True)


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
def privileged(beside: Beside, how: str = "") -> Iterator[None]:
    """Let the port be one that bind() refuses without CAP_NET_BIND_SERVICE, and let somebody have it."""
    with beside.blocked(how) if how else contextlib.nullcontext():
        sysctl("net.ipv4.ip_local_port_range", "40000 50000")  # may not reach below the other
        sysctl("net.ipv4.ip_unprivileged_port_start", str(PORT + 1))
        try:
            yield
        finally:
            sysctl("net.ipv4.ip_unprivileged_port_start", "1024")


def privileged_outbound(beside: Beside) -> AbstractContextManager[object]:
    """Let a connection have such a port."""
    return privileged(beside, "connect")


@contextlib.contextmanager
def joinable(_beside: Beside) -> Iterator[None]:
    """Let a server have it that shares it with whoever sets SO_REUSEPORT too."""
    with socket.create_server(("::", PORT), family=socket.AF_INET6, reuse_port=True, dualstack_ipv6=True):
        yield


@contextlib.contextmanager
def reserved_already(beside: Beside) -> Iterator[None]:
    """Let the port be reserved, and a file say so at boot."""
    for path in ("/etc/sysctl.d/20-others.conf", "/usr/lib/sysctl.d/10-vendor.conf"):
        beside.host.write(path, "net.ipv4.ip_local_reserved_ports = 9000-9010\n")
    try:
        yield
    finally:
        for path in ("/etc/sysctl.d/20-others.conf", "/usr/lib/sysctl.d/10-vendor.conf"):
            beside.host.path(path).unlink()


def passing(port: int) -> Callable[[Beside], AbstractContextManager[object]]:
    """Answer what passes a socket that listens on a port, as a socket unit does."""

    @contextlib.contextmanager
    def passed(beside: Beside) -> Iterator[None]:
        with socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True) as web:
            beside.passed = [("web", web.fileno())]
            yield

    return passed


def storing(*options: str) -> Callable[[Beside], AbstractContextManager[object]]:
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
_HOLDING = (outbound, stubborn, listener, udp_client, among_many, time_wait, privileged_outbound)
_ACTING = ("evict", "--evict", "--terminate")


class Situation(NamedTuple):
    """What is run, and beside what."""

    words: tuple[str, ...]
    beside: Callable[[Beside], AbstractContextManager[object]] = nobody
    expected: str = ""
    """Of a service: `starts`, `waits` (never starts), `cleared` (starts where the obstacle could be removed),
    `rehearses` (never starts, status 0 where bind() says free), `fails` (with `status`)."""
    notify: bool = False
    """Whether systemd wants to be told."""
    variables: Mapping[str, str] = {}
    refused: bool = False
    """Whether it is asked to evict or to signal somebody else than who is in the way."""
    without: str = ""
    """The capabilities that it lacks, as setpriv(1) names them."""
    like: tuple[str, ...] = ()
    """Others of which the same is expected. A call that is the Nth of its kind in its process there too, is tried there
    alone."""
    terminal: bool = False
    """Whether its standard error is a terminal."""
    status: int = 0
    """Of what fails: a command that is not there, words that make no sense."""

    @property
    def held(self) -> bool:
        """Whether somebody has the port for good."""
        return self.beside in _HOLDING

    @property
    def spares(self) -> bool:
        """Whether who is in the way must be left alone."""
        acts = any(word.partition("=")[0] in _ACTING for word in self.words)
        rehearses = "--dry-run" in self.words
        return self.held and self.beside is not time_wait and (self.refused or rehearses or not acts)

    @property
    def udp(self) -> bool:
        """Whether it is about UDP."""
        return f"{PORT}/udp" in self.words


def refusing(
    *options: str,
    beside: Callable[[Beside], AbstractContextManager[object]] = outbound,
    without: str = "",
    like: tuple[str, ...] = ("guard, held", "guard, --evict, another user's"),
) -> Situation:
    """Build one of a guard that is asked to evict or to signal somebody else than who is in the way, or may not."""
    return Situation(("-t", WAIT, *options, P, *RUN), beside, "waits", refused=True, without=without, like=like)


_FLAGS = ("quiet", "verbose", "listen", "fdstore", "evict", "reserve", "anyway", "dry-run", "reuseport", "freebind")
P = str(PORT)
UDP = f"{P}/udp"
RUN = ("--", SERVICE)
_GUARD_FREE = {
    "guard, free": Situation((P, *RUN), expected="starts"),
    "guard, free, without a command": Situation((P,)),
    "guard, free, by variables": Situation(
        RUN, expected="starts", variables={"PORTWAIT_TARGETS": P, "PORTWAIT_TIMEOUT": "1m", "PORTWAIT_LISTEN": "no"}
    ),
    "guard, free, --dry-run": Situation(("--dry-run", P, *RUN), expected="rehearses"),
    "guard, free, --hold=full -v": Situation(("--hold=full", "-v", P, *RUN), expected="starts"),
    "guard, free, --no-hold": Situation(("--no-hold", P, *RUN), expected="starts"),
    "guard, free, --reuseaddr": Situation(("--reuseaddr", P, *RUN), expected="starts"),
    "guard, free, --no-reuseaddr": Situation(("--no-reuseaddr", P, *RUN), expected="starts"),
    "guard, free, --log-format=json -v": Situation(("--log-format=json", "-v", P, *RUN), expected="starts"),
    "guard, free, UDP": Situation((UDP, *RUN), expected="starts"),
    "guard, free, -4": Situation(("-4", P, *RUN), expected="starts"),
    "guard, free, -6": Situation(("-6", P, *RUN), expected="starts"),
    "guard, free, a device": Situation((f"0.0.0.0%lo:{P}", *RUN), expected="starts"),
    "guard, free, 100 ports": Situation((f"{P}-{PORT + 99}", *RUN), expected="starts"),
    "guard, free, a script without #!": Situation((P, "--", SCRIPT), expected="starts"),
    "guard, free, no such command": Situation((P, "--", MISSING), expected="fails", status=127),
    "guard, free, --reserve": Situation(("--reserve", P, *RUN), expected="starts"),
    "guard, free, --listen": Situation(("--listen", P, *RUN), expected="starts"),
    "guard, free, --fdstore": Situation(("--fdstore", P, *RUN), expected="starts", notify=True),
    "guard, free, --listen --fdstore": Situation(("--listen", "--fdstore", P, *RUN), expected="starts", notify=True),
    "guard, free, --reuseport": Situation(("--reuseport", P, *RUN), expected="starts"),
    "guard, joined, --reuseport": Situation(("--reuseport", P, *RUN), joinable, "starts"),
    "guard, --freebind": Situation(("--freebind", ELSEWHERE, *RUN), expected="starts"),
    "guard, denied": Situation(("-t", WAIT, P, *RUN), privileged, "starts", without="net_bind_service"),
}
_GUARD_PASSED = {
    "guard, passed its socket": Situation(("-t", WAIT, P, *RUN), PASSED, "starts"),
    "guard, passed another socket": Situation((P, *RUN), passing(OTHER), "starts"),
    "guard, passed its socket, --listen": Situation(("-t", WAIT, "--listen", P, *RUN), PASSED, "starts"),
    "guard, passed another socket, --listen": Situation(("--listen", P, *RUN), passing(OTHER), "starts"),
    "guard, started again, --fdstore": Situation(("-t", WAIT, "--fdstore", P, *RUN), storing(), "starts", notify=True),
    "guard, started again, --listen --fdstore": Situation(
        ("-t", WAIT, "--listen", "--fdstore", P, *RUN), storing("--listen"), "starts", notify=True
    ),
    "guard, started again, without --fdstore": Situation(("-t", WAIT, P, *RUN), storing(), "starts", notify=True),
}
_GUARD_HELD = {
    "guard, held": Situation(("-t", WAIT, P, *RUN), outbound, "waits"),
    "guard, held, without a command": Situation(("-t", WAIT, P), outbound, like=("guard, held",)),
    "guard, held, -t 0": Situation(("-t", "0", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, -q": Situation(("-t", WAIT, "-q", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, -v": Situation(("-t", WAIT, "-v", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, --log-format=json": Situation(
        ("-t", WAIT, "--log-format=json", P, *RUN), outbound, "waits", like=("guard, held",)
    ),
    "guard, held, on a terminal": Situation(
        ("-t", WAIT, P, *RUN), outbound, "waits", terminal=True, like=("guard, held",)
    ),
    "guard, held, --log-format=logfmt": Situation(
        ("-t", WAIT, "--log-format=logfmt", P, *RUN),
        outbound,
        "waits",
        like=("guard, held", "guard, held, --log-format=json"),
    ),
    "guard, held, all variables, and their opposites": Situation(
        ("-t", WAIT, *(f"--no-{flag}" for flag in _FLAGS), P, *RUN),
        outbound,
        "waits",
        variables={f"PORTWAIT_{flag.upper().replace('-', '_')}": "1" for flag in _FLAGS},
        like=("guard, held",),
    ),
    "guard, held, --dry-run": Situation(("--dry-run", P, *RUN), outbound, "waits"),
    "guard, held, --dry-run, all options": Situation(
        ("--dry-run", "--evict", "--terminate", "--reserve", "--fdstore", P, *RUN),
        outbound,
        "waits",
        notify=True,
        like=("guard, held, --dry-run",),
    ),
    "guard, held for a moment": Situation(("-t", "9", P, *RUN), outbound_for_a_moment, "starts", notify=True),
    "guard, held for a moment, on a terminal": Situation(
        ("-t", "9", P, *RUN), outbound_for_a_moment, "starts", terminal=True, like=("guard, held for a moment",)
    ),
    "guard, held, --hold=full": Situation(
        ("-t", WAIT, "--hold=full", P, *RUN), outbound, "waits", like=("guard, held",)
    ),
    "guard, held, --no-hold": Situation(("-t", WAIT, "--no-hold", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, --reserve": Situation(("-t", WAIT, "--reserve", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, --listen": Situation(("-t", WAIT, "--listen", P, *RUN), outbound, "waits", like=("guard, held",)),
    "guard, held, --fdstore": Situation(
        ("-t", WAIT, "--fdstore", P, *RUN), outbound, "waits", notify=True, like=("guard, held",)
    ),
    "guard, held, --anyway": Situation(
        ("-t", WAIT, "--anyway", P, *RUN), outbound, "starts", like=("guard, held for a moment",)
    ),
    "guard, held, 100 ports": Situation(
        ("-t", WAIT, f"{P}-{PORT + 99}", *RUN), outbound, "waits", like=("guard, held",)
    ),
    "guard, held by a listener": Situation(("-t", WAIT, P, *RUN), listener, "waits", like=("guard, held",)),
    "guard, held by TIME_WAIT": Situation(("-t", WAIT, P, *RUN), time_wait, "waits", like=("guard, held",)),
    "guard, held, UDP": Situation(("-t", WAIT, UDP, *RUN), udp_client, "waits", like=("guard, held",)),
    "guard, denied, held": Situation(
        ("-t", WAIT, P, *RUN), privileged_outbound, "waits", without="net_bind_service,net_admin", like=("guard, held",)
    ),
    "guard, no such address": Situation(("-t", WAIT, ELSEWHERE, *RUN), expected="waits", like=("guard, held",)),
}
_GUARD_ACTS = {
    "guard, --evict": Situation(("-t", LONG, "--evict", P, *RUN), outbound, "cleared"),
    "guard, --evict, TIME_WAIT": Situation(
        ("-t", LONG, "--evict", P, *RUN), time_wait, "cleared", like=("guard, --evict",)
    ),
    "guard, --evict=udp": Situation(
        ("-t", LONG, "--evict=udp", UDP, *RUN), udp_client, "cleared", like=("guard, --evict",)
    ),
    "guard, --evict --reserve": Situation(
        ("-t", LONG, "--evict", "--reserve", P, *RUN), outbound, "cleared", like=("guard, --evict",)
    ),
    "guard, --evict --listen": Situation(
        ("-t", LONG, "--evict", "--listen", P, *RUN), outbound, "cleared", like=("guard, --evict",)
    ),
    "guard, --evict --fdstore": Situation(
        ("-t", LONG, "--evict", "--fdstore", P, *RUN), outbound, "cleared", notify=True, like=("guard, --evict",)
    ),
    "guard, --evict --evict-user": Situation(
        ("-t", LONG, "--evict", "--evict-user=root", P, *RUN), outbound, "cleared", like=("guard, --evict",)
    ),
    "guard, --evict, another user's": refusing("--evict", "--evict-user=nobody", like=("guard, held",)),
    "guard, --evict, another unit's": refusing("--evict", "--evict-unit=app.service"),
    "guard, --evict=time-wait, a live one": refusing("--evict=time-wait"),
    "guard, --evict, a listener": refusing("--evict", beside=listener),
    "guard, --evict, without the right": refusing("--evict", without="net_admin"),
    "guard, --terminate": Situation(
        ("-t", LONG, "--terminate", P, *RUN), outbound, "cleared", like=("guard, --evict",)
    ),
    "guard, --terminate --signal": Situation(
        ("-t", LONG, "--terminate", "--signal=INT", P, *RUN),
        outbound,
        "cleared",
        like=("guard, --evict", "guard, --terminate"),
    ),
    "guard, --terminate --kill-after": Situation(
        ("-t", LONG, "--terminate", "--kill-after=50ms", P, *RUN),
        stubborn,
        "cleared",
        like=("guard, --evict", "guard, --terminate"),
    ),
    "guard, --terminate=listener": Situation(
        ("-t", LONG, "--terminate=listener", P, *RUN),
        listener,
        "cleared",
        like=("guard, --evict", "guard, --terminate"),
    ),
    "guard, --terminate, a listener": refusing("--terminate", beside=listener),
    "guard, --terminate, another user's": refusing("--terminate", "--evict-user=nobody"),
    "guard, --evict --terminate": Situation(
        ("-t", LONG, "--evict=time-wait", "--terminate", P, *RUN),
        outbound,
        "cleared",
        like=("guard, --evict", "guard, --terminate"),
    ),
}
_REPORTS = {
    "explain, free": Situation(("explain", "--json", P)),
    "explain, free, text": Situation(("explain", P), like=("explain, free",)),
    "explain, held": Situation(("explain", "--json", P), outbound),
    "explain, held, text": Situation(("explain", P), outbound, like=("explain, held",)),
    "explain, held by a listener": Situation(("explain", "--json", P), listener, like=("explain, held",)),
    "explain, held by TIME_WAIT": Situation(("explain", "--json", P), time_wait, like=("explain, held",)),
    "explain, held, UDP": Situation(("explain", "--json", UDP), udp_client, like=("explain, held",)),
    "explain, held, 100 ports": Situation(("explain", "--json", f"{P}-{PORT + 99}"), outbound, like=("explain, held",)),
    "explain, held, among 500 processes": Situation(("explain", "--json", P), among_many, like=("explain, held",)),
    "explain, denied, held": Situation(
        ("explain", "--json", P), privileged_outbound, without="net_bind_service,net_admin", like=("explain, held",)
    ),
    "explain, held, options": Situation(
        ("explain", "--json", "-4", "--no-reuseaddr", "--reuseport", "--freebind", P), outbound, like=("explain, held",)
    ),
    "explain, no such address": Situation(("explain", "--json", ELSEWHERE), like=("explain, free",)),
    "evict": Situation(("evict", "--json", P), outbound),
    "evict, text": Situation(("evict", P), outbound, like=("evict",)),
    "evict, -q --evict-user": Situation(("evict", "-q", "--evict-user=root", P), outbound, like=("evict",)),
    "evict, nothing to do": Situation(("evict", "--json", P), like=("evict",)),
    "evict, TIME_WAIT": Situation(("evict", "--json", P), time_wait, like=("evict",)),
    "evict, options": Situation(
        (
            "evict",
            "--json",
            "--evict=outbound",
            "--log-format=json",
            "-4",
            "--no-reuseaddr",
            "--reuseport",
            "--freebind",
            P,
        ),
        outbound,
        like=("evict",),
    ),
    "evict --dry-run": Situation(("evict", "--json", "--dry-run", P), outbound),
    "evict --dry-run, text": Situation(("evict", "--dry-run", P), outbound, like=("evict --dry-run",)),
    "evict, another user's": Situation(
        ("evict", "--json", "--evict-user=nobody", P), outbound, refused=True, like=("evict --dry-run",)
    ),
    "evict, another unit's": Situation(
        ("evict", "--json", "--evict-unit=app.service", P),
        outbound,
        refused=True,
        like=("evict --dry-run", "evict, another user's"),
    ),
    "evict, without the right": Situation(
        ("evict", "--json", P), outbound, refused=True, without="net_admin", like=("evict --dry-run",)
    ),
    "reserve": Situation(("reserve", "--json", P)),
    "reserve, text": Situation(("reserve", P), like=("reserve",)),
    "reserve, without ports": Situation(("reserve", "--json"), reserved_already, like=("reserve",)),
    "reserve, without ports, text": Situation(("reserve",), like=("reserve", "reserve, without ports")),
    "reserve, in use": Situation(("reserve", "--json", P), outbound, like=("reserve",)),
    "reserve --persist": Situation(("reserve", "--json", "--persist", P)),
    "reserve --persist, text": Situation(("reserve", "--persist", P), reserved_already, like=("reserve --persist",)),
    "release": Situation(("release", "--json", "9005")),
    "release, text": Situation(("release", "9005"), like=("release",)),
    "release --persist": Situation(("release", "--json", "--persist", "9005")),
    "release --persist, text": Situation(
        ("release", "--persist", "9005"), reserved_already, like=("release --persist",)
    ),
    "audit": Situation(("audit", "--json", "--window", "0", P), outbound),
    "audit, text": Situation(("audit", "--window", "50ms", P), outbound, like=("audit",)),
    "audit, every listener": Situation(("audit", "--json", "--gap=30s", "--rate=5"), listener, like=("audit",)),
    "audit --only --ignore": Situation(
        ("audit", "--json", "--window=0", "--only", f"--ignore={OTHER}", P), outbound, like=("audit",)
    ),
    "audit --format=prometheus --output": Situation(
        ("audit", "--window", "0", "--format=prometheus", "--output", METRICS, P), outbound, like=("audit",)
    ),
    "pick": Situation(("pick", f"{P}-{PORT + 2}", *RUN, "{}"), outbound, "cleared"),
    "pick, without a command": Situation(("pick", "--random", "--count=2", f"{P}-{PORT + 2}"), outbound),
    "pick, --env --hold=full -v": Situation(
        ("pick", "-v", "--hold=full", "--count=2", "--env=WEB,ADMIN", f"{P}-{PORT + 2}", *RUN),
        outbound,
        "cleared",
        like=("pick",),
    ),
    "pick, -q --log-format=json, of one family": Situation(
        ("pick", "-q", "--log-format=json", "-6", "--reuseaddr", "--freebind", f"{P}-{PORT + 2}", *RUN, "{}"),
        outbound,
        "cleared",
        like=("pick",),
    ),
    "pick, --no-hold, UDP": Situation(("pick", "--no-hold", UDP, *RUN, "{}"), expected="cleared"),
    "pick, all are taken": Situation(("pick", "-t", WAIT, P, *RUN, "{}"), outbound, "waits"),
    "pick, free after a moment": Situation(
        ("pick", "-t", "9", P, *RUN, "{}"), outbound_for_a_moment, "cleared", like=("pick, all are taken",)
    ),
    "completion": Situation(("completion", "bash")),
    "completion zsh": Situation(("completion", "zsh"), like=("completion",)),
    "completion fish": Situation(("completion", "fish"), like=("completion",)),
    "help": Situation(("--help",)),
    "version": Situation(("--version",)),
    "a verb's help": Situation(("audit", "--help")),
    "an unknown option": Situation(("--evcit", P, *RUN), expected="fails", status=125),
}
SITUATIONS = {**_GUARD_FREE, **_GUARD_PASSED, **_GUARD_HELD, **_GUARD_ACTS, **_REPORTS}

UNIT = "faulty.service"
USER_UNIT = "own.service"
RUNTIME = "/run/portwait-faults"
"""The folder of a user's own manager."""
UNITS = {
    "unit": Situation(("unit", "--json", UNIT)),
    "unit, with a target": Situation(("unit", "--json", UNIT, "30011")),
    "unit, text": Situation(("unit", UNIT), like=("unit",)),
    "unit --template": Situation(("unit", "--json", "--template=guard-pre.conf", UNIT), like=("unit",)),
    "unit -4": Situation(("unit", "--json", "-4", UNIT, "30011"), like=("unit, with a target",)),
    "unit --user": Situation(
        ("unit", "--json", "--user", USER_UNIT), variables={"XDG_RUNTIME_DIR": RUNTIME}, like=("unit",)
    ),
}
"""What runs beside a systemd that is PID 1, which has a unit of that name, and a user's manager, which has the other.
"""

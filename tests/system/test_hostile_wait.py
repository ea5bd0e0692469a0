"""Nothing that other people's processes do keeps the deadline, the start or a stop waiting.

And the service inherits nothing of the process that looked at them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait._linux import procfs
from tests.support.descriptors import sockets_of
from tests.support.guarding import GAVE_UP, STARTED, changed, guard, run
from tests.support.hostile import TRAPS
from tests.support.programs import command_line, eventually, portwait, running
from tests.support.states import listening, outbound_established, reset
from tests.support.surroundings import AS_NOBODY
from tests.support.without import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.support.hostile import Hostile

    Trap = Callable[[int], AbstractContextManager[Hostile]]
    Record = Callable[[str, object], None]

pytestmark = pytest.mark.usefixtures("net")
each_trap = pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)

PORT = 30010
LATE_DEADLINE, LATE_START, LATE_STOP = 0.2, 0.1, 0.1  # seconds


@pytest.fixture
def overhead() -> Callable[[], float]:
    """Answer the seconds that a guard takes here that has nothing to wait for, doubled; before the test and by now."""
    took: list[float] = []

    def measured() -> float:
        for _ in range(3):
            began = time.monotonic()
            assert guard(str(PORT + 1), "--", *STARTED).started
            took.append(time.monotonic() - began)
        return 2 * max(took)

    measured()
    return measured


@pytest.fixture
def starved(net: None) -> Iterator[Callable[[], float]]:  # noqa: ARG001  # the order: inside the private network
    """Answer the seconds that the processes of this network, the test too, have waited since for a processor."""
    ours, over = Path("/proc/thread-self/ns/net").stat().st_ino, threading.Event()
    waited: dict[str, int] = {}
    elsewhere: set[str] = set()

    def look() -> None:
        for pid in [name for name in os.listdir("/proc") if name.isdigit() and name not in elsewhere]:  # noqa: PTH208  # thousands
            with contextlib.suppress(OSError):  # it has ended
                if pid not in waited and Path(f"/proc/{pid}/ns/net").stat().st_ino != ours:
                    elsewhere.add(pid)
                else:
                    waited[pid] = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])

    def go_on_looking() -> None:
        while not over.wait(0.05):
            look()

    look()
    before = sum(waited.values())
    thread = threading.Thread(target=go_on_looking)
    thread.start()
    yield lambda: (sum([*waited.values()]) - before) / 1e9
    over.set()
    thread.join()


@each_trap
def test_the_deadline(
    trap: Trap, overhead: Callable[[], float], starved: Callable[[], float], record_property: Record
) -> None:
    """It gives up in time, whoever is looked at."""
    with trap(PORT) as held:
        began = time.monotonic()
        seen = guard("--timeout", "2", str(PORT), "--", *STARTED, before=held.before)
        took = time.monotonic() - began
        assert held.sprung()
    record_property("seconds beyond the deadline", took - 2)
    assert (seen.status, seen.out) == (GAVE_UP, "")
    assert seen.err.splitlines()[-1].startswith("portwait: gave up")
    assert 2 <= took <= 2 + LATE_DEADLINE + starved() + overhead()


@each_trap
def test_the_start(
    trap: Trap, overhead: Callable[[], float], starved: Callable[[], float], record_property: Record
) -> None:
    """The service starts as soon as the port is free, holds the port meanwhile, and has no child."""
    service = (sys.executable, "-ISc", "print('started', flush=True); input()")
    with trap(PORT) as held, running([*held.before, *portwait(str(PORT), "--", *service)], stdin=-1) as guarded:
        eventually(held.sprung, "the trap")
        guarded.complains("waiting for")
        began, before = time.monotonic(), starved()
        held.let_go()
        guarded.says("started")
        took = time.monotonic() - began
        record_property("seconds from the close to the service's first word", took)
        assert took <= LATE_START + starved() - before + overhead()
        assert children(guarded.pid) == []
        assert [(one.address, one.port) for one in sockets_of(guarded.pid)] == [("::", PORT)]


@each_trap
def test_a_stop(trap: Trap, overhead: Callable[[], float], starved: Callable[[], float]) -> None:
    """A signal ends the wait at once, and the last word is said."""
    with trap(PORT) as held, running([*held.before, *portwait(str(PORT), "--", *STARTED)]) as guarded:
        eventually(held.sprung, "the trap")
        guarded.complains("waiting for")
        began, before = time.monotonic(), starved()
        guarded.signal(signal.SIGTERM)
        guarded.process.wait()
        took = time.monotonic() - began
        assert took <= LATE_STOP + starved() - before + overhead()
        assert guarded.status() == -signal.SIGTERM
        assert guarded.err[-1] == "portwait: stopped by SIGTERM; nothing was started"


@each_trap
def test_one_look(trap: Trap, overhead: Callable[[], float], starved: Callable[[], float]) -> None:
    """--timeout 0 gives the narrator five seconds in which a processor is free for it, not more."""
    with trap(PORT) as held:
        began = time.monotonic()
        seen = guard("--timeout", "0", str(PORT), "--", *STARTED, before=held.before)
        took = time.monotonic() - began
        assert took <= 5 + LATE_DEADLINE + starved() + overhead()
    assert (seen.status, seen.out) == (GAVE_UP, "")


class TestNothingIsInherited:
    """The service cannot tell that its guard had a narrator."""

    SERVICE = (sys.executable, "-ISc", "print('started', flush=True); input()")

    @pytest.mark.parametrize(
        "before",
        [
            (),
            ("env", "--ignore-signal=CHLD"),
            ("env", "--block-signal=CHLD"),
            ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        ],
        ids=["plain", "ignores-SIGCHLD", "blocks-SIGCHLD", "PID-1"],
    )
    def test_no_child_no_zombie_no_pending_signal(self, before: tuple[str, ...]) -> None:
        """Also where the kernel makes the narrator our child again, and where the end of a child stays pending."""
        with contextlib.ExitStack() as stack:
            with outbound_established(PORT) as made:
                argv = [*before, *portwait(str(PORT), "--", *self.SERVICE)]
                outside = stack.enter_context(running(argv, stdin=-1))
                outside.complains("waiting for")
                pid = children(outside.pid)[0] if "--pid" in before else outside.pid
                eventually(lambda: not mask(pid, "SigBlk") & 1 << signal.SIGTTOU - 1, "the end of its writing")
                expected = blocked_and_ignored(pid)
                reset(made.sock)
            outside.says("started")
            assert children(pid) == []
            assert pending(pid) == 0
            assert blocked_and_ignored(pid) == expected  # the service is a Python, as the guard is

    def test_the_narrator_ends_with_a_guard_that_is_killed(self) -> None:
        """Nobody has to collect it."""
        with outbound_established(PORT), running(portwait(str(PORT), "--", *STARTED)) as guarded:
            guarded.complains("waiting for")
            (narrator,) = narrators_of(guarded.pid)
            guarded.signal(signal.SIGKILL)
            guarded.status()
            eventually(lambda: not Path(f"/proc/{narrator}").exists(), "the narrator's end")

    def test_a_narrator_that_is_killed(self) -> None:
        """One line says so, and bind alone decides from then on."""
        with outbound_established(PORT) as made, running(portwait(str(PORT), "--", *STARTED)) as guarded:
            guarded.complains("waiting for")
            (narrator,) = narrators_of(guarded.pid)
            os.kill(narrator, signal.SIGKILL)
            guarded.complains("failed to see who is in the way")
            reset(made.sock)
            guarded.says("started")
            assert guarded.status() == 0
            assert len([line for line in guarded.err if "failed" in line]) == 1


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "its own process for that has ended"), (signal.SIGSTOP, "no answer in time")],
    ids=["ended", "stuck"],
)
def test_the_tables_word_does_not_outlive_whoever_reads_them(number: int, why: str) -> None:
    """Where they alone say that a port is held, nobody knows any more once nobody reads them: the service starts."""
    with contextlib.ExitStack() as stack:
        with listening(80):
            argv = [*AS_NOBODY, *changed(_IMPATIENT, "80", "--", *STARTED)]
            guarded = stack.enter_context(running(argv))
            guarded.complains("waiting for")
            (narrator,) = narrators_of(guarded.pid)
            os.kill(narrator, number)
        guarded.says("started")
        assert guarded.status() == 0
        assert [why in line for line in guarded.err if "failed" in line] == [True]
        assert "80/tcp can be tried: nobody can tell whether it is free" in guarded.err[-1]


def test_a_filter_that_ends_whoever_would_find_out() -> None:
    """Rule: what ended it is said (SystemCallFilter=~@ipc of a unit ends it), and the guard waits by bind alone."""
    with outbound_established(PORT):
        seen = run([*without("pipe2=KILL"), *portwait("--timeout", "0", str(PORT), "--", *STARTED)])
    assert seen.status == GAVE_UP
    assert "failed to see who is in the way: its own process was ended by SIGSYS; continuing without it" in seen.err
    assert run([*without("pipe2=KILL"), *portwait(str(PORT), "--", *STARTED)]).started


def test_a_wait_that_fails_waits_by_bind_alone() -> None:
    """A bug in the middle of it leaves no word of the tables behind that nobody would take back."""
    with contextlib.ExitStack() as stack:
        with listening(80):
            argv = [*AS_NOBODY, *changed(_FAULTY_REMINDER, "80", "--", *STARTED)]
            guarded = stack.enter_context(running(argv))
            guarded.complains("is held by")
        guarded.says("started")


_IMPATIENT = "from portwait.wait import loop; loop._SILENCE = 2.0"
"""A guard that waits two seconds for a word after an event, not twenty."""

_FAULTY_REMINDER = "from portwait.wait.loop import WaitLoop; WaitLoop._say_waiting = None"
"""The guard of a portwait with a bug that shows when the wait begins."""

_LATE_END = """
import os, time
from portwait.wait import leaving, narration

def kill_later(pid, number, kill=os.kill):
    if os.fork() == 0:
        time.sleep(3)
        kill(pid, number)
        os._exit(0)

os.kill, leaving._LATEST = kill_later, 60
narration.narrate = lambda *_: time.sleep(3600)
"""
"""The guard of a host where the narrator is deaf, and SIGKILL takes a while to end it."""


def test_a_guard_without_a_command_leaves_nobody_behind() -> None:
    """Rule: systemd finds no process of an ExecStartPre= guard in the unit when it starts what comes next."""
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT) as made:
            guarded = stack.enter_context(running(changed(_LATE_END, str(PORT))))
            guarded.complains("waiting for")
            (narrator,) = narrators_of(guarded.pid)
            reset(made.sock)
        guarded.process.wait()
        stat = procfs.stat_of(narrator)
        assert stat is None or stat.state == "Z"
        assert guarded.status() == 0


# What the tests are made of


def narrators_of(guard: int) -> list[int]:
    """Find the processes that were forked from a guard and live on: its words, in its network namespace."""

    def network(pid: int) -> str:
        try:
            return str(Path(f"/proc/{pid}/ns/net").readlink())
        except OSError:  # it has ended
            return ""

    alike = [pid for pid in processes() if pid != guard and command_line(pid) == command_line(guard)]
    return [pid for pid in alike if network(pid) == network(guard)]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def mask(pid: int, name: str) -> int:
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1], 16)


def pending(pid: int) -> int:
    return mask(pid, "SigPnd") | mask(pid, "ShdPnd")


def blocked_and_ignored(pid: int) -> int:
    return mask(pid, "SigBlk") | mask(pid, "SigIgn")

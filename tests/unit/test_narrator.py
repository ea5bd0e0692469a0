"""How the guard ends its narrator: what that has done is told, whatever else it is at is not waited for."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from portwait._linux import procfs
from portwait.bind.survey import Survey
from portwait.log import Events
from portwait.wait import channel, leaving
from portwait.wait.leaving import Leaving, collect
from portwait.wait.narrator import Narrator, start
from portwait.wait.starvation import seconds
from tests.support.programs import eventually, running

LATE = 0.3  # seconds, as on a host with more to do than it can


class Heard(Events):
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def say(self, level: str, event: str, text: str, fields: dict[str, object]) -> None:  # noqa: ARG002  # the others' names
        self.events.append(event)


@pytest.mark.parametrize("acting", [True, False], ids=["it has begun to evict", "it only reads"])
def test_what_was_done_is_told(acting: bool) -> None:
    """Who has begun to evict gets the time to say so, though the port is free; who has not is ended at once."""
    ours, its = channel.pair()
    log = Heard()
    is_over = threading.Event()

    def narrate() -> None:
        its.send("acting", acting)
        assert its.receive() is None  # the guard needs it no more
        is_over.wait(LATE if acting else None)
        with contextlib.suppress(BrokenPipeError):
            its.send("log", "warning", "evicted", "evicted it", {})
            its.send("acting", False)
        its.close()

    process = subprocess.Popen(("sleep", "60"))  # whom the guard may kill in its place
    thread = threading.Thread(target=narrate)
    narrator = Narrator(ours, process.pid, log, acts=True, was_pending=False)  # type: ignore[arg-type]  # all of a Log that is used
    thread.start()
    try:
        narrator.busy = True
        narrator.stop()
    finally:
        is_over.set()
        thread.join()
        process.kill()
        process.wait()
    assert log.events == (["evicted"] if acting else [])


@pytest.mark.parametrize("acts", [False, True], ids=["it only reads", "it may evict"])
def test_who_has_ended_is_not_killed(acts: bool) -> None:
    """Its PID may be another process's by now, and the guard hears nothing of a narrator that it has lost."""
    ours, its = channel.pair()
    words = ("sh", "-c", "exec 3<&0; cat <&3 & echo $!")  # no child of ours, which would be collected too
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        somebody = int(shell.stdout.readline())
        narrator = Narrator(ours, somebody, Heard(), acts=acts, was_pending=False)  # type: ignore[arg-type]  # likewise
        its.send("fault", "why")
        narrator.attend(Survey(()))
        assert narrator.lost
        its.close()
        narrator.stop()
        with contextlib.suppress(BrokenPipeError):
            shell.stdin.write(b"alive")
        shell.stdin.close()
        assert shell.stdout.read() == b"alive"


def test_a_narrator_that_fails_at_once_is_heard() -> None:
    """The first message is its PID all the same, whoever of the two processes runs first."""

    def narrate(_line: channel.Channel) -> None:
        raise ValueError("it broke")

    def is_lost(narrator: Narrator) -> bool:
        narrator.attend(Survey(()))
        return narrator.lost

    for _ in range(20):
        log = Heard()
        narrator = start(narrate, log, acts=False)  # type: ignore[arg-type]  # likewise
        eventually(functools.partial(is_lost, narrator), "its end")
        narrator.stop()
        assert log.events == ["failed"]


def test_who_ends_late_is_collected() -> None:
    """A busy host takes longer than a moment to end it, and the service must not have a child that it does not know."""
    process = subprocess.Popen(("sh", "-c", "echo ready; read line"), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        process.stdout.readline()
        threading.Timer(LATE, process.stdin.close).start()
        collect(process.pid)
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, os.WNOHANG)
    process.wait()


@pytest.mark.parametrize("has_pidfd", [True, False], ids=["pidfd", "proc"])
def test_who_leaves_late_is_waited_for(has_pidfd: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the end of a process is waited for with a pidfd and without; one that has ended already takes no time."""
    if not has_pidfd:
        monkeypatch.delattr(os, "pidfd_open", raising=False)
    with subprocess.Popen(("sleep", str(LATE))) as process:
        Leaving(process.pid).wait()
        stat = procfs.stat_of(process.pid)
        assert stat is not None
        assert stat.state == "Z"  # which is in no cgroup any more
        Leaving(process.pid).wait()


def test_nobody_waits_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the wait for somebody who does not leave has an end."""
    monkeypatch.setattr(leaving, "_LATEST", LATE)
    with subprocess.Popen(("sleep", "60")) as process:
        Leaving(process.pid).wait()
        assert process.poll() is None
        process.kill()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="this kernel does not count it")
def test_who_waits_for_a_processor_is_given_more_time() -> None:
    """Two programs that compute, and the children of a third, on one processor: each waits while another one runs."""
    compute = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); parents = os.getppid(), os.getpid()\n"
        "os.fork()\n"
        "while os.getppid() in parents: pass"  # the child ends with its parent
    )
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(running((sys.executable, "-c", compute))) for _ in range(2))
        eventually(lambda: seconds(first.pid) > 0.05 and seconds(second.pid) > 0.05, "a wait for a processor")
        idle = stack.enter_context(running(("sleep", "60")))
        assert seconds(idle.pid) < 10
    assert seconds(first.pid) == 0

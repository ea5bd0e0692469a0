"""As PID 1 of a container: the kernel spares such a process every signal that it has no handler for."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import talk
from tests.support.descriptors import sockets_of
from tests.support.programs import DEADLINE, command_line, eventually, portwait, running
from tests.support.states import outbound_established, states_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.programs import Program

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

PORT = 30010
SERVER = Path(__file__).parent / "helpers" / "serve_plain.py"


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (signal.SIGTERM, 143),
        (signal.SIGINT, 130),
        (signal.SIGHUP, 129),
        (signal.SIGQUIT, 131),
        (signal.SIGUSR1, 138),
        (signal.SIGUSR2, 140),
        (signal.SIGALRM, 142),
    ],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else str(value),
)
def test_a_signal_ends_the_wait_at_once(
    number: signal.Signals, status: int, record_property: Callable[[str, object], None]
) -> None:
    """It cannot die by the signal, so its status says 128+N; the service is not started. The goal is 100 ms."""
    with outbound_established(PORT), pid_one(portwait(str(PORT), "--", "echo", "started")) as (outside, guard):
        outside.complains("outbound")
        assert in_namespace(guard) == 1
        took = milliseconds_to_end(guard, number)
        assert outside.status() == status
        assert outside.out == []
    record_property("milliseconds from the signal to the end", took)
    print(f"{number.name}: ended after {took:.1f} ms")  # for `pytest -s`


def test_after_the_wait_pid_one_is_the_service() -> None:
    """The process that waited is the one that listens, and it still is PID 1."""
    service = [sys.executable, str(SERVER), str(PORT)]
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            outside, guard = stack.enter_context(pid_one(portwait(str(PORT), "--", *service)))
            outside.complains("outbound")
        eventually(lambda: "LISTEN" in states_on(PORT) or outside.process.poll() is not None, "the service's start")
        assert outside.process.poll() is None, outside.describe()
        assert [held.port for held in sockets_of(guard) if held.listening] == [PORT]
        assert in_namespace(guard) == 1
        assert command_line(guard) == service
        assert talk(PORT, b"guard\n") == b"hello from python, guard\n"


def test_an_ignored_sighup_stays_ignored() -> None:
    """Under nohup a wait outlives the hangup, and the service inherits the signals that a bare start gives it."""
    nohup, service = ("env", "--ignore-signal=HUP"), ["sleep", "600"]
    with pid_one(service, nohup) as (_, bare):
        eventually(lambda: command_line(bare) == service, "the bare start")
        expected = signals(bare)
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            outside, guard = stack.enter_context(pid_one(portwait(str(PORT), "--", *service), nohup))
            outside.complains("outbound")
            assert ignores(guard, signal.SIGHUP)
            os.kill(guard, signal.SIGHUP)
        eventually(lambda: command_line(guard) == service or outside.process.poll() is not None, "the service")
        assert outside.process.poll() is None, outside.describe()
        assert ignores(guard, signal.SIGHUP)
        assert signals(guard) == expected


@contextlib.contextmanager
def pid_one(argv: Sequence[str | bytes], before: Sequence[str] = ()) -> Iterator[tuple[Program, int]]:
    """Start a program as PID 1 of a PID namespace; yield `unshare`, which waits for it outside, and its PID there."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    with running([*before, *unshare, *argv]) as outside:
        children = Path(f"/proc/{outside.pid}/task/{outside.pid}/children")
        yield outside, int(eventually(lambda: children.read_text().split(), "the child of unshare")[0])


def milliseconds_to_end(pid: int, number: signal.Signals) -> float:
    """Send a signal and wait for the end of the process, which is somebody else's child."""
    process = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        began = time.monotonic()
        os.kill(pid, number)
        assert poll.poll(DEADLINE * 1000), f"{number.name} did not end the wait within {DEADLINE} s"
        return (time.monotonic() - began) * 1000
    finally:
        os.close(process)


def in_namespace(pid: int) -> int:
    """Answer the PID that a process has in its own, innermost PID namespace."""
    return int(status_of(pid)["NSpid"].split()[-1])


def signals(pid: int) -> dict[str, str]:
    """Which signals are blocked, ignored and caught, as the kernel's masks."""
    status = status_of(pid)
    return {name: status[name] for name in ("SigBlk", "SigIgn", "SigCgt")}


def ignores(pid: int, number: signal.Signals) -> bool:
    return bool(int(signals(pid)["SigIgn"], 16) >> (number - 1) & 1)


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}

"""Stopping while it waits: by the signal itself, at once, so that whoever sent it sees a clean stop."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.descriptors import sockets_of
from tests.support.guarding import STARTED, events
from tests.support.pipes import full_pipe
from tests.support.programs import Program, command_line, eventually, portwait, running
from tests.support.states import outbound_established, reset

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
STOPPING = [
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
]
each_signal = pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)


@each_signal
def test_it_ends_by_the_signal(number: signal.Signals) -> None:
    """Not with a status of its own: systemd takes that for a failure. Nothing is started, and one line says why."""
    with outbound_established(PORT), running(portwait(str(PORT), "--", *STARTED)) as guarded:
        guarded.complains("waiting for")
        guarded.signal(number)
        assert guarded.status() == -number
        assert guarded.out == []
        assert guarded.err[-1] == f"portwait: stopped by {number.name}; nothing was started"


@each_signal
def test_while_the_report_is_made(number: signal.Signals) -> None:
    """As soon as the port is known to be held; here before it has said a word."""
    with (
        full_pipe() as writing,
        outbound_established(PORT),
        running(portwait(str(PORT), "--", *STARTED), stderr=writing) as guarded,
    ):
        eventually(lambda: any(held.port for held in sockets_of(guarded.pid)), "the hold")
        guarded.signal(number)
        assert guarded.status() == -number
        assert guarded.out == []


@pytest.mark.parametrize("order", [(signal.SIGTERM, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM, signal.SIGHUP)])
def test_several_at_once(order: tuple[signal.Signals, ...]) -> None:
    """The first one that is delivered decides; no traceback, and no second line."""
    with outbound_established(PORT), running(portwait(str(PORT), "--", *STARTED)) as guarded:
        guarded.complains("waiting for")
        guarded.signal(signal.SIGSTOP)
        for number in order:
            guarded.signal(number)
        guarded.signal(signal.SIGCONT)
        assert guarded.status() in {-number for number in order}
        assert [line for line in guarded.err if "stopped" in line or "Traceback" in line] == [guarded.err[-1]]


@each_signal
def test_ignored_ones_stay_ignored(number: signal.Signals) -> None:
    """As under nohup: during the wait, and for the service."""
    name = number.name.removeprefix("SIG")
    before = ["env", f"--ignore-signal={name}"]
    with outbound_established(PORT) as blocker:
        argv = [*before, *portwait("--log-format", "json", str(PORT), "--", "sh", "-c", "echo started; read line")]
        with running(argv, stdin=subprocess.PIPE) as guarded:
            guarded.complains('"waiting"')
            assert masked(guarded, "SigIgn", number)
            guarded.signal(number)
            reset(blocker.sock)
            guarded.says("started")
            assert masked(guarded, "SigIgn", number)
            assert "stopped" not in [event["event"] for event in events("\n".join(guarded.err))]
            guarded.signal(number)
            guarded.tell("the end")
            assert guarded.status() == 0


@each_signal
def test_after_the_wait_they_are_the_services(number: signal.Signals) -> None:
    """The handlers do not survive exec: the service has the default, and dies of it."""
    with outbound_established(PORT) as blocker, running(portwait(str(PORT), "--", "sleep", "600")) as guarded:
        guarded.complains("waiting for")
        assert masked(guarded, "SigCgt", number)
        reset(blocker.sock)
        eventually(lambda: command_line(guarded.pid) == ["sleep", "600"], "the service")
        assert masks(guarded)["SigCgt"] == 0
        guarded.signal(number)
        assert guarded.status() == -number


def test_blocked_ones_wait() -> None:
    """A signal that was blocked from the start stays pending for the service."""
    before = ["env", "--block-signal=TERM"]
    with outbound_established(PORT) as blocker, running([*before, *portwait(str(PORT), "--", *STARTED)]) as guarded:
        guarded.complains("waiting for")
        guarded.signal(signal.SIGTERM)
        reset(blocker.sock)
        guarded.says("started")
        assert guarded.status() == 0


@pytest.mark.parametrize("words", [(str(PORT), "--", "sleep", "600"), ("-v", str(PORT), "--", "sleep", "600")])
def test_where_nothing_is_waited_for(words: tuple[str, ...]) -> None:
    """A service that started at once has Python's handler for SIGINT neither."""
    with running(portwait(*words)) as service:
        eventually(lambda: command_line(service.pid) == ["sleep", "600"], "the service")
        assert masks(service)["SigCgt"] == 0
        service.signal(signal.SIGINT)
        assert service.status() == -signal.SIGINT


@pytest.mark.parametrize("step", ["__main__._load_in_one_piece", "cli._dispatch"])
def test_a_signal_before_the_guard_is_ready(step: str, tmp_path: Path) -> None:
    """A SIGINT while it loads its modules or reads its words ends it without a traceback, too."""
    slow = tmp_path / "slow.py"
    slow.write_text(
        "import sys, os, signal\n"
        "from portwait import __main__, cli\n"
        "def interrupted(*_):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        f"{step} = interrupted\n"
        "sys.exit(__main__.start())\n"
    )
    with running([sys.executable, str(slow), "30010"], cwd=Path(__file__).parents[2]) as guarded:
        assert guarded.status() == -signal.SIGINT
        assert guarded.err == []


# What the tests are made of


def masks(program: Program) -> dict[str, int]:
    """Which signals are blocked, ignored and caught, as the kernel's masks."""
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    return {
        name: int(value, 16)
        for name, _, value in (line.partition(":\t") for line in lines)
        if name[:3] == "Sig" and name != "SigQ"
    }


def masked(program: Program, mask: str, number: signal.Signals) -> bool:
    return bool(masks(program)[mask] >> (number - 1) & 1)

"""Stopping while it waits, with real signals to the test's own process; as PID 1: tests/world/test_pid_one.py."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait.wait.signals import Stopped, Stopping
from tests.support.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPING = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT),
    *(signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM),
)
each = pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def dispositions() -> Iterator[None]:
    """Put back what the test process had."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@each
def test_a_signal_stops_what_is_done(number: signal.Signals) -> None:
    """At once, wherever it is, and with its own name."""
    with pytest.raises(Stopped) as caught, Stopping():
        signal.raise_signal(number)
    assert (caught.value.number, caught.value.name) == (number, number.name)


@each
def test_no_error_handling_eats_it(number: signal.Signals) -> None:
    """It is no error, as KeyboardInterrupt is none: what goes on after faults does not go on after this."""
    with pytest.raises(Stopped), Stopping(), contextlib.suppress(Exception):
        signal.raise_signal(number)


@each
def test_what_was_ignored_stays_ignored(number: signal.Signals) -> None:
    """Under nohup SIGHUP stops nothing, and afterwards it is as it was."""
    signal.signal(number, signal.SIG_IGN)
    with Stopping():
        signal.raise_signal(number)
        assert signal.getsignal(number) == signal.SIG_IGN
    assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("ends", ["by itself", "by a signal", "by an error"])
def test_dispositions_are_given_back(ends: str) -> None:
    """However the body ends, the service inherits what there was."""

    def handler(*_: object) -> None:
        """Be somebody else's."""

    signal.signal(signal.SIGTERM, handler)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    rest = [signal.getsignal(number) for number in STOPPING[3:]]
    with contextlib.suppress(Stopped, ZeroDivisionError), Stopping():
        assert signal.getsignal(signal.SIGTERM) is not handler
        if ends == "by a signal":
            signal.raise_signal(signal.SIGTERM)
        if ends == "by an error":
            raise ZeroDivisionError
    assert [signal.getsignal(number) for number in STOPPING] == [handler, signal.SIG_DFL, signal.SIG_IGN, *rest]


def test_the_first_signal_is_enough() -> None:
    """What follows is the way out, and a second signal does not interrupt that."""
    tidy = []

    def leave() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            for number in STOPPING:
                signal.raise_signal(number)
            tidy.append(True)

    with pytest.raises(Stopped) as caught, Stopping():
        leave()
    assert caught.value.number == signal.SIGTERM
    assert tidy == [True]


def test_other_signals_are_left_alone() -> None:
    """SIGWINCH, which a terminal sends too, is not portwait's to handle, though it stops Apache's image."""
    before = {number: signal.getsignal(number) for number in signal.valid_signals() - set(STOPPING)}
    with Stopping():
        assert {number: signal.getsignal(number) for number in before} == before


@each
@pytest.mark.parametrize("disposition", ["SIG_DFL", "SIG_IGN"])
def test_it_ends_by_the_signal_itself(number: signal.Signals, disposition: str) -> None:
    """Whoever waits for it sees the signal and no status, so that systemd calls the stop clean."""
    program = (
        "import signal; from portwait.wait.signals import end_by; "
        f"signal.signal({number:d}, signal.{disposition}); end_by({number:d})"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=DEADLINE)
    assert done.returncode == -number

"""When the wait looks again, shown with a clock that stands still until somebody sleeps on it."""

from __future__ import annotations

import math
from typing import NoReturn

import pytest
import tenacity
from hypothesis import given
from hypothesis import strategies as st

from portwait.wait import schedule
from portwait.wait.polling import POLL
from portwait.wait.schedule import CLOSE_FOR, CLOSE_POLL
from portwait.wait.signals import Stopped

BEGAN = 1000.0


class Clock:
    """What `schedule` knows as the module `time`; sleeping moves it, and it remembers each pause."""

    def __init__(self) -> None:
        self.now = BEGAN
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Put the clock in the place of the real one."""
    fake = Clock()
    monkeypatch.setattr(schedule, "time", fake)
    monkeypatch.setattr(tenacity, "time", fake)
    return fake


class Port:
    """What is looked at: free from a moment on, and aware of when it was looked at."""

    def __init__(self, clock: Clock, free_from: float = math.inf, *, takes: float = 0) -> None:
        self._clock = clock
        self._free_from = free_from
        self._takes = takes
        self.looks: list[float] = []

    def __call__(self) -> bool:
        self.looks.append(self._clock.now)
        free = self._clock.now >= self._free_from
        self._clock.now += self._takes
        return free


PAUSES = {
    "nothing is known": (math.inf, math.inf, POLL),
    "the deadline is near": (BEGAN + 0.03, math.inf, 0.03),
    "the deadline is now": (BEGAN, math.inf, 0),
    "the deadline is over": (BEGAN - 5, math.inf, 0),
    "the end is far": (math.inf, BEGAN + 60, POLL),
    "the end is within a poll": (math.inf, BEGAN + 0.06, 0.06),
    "the end is within a close poll": (math.inf, BEGAN + 0.01, CLOSE_POLL),
    "the end is now": (math.inf, BEGAN, CLOSE_POLL),
    "the end was a moment ago": (math.inf, BEGAN - CLOSE_FOR + 0.1, CLOSE_POLL),
    "the end was long ago": (math.inf, BEGAN - CLOSE_FOR, POLL),
    "the end was very long ago": (math.inf, -math.inf, POLL),
    "the deadline is before the end": (BEGAN + 0.02, BEGAN + 0.06, 0.02),
    "the deadline is just behind the end": (BEGAN + 0.07, BEGAN + 0.06, 0.06),
}


@pytest.mark.parametrize(("deadline", "expected", "seconds"), PAUSES.values(), ids=PAUSES)
def test_how_long_a_pause_is(deadline: float, expected: float, seconds: float) -> None:
    """Slowly, closely for a while from the announced end of a socket on, and never beyond the deadline."""
    assert schedule.pause(BEGAN, deadline, expected, POLL) == pytest.approx(seconds)


_times = st.floats(0, 1e6)


@given(_times, _times | st.just(math.inf), _times | st.just(math.inf))
def test_every_pause_is_short_and_none_is_empty(now: float, deadline: float, expected: float) -> None:
    """A look comes at least every POLL; only the deadline makes them follow each other more closely than CLOSE_POLL."""
    seconds = schedule.pause(now, deadline, expected, POLL)
    assert 0 <= seconds <= POLL + 1e-9
    assert seconds >= min(CLOSE_POLL, max(0, deadline - now)) - 1e-9
    assert now + seconds <= max(now, deadline) + 1e-9


def test_tenacity_is_told_the_pause(clock: Clock) -> None:
    """What is expected may change from look to look, so it is asked each time."""
    ends = [BEGAN + 0.05, math.inf]
    port = Port(clock, free_from=BEGAN + 0.1)
    assert schedule.until(port, clock.sleep, BEGAN + 10, lambda: ends.pop(0) if len(ends) > 1 else ends[0])
    assert clock.pauses == pytest.approx([0.05, POLL])


def test_free_at_once(clock: Clock) -> None:
    """The first look is before any pause."""
    port = Port(clock, free_from=0)
    assert schedule.until(port, clock.sleep, BEGAN + 10) is True
    assert (port.looks, clock.pauses) == ([BEGAN], [])


def test_free_after_a_while(clock: Clock) -> None:
    """It ends with the first look that says yes."""
    port = Port(clock, free_from=BEGAN + 3.05)
    assert schedule.until(port, clock.sleep) is True
    assert BEGAN + 3.05 <= clock.now <= BEGAN + 3.05 + POLL
    assert port.looks[-1] == clock.now


@pytest.mark.parametrize("timeout", [0.05, 0.1, 1, 3.33, 75])
def test_the_last_look_is_at_the_deadline(clock: Clock, timeout: float) -> None:
    """The deadline is absolute: no pause goes beyond it, and what becomes free at that very moment is found."""
    port = Port(clock)
    assert schedule.until(port, clock.sleep, BEGAN + timeout) is False
    assert port.looks[-1] == clock.now == pytest.approx(BEGAN + timeout)
    assert clock.now <= BEGAN + timeout + 1e-6


def test_free_at_the_deadline(clock: Clock) -> None:
    """What becomes free at the last moment counts."""
    assert schedule.until(Port(clock, free_from=BEGAN + 1), clock.sleep, BEGAN + 1) is True


@pytest.mark.parametrize("deadline", [BEGAN, BEGAN - 5, -math.inf])
def test_a_deadline_that_is_over_leaves_one_look(clock: Clock, deadline: float) -> None:
    """--timeout 0 looks once."""
    port = Port(clock)
    assert schedule.until(port, clock.sleep, deadline) is False
    assert (port.looks, clock.pauses) == ([BEGAN], [])


def test_slow_looks_count(clock: Clock) -> None:
    """The time that looks take is not added to the deadline, as it is where only planned pauses are counted."""
    port = Port(clock, takes=0.4)
    assert schedule.until(port, clock.sleep, BEGAN + 2, every=0.1) is False
    assert len(port.looks) == 5
    assert clock.now == pytest.approx(BEGAN + 2.4)


def test_a_pause_that_an_event_cuts_short(clock: Clock) -> None:
    """Whoever sleeps may wake early: then the look comes early, and the deadline stays where it is."""
    port = Port(clock, free_from=BEGAN + 0.01)
    assert schedule.until(port, lambda seconds: clock.sleep(seconds / 50), BEGAN + 1) is True
    assert clock.now < BEGAN + 0.02
    port = Port(clock)
    assert schedule.until(port, lambda seconds: clock.sleep(max(seconds / 3, 0.001)), BEGAN + 1) is False
    assert clock.now == pytest.approx(BEGAN + 1, abs=0.002)


def test_it_looks_closely_around_the_end_of_a_time_wait(clock: Clock) -> None:
    """Slowly until the timer has run out, closely for as long as a TIME_WAIT stays behind it, then slowly again."""
    ends = BEGAN + 2.05
    port = Port(clock)
    schedule.until(port, clock.sleep, BEGAN + 8, lambda: ends)
    gaps = {look: later - look for look, later in zip(port.looks, port.looks[1:])}
    assert any(look == pytest.approx(ends) for look in port.looks)
    for look, gap in gaps.items():
        if ends - 1e-6 <= look < ends + CLOSE_FOR - 1e-6:
            assert gap == pytest.approx(CLOSE_POLL)
        elif look < ends - POLL or ends + CLOSE_FOR + 1e-6 < look < BEGAN + 8 - POLL:
            assert gap == pytest.approx(POLL)


def test_it_never_ends_by_itself(clock: Clock) -> None:
    """Without a deadline only the port ends it, however many looks that takes."""
    port = Port(clock, free_from=BEGAN + 1000)
    assert schedule.until(port, clock.sleep) is True
    assert len(port.looks) == pytest.approx(1000 / POLL, rel=0.01)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), Stopped(15)], ids=repr)
def test_what_goes_wrong_comes_out_as_it_is(clock: Clock, fault: BaseException) -> None:
    """Faults and signals, in a look or in a pause, are neither tried again nor wrapped by the policy."""

    def fail(*_: object) -> NoReturn:
        raise fault

    with pytest.raises(type(fault)) as in_look:
        schedule.until(fail, clock.sleep, BEGAN + 5)
    with pytest.raises(type(fault)) as in_pause:
        schedule.until(Port(clock), fail, BEGAN + 5)
    assert in_look.value is in_pause.value is fault

"""What happens often is told at widening intervals, and counted."""

from __future__ import annotations

from portwait.wait.pace import Pace


def test_the_first_ones_are_told_at_once() -> None:
    """A few connections are worth a line each."""
    pace = Pace()
    assert [pace.admits(0.0) for _ in range(9)] == [True] * 9
    assert not pace.admits(0.0)
    assert pace.take_untold() == 1
    assert pace.take_untold() == 0


def test_a_thousand_a_second_are_few_lines() -> None:
    """After ten minutes there are 23 lines, and every one that was left out is counted."""
    pace = Pace()
    told = counted = 0
    for millisecond in range(600_000):
        if pace.admits(millisecond / 1000):
            told += 1
            counted += pace.take_untold()
    assert told == 23
    assert told + counted + pace.untold == 600_000

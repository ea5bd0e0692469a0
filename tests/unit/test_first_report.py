"""How long the guard waits for its first report: a table."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from portwait.log import Log
from portwait.wait.loop import WaitLoop

BY_BIND = {"undecided": (), "obstructed": ("30010",)}
BY_TABLES = {"undecided": ("30010",), "obstructed": ()}
READ_ALREADY = {"undecided": ("30010",), "obstructed": ("30010",)}
ONE_OF_TWO = {"undecided": ("80",), "obstructed": ("30010",)}


@pytest.mark.parametrize(
    ("timeout", "survey", "starved", "expected"),
    [
        (0, BY_BIND, 0, 5),
        (0, BY_TABLES, 2, 7),
        (75, BY_BIND, 0, 3),
        (math.inf, BY_BIND, 2, 5),
        (2, BY_BIND, 0, 2.15),
        (2, BY_BIND, 15, 4),  # at most two seconds after the deadline
        (1, BY_BIND, 0, 1.15),
        (0.2, BY_BIND, 0, 1),
        (0.2, BY_BIND, 0.1, 1.1),
        (0.2, BY_BIND, 15, 2.2),
        (0.02, BY_BIND, 15, 2.02),
        (0.02, BY_TABLES, 0, 3),  # nobody else says whether the port is held
        (0.02, BY_TABLES, 2, 5),
        (75, BY_TABLES, 15, 18),
        (0.2, READ_ALREADY, 0, 1),
        (0.2, ONE_OF_TWO, 0, 1),  # it does not start, whatever the tables say
    ],
)
def test_until(timeout: float, survey: dict[str, tuple[str, ...]], starved: float, expected: float) -> None:
    """Rule: the deadline cuts a name short, and never the question whether the port is held."""
    loop = WaitLoop(SimpleNamespace(**survey), Log(), 1000.0, 1000.0 + timeout, None)  # type: ignore[arg-type]  # all that is read of a Survey
    assert loop._first_report_until(1000.0, starved) == pytest.approx(1000.0 + expected)

"""When to look again: the policy of the wait, for tenacity to carry out. The one door to tenacity.

Events cut a pause short, so the pauses are only the slow poll under them: for a port that becomes free without any
event, and for a TIME_WAIT, which ends a moment after its timer said.
"""

from __future__ import annotations

import math
import operator
import time
from typing import TYPE_CHECKING

import tenacity

from portwait.wait import polling

if TYPE_CHECKING:
    from collections.abc import Callable

LOOK = 5 * polling.POLL  # seconds between two whole looks where the pause itself asks bind() every POLL
CLOSE_POLL = 0.025  # around the end of a TIME_WAIT
CLOSE_FOR = 3.0  # a TIME_WAIT ended 0.3 to 2 s after its timer had said so


def pause(now: float, deadline: float, expected: float, every: float) -> float:
    """Seconds from now until the next look is due: `every`, or sooner around an expected end and the deadline."""
    if expected <= now < expected + CLOSE_FOR:
        due = now + CLOSE_POLL
    elif now < expected < now + every:
        due = max(expected, now + CLOSE_POLL)
    else:
        due = now + every
    return max(0.0, min(due, deadline) - now)


def until(
    look: Callable[[], bool],
    pause_for: Callable[[float], None],
    deadline: float = math.inf,
    expected: Callable[[], float] = lambda: math.inf,
    every: float | None = None,
) -> bool:
    """Look until the answer is yes or the deadline comes; which of the two.

    `pause_for` sleeps for that many seconds or less, `expected` says when a socket is due to end. The last look is
    at the deadline, not before it. `every` is the longest pause in seconds, POLL where it is not given.
    """
    longest = polling.POLL if every is None else every
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(operator.not_),
        stop=tenacity.stop_after_delay(deadline - time.monotonic()),  # the pauses are clamped, so it never overshoots
        wait=lambda _: pause(time.monotonic(), deadline, expected(), longest),
        sleep=pause_for,
        retry_error_callback=lambda _: False,
    )
    return bool(retrying(look))

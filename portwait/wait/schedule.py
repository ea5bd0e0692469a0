"""When to look again: the policy of the wait, as small callables that tenacity composes. The one door to tenacity.

Events cut a pause short, so the pauses are only the slow poll under them: for a port that becomes free without any
event, and for a TIME_WAIT, which ends a moment after its timer said.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import tenacity

if TYPE_CHECKING:
    from collections.abc import Callable

POLL = 0.2  # seconds: the kernel sends no event for some ends, and then half of this is what a start is late by
LOOK = 5 * POLL  # seconds between two whole looks where the pause itself asks bind() every POLL
CLOSE_POLL = 0.025  # around the end of a TIME_WAIT
CLOSE_FOR = 3.0  # a TIME_WAIT ended 0.3 to 2 s after its timer had said so


class wait_for_the_kernel(tenacity.wait.wait_base):  # noqa: N801  # tenacity's own naming of its callables
    """Pause until the next poll, closely around the announced end of a socket, never beyond the deadline."""

    def __init__(self, deadline: float, expected: Callable[[], float], every: float) -> None:
        """`deadline` and what `expected` answers are monotonic times in seconds, math.inf for never."""
        self._deadline = deadline
        self._expected = expected
        self._every = every

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:  # noqa: ARG002  # tenacity passes it
        """Seconds until the next look."""
        return pause(time.monotonic(), self._deadline, self._expected(), self._every)


def pause(now: float, deadline: float, expected: float, every: float) -> float:
    """Seconds from now until the next look is due, `every` so many at the latest."""
    if expected <= now < expected + CLOSE_FOR:
        due = now + CLOSE_POLL
    elif now < expected < now + every:
        due = max(expected, now + CLOSE_POLL)
    else:
        due = now + every
    return max(0.0, min(due, deadline) - now)


class stop_at(tenacity.stop.stop_base):  # noqa: N801  # likewise
    """Stop at an absolute monotonic time; tenacity's own stop_after_delay overshoots by a pause."""

    def __init__(self, deadline: float) -> None:
        """`deadline` is a monotonic time in seconds, math.inf for never."""
        self._deadline = deadline

    def __call__(self, retry_state: tenacity.RetryCallState) -> bool:  # noqa: ARG002  # tenacity passes it
        """Whether the time has come."""
        return time.monotonic() >= self._deadline


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
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda answer: not answer),
        stop=stop_at(deadline),
        wait=wait_for_the_kernel(deadline, expected, POLL if every is None else every),
        sleep=pause_for,
        retry_error_callback=lambda _: False,
    )
    return bool(retrying(look))

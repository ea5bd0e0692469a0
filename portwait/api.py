"""The guard's parts for other Python programs: silent, without options that only a command line needs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from portwait import diagnosis, waiting
from portwait.survey import Survey

if TYPE_CHECKING:
    from portwait.diagnosis import Blocker
    from portwait.hold import Mode
    from portwait.targets import Target


def blockers(target: Target, *, reuseaddr: bool = True) -> tuple[Blocker, ...]:
    """Find the sockets that make the target's bind fail, and the processes behind them.

    `reuseaddr` is whether the service sets SO_REUSEADDR. Raises TablesError where no socket table can be read.
    """
    return diagnosis.diagnose([target], reuseaddr=reuseaddr).blockers[target]


def wait_until_free(
    *targets: Target, timeout: float = math.inf, reuseaddr: bool = True, mode: Mode = "default"
) -> Survey | None:
    """Wait until all targets can be bound, for at most `timeout` seconds; None when that is over.

    The answer has the holds (`mode` none: there are none), which keep the ports from connect() until they are
    dropped: `for hold in survey.holds: hold.drop()`.
    """
    survey = Survey(targets, reuseaddr=reuseaddr, mode=mode)
    if waiting.until(survey.look, time.sleep, time.monotonic() + timeout):
        return survey
    for one in survey.holds:  # of the targets that were free
        one.drop()
    return None

"""The guard's parts for other Python programs: silent, without options that only a command line needs."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from portwait.bind.choice import choose, order
from portwait.bind.survey import Survey
from portwait.diagnosis.blockers import diagnose
from portwait.errors import PortwaitError, UsageError
from portwait.host.port_settings import port_settings
from portwait.model.targets import parse
from portwait.wait import schedule
from portwait.wait.inspection import Inspection

if TYPE_CHECKING:
    from portwait.bind.claim import Claim
    from portwait.bind.hold import Hold, Mode
    from portwait.model.blocker import Blocker
    from portwait.model.targets import Family, Target

_picked: list[Claim] = []
"""What `pick` has chosen stands until it is dropped, also where the caller keeps the number alone."""
_TABLES_EVERY = 1.0  # seconds between two readings of the tables, where bind has no word


def blockers(target: Target, *, reuseaddr: bool = True) -> tuple[Blocker, ...]:
    """Find the sockets that make the target's bind fail, and the processes behind them.

    `reuseaddr` is whether the service sets SO_REUSEADDR. Raises TablesError where no socket table can be read. Other
    processes' files and the users' database are read in the calling thread: on a host where those do not answer this
    does not return. The command portwait names owners in a process of its own, which it can abandon.
    """
    return diagnose([target], reuseaddr=reuseaddr).blockers[target]


def wait_until_free(
    *targets: Target, timeout: float = math.inf, reuseaddr: bool = True, mode: Mode = "default"
) -> Survey | None:
    """Wait until all targets can be bound, for at most `timeout` seconds; None when that is over.

    The answer has the holds (`mode` none: there are none), which keep the ports from connect() until they are dropped,
    `for hold in survey.holds: hold.drop()`, or nobody has the answer any more. Where bind is denied the socket tables
    decide; of more than 64 targets they say which are free, and bind is asked about the others. They are read once when
    a target is held, with the owners as `blockers` does: `timeout` is not kept where that does not return. Raises
    UsageError for NaN, and for `mode` full without SO_REUSEADDR: such a service cannot bind beside a full hold.
    """
    _check(mode, reuseaddr=reuseaddr)
    survey = Survey(targets, reuseaddr=reuseaddr, mode=mode)
    inspection = Inspection(survey)
    read_at = -math.inf

    def look() -> bool:
        nonlocal read_at
        free, now = inspection.probe(), time.monotonic()
        due = read_at == -math.inf and not free  # once, for the holds that can stand beside what is there
        if due or (survey.undecided and now >= read_at + _TABLES_EVERY):
            free, read_at = inspection.inspect(), now
        return free

    free = False
    try:
        free = schedule.until(look, time.sleep, _deadline(timeout))
    finally:
        if not free:
            for hold in survey.holds:
                hold.drop()
    return survey if free else None


def pick(
    *ranges: str,
    shuffled: bool = False,
    timeout: float = 0.0,
    family: Family = 0,
    reuseaddr: bool = True,
    mode: Mode = "default",
) -> Hold:
    """Choose a port of these ranges (`10000-19999`, `127.0.0.1:8000-8999`), and keep it until `drop()` is called.

    `port` of the answer is the port. No other pick gets it, no hold stands on it, and the kernel gives it to nobody's
    connect(); a server that sets SO_REUSEADDR binds beside it. `shuffled` takes any, not the first. Waits `timeout`
    seconds where all are taken. Raises PortwaitError where none can be had, UsageError for words that are no ranges,
    for NaN, and for `mode` full without SO_REUSEADDR.
    """
    _check(mode, reuseaddr=reuseaddr)
    candidates, settings = parse(ranges, family), port_settings()
    claims: list[Claim] = []

    def look() -> bool:
        claims.extend(choose(order(candidates, settings, shuffled=shuffled), 1, mode, reuseaddr=reuseaddr).claims)
        return bool(claims)

    if not schedule.until(look, time.sleep, _deadline(timeout)):
        raise PortwaitError(f"cannot pick a port of {' '.join(ranges)}: none can be had")
    _picked[:] = [*(each for each in _picked if each.keeps), claims[0]]
    return claims[0]


def _check(mode: Mode, *, reuseaddr: bool) -> None:
    """Refuse what never ends: a probe like such a service's would meet our own hold."""
    if mode == "full" and not reuseaddr:
        raise UsageError("cannot use mode full with reuseaddr=False: such a service cannot bind beside a full hold")


def _deadline(timeout: float) -> float:
    """Say when a wait ends; NaN is no number of seconds, and none would ever come."""
    if math.isnan(timeout):
        raise UsageError("cannot wait for NaN seconds; without end is math.inf")
    return time.monotonic() + timeout

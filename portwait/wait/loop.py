"""The wait, from the first verdict that is not `free` until the service can start, the deadline or a signal.

Looks when the kernel says that a socket on the port was destroyed, when a TIME_WAIT is due, and slowly under both;
names who is in the way; keeps quiet while nothing changes. A fault in here is a fault of the guard's own: what
cannot be seen is said and the wait goes on, for bind alone decides.
"""

from __future__ import annotations

import contextlib
import math
import select
import sys
import time
from typing import TYPE_CHECKING, Protocol

from portwait.advice import advise, gather
from portwait.diagnosis.blockers import ranges_of
from portwait.errors import TablesError
from portwait.host.port_settings import port_settings
from portwait.model.port_settings import PortSettings
from portwait.reports import target as target_report
from portwait.systemd import notify
from portwait.text import durations, stderr
from portwait.text.layout import Paper
from portwait.text.plural import names
from portwait.wait.inspection import Inspection
from portwait.wait.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portwait._linux.sockdiag import DestroyEvents
    from portwait.bind.survey import Survey
    from portwait.log import Log
    from portwait.model.blocker import Blocker
    from portwait.model.targets import Target

_MOST_ADVISED = 3  # targets; more would not fit a screen
_TABLES_EVERY = 1.0  # seconds between two readings of the tables: one costs 10 ms at 100,000 connections
_TABLES_SOON = 0.1  # likewise, where there is news and they decide, for bind is denied
_FIRST_REMINDER, _LAST_REMINDER = 10.0, 600.0  # seconds; each is twice the one before


class Removal(Protocol):
    """Whatever may be done about what is in the way (`eviction.clear`)."""

    unsettled: bool

    def through(self, inspection: Inspection, looked: Callable[[], None]) -> bool:
        """Do all that may be done now; whether the service can start."""


class WaitLoop:
    """The wait for one survey's targets; `keep` does it."""

    def __init__(
        self, survey: Survey, log: Log, began: float, deadline: float, clearing: Removal | None = None
    ) -> None:
        """`began` and `deadline` are monotonic times in seconds, the latter math.inf for never.

        `clearing` does something about what is in the way, once it was reported.
        """
        self._survey = survey
        self._inspection = Inspection(survey)
        self._clearing = clearing
        self._log = log
        self._deadline = deadline
        self._began = began
        self._waits = False
        self._events: DestroyEvents | None = None
        self._news = True
        self._read_at = -math.inf
        self._expected = math.inf
        self._told: dict[Target, object] = {}
        self._told_lost: set[str] = set()
        self._reminder = _FIRST_REMINDER
        self._remind_at = math.inf
        self._progress = notify.Progress()
        self._status = ""
        self._paper = Paper(stderr.columns())  # without colours: the log has its own

    def keep(self) -> bool:
        """Wait; whether the service can start. Raises Stopped where a signal ends it."""
        try:
            if self._look():
                return True
            if self._deadline <= time.monotonic():
                return False
            self._events = _subscribe(self._survey.obstructed)  # before the next look, so that nothing is missed
            self._say_waiting()
            from portwait.wait import schedule  # with tenacity, which nobody needs who could evict everything at once

            free = schedule.until(self._look, self._pause, self._deadline, lambda: self._expected, schedule.LOOK)
        except Stopped as stopped:
            self._log.info("stopped", f"stopped by {stopped.name}; nothing was started", signal=stopped.name)
            raise
        else:
            self._progress.end("" if free else f"gave up waiting: {self._status}")
            return free
        finally:
            self._log.live("")
            self._progress.end()
            if self._events is not None:
                self._events.close()

    @property
    def waited(self) -> float:
        """Seconds since the guard began, 0 where it did not have to wait."""
        return time.monotonic() - self._began if self._waits else 0.0

    def _look(self) -> bool:
        now = time.monotonic()
        free = self._inspection.look()
        self._news = self._news or now >= min(self._expected, self._remind_at)
        if now >= self._due and (self._news or self._survey.undecided):
            free = self._look_closely(now)
        if not free:
            self._remind(now)
        return free

    @property
    def _due(self) -> float:
        """When the tables may be read again, a monotonic time."""
        return self._read_at + (_TABLES_SOON if self._news and self._survey.undecided else _TABLES_EVERY)

    def _look_closely(self, now: float) -> bool:
        """Read the tables: who is in the way, and what bind could not say."""
        self._news, self._read_at = False, now
        free = self._inspection.look_closely()
        self._report(now)
        if not free and self._clearing is not None:
            free = self._clearing.through(self._inspection, lambda: self._report(now))
            self._news = self._news or self._clearing.unsettled
        return free

    def _report(self, now: float) -> None:
        self._expected = self._expected_end(now)
        self._tell()
        self._status = self._headlines()

    def _expected_end(self, now: float) -> float:
        ends = [blocker.expires_in for blocker in self._blockers() if blocker.expires_in is not None]
        return now + min(ends) if ends else math.inf

    def _blockers(self) -> Iterable[Blocker]:
        for found in self._inspection.diagnosis.blockers.values():
            yield from found

    def _tell(self) -> None:
        """Report each target whose verdict or blockers are not those that were told last."""
        diagnosis = self._inspection.diagnosis
        if diagnosis.lost and diagnosis.lost not in self._told_lost:
            self._told_lost.add(diagnosis.lost)
            self._log.warning("tables-limited", f"cannot see everything: {diagnosis.lost}", reason=diagnosis.lost)
        seen = port_settings()
        for target in self._survey.targets:
            case = self._inspection.case(target, seen)
            verdict = case.verdict
            told = (
                verdict,
                frozenset(
                    (blocker.socket.cookie, blocker.socket.inode, blocker.socket.state, blocker.remote)
                    for blocker in case.blockers
                ),
            )
            if self._told.get(target) == told or (verdict.state == "free" and target not in self._told):
                continue
            first = target not in self._told
            self._told[target] = told
            if verdict.state == "free":
                continue
            event = verdict.state if first else "changed"
            # Advice when a wait begins, on one screen; afterwards only what has changed.
            advised = first and target in self._survey.obstructed and len(self._told) <= _MOST_ADVISED
            if advised:
                case = case._replace(remedies=advise(gather(case, reuseaddr=self._survey.reuseaddr)))
            text = target_report.full(case, self._paper, briefly=True)
            self._log.warning(event, text, **target_report.as_dict(case))

    def _headlines(self) -> str:
        cases = (self._inspection.case(target, PortSettings()) for target in self._survey.obstructed)
        return "; ".join(target_report.headline(case) for case in cases)

    def _say_waiting(self) -> None:
        self._waits = True
        self._progress.tell(f"waiting: {self._status}")
        for_ports = names(self._survey.obstructed)
        left = self._deadline - time.monotonic()
        limit = "until it is free" if left == math.inf else f"for at most {durations.show(left)}"
        held = [one for one in self._survey.holds if one.form is not None]
        kept = "; no new connection can be given the port meanwhile" if held else ""
        self._remind_at = time.monotonic() + self._reminder
        self._log.info(
            "waiting",
            f"waiting for {for_ports} {limit}{kept}",
            target=for_ports,
            timeout=_finite(left),
            hold=bool(held),
        )

    def _remind(self, now: float) -> None:
        ports = names(self._survey.obstructed)
        waited = durations.show(self.waited) if self.waited >= 1 else "0s"
        ends = (
            f", the connection ends in {durations.show(max(0, self._expected - now))}"
            if self._expected < math.inf
            else ""
        )
        left = (
            ""
            if self._deadline == math.inf
            else f", giving up in {durations.show(max(0.0, round(self._deadline - now)))}"
        )
        if now >= self._remind_at:
            self._reminder = min(self._reminder * 2, _LAST_REMINDER)
            self._remind_at = now + self._reminder
            self._log.info(
                "still-waiting",
                f"still waiting for {ports} after {waited}{ends}{left}",
                target=ports,
                waited=round(self.waited, 1),
            )
        if self._waits:
            self._progress.tell(f"waiting: {self._status}")
        self._log.live(f"portwait: waiting for {ports} for {waited}{ends}{left}")

    def _pause(self, seconds: float) -> None:
        """Sleep, until an event or a new word of bind at the longest.

        Only bind is asked in here, a few times a second and with nothing around it: that is what a wait costs.
        """
        from portwait.wait import schedule

        end = time.monotonic() + seconds
        if self._news and self._survey.undecided:
            end = min(end, self._due)
        poll = select.poll()
        if self._events is not None:
            # Only what is in the way: a probe that succeeds is a bound socket that closes, and wakes its own waiter
            with contextlib.suppress(OSError):
                self._events.watch(ranges_of(self._survey.obstructed))
            poll.register(self._events.fileno(), select.POLLIN)
        while (left := end - time.monotonic()) > 0:
            if poll.poll(math.ceil(min(left, schedule.POLL) * 1000)) and self._events is not None:
                self._events.drain()
                self._news = True
                return
            if left <= schedule.POLL or self._survey.changed():  # or the look that follows asks
                return


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else round(seconds, 3)


def _subscribe(targets: Iterable[Target]) -> DestroyEvents | None:
    """Ask for the kernel's events; without netlink the poll alone has to do."""
    if sys.platform != "linux":
        return None
    from portwait._linux.sockdiag import DestroyEvents

    try:
        return DestroyEvents(ranges_of(targets))
    except TablesError:
        return None

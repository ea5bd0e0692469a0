"""The wait, from the first verdict that is not `free` until the service can start, the deadline or a signal.

Knows bind(), the kernel's events and a clock, and nothing that can block. It asks bind when the kernel says that a
socket on the port was destroyed, when a TIME_WAIT is due, and slowly under both. Who is in the way is the narrator's
business: it is asked when something has changed, and what it says is written as it comes. Where it does not answer, the
wait continues, because bind() alone decides.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from typing import TYPE_CHECKING

from portwait.errors import TablesError
from portwait.model import ports
from portwait.systemd import notify
from portwait.text import durations
from portwait.text.plural import names, typed
from portwait.wait import polling

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait._linux.sockdiag import DestroyEvents
    from portwait.bind.survey import Survey
    from portwait.log import Log
    from portwait.model.sockets import Range
    from portwait.model.targets import Target
    from portwait.model.verdict import State
    from portwait.wait.narrator import Narrator

_TABLES_EVERY = 1.0  # seconds between two readings of the tables: one costs 10 ms at 100,000 connections
_TABLES_SOON = 0.1  # likewise, where there is news and they decide, because bind is denied
# Seconds that the narrator has, not counted while no processor is free for it:
_ONE_LOOK = 5.0  # for the one look of --timeout 0, evicting included
_SILENCE = 20.0  # to say anything at all after an event: to name the owners of thousands of sockets can take long
_FIRST_REPORT = 3.0  # to say who is in the way before it is said that the wait begins, or to read whether anybody is
_SHORTEST_REPORT = 1.0  # to say who is in the way although the deadline comes sooner
# Seconds after the deadline:
_GRACE, _LATEST = 0.15, 2.0  # for a first report; the latter where it has not yet had its shortest time
_UNREAD = "failed to read the socket tables: no answer in time; continuing without it"
_FIRST_REMINDER, _LAST_REMINDER = 10.0, 600.0  # seconds; each is twice the one before


class WaitLoop:
    """The wait for one survey's targets; `wait` does it."""

    def __init__(self, survey: Survey, log: Log, began: float, deadline: float, narrator: Narrator | None) -> None:
        """`began` and `deadline` are monotonic times in seconds, the latter math.inf for never.

        Without a narrator nobody is named and nothing evicted.
        """
        self._survey = survey
        self._narrator = narrator
        self._log = log
        self._deadline = deadline
        self._began = began
        self._waits = False
        self._events: DestroyEvents | None = None
        self._news = True
        self._states: dict[Target, State] = {}
        self._asked_at = -math.inf
        self._event_at = math.inf  # of the first event that no reading of the tables has followed
        self._silent = 0.0  # seconds without a word since then, and without those in which this process was stopped
        self._probed_at = began
        self._patient = True
        self._reminder = _FIRST_REMINDER
        self._remind_at = math.inf
        self._progress = notify.Progress()

    def wait(self) -> bool:
        """Wait; whether the service can start. Raises Stopped where a signal ends it."""
        try:
            self._events = _subscribe(self._survey.obstructed)  # before the next look, so that nothing is missed
            if self._first_probe():
                return True
            if self._deadline <= time.monotonic():
                return False
            from portwait.wait import schedule  # with tenacity, which nobody needs who could evict everything at once

            self._say_waiting()
            free = schedule.until(self._probe, self._pause, self._deadline, lambda: self._expected, schedule.LOOK)
            if not free:
                self._pause(0.0)  # what has come while this process was stopped, or got no processor
                free = self._probe()
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

    def _first_probe(self) -> bool:
        """Ask the narrator for its first report and wait for it, within bounds; whether the service can start."""
        free = self._probe()
        asked = time.monotonic()  # not before: this process may be stopped, or get no processor, in between
        until = self._first_report_until(asked)
        while not free:
            if self._narrator is None or self._narrator.lost or self._narrator.reports:
                break
            if until <= time.monotonic():
                until = self._first_report_until(asked, self._narrator.starved())
            began = time.monotonic()
            planned = max(0.0, min(until - began, polling.POLL))
            self._pause(planned)
            overslept = max(0.0, time.monotonic() - began - planned)  # this process was stopped, or got no processor
            asked, until = asked + overslept, self._first_report_until(asked + overslept)
            free = self._probe()
            if not planned:
                break  # what had come was read; a guard that was stopped itself did not see it before
        if free or self._is_decided:
            return free
        self._patient = False
        if self._narrator is not None and not self._narrator.has_read:
            self._log.warning("failed", _UNREAD)
        return self._probe()

    def _first_report_until(self, asked: float, starved: float = 0.0) -> float:
        """Say how long to wait for the first report: as long as it takes, where it alone says whether a port is held.

        Where bind has said so, the report is only the name, and the deadline counts too.
        """
        if self._deadline <= self._began:
            return asked + _ONE_LOOK + starved
        until = asked + _FIRST_REPORT + starved
        if self._survey.undecided and not self._survey.obstructed:
            return until
        shortest = min(asked + _SHORTEST_REPORT + starved, self._deadline + _LATEST)
        return min(until, max(self._deadline + _GRACE, shortest))

    @property
    def _is_decided(self) -> bool:
        """Whether nobody has to read the socket tables any more before the service may start."""
        narrator = self._narrator
        answered = narrator is None or narrator.lost or narrator.reports > 0
        return answered or not self._patient or not self._survey.undecided

    def _probe(self) -> bool:
        now = time.monotonic()
        self._forget_what_is_outdated(now)
        free = self._survey.probe() and self._is_decided
        if free:
            return True
        before, self._states = self._states, self._survey.states
        self._news = self._news or before != self._states or now >= min(self._expected, self._remind_at)
        if now >= self._due and (self._news or self._survey.undecided) and self._narrator is not None:
            if not self._narrator.busy:
                self._news, self._asked_at = False, now
            self._narrator.ask(self._survey)
        self._remind(now)
        return False

    def _forget_what_is_outdated(self, now: float) -> None:
        """Take back the tables' word where a socket was destroyed since and the narrator says nothing any more.

        It may be stuck for good, naming somebody; nobody knows then whether the port is held.
        """
        passed, self._probed_at = min(now - self._probed_at, _TABLES_EVERY), now
        self._silent = self._silent + passed if now > self._event_at else 0.0
        narrator = self._narrator
        if (
            narrator is None
            or self._silent <= _SILENCE
            or not any(self._survey.verdicts[target].by == "tables" for target in self._survey.obstructed)
        ):
            return
        if self._silent > _SILENCE + narrator.starved():
            self._event_at = math.inf
            self._survey.forget_held()
            self._log.warning("failed", _UNREAD)

    @property
    def _is_idle(self) -> bool:
        """Whether there is a narrator who can be asked now; one who is busy ends the pause by its answer."""
        return self._narrator is not None and not self._narrator.lost and not self._narrator.busy

    @property
    def _due(self) -> float:
        """When the tables may be read again, a monotonic time."""
        return self._asked_at + (_TABLES_SOON if self._news and self._survey.undecided else _TABLES_EVERY)

    @property
    def _expected(self) -> float:
        return math.inf if self._narrator is None else self._narrator.expected

    @property
    def _status(self) -> str:
        known = self._narrator is not None and self._narrator.status
        return known or f"{names(self._survey.obstructed)} is not free"

    def _say_waiting(self) -> None:
        self._waits = True
        self._progress.tell(f"waiting: {self._status}")
        for_ports = names(self._survey.obstructed)
        left = max(0.0, self._deadline - time.monotonic())  # naming and imports may have taken all of it
        held = {hold.target for hold in self._survey.holds if hold.form is not None}
        is_kept = held.issuperset(self._survey.obstructed)
        kept = "; no new connection can be given the port meanwhile" if is_kept else ""
        self._remind_at = time.monotonic() + self._reminder
        self._log.info(
            "waiting",
            f"waiting for {for_ports} {durations.limit(left)}{kept}",
            target=typed(self._survey.obstructed),
            timeout=_finite(left),
            hold=is_kept,
        )

    def _remind(self, now: float) -> None:
        if not self._waits:
            return
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
                target=typed(self._survey.obstructed),
                waited=round(self.waited, 1),
            )
        self._progress.tell(f"waiting: {self._status}")
        self._log.live(f"portwait: waiting for {ports} for {waited}{ends}{left}")

    def _pause(self, seconds: float) -> None:
        """Sleep, until an event, a word of the narrator or a new word of bind at the longest.

        Only bind is asked in here, a few times a second and with nothing around it: that is what a wait costs.
        """
        end = time.monotonic() + seconds
        if self._news and self._survey.undecided and self._is_idle:
            end = min(end, self._due)
        sources: list[polling.HasDescriptor] = []
        if self._events is not None:
            # Only what is in the way: a probe that succeeds is a bound socket that closes, and wakes its own waiter
            with contextlib.suppress(OSError):
                self._events.watch(_ranges(self._survey.obstructed))
            sources.append(self._events)
        if self._narrator is not None and not self._narrator.lost:
            sources.append(self._narrator)
        while True:
            left = end - time.monotonic()
            ready = polling.readable(sources, max(0.0, min(left, polling.POLL)))
            if self._events in ready and self._events is not None:
                self._events.drain()
                self._news = True
                self._event_at = min(self._event_at, time.monotonic())
            if self._narrator in ready and self._narrator is not None:
                self._silent, words = 0.0, self._narrator.words
                self._narrator.attend(self._survey)
                if words != self._narrator.words and self._asked_at >= self._event_at:
                    self._event_at = math.inf
                self._news = self._news or self._narrator.unsettled
            if ready:
                return
            if left <= polling.POLL or self._survey.changed():  # or the look that follows asks
                return


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else round(seconds, 3)


def _ranges(targets: Iterable[Target]) -> tuple[Range, ...]:
    return ports.merge((target.port, target.port) for target in targets)


def _subscribe(targets: Iterable[Target]) -> DestroyEvents | None:
    """Ask for the kernel's events; without netlink the poll alone has to do."""
    if sys.platform != "linux":
        return None
    from portwait._linux.sockdiag import DestroyEvents

    try:
        return DestroyEvents(_ranges(targets))
    except TablesError:
        return None

"""What the narrator does: find out who is in the way, say so with advice, evict and signal where that was asked for.

Runs in a process of its own (`narrator`), because it reads other people's processes and files and can be made to wait
there without end. It has no hold and does not call bind() itself: a probe is a bound socket, and two processes that
probe would be in each other's way. The guard does both when it is asked, and writes what is said here.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Protocol

from portwait.advice import advise, gather
from portwait.bind.survey import Survey
from portwait.diagnosis import owners
from portwait.host.port_settings import port_settings
from portwait.log import Events
from portwait.model.port_settings import PortSettings
from portwait.model.verdict import Verdict
from portwait.reports import document
from portwait.reports import target as target_report
from portwait.text.layout import Paper
from portwait.text.plural import typed
from portwait.wait.inspection import Inspection
from portwait.wait.narrator import FREE, HELD
from portwait.wait.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from portwait.log import Level
    from portwait.model.blocker import Blocker
    from portwait.model.case import Case
    from portwait.model.targets import Target
    from portwait.wait.channel import Channel, Message

_MOST_ADVISED = 3  # targets; more would not fit a screen


class Removal(Protocol):
    """Whatever may be done about what is in the way (`eviction.clear`)."""

    unsettled: bool

    def through(self, inspection: Inspection, inspected: Callable[[], None]) -> bool:
        """Do all that may be done now; whether the service can start."""


class GuardHasGone(BaseException):  # no error, and no `except Exception` may eat it
    """The guard needs the narrator no more."""


class Narration:
    """One narrator's work, request after request; `run` does it."""

    def __init__(
        self,
        line: Channel,
        survey: Survey,
        guard: int,
        clearing: Callable[[Events], Removal] | None = None,
        columns: int = 0,
    ) -> None:
        """`guard` is the PID of the guard in /proc.

        `clearing` makes what does something about the blockers once they were reported, where that was asked for.
        """
        self._line = line
        self._survey = SurveyOfTheGuard(line, survey)
        self._guard = guard
        self._inspection = Inspection(self._survey, {guard, owners.this_process()})
        self._log = EventsForTheGuard(line)
        self._clearing = clearing and clearing(self._log)
        self._told: dict[Target, object] = {}
        self._paces: dict[Target, Pace] = {}
        self._told_lost: set[str] = set()
        self._paper = Paper(columns, lead=len("portwait: "))  # without colours: the log has its own

    def run(self) -> None:
        """Answer the guard's requests until the guard has gone."""
        while True:
            self._survey.receive()
            self._inspect()
            ends = [blocker.expires_in for blocker in self._blockers() if blocker.expires_in is not None]
            expected = time.monotonic() + min(ends) if ends else None
            unsettled = self._clearing is not None and self._clearing.unsettled
            self._line.send("done", expected, unsettled, self._headlines())

    def _inspect(self) -> None:
        """Read the tables: who is in the way, and what bind could not say; then do something about it."""
        free = self._inspection.inspect()
        self._tell()
        if not free and self._clearing is not None:
            self._clearing.through(self._inspection, self._tell)

    def _blockers(self) -> Iterable[Blocker]:
        for target in self._survey.held:
            yield from self._inspection.diagnosis.blockers.get(target, ())

    def _tell(self) -> None:
        """Report each target whose verdict or blockers are not those that were told last."""
        diagnosis = self._inspection.diagnosis
        if diagnosis.lost and diagnosis.lost not in self._told_lost:
            self._told_lost.add(diagnosis.lost)
            self._log.warning("tables-limited", f"cannot see everything: {diagnosis.lost}", reason=diagnosis.lost)
        settings = port_settings()
        starved: list[Case] = []
        for target in self._survey.targets:
            case = self._inspection.case(target, settings)
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
            pace = self._paces.setdefault(target, Pace())
            if verdict.state != "free" and not pace.admits(time.monotonic()):
                continue  # it stays news, for a later look
            self._told[target] = told
            if verdict.state == "free":
                continue
            if case.starved:
                starved.append(case)
                continue
            event = verdict.state if first else "changed"
            # Advice when a wait begins, on one screen; afterwards only what has changed.
            advised = first and target in self._survey.obstructed and len(self._told) <= _MOST_ADVISED
            if advised:
                case = case._replace(remedies=advise(gather(case, guard=self._guard)))
            text = target_report.full(case, self._paper, briefly=True)
            self._log.warning(event, text, **document.of_case(case))
        if starved:
            text, asked = target_report.starvation(starved), typed(case.target for case in starved)
            self._log.warning("unknown", text, target=asked, errno=starved[0].verdict.errno_name)

    def _headlines(self) -> str:
        cases = (self._inspection.case(target, PortSettings()) for target in self._survey.obstructed)
        return "; ".join(target_report.headline(case) for case in cases)


def narrate(
    line: Channel, survey: Survey, guard: int, clearing: Callable[[Events], Removal] | None = None, columns: int = 0
) -> None:
    """Serve until the guard has gone."""
    with contextlib.suppress(GuardHasGone):
        Narration(line, survey, guard, clearing, columns).run()


class SurveyOfTheGuard(Survey):
    """The guard's survey: what it says is the guard's word, and a look at it is a request to the guard."""

    def __init__(self, line: Channel, survey: Survey) -> None:
        """Know what the guard knew when this process was forked."""
        super().__init__(survey.targets, reuseaddr=survey.reuseaddr)
        self.verdicts = dict(survey.verdicts)
        self._line = line
        self._inodes: frozenset[int] = frozenset()
        self._contested: Collection[int] = ()
        self._numbers: dict[Target, int] = {}

    def learn(
        self, by_tables: Mapping[Target, Verdict], served: Collection[int] | None, contested: Collection[int] = ()
    ) -> None:
        """Remember the socket tables' word, for the guard."""
        super().learn(by_tables, served)
        self._contested = contested

    def probe(self) -> bool:
        """Let the guard ask bind again and take its holds; whether the service can start."""
        codes = bytes(
            _CODES[self._by_tables[target].state] if target in self._by_tables else 0 for target in self.targets
        )
        self._line.send("probe", codes, None if self.served is None else tuple(self.served), tuple(self._contested))
        self.receive()
        return not self.obstructed

    def ask(self, targets: Collection[Target]) -> dict[Target, Verdict]:
        """Let the guard ask bind about these targets. Raises GuardHasGone."""
        self._numbers = self._numbers or {target: number for number, target in enumerate(self.targets)}
        self._line.send("ask", tuple(self._numbers[target] for target in targets))
        (words,) = self._receive()
        return {target: Verdict(*parts) for target, parts in zip(targets, words)}

    def receive(self) -> None:
        """Wait for the guard's word. Raises GuardHasGone."""
        words, inodes = self._receive()
        self._inodes = frozenset(inodes)
        if self.wide:
            unknown = Verdict("unknown", by="tables")
            self.verdicts = {target: self._by_tables.get(target, unknown) for target in self.targets}
        self.verdicts.update((self.targets[number], Verdict(*parts)) for number, *parts in words)

    def _receive(self) -> Message:
        message = self._line.receive()
        if message is None:
            raise GuardHasGone
        return message

    def own_inodes(self) -> frozenset[int]:
        """The inodes of the sockets by which the guard holds."""
        return self._inodes


_CODES = {"free": FREE, "held": HELD}


class EventsForTheGuard(Events):
    """A log whose events the guard writes."""

    def __init__(self, line: Channel) -> None:
        """Send them here."""
        self._line = line

    def say(self, level: Level, event: str, text: str, fields: dict[str, object]) -> None:
        """Send it."""
        self._line.send("log", level, event, text, fields)

    def acting(self, now: bool) -> None:
        """Let the guard wait for the word on what is done now."""
        self._line.send("acting", now)

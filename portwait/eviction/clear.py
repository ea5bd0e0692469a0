"""Getting what is in the way out of it, as far as the user allowed: evict first, signal an owner as the last resort.

Remembers what was tried, so that every connection is destroyed, every process signalled and every refusal said once.
What was done or refused is told as it happens, with the identity of the socket and of its processes.
"""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING, Literal

from portwait.diagnosis import evictable
from portwait.diagnosis.evictable import Refusal
from portwait.errors import TablesError
from portwait.eviction import evict, terminate
from portwait.eviction.actions import Action, news
from portwait.eviction.sharing import NOT_IN_THE_WAY, Sharing
from portwait.eviction.terminate import Termination
from portwait.text.durations import INF
from portwait.wait.pace import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.bind.survey import Survey
    from portwait.diagnosis.evictable import Selection
    from portwait.log import Events
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner
    from portwait.model.targets import Target
    from portwait.options.record import Options
    from portwait.wait.inspection import Inspection

    Tell = Callable[[Action], None]

_ROUNDS = 8  # looks in a row: who binds the port by number can come back again and again, hold or no hold
_TOLD = 64  # actions of a kind, one by one: whoever looks into it afterwards wants to know each
_MOST_SIGNALLED = 1024  # processes that are remembered: a supervisor can start another one for days
_REMEMBERED = 8  # evicted connections of a target, for a kernel that hides what they leave
_COOKIE_AT = 3  # in what is remembered as said
_PATIENCE = 5  # looks, before a connection whose data in flight hides its direction is taken for one that stays so


class Removal:
    """What the user allows, applied to one look after another."""

    def __init__(
        self,
        selection: Selection,
        tell: Tell,
        termination: Termination | None = None,
        *,
        dry_run: bool = False,
        guard: int | None = None,
        acting: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Evict what `selection` names, if it names anything, and signal owners as `termination` says, if it does.

        `guard` is the PID of the process that becomes the service, where that is not this one. `acting` is told when
        something is about to be destroyed or signalled, and when `tell` knows what came of it.
        """
        self.unsettled = False
        """Whether looking again soon may change something, although nothing in the kernel will say so."""
        self._selection = selection
        self._termination = termination
        self._tell_anybody = tell
        self._dry_run = dry_run
        self._guard = guard
        self._acting = acting
        self._tried: set[int] = set()
        self._evicted: dict[Target, list[Blocker]] = {}
        self._doubts: dict[int, int] = {}
        self._sharing = Sharing()
        self._signalled: dict[tuple[int, int], float] = {}
        """Processes by pid and birth; when they were signalled, a monotonic time."""
        self._killed: set[tuple[int, int]] = set()
        self._said: set[tuple[object, ...]] = set()

    def through(self, inspection: Inspection, inspected: Callable[[], None]) -> bool:
        """Do all that may be done against what the tables have just shown; whether the service can start.

        `inspected` is called after each further look, for whoever reports what is in the way.
        """
        for _ in range(_ROUNDS):
            self.unsettled = False
            if not self._evict(inspection):
                break
            self.unsettled = True
            free = inspection.inspect()
            inspected()
            if free:
                return True
        if self._termination is not None:
            self._terminate(inspection, self._termination)
        return False

    def _evict(self, inspection: Inspection) -> bool:
        """Evict what is allowed and was not tried yet, as long as the target is held; whether anything has changed."""
        changed = False
        self._forget(inspection)
        if self._selection.kinds:
            held = frozenset(inspection.survey.held)
            for target, blockers in inspection.diagnosis.blockers.items():
                sharing = self._sharing.among(inspection.survey, target, blockers) if target in held else ()
                # What no process has comes first: perhaps nothing else is in the way, and no connection is lost.
                for blocker in sorted(blockers, key=lambda blocker: blocker.socket.inode != 0):
                    if target not in held:
                        break
                    if blocker.socket.inode in sharing:
                        if len(sharing) == len(blockers):
                            self._tell(Action("not-evicted", target, blocker, NOT_IN_THE_WAY))
                        continue
                    if self._is_harmless(inspection, target, blocker):
                        break
                    result = self._try(target, blocker)
                    if isinstance(result, Refusal):
                        asked_so = inspection.survey.reuseaddr
                        self._tell(Action("not-evicted", target, blocker, result, reuseaddr=asked_so))
                        changed |= result.code == "failed"  # an answer was lost, and the kernel may have done it
                    elif result != "nothing":
                        changed = True
                        if not inspection.survey.wide:
                            # so that a hold stands at once, and nothing is destroyed that is in nobody's way
                            inspection.probe()
                            held = frozenset(inspection.survey.held)
            self._say_kept(inspection)
        return changed

    def _is_harmless(self, inspection: Inspection, target: Target, blocker: Blocker) -> bool:
        """Whether nothing is in the target's way after all, just before this blocker would be destroyed."""
        cookie = blocker.socket.cookie
        if cookie in self._tried or evictable.refusal(blocker, self._selection) is not None:
            return False
        if not _is_free_by_bind(inspection.survey, target):
            return False
        self._tried.add(cookie)
        return True

    def _forget(self, inspection: Inspection) -> None:
        """Forget the sockets that are gone, so that memory is bounded by what is in the way; cookies never return."""
        present = {blocker.socket.cookie for blockers in inspection.diagnosis.blockers.values() for blocker in blockers}
        if not present:
            return
        remembered = present | {blocker.socket.cookie for blockers in self._evicted.values() for blocker in blockers}
        self._tried &= present
        self._sharing.forget_all_but(blocker for each in inspection.diagnosis.blockers.values() for blocker in each)
        self._doubts = {cookie: count for cookie, count in self._doubts.items() if cookie in present}
        self._said = {key for key in self._said if key[_COOKIE_AT] in remembered}

    def _try(self, target: Target, blocker: Blocker) -> Refusal | Literal["evicted", "gone", "nothing"]:
        cookie = blocker.socket.cookie
        refusal = evictable.refusal(blocker, self._selection)
        if refusal is not None:
            self._doubts[cookie] = self._doubts.get(cookie, 0) + refusal.passing
            self.unsettled |= refusal.passing and self._doubts[cookie] < _PATIENCE
            return refusal
        if cookie in self._tried:
            return "nothing"
        self._tried.add(cookie)
        try:
            with _door() as door:
                if self._dry_run:
                    refusal = evict.rehearse(door, blocker)
                    if refusal is None:
                        self._tell(Action("would-evict", target, blocker))
                    return refusal or "nothing"
                self._acting(True)
                result = evict.evict(door, blocker)
            if result == "evicted":
                self._evicted[target] = [*self._evicted.get(target, ()), blocker][-_REMEMBERED:]
                self._tell(Action("evicted", target, blocker))
        except TablesError as error:
            return Refusal("failed", str(error), "its process has to close it, or end")
        finally:
            self._acting(False)
        return result

    def _say_kept(self, inspection: Inspection) -> None:
        """Explain a port that stays held while the tables show nobody: kernels before 6.8 hide what is only bound."""
        for target in inspection.survey.held:
            for blocker in self._hidden(inspection, target):
                self._tell(Action("not-evicted", target, blocker, evict.hidden()))

    def _hidden(self, inspection: Inspection, target: Target) -> tuple[Blocker, ...]:
        read = inspection.diagnosis.blockers
        if target not in read or read[target]:
            return ()
        return tuple(blocker for blocker in self._evicted.get(target, ()) if blocker.is_owned)

    def _terminate(self, inspection: Inspection, termination: Termination) -> None:
        """Signal the owners of what is left, unless one of a target's blockers would stay: then it would be in vain."""
        us = terminate.relations(self._guard)
        left: list[tuple[Target, list[Blocker], frozenset[tuple[int, int]]]] = []
        for target in inspection.survey.held:
            blockers = inspection.diagnosis.blockers.get(target, ()) or self._hidden(inspection, target)
            sharing = self._sharing.among(inspection.survey, target, blockers)
            if blockers and len(sharing) == len(blockers):
                self._tell(Action("not-signalled", target, blockers[0], NOT_IN_THE_WAY))
            owned = [blocker for blocker in blockers if blocker.socket.inode not in (0, *sharing)]
            left.append((target, owned, terminate.listening(blockers)))
        needed = frozenset(name for _, owned, serving in left for name in terminate.names_of_all(owned, serving))
        for target, owned, serving in left:
            if any(0 < self._doubts.get(blocker.socket.cookie, 0) < _PATIENCE for blocker in owned):
                continue  # it may be evicted yet
            refused = False
            for blocker in owned:
                refusal = terminate.refusal(blocker, serving, termination.kinds, self._selection, us, needed)
                if refusal is not None:
                    refused = True
                    asked_so = inspection.survey.reuseaddr
                    self._tell(Action("not-signalled", target, blocker, refusal, reuseaddr=asked_so))
            if owned and not refused and not _is_free_by_bind(inspection.survey, target):
                for blocker in owned:
                    for owner in blocker.owners:
                        self._signal(target, blocker, owner, termination)

    def _signal(self, target: Target, blocker: Blocker, owner: Owner, termination: Termination) -> None:
        """Signal one process, once; and again with KILL when it is due."""
        process, number = (owner.pid, owner.birth), termination.number
        if process in self._killed:
            return
        if process in self._signalled:
            if termination.kill_after is None or self._dry_run:
                return
            if time.monotonic() < self._signalled[process] + termination.kill_after:
                self.unsettled = True  # the time comes without a word of the kernel's
                return
            number = int(signal.SIGKILL)
        action = Action("would-signal", target, blocker, None, owner, terminate.name(number))
        if not self._dry_run:
            self._acting(True)
            result = terminate.terminate(owner, blocker.socket.inode, number)
            if result == "gone":
                self.unsettled = True
                self._acting(False)
                return
            refusal = result if isinstance(result, Refusal) else None
            action = action._replace(event="not-signalled" if refusal else "signalled", refusal=refusal)
            self.unsettled |= termination.kill_after is not None and refusal is None
        if process in self._signalled:
            self._killed.add(process)
        self._signalled.setdefault(process, time.monotonic())
        if len(self._signalled) > _MOST_SIGNALLED:
            oldest = next(iter(self._signalled))
            del self._signalled[oldest]
            self._killed.discard(oldest)
        self._tell(action)
        self._acting(False)

    def _tell(self, action: Action) -> None:
        """Tell what was not told before."""
        about = (action.target, action.blocker.socket.cookie, action.owner and action.owner.pid, action.signal)
        key = (action.event, action.refusal and action.refusal.code, *about)
        if key not in self._said:
            self._said.add(key)
            self._tell_anybody(action)


def _is_free_by_bind(survey: Survey, target: Target) -> bool:
    """Whether bind calls a target free that the socket tables call held, as they may where targets are many.

    They do not show who has set SO_REUSEADDR.
    """
    return survey.wide and survey.ask([target])[target].state == "free"


def asked_for(options: Options, log: Events, guard: int) -> Removal:
    """Build what the options of the guard with this PID ask for. What is done or refused is an event of the log."""
    is_news = news()
    paces: dict[tuple[str, Target], Pace] = {}

    def tell(action: Action) -> None:
        pace = paces.setdefault((action.event, action.target), Pace(_TOLD))
        if is_news(action) and pace.admits(time.monotonic()):
            untold = pace.take_untold()
            more = f" (and {untold} more since the last such line)" if untold else ""
            log.warning(action.event, f"{action}{more}", **action.fields())

    selection = evictable.select(options.evict or (), options.evict_user, options.evict_unit)
    termination = None
    if options.terminate is not None:
        kill_after = None if options.kill_after == INF else options.kill_after
        termination = Termination(options.terminate, options.signal, kill_after)
    return Removal(selection, tell, termination, dry_run=options.dry_run, guard=guard, acting=log.acting)


def _door() -> evict.Door:
    if sys.platform != "linux":
        raise TablesError("destroying a connection is possible on Linux only")
    from portwait._linux.sockdiag import SockDiag

    return SockDiag()

"""Getting what is in the way out of it, as far as the user allowed: evict first, signal an owner as the last resort.

Remembers what was tried, so that every connection is destroyed, every process signalled and every refusal said once.
What was done or refused is told as it happens, with the identity of the socket and of its processes.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from portwait.errors import TablesError
from portwait.removal import eviction, termination
from portwait.removal.deeds import Deed, news
from portwait.removal.eviction import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portwait.diagnosis.blockers import Blocker
    from portwait.diagnosis.inspection import Inspection
    from portwait.log import Log
    from portwait.options import Options
    from portwait.removal.eviction import Selection
    from portwait.targets import Target

    Tell = Callable[[Deed], None]

_ROUNDS = 8  # looks in a row: who binds the port by number can come back again and again, hold or no hold
_PATIENCE = 5  # looks, before a connection whose data in flight hides its direction is taken for one that stays so


class Clearing:
    """What the user allows, applied to one look after another."""

    def __init__(self, selection: Selection, number: int, tell: Tell, *, dry_run: bool = False) -> None:
        """Evict what `selection` names, if it names anything; signal with this number, if it is one."""
        self.unsettled = False
        """Whether looking again soon may change something, although nothing in the kernel will say so."""
        self._selection = selection
        self._number = number
        self._tell_anybody = tell
        self._dry_run = dry_run
        self._tried: set[int] = set()
        self._evicted: dict[Target, list[Blocker]] = {}
        self._doubts: dict[int, int] = {}
        self._signalled: set[tuple[int, int]] = set()
        self._said: set[tuple[object, ...]] = set()

    def through(self, inspection: Inspection, looked: Callable[[], None]) -> bool:
        """Do all that may be done against what the tables have just shown; whether the service can start.

        `looked` is called after each further look, for whoever reports what is in the way.
        """
        for _ in range(_ROUNDS):
            self.unsettled = False
            if not self._evict(inspection):
                break
            self.unsettled = True
            free = inspection.look_closely()
            looked()
            if free:
                return True
        if self._number:
            self._terminate(inspection)
        return False

    def _evict(self, inspection: Inspection) -> bool:
        """Evict what is allowed and was not tried yet, as long as the target is held; whether anything has changed."""
        changed = False
        if self._selection.kinds:
            for target, blocker in _pairs(inspection):
                result = self._try(target, blocker)
                if isinstance(result, Refusal):
                    self._tell(Deed("not-evicted", target, blocker, result))
                elif result != "nothing":
                    changed = True
                    inspection.look()  # so that a hold stands at once, and nothing is destroyed that blocks nothing
            self._say_kept(inspection)
        return changed

    def _try(self, target: Target, blocker: Blocker) -> Refusal | Literal["evicted", "gone", "nothing"]:
        cookie = blocker.socket.cookie
        refusal = eviction.refusal(blocker, self._selection)
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
                    refusal = eviction.rehearse(door, blocker)
                    if refusal is None:
                        self._tell(Deed("would-evict", target, blocker))
                    return refusal or "nothing"
                result = eviction.evict(door, blocker)
        except TablesError as error:
            return Refusal("failed", str(error), "its process has to close it, or end")
        if result == "evicted":
            self._evicted.setdefault(target, []).append(blocker)
            self._tell(Deed("evicted", target, blocker))
        return result

    def _say_kept(self, inspection: Inspection) -> None:
        """Explain a port that stays held while the tables show nobody: kernels before 6.8 hide what is only bound."""
        for target in inspection.survey.obstructed:
            for blocker in self._hidden(inspection, target):
                self._tell(Deed("not-evicted", target, blocker, eviction.hidden()))

    def _hidden(self, inspection: Inspection, target: Target) -> tuple[Blocker, ...]:
        read = inspection.diagnosis.blockers
        if inspection.survey.verdicts[target].state != "held" or target not in read or read[target]:
            return ()
        return tuple(blocker for blocker in self._evicted.get(target, ()) if blocker.owners)

    def _terminate(self, inspection: Inspection) -> None:
        """Signal the owners of what is left, unless one of a target's blockers would stay: then it would be in vain."""
        us = termination.kin()
        for target in inspection.survey.obstructed:
            shown = inspection.diagnosis.blockers.get(target, ()) or self._hidden(inspection, target)
            owned = [blocker for blocker in shown if blocker.socket.inode]
            if any(0 < self._doubts.get(blocker.socket.cookie, 0) < _PATIENCE for blocker in owned):
                continue  # it may be evicted yet
            refusals = [(one, termination.refusal(one, shown, self._selection, us)) for one in owned]
            for blocker, refusal in refusals:
                if refusal is not None:
                    self._tell(Deed("not-signalled", target, blocker, refusal))
            if not any(refusal for _, refusal in refusals):
                for blocker in owned:
                    self._signal(target, blocker)

    def _signal(self, target: Target, blocker: Blocker) -> None:
        for owner in blocker.owners:
            if (owner.pid, owner.birth) in self._signalled:
                continue
            deed = Deed("would-signal", target, blocker, None, owner, termination.name(self._number))
            if not self._dry_run:
                result = termination.terminate(owner, blocker.socket.inode, self._number)
                if result == "gone":
                    self.unsettled = True
                    continue
                refused = result if isinstance(result, Refusal) else None
                deed = deed._replace(event="not-signalled" if refused else "signalled", refusal=refused)
            self._signalled.add((owner.pid, owner.birth))
            self._tell(deed)

    def _tell(self, deed: Deed) -> None:
        """Tell what was not told before."""
        which = (deed.target, deed.blocker.socket.cookie, deed.owner and deed.owner.pid)
        key = (deed.event, deed.refusal and deed.refusal.code, *which)
        if key not in self._said:
            self._said.add(key)
            self._tell_anybody(deed)


def asked_for(options: Options, log: Log) -> Clearing:
    """Build what the guard's options ask for; everything that is done or refused is an event of the log."""
    is_news = news()

    def tell(deed: Deed) -> None:
        if is_news(deed):
            log.warning(deed.event, str(deed), **deed.fields())

    selection = eviction.select(options.evict or (), options.evict_user, options.evict_unit)
    return Clearing(selection, options.terminate, tell, dry_run=options.dry_run)


def _pairs(inspection: Inspection) -> Iterator[tuple[Target, Blocker]]:
    """Go through the blockers of targets that are still held when it comes to them."""
    for target, blockers in inspection.diagnosis.blockers.items():
        for blocker in blockers:
            if target in inspection.survey.obstructed:
                yield target, blocker


def _door() -> eviction.Door:
    if sys.platform != "linux":
        raise TablesError("destroying a connection is possible on Linux only")
    from portwait._linux.sockdiag import SockDiag

    return SockDiag()

"""What was done to a blocker, or was not and why: one value for people and for programs.

It carries the identity of the socket and of its processes, so that a post-mortem can tell who ended what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.advice import shell_commands
from portwait.host.machine import call
from portwait.reports import document
from portwait.reports.sockets import process
from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from portwait.diagnosis.evictable import Refusal
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner
    from portwait.model.targets import Target

_SAID = {
    "evicted": "evicted {what}",
    "would-evict": "dry run: would evict {what}",
    "not-evicted": "cannot evict {what}: {why}; {cure}",
    "signalled": "sent {signal} to {who}, which has {what} open",
    "would-signal": "dry run: would send {signal} to {who}, which has {what} open",
    "not-signalled": "cannot signal the owner of {what}: {why}; {cure}",
}


class Action(NamedTuple):
    """Something that was done to a blocker of a target, or was not and why."""

    event: Literal["evicted", "would-evict", "not-evicted", "signalled", "would-signal", "not-signalled"]
    target: Target
    blocker: Blocker
    refusal: Refusal | None = None
    owner: Owner | None = None
    signal: str | None = None
    reuseaddr: bool = True
    """Whether bind was asked as a service does that sets SO_REUSEADDR."""

    def __str__(self) -> str:
        """Say it in one line."""
        return _SAID[self.event].format(
            what=_ends(self.blocker) + (_whose(self.blocker.owners) if self.owner is None else ""),
            who=self.owner and process(self.owner),
            signal=self.signal,
            why=self.refusal and escape(self.refusal.why),
            cure=self.refusal and self._cure(self.refusal),
        )

    def fields(self) -> dict[str, object]:
        """Write it for programs: the socket's identity (cookie, inode) and its processes' (pid and start)."""
        fields = {"target": escape(self.target.text), **document.of_blocker(self.blocker)}
        owners = [self.owner] if self.owner else self.blocker.owners
        fields["processes"] = ",".join("{pid}@{started}".format(**document.of_owner(owner)) for owner in owners)
        if self.signal is not None:
            fields["signal"] = self.signal
        if self.refusal is not None:
            fields |= {"code": self.refusal.code, "why": escape(self.refusal.why), "cure": self._cure(self.refusal)}
        return fields

    def _cure(self, refusal: Refusal) -> str:
        """Write what helps; an option of the guard as a command to paste, whichever verb says so."""
        if not refusal.option:
            return escape(refusal.cure)
        asked = shell_commands.asked_for([self.target], reuseaddr=self.reuseaddr)
        return f"{escape(refusal.cure)}: {call(refusal.option, *asked)}"


def _ends(blocker: Blocker) -> str:
    if blocker.socket.state == "CLOSE":
        return f"{blocker.local} bound"
    ends = f"{blocker.local} -> {blocker.remote}" if blocker.remote else blocker.local
    return f"{ends} {blocker.socket.state}"


def _whose(owners: Iterable[Owner]) -> str:
    names = ", ".join(map(process, owners))
    return f" of {names}" if names else ""


def news() -> Callable[[Action], bool]:
    """Make a filter for people: what is so for every socket here is said for one of them."""
    said: set[str] = set()

    def is_news(action: Action) -> bool:
        if action.refusal is None or not action.refusal.general:
            return True
        known = action.refusal.code in said
        said.add(action.refusal.code)
        return not known

    return is_news

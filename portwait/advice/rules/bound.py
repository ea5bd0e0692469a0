"""Sockets that are bound and do nothing more."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping
from portwait.model.case import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def bound_only(facts: Facts) -> Remedy | None:
    """A client or a server that is not finished, or one that was evicted and had bound by number."""
    blockers = [
        blocker
        for blocker in facts.blockers
        if blocker.kind.name == "bound"
        and blocker.socket.protocol == "tcp"
        and not (blocker.inherited and not blocker.owners)
    ]
    if not blockers:
        return None
    known = shell_commands.owners(blockers)
    stop = stopping.stop(facts, known)
    who, owner = shell_commands.called(known), shell_commands.called(known, "Its owner")
    if all(blocker.socket.remote_port for blocker in blockers):
        why = (
            f"{owner} {shell_commands.verb(known, 'has', 'have')} bound the port by number and "
            f"{shell_commands.verb(known, 'keeps', 'keep')} it, although the connection is gone: nothing can evict "
            f"that, and reserving does not keep {who} away. Give {who} another source port in its own settings"
        )
    else:
        why = (
            f"{owner} {shell_commands.verb(known, 'has', 'have')} bound the port and "
            f"{shell_commands.verb(known, 'neither listens nor connects', 'neither listen nor connect')}: nothing can "
            f"evict that. Let {who} close it"
        )
    return Remedy("bound-only", f"{why}, or stop {shell_commands.pronoun(known)}.{stop.words}", stop.commands)


def other_guard(facts: Facts) -> Remedy | None:
    """Another portwait holds the port for somebody."""
    blockers = [blocker for blocker in facts.blockers if blocker.kind.name == "hold" and not blocker.inherited]
    if not blockers:
        return None
    known = shell_commands.owners(blockers)
    stop = stopping.stop(facts, known)
    who = shell_commands.called(known, "another service")
    that = who if known else "that service"
    if facts.target.protocol == "udp":
        beside = (
            " (--hold=full). portwait waits for it whatever this service sets, because its UDP probe never sets "
            "SO_REUSEADDR. A service that sets it starts beside that hold: start it with --timeout 0 --anyway. Else "
            f"start {that} without --hold=full, or stop {shell_commands.pronoun(known)}."
        )
    else:
        beside = (
            ". A service that sets SO_REUSEADDR starts beside a hold; --no-reuseaddr says that this one does not set "
            f"it. Else stop {that}."
        )
    return Remedy("other-guard", f"Another portwait holds this port for {who}{beside}{stop.words}", stop.commands)

"""Sockets that are bound and do nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.advice import shell_commands
from portwait.model.case import Remedy

if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def bound_only(facts: Facts) -> Remedy | None:
    """A client or a server that is not finished, or one that was evicted and had bound by number."""
    some = [one for one in facts.blockers if one.kind.name == "bound" and one.socket.protocol == "tcp"]
    if not some:
        return None
    known = shell_commands.owners(some)
    return Remedy(
        "bound-only",
        f"{shell_commands.called(known, 'Its owner')} has bound the port and neither listens nor connects: nothing can "
        f"evict that. Let {shell_commands.called(known)} close it, or stop it.",
        tuple(dict.fromkeys(shell_commands.stop(facts.machine, one) for one in known)),
    )


def other_guard(facts: Facts) -> Remedy | None:
    """Another portwait holds the port for somebody."""
    some = [one for one in facts.blockers if one.kind.name == "hold"]
    if not some:
        return None
    known = shell_commands.owners(some)
    return Remedy(
        "other-guard",
        f"Another portwait holds this port for {shell_commands.called(known, 'another service')}. A service that sets "
        "SO_REUSEADDR starts beside a hold; this one was said not to.",
        tuple(dict.fromkeys(shell_commands.stop(facts.machine, one) for one in known)),
    )

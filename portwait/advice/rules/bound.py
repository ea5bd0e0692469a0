"""Sockets that are bound and do nothing more."""

from __future__ import annotations

from portwait.remedies import phrases
from portwait.remedies.registry import Facts, Remedy, rule


@rule
def bound_only(facts: Facts) -> Remedy | None:
    """A client or a server that is not finished, or one that was evicted and had bound by number."""
    some = [one for one in facts.blockers if one.kind.name == "bound" and one.socket.protocol == "tcp"]
    if not some:
        return None
    known = phrases.owners(some)
    return Remedy(
        "bound-only",
        f"{phrases.called(known, 'Its owner')} has bound the port and neither listens nor connects: nothing can evict "
        f"that. Let {phrases.called(known)} close it, or stop it.",
        tuple(dict.fromkeys(phrases.stop(facts.machine, one) for one in known)),
    )


@rule
def other_guard(facts: Facts) -> Remedy | None:
    """Another portwait holds the port for somebody."""
    some = [one for one in facts.blockers if one.kind.name == "hold"]
    if not some:
        return None
    known = phrases.owners(some)
    return Remedy(
        "other-guard",
        f"Another portwait holds this port for {phrases.called(known, 'another service')}. A service that sets "
        "SO_REUSEADDR starts beside a hold; this one was said not to.",
        tuple(dict.fromkeys(phrases.stop(facts.machine, one) for one in known)),
    )

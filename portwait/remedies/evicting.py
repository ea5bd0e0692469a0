"""Out of the way now: the connection alone, not the process."""

from __future__ import annotations

from portwait.remedies import phrases
from portwait.remedies.registry import Facts, Remedy, rule


@rule
def evict(facts: Facts) -> Remedy | None:
    """Destroy what is proved outbound or has no owner. A client that bound by number would keep the port."""
    some = [one for one in facts.blockers if one.evictable and not facts.by_number(one)]
    if not some:
        return None
    live = [one for one in some if one.owners]
    what = "this connection" if len(some) == 1 else f"these {len(some)} connections"
    after = (
        f" {phrases.called(phrases.owners(live))} lives on; a pool connects again, from another port." if live else ""
    )
    more = (
        "" if facts.machine.may_evict or not facts.machine.root else " It takes CAP_NET_ADMIN, which is missing here."
    )
    return Remedy("evict", f"Evict: destroy {what} now.{after}{more}", (phrases.portwait(facts, "evict"),))

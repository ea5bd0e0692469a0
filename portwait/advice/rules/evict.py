"""Out of the way now: the connection alone, and only where that is no cure the process."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping
from portwait.diagnosis import evictable
from portwait.model.case import Remedy
from portwait.options.table import EVICTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts
    from portwait.model.blocker import Blocker

_WITH_UDP = evictable.Selection(frozenset((*EVICTED, "udp")))
_BY_ROOT = evictable.Selection(frozenset((*EVICTED, "udp", "unseen")))


def evict(facts: Facts) -> Remedy | None:
    """Destroy what is proved outbound or has no owner. A client that bound by number would keep the port."""
    blockers = [
        blocker
        for blocker in facts.blockers
        if not evictable.refusal(blocker, _BY_ROOT if _root_sees_more(facts, blocker) else _WITH_UDP)
        and not facts.surely_by_number(blocker)
    ]
    if not blockers:
        return None
    live = [blocker for blocker in blockers if blocker.owners]
    what = "this connection" if len(blockers) == 1 else f"these {len(blockers)} connections"
    after = (
        f" {shell_commands.called(shell_commands.owners(live))} lives on; a pool connects again, from another port."
        if live
        else ""
    )
    more = shell_commands.missing_right_to_evict(facts.machine)
    if any(not facts.is_from_here(blocker) for blocker in live):
        after = (
            f" {shell_commands.called(shell_commands.owners(live))} opens connections from its clients' addresses and "
            "ports, so another one can take the port at any time. A service that binds an address of this host, and "
            "not all of them, starts beside them."
        )
    elif any(facts.by_number(blocker) for blocker in live):
        who = shell_commands.called(shell_commands.owners(live))
        after = (
            f" {facts.target.port} is outside today's ip_local_port_range. If the range was another when {who} "
            f"connected, the port is free then; if {who} bound it by number, {who} keeps it, and evict says so."
        )
    unseen = [blocker for blocker in blockers if _root_sees_more(facts, blocker)]
    if unseen:
        more += " Root sees whose it is; where no process has it open, evict leaves it alone and says so."
        if any(facts.by_number(blocker) for blocker in unseen):
            more += " A client that bound the port by number keeps it, and evict says that too."
    named = ("--evict=udp",) if facts.target.protocol == "udp" else ()
    return Remedy(
        "evict", f"Evict: destroy {what} now.{after}{more}", (shell_commands.on_target(facts, "evict", *named),)
    )


def _root_sees_more(facts: Facts, blocker: Blocker) -> bool:
    """Whether this user does not see the owner, which evict has to know, and can become root, who does."""
    can_become_root = not (facts.machine.root or facts.machine.contained)
    return can_become_root and not blocker.is_owned and "run as root" in (blocker.unseen or "")


def stop_owner(facts: Facts) -> Remedy | None:
    """Stop a client that would keep the port, or whose connection is not proved to be its own."""
    restarted = {pid for wrapper in facts.wrappers for pid in wrapper.pids}
    blockers = [
        blocker
        for blocker in facts.blockers
        if _keeps(facts, blocker) and not restarted & {each.pid for each in blocker.owners}
    ]
    if not blockers:
        return None
    known = shell_commands.owners(blockers)
    who = shell_commands.called(known)
    if all(facts.by_number(blocker) for blocker in blockers):
        port = facts.target.port
        if all(facts.surely_by_number(blocker) for blocker in blockers):
            why = f"{who} binds {port} by number, so reserving does not keep it away. Give it another source port"
        else:
            why = f"If {who} binds {port} by number, reserving does not keep it away. Then give it another source port"
        why += " in its own settings"
    else:
        leaves = ", so evict leaves this alone" if facts.machine.system == "linux" else ""
        why = f"It is not proved that {who} called connect(){leaves}. Let {who} close it"
    stop = stopping.stop(facts, known)
    return Remedy("stop-owner", f"{why}, or stop {shell_commands.pronoun(known)}.{stop.words}", stop.commands)


def _keeps(facts: Facts, blocker: Blocker) -> bool:
    """Whether a client's process has to go for the port to be free, as far as is known."""
    if not blocker.owners or blocker.kind.name not in ("outbound", "closing", "unknown"):
        return False
    return facts.by_number(blocker) or evictable.refusal(blocker, _WITH_UDP) is not None

"""What `portwait pick` says: why it took this port, what keeps it, and what holds the ports when none can be had."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from portwait.diagnosis.blockers import diagnose
from portwait.diagnosis.owners import this_process
from portwait.errors import TablesError
from portwait.reports.sockets import pid
from portwait.text.escape import escape
from portwait.text.plural import is_or_are

if TYPE_CHECKING:
    from collections.abc import Mapping

    from portwait.bind.claim import Claim
    from portwait.model.blocker import Blocker
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict

_KINDS = {
    "listener": "listeners",
    "hold": "holds of portwait",
    "outbound": "outbound connections",
    "accepted": "accepted connections",
    "self-connect": "connections to themselves",
    "time-wait": "connections in TIME_WAIT",
    "closing": "connections that are closing",
    "bound": "bound sockets",
    "unknown": "connections",
}
_ORDER = tuple(_KINDS)
"""Of several sockets on one port the first of these is named."""

_MOST_OWNERS = 3


def picked(
    claim: Claim, refused: Mapping[Target, Verdict], settings: PortSettings, label: str, *, by_chance: bool
) -> str:
    """Say why this port was taken."""
    name, where = escape(str(claim.target)), escape(label)
    how = f"at random from {where}" if by_chance else f"the first of {where} that can be had"
    tried = f" ({len(refused)} cannot)" if refused else ""
    if settings.ephemeral_range is None:
        return f"picked {name}: {how}{tried}"
    side = "inside" if settings.covers(claim.port) else "outside of"
    return f"picked {name}: {how}{tried}; it is {side} ip_local_port_range {'{}-{}'.format(*settings.ephemeral_range)}"


def held(claim: Claim) -> str:
    """Say what keeps the port, and from whom."""
    if claim.form is not None:
        return f"a bound socket keeps {escape(str(claim.target))} from connect(), and from other holds and picks"
    if claim.unkept is not None:
        return f"nothing keeps {escape(str(claim.target))}"
    return f"no bound socket keeps {escape(str(claim.target))}: only other picks leave it alone"


def taken(label: str, refused: Mapping[Target, Verdict], count: int) -> str:
    """Say in one line what holds the ports."""
    wanted = "no port" if count == 1 else f"fewer than {count} ports"
    text = f"{wanted} of {escape(label)} can be had"
    reasons = _reasons(refused)
    return f"{text}: {', '.join(reasons)}" if reasons else text


def _reasons(refused: Mapping[Target, Verdict]) -> list[str]:
    states = Counter(verdict.state for verdict in refused.values())
    reasons = _holders([target for target, verdict in refused.items() if verdict.state == "held"])
    if states["denied"]:
        reasons.append(f"this user may not bind {states['denied']} of them")
    if states["unavailable"]:
        reasons.append(f"the address of {states['unavailable']} is not on this host")
    if states["unknown"]:
        numbers = {verdict.errno_name or "" for verdict in refused.values() if verdict.state == "unknown"}
        reasons.append(f"bind() fails for {states['unknown']} with {', '.join(sorted(numbers))}")
    return reasons


def _holders(targets: list[Target]) -> list[str]:
    """Count the held ports by what holds them, with the processes that hold most.

    Every socket on a port counts, and other holds do, although a service with SO_REUSEADDR could bind beside some.
    """
    if not targets:
        return []
    try:
        blockers = diagnose(targets, reuseaddr=False, ourselves={this_process()}, first=_ORDER).blockers
    except TablesError as error:
        return [f"{len(targets)} {is_or_are(targets)} held, by whom cannot be seen: {error}"]
    groups: dict[str, list[Blocker | None]] = {}
    for target in targets:
        first = next(iter(blockers.get(target, ())), None)
        kind = "sockets that the tables do not show" if first is None else _KINDS[first.kind.name]
        groups.setdefault(kind, []).append(first)
    return [
        f"{len(group)} {is_or_are(group)} held by {kind}{_owners(group)}"
        for kind, group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _owners(group: list[Blocker | None]) -> str:
    owners = Counter(
        f"{escape(blocker.owners[0].name)} {pid(blocker.owners[0])}"
        for blocker in group
        if blocker is not None and blocker.owners
    )
    if not owners:
        return ""
    more = f" and {len(owners) - _MOST_OWNERS} more" if len(owners) > _MOST_OWNERS else ""
    return f" ({', '.join(name for name, _ in owners.most_common(_MOST_OWNERS))}{more})"

"""What is known of a target, put into words for people and into a dictionary for programs: pure functions.

The words of DESIGN are kept: a port is `free` or `held`. Text of other processes passes through `text` on its way.
"""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING

from portwait import durations
from portwait.targets import ANY
from portwait.text import command_line, masked, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.diagnosis import Blocker, Owner
    from portwait.exposure import Exposure
    from portwait.targets import Target
    from portwait.verdict import Verdict

_WORDS = {
    "outbound": ("an outbound connection", "outbound connections"),
    "accepted": ("an accepted connection whose listener is gone", "accepted connections whose listener is gone"),
    "self-connect": ("a connection to itself", "connections to themselves"),
    "listener": ("a listener", "listeners"),
    "time-wait": ("a connection in TIME_WAIT", "connections in TIME_WAIT"),
    "closing": ("a connection that is closing", "connections that are closing"),
    "bound": ("a socket that is only bound", "sockets that are only bound"),
    "hold": ("another portwait's hold", "holds of other portwaits"),
    "unknown": ("a connection of unknown direction", "connections of unknown direction"),
}
_EVIDENCE = {
    "listener": "direction judged by the listener on this port, for data was in flight",
    "remote-listener": "direction judged by the listener at the other end, for data was in flight",
    "none": "its direction cannot be proved",
}
_WIDTH = 150


def headline(target: Target, verdict: Verdict, blockers: Sequence[Blocker]) -> str:
    """One line that can be read aloud."""
    name = safe(str(target))
    if verdict.state == "held":
        return f"{name} is held {_by(blockers)}"
    if verdict.state == "unavailable":
        where = (
            f"the address {target.address} is not on this host" if target.address != ANY else "no such address family"
        )
        return f"{name} is unavailable: {where} ({verdict.errno_name})"
    if verdict.state == "denied":
        return f"{name}: binding is denied to this user ({verdict.errno_name}); nothing in the socket tables holds it"
    if verdict.state == "unknown":
        return f"{name}: the kernel gave no verdict ({verdict.errno_name or 'the socket tables cannot be read'})"
    return f"{name} is free"


def _by(blockers: Sequence[Blocker]) -> str:
    if not blockers:
        return "by something that the socket tables do not show"
    kinds: dict[str, int] = {}
    for blocker in blockers:
        kinds[blocker.kind.name] = kinds.get(blocker.kind.name, 0) + 1
    what = " and ".join(
        _WORDS[kind][0] if count == 1 else f"{count} {_WORDS[kind][1]}" for kind, count in kinds.items()
    )
    who: dict[str, None] = {}
    for blocker in blockers:
        for owner in blocker.owners:
            who.setdefault(process(owner))
    if who:
        shown = list(who)[:3]
        return f"by {what}: {', '.join(shown)}" + (f" and {len(who) - 3} more processes" if len(who) > 3 else "")
    if all(blocker.socket.inode == 0 and blocker.unseen is None for blocker in blockers):
        left = max((blocker.expires_in or 0 for blocker in blockers), default=0)
        return f"by {what}: no process owns it" + (f", it ends by itself in {durations.show(left)}" if left else "")
    return f"by {what}: {next((blocker.unseen for blocker in blockers if blocker.unseen), 'owner not known')}"


def process(owner: Owner) -> str:
    """Name a process: `java (pid 1988719, orders.service, user app)`."""
    parts = [f"pid {owner.pid}", owner.unit, owner.container, f"user {owner.user}" if owner.user else None]
    return f"{safe(owner.name, 40)} ({', '.join(safe(part) for part in parts if part)})"


def details(blockers: Sequence[Blocker]) -> list[str]:
    """A few lines for each blocker: both ends, its state, how long, its owners' commands."""
    lines: list[str] = []
    for blocker in blockers:
        ends = f"{blocker.local} -> {blocker.remote}" if blocker.remote else blocker.local
        facts = [f"{ends} {blocker.socket.state if blocker.kind.name != 'bound' else 'bound, not listening'}"]
        if blocker.owners:
            facts.append(f"process running for {durations.show(max(0.0, time.time() - blocker.owners[0].started))}")
        if blocker.idle is not None:
            facts.append(f"connection idle for {durations.show(blocker.idle)}")
        if blocker.expires_in is not None:
            facts.append(f"ends in {durations.show(blocker.expires_in)}")
        if blocker.kind.evidence in _EVIDENCE:
            facts.append(_EVIDENCE[blocker.kind.evidence])
        lines.append(", ".join(facts))
        lines += [f"  {owner.pid}: {line}" for owner in blocker.owners if (line := command_line(owner.cmdline, _WIDTH))]
        if blocker.unseen:
            of = f" (its user is {blocker.user})" if blocker.user is not None else ""
            lines.append(f"  {blocker.unseen}{of}")
    return lines


def why(target: Target, blockers: Sequence[Blocker], exposure: Exposure) -> list[str]:
    """Explain what surprises people: that netstat -l shows nothing, and where the port came from."""
    outbound = [blocker for blocker in blockers if blocker.kind.name in ("outbound", "self-connect")]
    if not outbound or target.protocol != "tcp" or exposure.ephemeral_range is None:
        return []
    span = "{}-{}".format(*exposure.ephemeral_range)
    origin = (
        f"The kernel picks source ports from ip_local_port_range {span}, and {target.port} is one of them."
        if exposure.covers(target.port)
        else f"{target.port} is outside ip_local_port_range {span}: "
        "the client bound it by number, or the range was another."
    )
    return [f"It is not a listener: netstat -l cannot show it. {origin}"]


def full(target: Target, verdict: Verdict, blockers: Sequence[Blocker], exposure: Exposure) -> str:
    """The whole report on one target: headline, details, explanation."""
    lines = [*details(blockers), *why(target, blockers, exposure)]
    return "\n  ".join([headline(target, verdict, blockers), *lines])


def as_dict(target: Target, verdict: Verdict, blockers: Sequence[Blocker], exposure: Exposure) -> dict[str, object]:
    """The same for programs, with the keys that DESIGN promises."""
    return {
        "target": safe(target.text),
        "protocol": target.protocol,
        "address": target.address,
        "port": target.port,
        "verdict": verdict.state,
        "errno": verdict.errno_name,
        "by": verdict.by,
        "ephemeral": exposure.covers(target.port),
        "reserved": exposure.reserves(target.port),
        "blockers": [blocker_dict(blocker) for blocker in blockers],
    }


def blocker_dict(blocker: Blocker) -> dict[str, object]:
    """One blocker for programs."""
    return {
        "kind": blocker.kind.name,
        "evidence": blocker.kind.evidence,
        "state": blocker.socket.state,
        "local": blocker.local,
        "remote": blocker.remote,
        "remote_service": blocker.remote_service,
        "inode": blocker.socket.inode,
        "cookie": blocker.socket.cookie,
        "uid": None if blocker.user is None else blocker.socket.uid,
        "user": None if blocker.user is None else safe(blocker.user),
        "expires_in": blocker.expires_in,
        "idle": blocker.idle,
        "evictable": blocker.evictable,
        "owners": [owner_dict(owner) for owner in blocker.owners],
        "peer": None if blocker.peer is None else owner_dict(blocker.peer),
        "unseen": blocker.unseen,
    }


def owner_dict(owner: Owner) -> dict[str, object]:
    """One process for programs."""
    started = datetime.datetime.fromtimestamp(int(owner.started), datetime.UTC)
    return {
        "pid": owner.pid,
        "name": safe(owner.name),
        "cmdline": [safe(word) for word in masked(owner.cmdline)],
        "user": None if owner.user is None else safe(owner.user),
        "started": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "unit": None if owner.unit is None else safe(owner.unit),
        "container": None if owner.container is None else safe(owner.container),
    }

"""What is known of the sockets in the way, line by line: both ends, state, times, whose they are. Pure functions."""

from __future__ import annotations

import time

from portwait.text import durations
from portwait.text.escape import escape
from portwait.text.masking import command_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner

    Line = tuple[str, str, str]  # what stands before its first line, its text, what stands before its other lines

_EVIDENCE = {
    "peer": "direction judged by the other end, because data was in flight at this one",
    "listener": "direction judged by the listener on this port, because the kernel's own count cannot be read",
    "remote-listener": "direction judged by the listener at the other end, because the kernel's own count cannot be "
    "read",
    "beside-listener": "its direction cannot be proved, because somebody listens at its address and port",
    "none": "its direction cannot be proved",
}
_COMMAND = 150  # characters of a command line
_ALIKE, _OWNERS = 3, 5  # blockers that are alike, owners of one
_LABEL = 11


def process(owner: Owner) -> str:
    """Name a process: `java (pid 1988719, orders.service, user app)`."""
    engine, _, name = (owner.container or "").partition(":")
    unit = None if engine and name in (owner.unit or "") else owner.unit  # docker-ID.scope says nothing more
    parts = [pid(owner), unit, owner.container, f"user {owner.user}" if owner.user else None]
    return f"{escape(owner.name, 40)} ({', '.join(escape(part) for part in parts if part)})"


def pid(owner: Owner) -> str:
    """Write a process's number, and that it is no number of here where /proc belongs to another PID namespace."""
    return f"pid {owner.pid} of another PID namespace" if owner.foreign_pid else f"pid {owner.pid}"


def of(blockers: Sequence[Blocker], explained: Sequence[Blocker] = ()) -> list[Line]:
    """Describe the blockers, of those that are alike a few; the headline has said why `explained` have no owners."""
    said = {_who_is_unseen(blocker) for blocker in explained}
    alike: dict[object, list[Blocker]] = {}
    for blocker in blockers:
        owners = tuple(owner.pid for owner in blocker.owners)
        whose = owners or _who_is_unseen(blocker)
        key = blocker.kind, blocker.socket.state, whose, blocker.inherited, blocker.unseen
        alike.setdefault(key, []).append(blocker)
    lines: list[Line] = []
    for group in alike.values():
        shown = group if len(group) <= _ALIKE + 1 else group[:_ALIKE]
        for blocker in shown:
            lines.append(("  ", _connection(blocker), "    "))
            lines += _other_end(blocker)
        if len(group) > len(shown):
            lines.append(("  ", f"and {len(group) - len(shown)} more like these", "  "))
        lines += _whose(group[0], said=_who_is_unseen(group[0]) in said)
    return lines


def _connection(blocker: Blocker) -> str:
    """Write both ends, the state, how long."""
    ends = f"{blocker.local} -> {blocker.remote}" if blocker.remote else blocker.local
    facts = [f"{ends} {_state(blocker)}"]
    if blocker.owners:
        facts.append(f"process running for {durations.show(max(0.0, time.time() - blocker.owners[0].started))}")
    if blocker.idle is not None:
        facts.append(f"connection idle for {durations.show(blocker.idle)}")
    if blocker.expires_in is not None:
        facts.append(f"ends in {durations.show(blocker.expires_in)}")
    if blocker.socket.mptcp:
        facts.append("a path of a Multipath TCP connection" if blocker.remote else "of Multipath TCP")
    if blocker.socket.queue:
        facts.append(f"{blocker.socket.queue} waiting to be accepted")
    if any(owner.state in ("T", "t") for owner in blocker.owners):
        facts.append("process stopped")
    if blocker.kind.evidence in _EVIDENCE:
        facts.append(_EVIDENCE[blocker.kind.evidence])
    return ", ".join(facts)


def _state(blocker: Blocker) -> str:
    if blocker.kind.name not in ("bound", "hold"):
        return blocker.socket.state
    return "bound" if serves_udp(blocker) else "bound, not listening"


def serves_udp(blocker: Blocker) -> bool:
    """Whether it is a UDP socket that is not connected: such a one listens, as far as UDP knows that."""
    return blocker.kind.name == "bound" and blocker.socket.protocol == "udp"


def dual_stack(blockers: Sequence[Blocker], *, alone: bool) -> list[Blocker]:
    """Choose the IPv6 sockets, at IPv6 addresses, that the kernel counts for IPv4 too.

    The tables do not show IPV6_V6ONLY of a connection. One that is `alone` in the way of IPv4 does not have it.
    """
    sixes = [each for each in blockers if ":" in each.socket.local_address and "." not in each.socket.local_address]
    surely = alone and len(blockers) == 1
    return [each for each in sixes if each.socket.v6only is False or (surely and not each.socket.v6only)]


def is_server(blocker: Blocker) -> bool:
    """Whether it is a socket that waits for clients."""
    return blocker.kind.name == "listener" or serves_udp(blocker)


def _other_end(blocker: Blocker) -> list[Line]:
    """Write who is at the other end: a process or a user of this host, else what its port is called."""
    if blocker.kind.name == "self-connect":
        return []
    waits = "waits to be accepted by " if blocker.peer_waits else ""
    if blocker.peer is not None:
        return [_labelled("other end", f"{waits}{process(blocker.peer)}, on this host")]
    if blocker.peer_user is not None:
        unit = f"{escape(blocker.peer_unit)}, " if blocker.peer_unit else ""
        return [_labelled("other end", f"{waits}a process of this host ({unit}user {escape(blocker.peer_user)})")]
    if blocker.peer_waits:
        return [_labelled("other end", "waits to be accepted, on this host")]
    if blocker.remote_service is None:
        return []
    port, name = blocker.socket.remote_port, escape(blocker.remote_service)
    return [_labelled("other end", f"not seen here; the services database calls port {port} {name}")]


def _who_is_unseen(blocker: Blocker) -> tuple[str | None, ...]:
    """Tell blockers apart by what is said of owners that are not seen."""
    return blocker.unseen, blocker.user, blocker.unit, blocker.container


def _whose(blocker: Blocker, *, said: bool) -> list[Line]:
    """Write who has the socket open, or why that is not known, unless that was said."""
    lines = []
    for owner in blocker.owners[:_OWNERS]:
        command = command_line(owner.cmdline, _COMMAND) or escape(owner.name)
        lines.append(_labelled("process", f"{owner.pid}: {command}" if len(blocker.owners) > 1 else command))
        if owner.forwards is not None:
            lines.append(_labelled("forwards", f"to the container's {escape(owner.forwards)}"))
        if owner.pod is not None:
            lines.append(_labelled("pod", escape(owner.pod)))
    if blocker.inherited:
        too = " too" if blocker.owners else ""
        lines.append(_labelled("inherited", f"this portwait has it open{too}, from whoever started it"))
    if len(blocker.owners) > _OWNERS:
        lines.append(_labelled("process", f"and {len(blocker.owners) - _OWNERS} more that share it"))
    if blocker.unseen is not None and not said:
        known = [f"its user is {escape(blocker.user)}"] if blocker.user is not None else []
        known += [f"it was made in {escape(place)}" for place in (blocker.unit, blocker.container) if place]
        lines.append(_labelled("unseen", blocker.unseen + (f" ({', '.join(known)})" if known else "")))
    return lines


def _labelled(label: str, text: str) -> Line:
    return f"    {label:<{_LABEL}}", text, " " * (4 + _LABEL)


def one_family(blockers: Sequence[Blocker], holds: Sequence[Blocker]) -> list[str]:
    """Explain a server that serves one family only while it has a hold of portwait in the other one."""
    serving = [blocker for blocker in blockers if blocker.kind.name == "listener"]
    sixes = {":" in listener.socket.local_address and "." not in listener.socket.local_address for listener in serving}
    owners = {owner.pid for listener in serving for owner in listener.owners}
    for hold in holds:
        kept_six = ":" in hold.socket.local_address
        if len(sixes) != 1 or kept_six in sixes or not owners & {owner.pid for owner in hold.owners}:
            continue
        if kept_six:
            served, other, wildcard, option = "IPv4", "IPv6", "[::]", "--no-reuseaddr"
        elif any(sock.socket.v6only and sock.socket.local_address == "::" for sock in serving):
            served, other, wildcard, option = "IPv6", "IPv4", "0.0.0.0", "--no-hold"
        else:
            continue
        words = (
            f"It serves {served} only, and it has portwait's hold at {hold.local}. If it was to serve {other} too, the "
            f"hold can be why it does not: a socket on {wildcard} that does not set SO_REUSEADDR cannot be bound "
            f"beside it. Then start it with portwait {option}."
        )
        return [words]
    return []

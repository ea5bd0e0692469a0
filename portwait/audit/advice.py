"""What to do about ports that the kernel may hand out, each cure with its price: pure functions.

None of them moves a connection that has the port already. A cure that would not keep enough ports for the host's own
connections is not given, nor a command that this machine would refuse: `shell_commands` knows the rights.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, NamedTuple

from portwait.advice import port_range, shell_commands
from portwait.model import ports
from portwait.text.plural import abbreviate, amount, plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from portwait.audit.scan import Audit
    from portwait.model.port_settings import Leftover
    from portwait.model.sockets import Range

_SERVICES = (10_000, 10_100)
_FEW = 8  # services that can be asked to move


class Advice(NamedTuple):
    """A cure: what it is, what it costs, and the commands for it, or the lines that the summary names."""

    code: str
    summary: str
    price: str
    commands: tuple[str, ...]


def advise(audit: Audit) -> tuple[Advice, ...]:
    """Say what helps, the cheapest first; nothing where nothing is at risk."""
    if not audit.at_risk:
        return ()
    exposed = ports.join(finding.port for finding in audit.at_risk if finding.in_range and not finding.reserved)
    known = {finding.port for finding in audit.findings if finding.listening} | audit.served
    used = audit.used
    leftover = audit.settings.after_reserving(exposed)
    may_reserve = leftover.suffices(used)
    cures = (
        _evict(audit),
        _reserve(audit, exposed, leftover, used) if exposed and may_reserve else None,
        _move(audit, exposed, known),
        _narrow(audit, exposed, used),
        _apart(audit, exposed, known, used),
        None if may_reserve or not exposed else _reserve_fewer(exposed, leftover, used),
    )
    return tuple(cure for cure in cures if cure is not None)


def _evict(audit: Audit) -> Advice | None:
    taken = [finding for finding in audit.at_risk if finding.taken]
    if not taken:
        return None
    tcp, udp = (
        ports.join(finding.port for finding in taken if finding.protocol == protocol) for protocol in ("tcp", "udp")
    )
    taken_ports = ports.merge([*tcp, *udp])
    named = abbreviate(taken_ports)
    of_tcp, of_udp = _targets(tcp), [f"{target}/udp" for target in _targets(udp)]
    commands = [("explain", *of_tcp, *of_udp)]
    commands += [("evict", *of_tcp)] if of_tcp else []
    commands += [("evict", "--evict=udp", *of_udp)] if of_udp else []
    return Advice(
        "taken",
        plural(
            taken_ports,
            f"{named} is in use by a connection now: see whose it is, let it end, or destroy it.",
            f"{named} are in use by connections now: see whose they are, let them end, or destroy them.",
        )
        + shell_commands.missing_right_to_evict(audit.machine),
        "the client whose connection is destroyed connects again, from another port",
        tuple(shell_commands.portwait(audit.machine, *words) for words in commands),
    )


def _targets(listed: tuple[Range, ...]) -> list[str]:
    return ports.show(listed).split(",") if listed else []


def _reserve(audit: Audit, exposed: tuple[Range, ...], leftover: Leftover, used: int) -> Advice:
    if audit.machine.may_set:
        when = ", now and at boot." if audit.machine.sysctl_d else f".{shell_commands.lasting(audit.machine)}"
        summary = f"Reserve {abbreviate(exposed)}{when}"
        lines = [shell_commands.reserve(audit.machine, exposed)]
    else:
        already = audit.settings.reserved
        summary, [*lines] = shell_commands.reserved_from_outside(audit.machine, abbreviate(exposed), exposed, already)
    return Advice(
        "reserve",
        summary,
        f"leaves {leftover.left:,} port{'' if leftover.left == 1 else 's'} to this host's own connections, which use "
        f"{used:,} now; has to be repeated on every host and for every new port",
        tuple(lines),
    )


def _reserve_fewer(exposed: tuple[Range, ...], leftover: Leftover, used: int) -> Advice:
    """Say why reserving is not among the cures, where it would leave too few ports."""
    return Advice(
        "reserve-fewer",
        "Reserve only the ports that services bind, or move the services out of the range.",
        f"reserving {abbreviate(exposed)} would leave {leftover}, which use {used:,} now",
        (),
    )


def _move(audit: Audit, exposed: tuple[Range, ...], known: Collection[int]) -> Advice | None:
    """Name a port outside the range for each service; for a single one also the next, if connect() tries that last."""
    count = ports.count(exposed)
    if not 0 < count <= _FEW:
        return None
    start = _outside(audit, count, known)
    ways = [] if start is None else [f"to {ports.show([(start, start + count - 1)])}, outside the range"]
    port, odd = exposed[0][0], exposed[0][0] + 1
    preferred = any(finding.port == port and finding.preferred for finding in audit.at_risk)
    if count == 1 and preferred and _is_quiet(audit, odd, known):
        ways.append(f"to {odd}, which connect() takes only when no {_kind(port)} port is left")
    if not ways:
        return None
    return Advice(
        "better-port",
        f"Move the service{'s' if count > 1 else ''} {', or '.join(ways)}.",
        "clients, firewalls and configurations have to follow"
        + (
            f"; {odd} is only less likely, no guarantee: bind(port 0) prefers {_kind(odd)} ports"
            if len(ways) > 1
            else ""
        ),
        (),
    )


def _kind(port: int) -> str:
    return "odd" if port % 2 else "even"


def _outside(audit: Audit, count: int, known: Collection[int]) -> int | None:
    """Find this number of ports in a row outside the range, as near to it as can be, below it rather than above."""
    low, high = audit.span
    lowest = max(1024, audit.settings.unprivileged_start or 0)
    for start in itertools.chain(range(low - count, lowest - 1, -1), range(high + 1, 65536 - count + 1)):
        if not any(port in known for port in range(start, start + count)):
            return start
    return None


def _is_quiet(audit: Audit, port: int, known: Collection[int]) -> bool:
    return audit.settings.hands_out(port) and port not in known and not ports.contains(audit.in_use, port)


def _narrow(audit: Audit, exposed: tuple[Range, ...], used: int) -> Advice | None:
    """Narrow the range to a part that has none of the ports."""
    narrower = port_range.narrower(audit.span, _services(audit, exposed), used, reserved=audit.settings.reserved)
    if narrower is None or not exposed or not audit.machine.may_set:
        return None
    low, high = narrower
    return Advice(
        "narrow-range",
        f"Narrow ip_local_port_range to {low}-{high}, which has none of them.{shell_commands.lasting(audit.machine)}",
        _left(audit, low, high),
        shell_commands.port_range(audit.machine, low, high),
    )


def _apart(audit: Audit, exposed: tuple[Range, ...], known: Collection[int], used: int) -> Advice | None:
    """Move services out of the range for good, where no part of it is free of them."""
    wider = port_range.apart(audit.span, _services(audit, exposed), used, reserved=audit.settings.reserved)
    first, last = _SERVICES[0], max(_SERVICES[1], _SERVICES[0] + ports.count(exposed))
    busy = any(first <= port <= last for port in known)
    if wider is None or not exposed or not audit.machine.may_set or last >= wider[0] or busy:
        return None
    low, high = wider
    for_good = " for good" if audit.machine.sysctl_d else ""
    return Advice(
        "keep-apart",
        f"Keep the two apart{for_good}: services to {first}-{last}, ip_local_port_range to {low}-{high}."
        f"{shell_commands.lasting(audit.machine)}",
        f"clients, firewalls and configurations have to follow; {_left(audit, low, high)}",
        shell_commands.port_range(audit.machine, low, high),
    )


def _services(audit: Audit, exposed: tuple[Range, ...]) -> Iterator[int]:
    """Go through the ports that no range should have: those at risk, and of all other listeners, as in `explain`."""
    for first, last in exposed:
        yield from range(first, last + 1)
    yield from (port for port in audit.served if audit.settings.hands_out(port))


def _left(audit: Audit, low: int, high: int) -> str:
    return (
        f"leaves {amount(ports.subtract([(low, high)], audit.settings.reserved))} to this host's own connections, "
        f"which use {audit.used:,} now; those that are open keep their ports"
    )

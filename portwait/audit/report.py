"""An audit in words and as a dictionary: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.audit import advice, strip
from portwait.model import ports
from portwait.reserved.report import drift_notes, persisted_dict, unreadable_notes
from portwait.text import durations
from portwait.text.escape import escape
from portwait.text.layout import Paper
from portwait.text.plural import abbreviate, amount, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portwait.audit.scan import Audit
    from portwait.audit.sockets import Finding

SCHEMA = 1


def text(audit: Audit, width: int = 0) -> str:
    """Write the report for a person on a terminal of this many columns; 0: lines as long as they are."""
    paper = Paper(width)
    blocks: list[list[str]] = [
        [line for name, value in _settings(audit) for line in paper.wrap(value, f"{name:<15}", " " * 15)],
        strip.block(audit, width),
        _table(audit, width),
    ]
    blocks += [paper.wrap(f"note: {note}") for note in notes(audit)]
    blocks += [_cure(cure, paper) for cure in advice.advise(audit)]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _settings(audit: Audit) -> Iterator[tuple[str, str]]:
    low, high = audit.span
    yield "range", f"{low}-{high} ({amount([audit.span])}), of them in use {audit.used:,}"
    yield "reserved", counted(audit.settings.reserved)
    start = audit.settings.unprivileged_start
    yield "unprivileged", f"from {start}" if start is not None else "cannot be read"
    yield "connections", _rate(audit)
    if audit.sample.other:
        first, other = _parities(audit)
        part = (
            f"{_percent(audit.by_bind)} of new clients are expected to call bind(port 0), which prefers {other} ports"
        )
        judged = f"{audit.sample.other:,} of these, and {audit.sample.preferred:,} of connect()'s {first} ones"
        yield "", f"{part}: clients have {judged}"


def _parities(audit: Audit) -> tuple[str, str]:
    """Name the ports that connect() tries first, and those that bind(port 0) does."""
    return ("odd", "even") if audit.span[0] % 2 else ("even", "odd")


def _rate(audit: Audit) -> str:
    if audit.rate.per_second is None:
        return "opened per second: not known"
    how = {"given": "as given", "since boot": "on average since boot"}.get(
        audit.rate.how, f"measured for {durations.show(audit.rate.window)}"
    )
    rate = audit.rate.per_second
    return f"{rate:{',.0f' if rate >= 1000 else '.3g'}} opened per second, {how}"


def _table(audit: Audit, width: int) -> list[str]:
    """Write a line for each port that somebody listens on, and for each run of ports that nobody does."""
    rows = [_row(group, audit) for group in _groups(audit.findings)]
    if not rows:
        return ["Nobody listens, and no port was named."]
    head = ("PORT", "WHO", "GIVEN AWAY", f"IN A RESTART OF {durations.show(audit.gap)}")
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(3)]
    lines: list[str] = []
    for row in (head, *rows):
        first = "  ".join(row[column].ljust(widths[column]) for column in range(3))
        if width and len(first) + 2 + len(row[3]) > width:
            lines += [first.rstrip(), *Paper(width).wrap(row[3], "    ")]
        else:
            lines.append(f"{first}  {row[3]}".rstrip())
    return lines


def _groups(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Join neighbours that nobody listens on and of which the same is to be said."""
    groups: list[list[Finding]] = []
    for finding in sorted(findings, key=lambda finding: (not finding.at_risk, finding.protocol, finding.port)):
        before = groups[-1][-1] if groups else None
        if (
            before is not None
            and not finding.listening
            and not before.listening
            and finding.port == before.port + 1
            and finding.protocol == before.protocol
            and _judged(finding) == _judged(before)
        ):
            groups[-1].append(finding)
        else:
            groups.append([finding])
    return groups


def _judged(finding: Finding) -> tuple[bool, bool, bool, str]:
    return finding.at_risk, finding.taken, finding.reserved, finding.origin


def _row(group: Sequence[Finding], audit: Audit) -> tuple[str, str, str, str]:
    first = group[0]
    span = ports.show([(first.port, group[-1].port)])
    who = escape(", ".join(first.processes), 16) or ("?" if first.listening else "-")
    return f"{span}/{first.protocol}", who, _given_away(first), _chance(group, audit)


def _given_away(finding: Finding) -> str:
    if finding.origin == "ignored":
        return "ignored"
    if finding.taken:
        return "yes: taken"
    if not finding.in_range:
        return "no: outside"
    if finding.reserved:
        return "no: reserved"
    return "picked by bind(0)" if finding.origin == "picked" else "yes"


def _chance(group: Sequence[Finding], audit: Audit) -> str:
    worst = max(group, key=lambda finding: finding.per_client)
    if worst.origin == "picked":
        return "another number after each start, nothing to keep"
    if not worst.at_risk or worst.taken:
        return "-"
    if not worst.per_client:
        return f"the last port of a range with an odd number of them is picked only where {worst.port - 2} is of no use"
    most = "at most " if len(group) > 1 else ""
    what = "connections" if worst.protocol == "tcp" else "sockets"
    each = f"1 in {1 / worst.per_client:,.0f} new {what} would get it"
    if worst.protocol == "tcp" and not worst.preferred and len(group) == 1:
        first, other = _parities(audit)
        each += f"; connect() tries {first} ports first, this one is {other}"
    return f"{most}{_percent(worst.probability)}, {each}" if worst.probability else each


def _percent(part: float) -> str:
    """Two digits that count; never 0 % or 100 % for what is only nearly so."""
    if part in (0.0, 1.0):
        return f"{part * 100:.0f} %"
    return "under 0.001 %" if part < 1e-5 else "over 99 %" if part > 0.99 else f"{part * 100:.2g} %"


def notes(audit: Audit) -> list[str]:
    """Say what is worth knowing beside the ports."""
    result = drift_notes(audit.ours, audit.drift, audit.machine)
    result += unreadable_notes(audit.unreadable)
    if audit.lost_at_boot:
        result.append(
            f"neither a file of sysctl.d nor a unit of ours reserves {abbreviate(audit.lost_at_boot)} at boot"
        )
    if audit.lost:
        result.append(f"cannot see everything: {audit.lost}")
    return result


def _cure(cure: advice.Advice, paper: Paper) -> list[str]:
    words = [*paper.wrap(cure.summary), *paper.wrap(f"price: {cure.price}", "  ")]
    return [*words, *(f"    {line}" for line in cure.commands)]


def as_dict(audit: Audit) -> dict[str, object]:
    """Answer the same for programs; lists of ports are strings as the kernel writes them."""
    return {
        "schema": SCHEMA,
        "range": list(audit.span),
        "reserved": ports.show(audit.settings.reserved),
        "unprivileged_port_start": audit.settings.unprivileged_start,
        "ports_in_use": audit.used,
        "usable": {"preferred": audit.usable[0], "other": audit.usable[1]},
        "connections": {
            "per_second": audit.rate.per_second,
            "how": audit.rate.how,
            "by_bind": audit.by_bind,
            "sample": {"preferred": audit.sample.preferred, "other": audit.sample.other},
        },
        "gap": audit.gap,
        "ports": [
            {
                "port": finding.port,
                "protocol": finding.protocol,
                "named": finding.named,
                "listening": finding.listening,
                "processes": [escape(name) for name in finding.processes],
                "in_range": finding.in_range,
                "reserved": finding.reserved,
                "preferred": finding.preferred,
                "taken": finding.taken,
                "at_risk": finding.at_risk,
                "origin": finding.origin,
                "per_client": finding.per_client,
                "probability": finding.probability,
            }
            for finding in audit.findings
        ],
        "at_risk": [str(finding) for finding in audit.at_risk],
        "persisted": persisted_dict(audit.ours, audit.drift, audit.machine),
        "lost_at_boot": ports.show(audit.lost_at_boot),
        "advice": [
            {"code": cure.code, "summary": cure.summary, "price": cure.price, "commands": list(cure.commands)}
            for cure in advice.advise(audit)
        ],
        "notes": notes(audit),
    }

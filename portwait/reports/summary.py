"""The report on several targets: each in full, or a line for each and the rest summed up; and as one object of JSON."""

from __future__ import annotations

from portwait.advice import shell_commands
from portwait.host.machine import call
from portwait.model import ports
from portwait.reports import document
from portwait.reports import target as target_report
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.model.case import Case, Remedy
    from portwait.model.targets import Target
    from portwait.text.layout import Paper

_MOST_INDENTED = 64  # targets; more are not for eyes, and the encoder that indents takes ten times as long

_DECIDING = {"tables": "by the socket tables", "bind": "by bind"}


def as_text(
    cases: Sequence[Case], lost: str | None, paper: Paper, *, in_full: bool, cures: Sequence[Remedy] = ()
) -> str:
    """Write the report on all targets: each in full, or a line for each that is not free and the rest summed up."""
    head = paper.wrap(f"cannot see everything: {lost}") if lost else []
    starved = [case for case in cases if case.starved]
    head += paper.wrap(target_report.starvation(starved), "", "  ") if starved else []
    if in_full:
        parts = [target_report.full(case, paper) for case in cases if not case.starved]
        return "\n\n".join(["\n".join(head), *parts] if head else parts) + "\n"
    taken = [case for case in cases if case.verdict.state != "free"]
    lines = head
    for case in taken:
        if case.starved:
            continue
        style = "held" if case.verdict.state == "held" else "other"
        lines += [paper.paint(line, style) for line in paper.wrap(target_report.headline(case), "", "  ")]
    for text in _summed_up(cases, taken):
        lines += paper.wrap(text)
    for cure in cures:
        lines += [*paper.wrap(cure.summary), *(paper.paint(f"  {line}", "command") for line in cure.commands)]
    return "\n".join(lines) + "\n"


def _summed_up(cases: Sequence[Case], taken: Sequence[Case]) -> list[str]:
    held = sum(case.verdict.state == "held" for case in taken)
    free = [case for case in cases if case.verdict.state == "free"]
    deciding = {case.verdict.by for case in cases}
    by = " and ".join(words for name, words in _DECIDING.items() if name in deciding)
    lines = [f"{len(cases)} asked, {by}: {held} held, {len(free)} free" + _others(taken, held) + "."]
    settings = cases[0].settings
    exposed = _ports(case.target for case in free if settings.hands_out(case.target.port) and not case.holds)
    if exposed and settings.ephemeral_range is not None:
        span = "{}-{}".format(*settings.ephemeral_range)
        lines.append(f"Of the free ones the kernel may give {exposed} to any client (ip_local_port_range {span}).")
    if taken:
        command = call("explain", *shell_commands.asked(taken[0]))
        lines.append(f"{escape(str(taken[0].target))} in full: {command}")
    return lines


def _others(taken: Sequence[Case], held: int) -> str:
    states = sorted({case.verdict.state for case in taken} - {"held"})
    counts = (f"{sum(case.verdict.state == state for case in taken)} {state}" for state in states)
    return "".join(f", {count}" for count in counts) if held < len(taken) else ""


def _ports(targets: Iterable[Target]) -> str:
    """Name ports as ranges, each protocol's by itself where there are two."""
    by_protocol = {"tcp": set[int](), "udp": set[int]()}
    for target in targets:
        by_protocol[target.protocol].add(target.port)
    listed = [
        ports.show(ports.merge((port, port) for port in numbers)) + ("/udp" if protocol == "udp" else "")
        for protocol, numbers in by_protocol.items()
        if numbers
    ]
    text = " and ".join(listed)
    return text if len(text) <= 40 else f"{sum(map(len, by_protocol.values()))} of them"


def as_json(cases: Sequence[Case], lost: str | None) -> str:
    """Write the one object that DESIGN promises."""
    import json

    listed = [document.of_case(case) for case in cases]
    indent = 2 if len(listed) <= _MOST_INDENTED else None
    return json.dumps({"schema": 1, "targets": listed, "lost": lost}, indent=indent) + "\n"

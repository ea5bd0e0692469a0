"""`portwait evict TARGET...`: destroy the connections in the way, and say what is still in the way.

Each eviction is an event on stderr when it is done; the report on stdout says what holds the ports afterwards, and why.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from portwait.advice import advise, gather, units_of
from portwait.bind.survey import Survey
from portwait.diagnosis import evictable, owners
from portwait.errors import PortwaitError, UsageError
from portwait.eviction.actions import news
from portwait.eviction.clear import Removal
from portwait.host.machine import machine
from portwait.host.port_settings import port_settings
from portwait.log import Log
from portwait.options import reader
from portwait.options.table import EVICTED
from portwait.reports import document
from portwait.reports import target as target_report
from portwait.text import terminal
from portwait.text.plural import names
from portwait.wait.inspection import Inspection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portwait.eviction.actions import Action
    from portwait.model.case import Case
    from portwait.model.targets import Target

    Cases = dict[Target, Case]

_MOST_ADVISED = 4
"""More targets that stay held get no advice: `explain` has it for each."""

_DESCRIPTION = """\
Destroy the connections that are in the way, not the processes behind them.

By default that is what harms nobody else: a connection that a client of this
host is proved to have opened (it sees an aborted connection, and a pool opens
another one, from another port), and what no process owns any more. It requires
CAP_NET_ADMIN. Where the client may come back at once, let the guard do it
(`portwait --evict 30010 -- COMMAND`): its hold keeps the port meanwhile.
"""

_EPILOG = """\
The environment variables of these options count here as for the guard
(PORTWAIT_DRY_RUN=1, PORTWAIT_EVICT_USER=app, PORTWAIT_FAMILY=6...); the option
wins: --evict over PORTWAIT_EVICT, --no-dry-run over PORTWAIT_DRY_RUN.
PORTWAIT_TARGETS stands in where no TARGET is given.

exit status:
  0    nothing is in the way now
  1    something is still in the way
  125  portwait was called wrongly, or it failed

examples:
  portwait evict 30010
  portwait evict --dry-run 30010
  portwait evict --evict-user app 30010        no other user's connections
  portwait evict --evict=time-wait 30010       leftovers, but no live connection
  portwait evict --evict=udp 30010/udp         a client's connected UDP socket
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Evict; the status and the report. Raises UsageError, and PortwaitError where nothing can be seen."""
    options = reader.read("evict", words, (_DESCRIPTION, _EPILOG))
    wanted = options.wanted(os.environ)
    if not wanted:
        raise UsageError("cannot evict nothing: name a TARGET, as in `portwait evict 30010`, or set PORTWAIT_TARGETS")
    if options.evict == frozenset():
        raise UsageError("cannot evict: PORTWAIT_EVICT in the environment says no; --evict wins over it")
    survey = Survey(wanted, reuseaddr=options.reuseaddr, mode="none" if options.dry_run else "default")
    inspection = Inspection(survey, {owners.this_process()})
    log = Log(options.log_format, quiet=options.quiet)
    actions: list[Action] = []

    def tell(action: Action) -> None:
        actions.append(action)
        if action.event == "evicted":
            log.warning(action.event, str(action), **action.fields())

    if not inspection.probe() or survey.undecided:
        inspection.inspect()
    before = after = _cases(inspection)
    if options.json:
        before = {case.target: case for case in inspection.with_holds([*before.values()])}
    if any(case.held for case in before.values()):
        selection = evictable.select(options.evict or EVICTED, options.evict_user, options.evict_unit)
        Removal(selection, tell, dry_run=options.dry_run).through(inspection, lambda: None)
        after = _cases(inspection)
    unknown = [target for target, case in after.items() if case.verdict.state in ("denied", "unknown")]
    diagnosis = inspection.diagnosis
    if unknown and diagnosis.lost and not diagnosis.blockers:  # neither bind nor the tables could say anything
        raise PortwaitError(f"cannot tell what is in the way of {names(unknown)}: {diagnosis.lost}")
    left = [target for target, case in after.items() if case.held]
    if len(left) <= _MOST_ADVISED:
        here, units = machine(), units_of(after[target] for target in left)
        for target in left:
            advised = advise(gather(after[target], here, units=units))
            after = {**after, target: after[target]._replace(remedies=advised)}
    show = _as_json if options.json else _as_text
    return int(bool(left)), show(before, after, _by_target(actions))


def _cases(inspection: Inspection) -> Cases:
    """What is known of each target now."""
    settings = port_settings()
    return {target: inspection.case(target, settings) for target in inspection.survey.targets}


def _by_target(actions: Sequence[Action]) -> dict[Target, list[Action]]:
    grouped: dict[Target, list[Action]] = {}
    for action in actions:
        grouped.setdefault(action.target, []).append(action)
    return grouped


def _as_text(before: Cases, after: Cases, actions: Mapping[Target, Sequence[Action]]) -> str:
    blocks: list[str] = []
    free: list[Target] = []
    is_news = news()
    starved = [case for case in after.values() if case.starved]
    if starved:
        blocks.append(target_report.starvation(starved))
    for target, case in after.items():
        if case.starved:
            continue
        own = actions.get(target, ())
        if case.held:
            said = [str(action) for action in filter(is_news, own) if action.event != "evicted"]
            blocks.append(target_report.full(case, terminal.paper(1), notes=said))
        elif before[target].held:
            count = sum(action.event == "evicted" for action in own)
            how = f"{count} evicted" if count else "what was in the way has gone by itself"
            blocks.append(f"{target_report.headline(case)}: {how}")
        elif case.verdict.state != "free":
            blocks.append(f"{target_report.headline(case)}; there is nothing to evict")
        else:
            free.append(target)
    if free:
        blocks.append(f"{names(free)}: nothing is in the way")
    return "\n".join(blocks) + "\n"


def _as_json(before: Cases, after: Cases, actions: Mapping[Target, Sequence[Action]]) -> str:
    def as_dict(target: Target) -> dict[str, object]:
        own = actions.get(target, ())
        return {
            **document.of_case(before[target]),
            "remedies": [document.of_remedy(remedy) for remedy in after[target].remedies],
            "evicted": [action.fields() for action in own if action.event == "evicted"],
            "would_evict": [action.fields() for action in own if action.event == "would-evict"],
            "refused": [action.fields() for action in own if action.event == "not-evicted"],
            "verdict_after": after[target].verdict.state,
        }

    return json.dumps({"schema": 1, "targets": [as_dict(target) for target in after]}, indent=2) + "\n"

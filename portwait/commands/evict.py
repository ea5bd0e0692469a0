"""`portwait evict TARGET...`: destroy the connections in the way, and say what is then.

What is done is an event on stderr when it is done; the report for stdout says what is now, and why.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from portwait.bind.survey import Survey
from portwait.diagnosis import evictable
from portwait.errors import PortwaitError, UsageError
from portwait.eviction.actions import news
from portwait.eviction.clear import Removal
from portwait.host.port_settings import port_settings
from portwait.log import Log
from portwait.model import targets
from portwait.options import parser
from portwait.options.table import EVICTED
from portwait.reports import target as target_report
from portwait.text.plural import names
from portwait.wait.inspection import Inspection

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from portwait.diagnosis.blockers import Diagnosis
    from portwait.eviction.actions import Action
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict

_DESCRIPTION = """\
Destroy the connections that are in the way, not the processes behind them.

By default that is what harms nobody else: a connection that a client of this
host is proved to have opened (it sees an aborted connection, and a pool opens
another one, from another port), and what no process owns any more. It takes
CAP_NET_ADMIN. Where the client may come back at once, let the guard do it
(`portwait --evict 30010 -- COMMAND`): its hold keeps the port meanwhile.
"""

_EPILOG = """\
The environment's twins of these options count here as they do for the guard
(PORTWAIT_DRY_RUN=1, PORTWAIT_EVICT_USER=app, PORTWAIT_FAMILY=6...); the option
wins: --evict over PORTWAIT_EVICT, --no-dry-run over PORTWAIT_DRY_RUN.

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


class Found(NamedTuple):
    """What was seen at one moment."""

    verdicts: Mapping[Target, Verdict]
    diagnosis: Diagnosis

    @property
    def held(self) -> tuple[Target, ...]:
        """The targets that something is in the way of."""
        return tuple(target for target, verdict in self.verdicts.items() if verdict.state == "held")

    @property
    def blind(self) -> tuple[Target, ...]:
        """The targets of which neither bind nor the tables could say anything."""
        if self.diagnosis.blockers or not self.diagnosis.lost:
            return ()
        return tuple(target for target, verdict in self.verdicts.items() if verdict.state in ("denied", "unknown"))


def run(words: Sequence[str]) -> tuple[int, str]:
    """Evict; the status and the report. Raises UsageError, and PortwaitError where nothing can be seen."""
    given = parser.read_verb(_parser(), words)
    if not given.targets:
        raise UsageError("cannot evict nothing: name a TARGET, as in `portwait evict 30010`")
    if not given.evict:
        raise UsageError("cannot evict: PORTWAIT_EVICT in the environment says no; --evict wins over it")
    wanted = targets.parse(given.targets, given.family)
    survey = Survey(wanted, reuseaddr=given.reuseaddr, mode="none" if given.dry_run else "default")
    inspection = Inspection(survey)
    log = Log(given.log_format, quiet=given.quiet)
    actions: list[Action] = []

    def tell(action: Action) -> None:
        actions.append(action)
        if action.event == "evicted":
            log.warning(action.event, str(action), **action.fields())

    if not inspection.look() or survey.undecided:
        inspection.look_closely()
    before = Found(dict(survey.verdicts), inspection.diagnosis)
    if before.held:
        selection = evictable.select(given.evict, given.evict_user, given.evict_unit)
        Removal(selection, 0, tell, dry_run=given.dry_run).through(inspection, lambda: None)
    after = Found(survey.verdicts, inspection.diagnosis)
    if after.blind:
        raise PortwaitError(f"cannot tell what is in the way of {names(after.blind)}: {after.diagnosis.lost}")
    show = _as_json if given.json else _as_text
    return (1 if after.held else 0), show(before, after, actions, port_settings())


def _parser() -> argparse.ArgumentParser:
    result = parser.verb("evict", "[OPTION...] TARGET...", _DESCRIPTION, _EPILOG)
    add = result.add_argument
    add("targets", nargs="*", metavar="TARGET", help="as the guard's: what the service will bind")
    parser.evict_options(result, "what may be destroyed", "destroy only")
    parser.target_options(result)
    parser.flag(result, "--dry-run", "say what would be done, and do none of it")
    add("--json", action="store_true", help="print one object of JSON")
    parser.log_format_option(result)
    parser.flag(result, "--quiet", "do not say on stderr what is done", short="-q")
    result.set_defaults(evict=frozenset(EVICTED), evict_user=(), evict_unit=(), reuseaddr=True, family=0)
    result.set_defaults(dry_run=False, quiet=False, log_format="auto")
    return result


def _as_text(before: Found, after: Found, actions: Sequence[Action], seen: PortSettings) -> str:
    blocks: list[str] = []
    is_news = news()
    free = [target for target in after.verdicts if target not in after.held and target not in before.held]
    for target, verdict in after.verdicts.items():
        own = [action for action in actions if action.target == target]
        if target in after.held:
            blockers = after.diagnosis.blockers.get(target, ())
            said = [str(action) for action in filter(is_news, own) if action.event != "evicted"]
            blocks.append("\n  ".join([target_report.full(target, verdict, blockers, seen), *said]))
        elif target in before.held:
            count = sum(action.event == "evicted" for action in own)
            how = f"{count} evicted" if count else "what was in the way has gone by itself"
            blocks.append(f"{target_report.headline(target, verdict, ())}: {how}")
        elif verdict.state != "free":
            blocks.append(f"{target_report.headline(target, verdict, ())}; there is nothing to evict")
            free.remove(target)
    if free:
        blocks.append(f"{names(free)}: nothing is in the way")
    return "\n".join(blocks) + "\n"


def _as_json(before: Found, after: Found, actions: Sequence[Action], seen: PortSettings) -> str:
    def one(target: Target) -> dict[str, object]:
        own = [action for action in actions if action.target == target]
        found = before.diagnosis.blockers.get(target, ())
        return {
            **target_report.as_dict(target, before.verdicts[target], found, seen),
            "evicted": [action.fields() for action in own if action.event == "evicted"],
            "would_evict": [action.fields() for action in own if action.event == "would-evict"],
            "refused": [action.fields() for action in own if action.event == "not-evicted"],
            "verdict_after": after.verdicts[target].state,
        }

    return json.dumps({"schema": 1, "targets": [one(target) for target in after.verdicts]}, indent=2) + "\n"

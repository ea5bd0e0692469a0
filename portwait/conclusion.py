"""How a wait ended, in words: free, given up, or only rehearsed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait import durations, hold, ports
from portwait.reports.text import command_line, safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.log import Log
    from portwait.options import Options
    from portwait.survey import Survey
    from portwait.targets import Target


def names(targets: Iterable[Target]) -> str:
    """Name targets in a sentence: all of a few, else three and how many more."""
    listed = [safe(str(target)) for target in targets]
    return ", ".join(listed) if len(listed) <= 4 else f"{', '.join(listed[:3])} and {len(listed) - 3} more"


def are(some: Sequence[object]) -> str:
    """Choose the verb for one or several."""
    return "is" if len(some) == 1 else "are"


def conclude(survey: Survey, options: Options, log: Log, command: Sequence[str], *, free: bool, waited: float) -> bool:
    """Say how it ended; whether the service may start."""
    if options.dry_run:
        _rehearse(survey, options, log, command, free=free)
        return free
    if free:
        _free(survey, options, log, command, waited)
    else:
        _gave_up(survey, log, waited, anyway=options.anyway)
    return free or options.anyway


def _free(survey: Survey, options: Options, log: Log, command: Sequence[str], waited: float) -> None:
    """The service may start; after a wait that is worth a line, otherwise only for -v."""
    asked = names(survey.targets) or "every port was passed in"
    starting = f"; starting {safe(command[0])}" if command else ""
    unsure = [one for one in survey.targets if survey.verdicts.get(one) and survey.verdicts[one].state != "free"]
    state = "can be tried, for the kernel gave no clear word on it" if unsure else f"{are(survey.targets)} free"
    after = f" after {durations.show(waited)}" if waited else ""
    say = log.info if waited else log.debug
    say("free", f"{asked} {state}{after}{starting}", target=asked, waited=round(waited, 3))
    if survey.wide and command and options.hold != "none":
        say = log.info if options.hold or options.fdstore else log.debug
        say("hold", _too_many(survey), target=asked)
    for one in survey.holds:
        log.debug("hold", f"hold on {safe(str(one.target))}: {_hold(one.form, ready=one.ready, possible=one.possible)}")


def _too_many(survey: Survey) -> str:
    listed = ports.show(ports.merge((one.port, one.port) for one in survey.targets))
    return f"{listed}: nothing is held, for at most {hold.MOST} ports are; portwait reserve {listed} keeps them all"


def _hold(form: str | None, *, ready: bool, possible: bool) -> str:
    forms = {
        "v6only": "[::], IPv6 only",
        "dual": "[::], both families",
        "last": "127.255.255.254",
        "any4": "0.0.0.0",
        "udp": "127.255.255.254",
    }
    if form is not None and ready:
        return f"a bound socket on {forms[form]} stays until the service ends"
    if not possible:
        return "none, for none is without harm to this service (UDP, or --no-reuseaddr); reserve the port instead"
    return "none, for the kernel allows none that is without harm to this service; reserve the port instead"


def _gave_up(survey: Survey, log: Log, waited: float, *, anyway: bool) -> None:
    """The deadline came."""
    asked = names(survey.obstructed)
    states = " and ".join(sorted({survey.verdicts[one].state for one in survey.obstructed}))
    after = f" after {durations.show(waited)}" if waited else ""
    if anyway:
        log.warning(
            "anyway",
            f"{asked} {are(survey.obstructed)} still {states}{after}; starting all the same (--anyway)",
            target=asked,
        )
    else:
        log.error(
            "gave-up",
            f"gave up{after}: {asked} {are(survey.obstructed)} still {states}; nothing was started",
            target=asked,
            waited=round(waited, 3),
        )


def _rehearse(survey: Survey, options: Options, log: Log, command: Sequence[str], *, free: bool) -> None:
    """Say what a run without --dry-run would do now."""
    asked = names(survey.targets)
    if options.reserve:
        log.info("dry-run", f"dry run: would reserve {asked} first")
    if free:
        log.info("dry-run", f"dry run: {asked} {are(survey.targets)} free", target=asked)
    else:
        limit = durations.show(options.timeout)
        log.info("dry-run", f"dry run: would wait for {names(survey.obstructed)} for at most {limit}", target=asked)
    if command:
        mode = options.hold or "default"
        kept = [one for one in survey.targets if hold.forms(one, mode, reuseaddr=options.reuseaddr).at_exec]
        if kept and survey.wide:
            log.info("dry-run", f"dry run: {_too_many(survey)}")
        elif kept:
            log.info("dry-run", f"dry run: would hold {names(kept)} ({mode}) until the service has bound it")
        if options.listen:
            log.info("dry-run", f"dry run: would listen on {asked} and pass the socket on (LISTEN_FDS)")
        if options.fdstore:
            log.info("dry-run", "dry run: would keep that in systemd's descriptor store")
        log.info("dry-run", f"dry run: would become {command_line(command)}")

"""How a wait ended, in words: free, given up, or only rehearsed."""

from __future__ import annotations

import os

from portwait.bind import hold
from portwait.errors import CommandNotExecutableError, CommandNotFoundError
from portwait.host.port_settings import port_settings
from portwait.log import Log
from portwait.model import ports
from portwait.model.targets import ANY
from portwait.options.table import would
from portwait.text import durations
from portwait.text.escape import escape
from portwait.text.masking import command_line
from portwait.text.plural import is_or_are, listed, names, typed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from portwait.bind.survey import Survey
    from portwait.model.targets import Target
    from portwait.options.record import Options

_MOST_ASKED = 4  # targets in a command to paste
_ENOUGH = 5.0  # seconds; whoever has not found out by then who is in the way is stuck


def conclude(
    survey: Survey,
    options: Options,
    log: Log,
    command: Sequence[str],
    *,
    free: bool,
    waited: float,
    told: Collection[object] = (),
    asked: bool = True,
) -> bool:
    """Say how it ended; whether the service may start.

    `told` are the targets of which it was said who is in the way, as `reports.document` writes them. `asked` is whether
    somebody was still busy to find that out.
    """
    if options.dry_run:
        _rehearse(survey, options, log, command, free=free)
        return free
    if free:
        _free(survey, options, log, command, waited)
    else:
        how = _how_to_find_out(survey, told, hurried=asked and waited < _ENOUGH)
        _gave_up(survey, options, log, command, waited, how_to_find_out=how)
    return free or options.anyway


def _free(survey: Survey, options: Options, log: Log, command: Sequence[str], waited: float) -> None:
    """The service may start; after a wait that is worth a line, otherwise only for -v."""
    asked = typed((*survey.targets, *survey.passed_in))
    starting = f"; starting {escape(command[0])}" if command else ""
    ready = _ready(survey)
    after = f" after {durations.show(waited)}" if waited else ""
    say = log.info if waited else log.debug
    say("free", f"{ready}{after}{starting}", target=asked, waited=round(waited, 3))
    if survey.wide and command and options.hold != "none":
        say = log.info if options.hold or options.fdstore else log.debug
        say("hold", _too_many(survey), target=asked)
    outlives = command and options.hold != "none" and not options.listen  # a listening socket keeps the port by itself
    for each in survey.holds if outlives else ():
        each.exchange()
        if each.contested and not each.shuts_out:
            text = _contested(each.target, command[0], reuseaddr=survey.reuseaddr)
            log.warning("contested", text, target=typed([each.target]))


def _ready(survey: Survey) -> str:
    """Say of which state the targets are that the service binds itself, and which it is given already."""
    known = survey.verdicts
    free = [target for target in survey.targets if target in known and known[target].state == "free"]
    unsure = [target for target in survey.targets if target not in known or known[target].state != "free"]
    passed_in = survey.passed_in
    states = [f"{names(free)} {is_or_are(free)} free"] if free else []
    if passed_in:
        states.append(f"{names(passed_in)} {'were' if len(passed_in) > 1 else 'was'} passed in (LISTEN_FDS)")
    if unsure:
        they_are = "they are" if len(unsure) > 1 else "it is"
        states.append(f"{names(unsure)} can be tried: nobody can tell whether {they_are} free")
    return listed(states)


def tell_holds(survey: Survey, options: Options) -> None:
    """Say for -v what holds each port, now that it is inherited by the service."""
    if options.listen:
        return  # the socket that is passed on keeps it
    log = Log(options.log_format, quiet=options.quiet, verbose=options.verbose)
    for each in survey.holds if options.hold != "none" and not survey.obstructed else ():
        kept = _hold(each.form, ready=each.ready, possible=each.possible) + _breaks(each)
        log.debug("hold", f"hold on {escape(str(each.target))}: {kept}", target=typed([each.target]))


def _too_many(survey: Survey) -> str:
    listed = ports.show(ports.merge((target.port, target.port) for target in survey.targets))
    cure = f"; {reserving(listed)} keeps them all" if may_reserve(survey.targets) else ""
    return f"no hold on {listed}, because portwait holds at most {hold.MOST} ports{cure}"


def reserving(listed: str) -> str:
    """Quote the command that reserves ports."""
    from portwait.host.machine import call

    return call("reserve", listed, patient=False)


def may_reserve(targets: Iterable[Target]) -> bool:
    """Whether reserving all these ports leaves enough others for outgoing connections."""
    return port_settings().after_reserving((target.port, target.port) for target in targets).suffices()


def _contested(target: Target, command: str, *, reuseaddr: bool) -> str:
    name = escape(command)
    cure = (
        "the default hold does not keep that client away; --hold=full does, for services that set SO_REUSEADDR "
        "(nearly all do)"
        if reuseaddr
        else "no hold can keep that client away from a service without SO_REUSEADDR; stop it, or give it another port"
    )
    return f"{target} may be lost again before {name} has bound it: a client seems to bind it by number, and {cure}"


def _hold(form: str | None, *, ready: bool, possible: bool) -> str:
    forms = {
        "v6only": "[::] (IPv6 only)",
        "dual": "[::] (both families)",
        "last": "127.255.255.254",
        "any4": "0.0.0.0",
        "udp": "127.255.255.254",
    }
    if form is not None and ready:
        return f"a bound socket on {forms[form]} stays until the service ends"
    if not possible:
        return "none, because none is without harm to this service (UDP, or --no-reuseaddr); reserve the port instead"
    return "none, because the kernel allows none that is without harm to this service; reserve the port instead"


def _breaks(own: hold.Hold) -> str:
    """Say which service a hold that stands would keep from starting."""
    if not own.ready or own.form == "last" or (own.form == "v6only" and own.target.family == 4):
        return ""
    if own.form == "udp":
        if own.target.family == 6 or own.target.address not in (ANY, "0.0.0.0", "::", hold.LAST):
            return ""
        return (
            "; a UDP service on 0.0.0.0 or [::] that does not set SO_REUSEADDR, as most do not, cannot start beside it "
            "(--no-hold)"
        )
    addresses = "[::] or [::1]" if own.form == "v6only" else "any address"
    return (
        f"; a service on {addresses} that does not set SO_REUSEADDR cannot start beside it (--no-reuseaddr, --no-hold)"
    )


def _how_to_find_out(survey: Survey, told: Collection[object], *, hurried: bool) -> str:
    """Say how a user can find out what is in the way where that was not told, and whether time was the reason."""
    untold = [target for target in survey.obstructed if escape(target.text) not in told]
    if not untold:
        return ""
    from portwait.advice import shell_commands
    from portwait.host.machine import call

    command = call(
        "explain", *shell_commands.asked_for(untold[:_MOST_ASKED], reuseaddr=survey.reuseaddr), patient=False
    )
    return f". {'There was no time to find out why;' if hurried else 'To find out why,'} ask with: {command}"


def _gave_up(
    survey: Survey, options: Options, log: Log, command: Sequence[str], waited: float, *, how_to_find_out: str
) -> None:
    """The deadline came."""
    asked = names(survey.obstructed)
    states = " and ".join(sorted({survey.verdicts[target].state for target in survey.obstructed}))
    after = f" after {durations.show(waited)}" if waited else ""
    if options.anyway:
        does = "starting" if command else "ending with 0"
        log.warning(
            "anyway",
            f"{asked} {is_or_are(survey.obstructed)} still {states}{after}; {does} all the same (--anyway)"
            f"{how_to_find_out}",
            target=typed(survey.obstructed),
        )
    else:
        log.error(
            "gave-up",
            f"gave up{after}: {asked} {is_or_are(survey.obstructed)} still {states}; nothing was started"
            f"{how_to_find_out}",
            target=typed(survey.obstructed),
            waited=round(waited, 3),
        )


def _rehearse(survey: Survey, options: Options, log: Log, command: Sequence[str], *, free: bool) -> None:
    """Say what a run without --dry-run would do now."""
    asked, every = survey.targets, (*survey.targets, *survey.passed_in)
    if options.reserve:
        log.info("dry-run", would("reserve", targets=names(every)), target=typed(every))
    if free:
        log.info("dry-run", f"dry run: {_ready(survey)}", target=typed(every))
    else:
        log.info("dry-run", f"dry run: would {_wait(survey, options)}", target=typed(survey.obstructed))
    if options.anyway and not free and not command:
        log.info("dry-run", would("anyway"))
    if command and (free or options.timeout or options.anyway or _clears(options)):
        mode = options.hold or "default"
        known = survey.verdicts
        may = [target for target in asked if target not in known or known[target].state != "denied"]
        kept = [target for target in may if hold.forms(target, mode, reuseaddr=options.reuseaddr).at_exec]
        if options.listen and asked:
            log.info("dry-run", would("listen", targets=names(asked)), target=typed(asked))
        elif kept and survey.wide:
            log.info("dry-run", f"dry run: {_too_many(survey)}")
        elif kept:
            log.info("dry-run", would("hold", targets=names(kept), value=mode), target=typed(kept))
        if options.fdstore and (asked if options.listen else kept and not survey.wide):
            log.info("dry-run", would("fdstore"))
        status = rehearsed(command)
        if status:
            why = "no such command" if status == CommandNotFoundError.status else "it is not executable"
            log.error(
                "dry-run",
                f"dry run: cannot run {escape(command[0])}: {why}; would end with {status}{_when(options, free=free)}",
            )
        else:
            log.info("dry-run", f"dry run: would become {command_line(command)}{_when(options, free=free)}")


def rehearsed(command: Sequence[str]) -> int:
    """Say with which status an exec of this command would fail; 0 where it would not, as far as modes tell."""
    import shutil  # 5 ms that only a dry run has to spend

    name = command[0]
    if shutil.which(name):
        return 0
    is_file = shutil.which(name, os.F_OK) or ("/" in name and os.path.exists(name))
    return CommandNotExecutableError.status if is_file else CommandNotFoundError.status


def _wait(survey: Survey, options: Options) -> str:
    """Say what a run would do about the targets that are not free."""
    asked = names(survey.obstructed)
    if options.timeout:
        return f"wait for {asked} {durations.limit(options.timeout)}"
    if options.anyway:
        return f"not wait for {asked} (--timeout 0)"
    if _clears(options):
        return f"look at {asked} once more, and give up if it is still held (--timeout 0)"
    return f"give up on {asked} at once (--timeout 0)"


def _when(options: Options, *, free: bool) -> str:
    if free:
        return ""
    if options.anyway:
        return ", free or not (--anyway)"
    return " as soon as that is free" if options.timeout else " if that is free"


def _clears(options: Options) -> bool:
    return bool(options.evict or options.terminate)

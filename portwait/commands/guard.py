"""The guard: look, wait where it must, and become the service.

The free path goes through here and through what the interpreter has loaded anyway; everything else is imported after
a port was found held.
"""

from __future__ import annotations

import os
import time

from portwait import handoff
from portwait.bind import hold
from portwait.bind.survey import Survey
from portwait.errors import PortwaitError, UsageError
from portwait.model import targets
from portwait.systemd import listen_fds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portwait.eviction.clear import Removal
    from portwait.log import Log
    from portwait.options.record import Options

GAVE_UP = 124
"""The status when the deadline came while the kernel still said `held` or `unavailable`, as timeout(1)."""

_PLAIN_POLL = 0.1  # seconds
_RESERVE_PATIENCE = 2.0  # seconds, for another portwait's turn at the kernel's list, which takes milliseconds


def run(options: Options, command: Sequence[str]) -> int:
    """Guard; becomes the command, or where there is none returns 0 for free. GAVE_UP at the deadline.

    Raises UsageError for words that make no sense, and what `handoff.become` raises.
    """
    began = time.monotonic()
    survey, settle = _plan(options, command)
    try:
        clear = survey.look() and not survey.undecided and not options.talks
    except Exception as fault:  # noqa: BLE001  # a fault of the guard's own keeps no service down
        _admit("look", fault)
        clear = not survey.obstructed
    if not clear and not _slowly(survey, options, began, command):
        return GAVE_UP
    if not command:
        return 0
    if options.dry_run:
        from portwait.wait import outcome

        return outcome.rehearsed(command)
    try:
        settle(survey)
    except Exception as fault:  # noqa: BLE001  # likewise
        _admit("hold the port", fault)
    return handoff.become(command)


def _plan(options: Options, command: Sequence[str]) -> tuple[Survey, Callable[[Survey], object]]:
    """Read what is wanted; the survey, and what makes everything ready for the exec once the service may start."""
    words = options.targets or tuple(os.environ.get("PORTWAIT_TARGETS", "").replace(",", " ").split())
    if not words:
        raise UsageError(
            "cannot guard nothing: name a TARGET, as in `portwait 30010 -- COMMAND`, or set PORTWAIT_TARGETS"
        )
    wanted = targets.parse(words, options.family, reuseport=options.reuseport, freebind=options.freebind)
    mode: hold.Mode = options.hold or ("default" if command else "none")
    if mode == "full" and not options.reuseaddr:
        raise UsageError("cannot use --hold=full with --no-reuseaddr: such a service cannot bind beside a full hold")
    mode = "none" if options.dry_run else mode
    passes = options.listen or options.fdstore or listen_fds.has_ours()
    if passes:
        from portwait.systemd import handover

        handover.check(options, wanted, command)
    if options.reserve and not options.dry_run:
        _reserve(wanted, options)
    if passes:
        try:
            plan = handover.Passing(options, wanted)
            return plan.survey(mode), plan.settle
        except Exception as fault:  # noqa: BLE001  # a fault of the guard's own keeps no service down
            _admit("use the sockets that were passed in or kept", fault)
    try:
        passed_in = listen_fds.passed_in(wanted)
    except Exception as fault:  # noqa: BLE001  # a fault of the guard's own keeps no service down
        _admit("look at the sockets that were passed in", fault)
        passed_in = frozenset()
    survey = Survey(wanted, reuseaddr=options.reuseaddr, mode=mode, passed_in=passed_in)
    return survey, _settle_without_passing if passes else _settle


def _settle(survey: Survey) -> None:
    hold.keep_all(survey.holds)


def _settle_without_passing(survey: Survey) -> None:
    try:
        hold.keep_all(survey.holds)
    finally:
        listen_fds.hide_ours()


def _reserve(wanted: Sequence[targets.Target], options: Options) -> None:
    """Keep the ports out of the kernel's own choice, before the first look at them."""
    try:
        from portwait.model import ports
        from portwait.reserved import runtime

        named = ports.merge((one.port, one.port) for one in wanted)
        runtime.reserve(named, patience=_RESERVE_PATIENCE)
        if options.verbose:
            from portwait.log import Log

            Log(options.log_format, verbose=True).debug("reserved", f"{ports.show(named)}: reserved")
    except Exception as fault:  # noqa: BLE001  # a fault of the guard's own keeps no service down
        _admit("reserve the port", fault)


def _slowly(survey: Survey, options: Options, began: float, command: Sequence[str]) -> bool:
    """Wait, and say what happens; whether the service may start."""
    from portwait.wait.signals import Stopped, Stopping, end_by

    try:
        with Stopping():
            return _wait(survey, options, began, command)
    except Stopped as stopped:
        end_by(stopped.number)


def _wait(survey: Survey, options: Options, began: float, command: Sequence[str]) -> bool:
    deadline = began + options.timeout
    try:
        from portwait.log import Log
        from portwait.wait import outcome
        from portwait.wait.loop import WaitLoop

        log = Log(options.log_format, quiet=options.quiet, verbose=options.verbose)
        loop = WaitLoop(survey, log, began, 0.0 if options.dry_run else deadline, _clearing(options, log))
        free = loop.keep()
        return outcome.conclude(survey, options, log, command, free=free, waited=loop.waited)
    except Exception as fault:  # noqa: BLE001  # a bug, or a library that is missing: bind alone can do it
        _admit("report", fault)
        return _wait_plainly(survey, 0.0 if options.dry_run else deadline) or options.anyway


def _clearing(options: Options, log: Log) -> Removal | None:
    if not options.evict and not options.terminate:
        return None
    from portwait.eviction import clear

    return clear.asked_for(options, log)


def _wait_plainly(survey: Survey, deadline: float) -> bool:
    """Wait by bind alone, with a last word only: what is left when everything else has failed."""
    import contextlib

    while True:
        with contextlib.suppress(Exception):  # it was confessed; what the kernel has said so far stands
            survey.look()
        left = deadline - time.monotonic()
        if not survey.obstructed or left <= 0:
            break
        time.sleep(min(_PLAIN_POLL, left))
    if survey.obstructed:
        from portwait.text import stderr

        stderr.write(f"portwait: gave up: {', '.join(map(str, survey.obstructed))} is still not free\n")
    return not survey.obstructed


def _admit(verb: str, fault: Exception) -> None:
    """Say in one line what the guard itself could not do; the service starts all the same."""
    from portwait.text import stderr

    known = isinstance(fault, PortwaitError)
    what = str(fault).partition("\n")[0] if known else f"cannot {verb}: {type(fault).__name__}: {fault}"
    stderr.write(f"portwait: {what}; going on without\n")

"""The guard: look, wait where it must, and become the service.

The free path goes through here and through what the interpreter has loaded anyway; everything else is imported after
a port was found held.
"""

from __future__ import annotations

import os
import time

from portwait import activation, handoff, hold, targets
from portwait.errors import UsageError
from portwait.survey import Survey

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.log import Log
    from portwait.options import Options

GAVE_UP = 124
"""The status when the deadline came while the kernel still said `held` or `unavailable`, as timeout(1)."""

_PLAIN_POLL = 0.1  # seconds


def run(options: Options, command: Sequence[str]) -> int:
    """Guard; becomes the command, or where there is none returns 0 for free. GAVE_UP at the deadline.

    Raises UsageError for words that make no sense, and what `handoff.become` raises.
    """
    deadline = time.monotonic() + options.timeout
    survey = _plan(options, command)
    try:
        clear = survey.look() and not survey.undecided and not options.talks
    except Exception as fault:  # noqa: BLE001  # a fault of the guard's own keeps no service down
        _confess("look", fault)
        clear = True
    if not clear and not _slowly(survey, options, deadline, command):
        return GAVE_UP
    if not command or options.dry_run:
        return 0
    try:
        hold.keep_all(survey.holds)
    except OSError as error:
        _confess("hold the port", error)
    return handoff.become(command)


def _plan(options: Options, command: Sequence[str]) -> Survey:
    words = options.targets or tuple(os.environ.get("PORTWAIT_TARGETS", "").replace(",", " ").split())
    if not words:
        raise UsageError(
            "cannot guard nothing: name a TARGET, as in `portwait 30010 -- COMMAND`, or set PORTWAIT_TARGETS"
        )
    wanted = targets.parse(words, options.family)
    mode: hold.Mode = options.hold or ("default" if command else "none")
    if mode == "full" and not options.reuseaddr:
        raise UsageError("cannot use --hold=full with --no-reuseaddr: such a service cannot bind beside a full hold")
    return Survey(
        wanted,
        reuseaddr=options.reuseaddr,
        mode="none" if options.dry_run else mode,
        passed_in=activation.passed_in(wanted),
    )


def _slowly(survey: Survey, options: Options, deadline: float, command: Sequence[str]) -> bool:
    """Wait, and say what happens; whether the service may start."""
    try:
        from portwait.log import Log
        from portwait.signals import Stopped, end_by, stopping
        from portwait.vigil import Vigil

        log = Log(options.log_format, quiet=options.quiet, verbose=options.verbose)
        vigil = Vigil(survey, log, 0.0 if options.dry_run else deadline)
    except Exception as fault:  # noqa: BLE001  # a library that is missing, say: bind alone can do it
        _confess("report", fault)
        return _wait_plainly(survey, deadline) or options.anyway
    try:
        with stopping():
            free = vigil.keep()
    except Stopped as stopped:
        log.info("stopped", f"stopped by {stopped.name}; nothing was started", signal=stopped.name)
        end_by(stopped.number)
    except Exception as fault:  # noqa: BLE001  # likewise
        _confess("report", fault)
        free = _wait_plainly(survey, deadline)
    return _conclude(survey, options, log, command, free=free, waited=vigil.waited)


def _conclude(survey: Survey, options: Options, log: Log, command: Sequence[str], *, free: bool, waited: float) -> bool:
    """Say how the wait ended; whether the service may start."""
    from portwait import conclusion

    if options.dry_run:
        conclusion.rehearse(survey, options, log, command, free=free)
        return free
    if free:
        conclusion.free(survey, log, command, waited)
        return True
    conclusion.gave_up(survey, log, waited, anyway=options.anyway and bool(command))
    return options.anyway


def _wait_plainly(survey: Survey, deadline: float) -> bool:
    """Wait by bind alone, without a word: what is left when everything else has failed."""
    while not survey.look():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_PLAIN_POLL, left))
    return True


def _confess(verb: str, fault: Exception) -> None:
    """Say in one line what the guard itself could not do; the service starts all the same."""
    from portwait import stderr

    stderr.write(f"portwait: cannot {verb}: {type(fault).__name__}: {fault}; going on without\n")

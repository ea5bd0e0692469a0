"""The guard: look, wait where it must, and become the service.

The free path goes through here and through what the interpreter has loaded anyway; everything else is imported after
a port was found held.
"""

from __future__ import annotations

import os
import sys
import time

from portwait import handoff
from portwait.bind import hold
from portwait.bind.survey import Survey
from portwait.commands.continuing import continuing_without, say
from portwait.errors import PortwaitError, UsageError, own_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from portwait.log import Events, Log
    from portwait.model.targets import Target
    from portwait.options.record import Options
    from portwait.systemd.handover import Handover
    from portwait.wait.channel import Channel
    from portwait.wait.narration import Removal
    from portwait.wait.narrator import Narrator

GAVE_UP = 124
"""The status when the deadline came while the kernel still said `held` or `unavailable`, as timeout(1)."""

_WRAPPERS = ("sudo", "doas", "daemon", "start-stop-daemon", "ip", "nsenter", "unshare")
"""Programs that close all descriptors from 3 on before they become the service, or go into another network."""

_PLAIN_POLL = 0.1  # seconds
_RESERVE_PATIENCE = 2.0  # seconds, for another portwait's turn at the kernel's list, which takes milliseconds


class Plan:
    """What one start needs: the survey of its targets, and what makes everything ready for the exec."""

    def __init__(self, survey: Survey, handover: Handover | None = None, *, hides: bool = False) -> None:
        """`handover` is for sockets that are passed in or on; `hides`: ours among them are at least kept back."""
        self.survey = survey
        self._handover = handover
        self._hides = hides

    def settle(self) -> None:
        """Make the holds last, and give the service its sockets. Raises OSError."""
        if self._handover is not None:
            self._handover.settle(self.survey)
            return
        try:
            hold.make_all_inheritable(self.survey.holds)
        finally:
            if self._hides:
                from portwait.systemd import listen_fds

                listen_fds.hide_ours()


def run(options: Options, command: Sequence[str]) -> int:
    """Guard; becomes the command, or where there is none returns 0 for free. GAVE_UP at the deadline.

    Raises UsageError for words that make no sense, and what `handoff.become` raises.
    """
    began = time.monotonic()
    _occupy_standard_numbers()
    plan = _plan(options, command)
    survey = plan.survey
    with continuing_without("ask bind", options) as asking:
        clear = survey.probe() and not survey.undecided and not options.talks
    if asking.failed:
        clear = not survey.obstructed
    if not clear and not _slowly(survey, options, began, command):
        return GAVE_UP
    if not command:
        return 0
    if options.dry_run:
        from portwait.wait import outcome

        return outcome.rehearsed(command)
    with continuing_without("hold the port", options):
        plan.settle()
        if options.verbose:
            from portwait.wait import outcome

            outcome.tell_holds(survey, options)
        if os.path.basename(command[0]) in _WRAPPERS:
            from portwait.wait import wrappers

            wrappers.warn(survey, options, command)
    return handoff.become(command)


def _occupy_standard_numbers() -> None:
    """Give no socket of ours the number of a standard stream that is closed: what is said would go there.

    The null device takes it until exec closes it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            try:
                os.open(os.devnull, os.O_RDWR)
            except OSError:  # no /dev here
                return


def _plan(options: Options, command: Sequence[str]) -> Plan:
    """Read what is wanted. Raises UsageError."""
    wanted = options.wanted(os.environ)
    if not wanted:
        raise UsageError(
            "cannot guard nothing: name a TARGET, as in `portwait 30010 -- COMMAND`, or set PORTWAIT_TARGETS"
        )
    mode: hold.Mode = options.hold or ("default" if command else "none")
    if mode == "full" and not options.reuseaddr:
        raise UsageError("cannot use --hold=full with --no-reuseaddr: such a service cannot bind beside a full hold")
    mode = "none" if options.dry_run else mode
    if sys.platform != "linux":
        mode = "none"
        _leave_out_what_only_linux_has(options)
    passes = options.listen or options.fdstore
    if "LISTEN_FDS" in os.environ:
        from portwait.systemd import listen_fds

        passes = passes or listen_fds.has_ours()
    if passes:
        from portwait.systemd import handover

        handover.check(options, wanted, command)
        if options.listen:
            from portwait.systemd import listen

            wanted = listen.apart(wanted)
    if options.reserve and not options.dry_run:
        _reserve(wanted, options)
    if passes:
        with continuing_without("use the sockets that were passed in or kept", options):
            sockets = handover.Handover(options, wanted)
            return Plan(sockets.survey(mode), sockets)
    passed_in: frozenset[Target] = frozenset()
    if "LISTEN_FDS" in os.environ:
        passed_in = frozenset(wanted)  # where they cannot be read: they may be what bind() would meet
        with continuing_without("use the sockets that were passed in", options):
            passed_in = listen_fds.passed_in(wanted)
    survey = Survey(
        wanted,
        reuseaddr=options.reuseaddr,
        mode=mode,
        passed_in=passed_in,
        surely_reuseaddr=options.surely_reuseaddr,
    )
    return Plan(survey, hides=passes)


def _leave_out_what_only_linux_has(options: Options) -> None:
    """Say which of the wishes of the user are not for this system; the wait is, and so is the start."""
    wishes = {
        "hold the port": options.hold not in (None, "none"),
        "evict": bool(options.evict),
        "terminate who is in the way": options.terminate is not None,
        "reserve the port": options.reserve,
        "keep the hold in systemd's descriptor store": options.fdstore,
    }
    for verb, wanted in wishes.items():
        if wanted:
            why = PortwaitError("only Linux has the means for it")
            say("warning", "failed", own_fault(verb, why), options)
    options.hold, options.evict, options.terminate = "none", None, None
    options.reserve = options.fdstore = False


def _reserve(wanted: Sequence[Target], options: Options) -> None:
    """Keep the ports out of the kernel's own choice, before the first look at them."""
    with continuing_without("reserve the port", options):
        from portwait.host.port_settings import port_settings
        from portwait.model import ports
        from portwait.reserved import runtime

        named = ports.merge((target.port, target.port) for target in wanted)
        runtime.reserve(named, patience=_RESERVE_PATIENCE)
        leftover = port_settings().leftover
        if options.verbose or not leftover.suffices():
            from portwait.log import Log
            from portwait.text.plural import typed

            log = Log(options.log_format, quiet=options.quiet, verbose=options.verbose)
            text = f"{ports.show(named)}: reserved; that leaves {leftover}"
            if leftover.suffices():
                log.debug("reserved", text, target=typed(wanted))
            else:
                log.warning("reserved", text, target=typed(wanted))


def _slowly(survey: Survey, options: Options, began: float, command: Sequence[str]) -> bool:
    """Wait, and say what happens; whether the service may start."""
    deadline = 0.0 if options.dry_run else began + options.timeout
    with continuing_without("wait as it should", options):  # a module that cannot be read, say
        from portwait.wait.signals import Stopped, Stopping, end_by

        try:
            with Stopping():
                return _wait(survey, options, began, deadline, command)
        except Stopped as stopped:
            end_by(stopped.number)
    return _wait_plainly(survey, options, began, deadline) or options.anyway  # bind alone can do it


def _wait(survey: Survey, options: Options, began: float, deadline: float, command: Sequence[str]) -> bool:
    with continuing_without("wait as it should", options):  # a bug, or a library that is missing
        from portwait.log import Log
        from portwait.wait import outcome
        from portwait.wait.signals import Stopped

        log = Log(options.log_format, quiet=options.quiet, verbose=options.verbose)
        narrator = None
        told: Collection[object] = ()
        asked = False
        free, waited = not survey.obstructed and not survey.undecided, 0.0
        try:
            if not free:
                from portwait.wait.loop import WaitLoop

                narrator = _narrator(survey, options, log, command)
                loop = WaitLoop(survey, log, began, deadline, narrator)
                free, waited = loop.wait(), loop.waited
        except Stopped as stopped:
            log.info("stopped", f"stopped by {stopped.name}; nothing was started", signal=stopped.name)
            raise
        finally:
            if narrator is not None:
                asked = not narrator.lost
                narrator.stop()
                told = narrator.told
        return outcome.conclude(survey, options, log, command, free=free, waited=waited, told=told, asked=asked)
    return _wait_plainly(survey, options, began, deadline) or options.anyway  # bind alone can do it


def _narrator(survey: Survey, options: Options, log: Log, command: Sequence[str]) -> Narrator | None:
    """Start the process that names, advises, evicts and signals."""
    with continuing_without("see who is in the way", options):
        from portwait.diagnosis import owners
        from portwait.text import stderr
        from portwait.wait import narrator

        acts = bool(options.evict or options.terminate)
        columns, pid, number = stderr.columns(), os.getpid(), owners.this_process()

        def clearing(events: Events) -> Removal:
            from portwait.eviction import clear

            return clear.asked_for(options, events, pid)

        def narrate(line: Channel) -> None:
            from portwait.wait import narration

            narration.narrate(line, survey, number, clearing if acts else None, columns)

        return narrator.start(narrate, log, acts=acts, ends=not command)
    return None


def _wait_plainly(survey: Survey, options: Options, began: float, deadline: float) -> bool:
    """Wait by bind alone, with a last word only: what is left when everything else has failed."""
    survey.forget_held()
    while True:
        try:  # noqa: SIM105  # contextlib may be what cannot be read
            survey.probe()
        except Exception:  # noqa: BLE001, S110  # it was said; the kernel's last word stands
            pass
        left = deadline - time.monotonic()
        if not survey.obstructed or left <= 0:
            break
        time.sleep(min(_PLAIN_POLL, left))
    if survey.obstructed:
        ports = ", ".join(map(str, survey.obstructed))
        typed = ", ".join(target.text for target in survey.obstructed)
        waited = round(time.monotonic() - began, 3)
        say("error", "gave-up", f"gave up: {ports} is still not free", options, target=typed, waited=waited)
    return not survey.obstructed

"""Which sockets the service is given, and which systemd keeps: the plan of `--listen` and `--fdstore` for one start.

Sorts what came in through LISTEN_FDS into what is the service's and what is ours, out of the descriptor store; gives
each of ours its task back; and before the exec hands on what the service shall see and stores what is new. Only used
where one of the two is asked for or was, but then also on a port that is free: imports as little as the free path.
"""

from __future__ import annotations

import _socket
import os

from portwait.bind import hold
from portwait.bind.survey import WIDEST, Survey
from portwait.errors import UsageError
from portwait.model.value import Value
from portwait.systemd import fdstore, listen_fds, notify
from portwait.systemd.listen import ListeningSurvey, is_listener
from portwait.systemd.listen_fds import Passed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.model.targets import Target
    from portwait.options.record import Options


class Kept(Value):
    """A socket that shall outlive the service; `new` is whether the store does not have it yet."""

    __slots__ = ("name", "new", "number", "target")

    target: Target
    name: str
    number: int
    new: bool

    def __init__(self, target: Target, form: str, number: int, *, new: bool) -> None:
        """Build it."""
        self._fill(name=fdstore.name_of(target, form), new=new, number=number, target=target)


class Handover:
    """The sockets of one start."""

    def __init__(self, options: Options, targets: Sequence[Target]) -> None:
        """Take out of LISTEN_FDS what is ours."""
        self._options = options
        self._targets = targets
        received = listen_fds.received()
        ours = [passed for passed in received if fdstore.is_ours(passed.name)]
        self._theirs = [passed for passed in received if passed not in ours]
        self._stored = frozenset(passed.name for passed in ours)
        self._unclaimed = [(passed, sock) for passed in ours if (sock := _take_over(passed)) is not None]
        self._listening: dict[Target, _socket.socket] = {}
        self._adopted: dict[Target, str] = {}

    def survey(self, mode: hold.Mode) -> Survey:
        """Plan the look at the targets that nothing was passed in for, with the sockets that came back."""
        options = self._options
        if options.listen:
            for target in self._targets:
                self._claim_listener(target)
        passed_in = {*listen_fds.passed_in(self._targets, self._theirs), *self._listening}
        make = ListeningSurvey if options.listen and not options.dry_run else Survey
        survey = make(
            self._targets,
            reuseaddr=options.reuseaddr,
            mode=mode,
            passed_in=passed_in,
            surely_reuseaddr=options.surely_reuseaddr,
        )
        for each in survey.holds:
            self._claim_hold(each)
        if not options.dry_run:
            self._let_go()
        return survey

    def settle(self, survey: Survey) -> None:
        """Make everything ready for the exec: the holds, the store, the descriptors and the environment.

        Raises OSError where a hold or a socket finds no number; the service then sees what was its own all the same.
        """
        handed = list(self._theirs)
        try:
            if isinstance(survey, ListeningSurvey):
                kept = self._listeners(survey)
                handed += [Passed(each.number, _name(each.target)) for each in kept]
            else:
                hold.make_all_inheritable(survey.holds)
                kept = self._holds(survey)
            self._store(kept)
        finally:
            if handed or listen_fds.received():  # otherwise LISTEN_PID is somebody else's
                try:
                    listen_fds.hand_on(handed)
                except OSError:
                    listen_fds.hide_ours()
                    raise

    def _let_go(self) -> None:
        """Close what came back and has no task any more, and wait until it is gone: the first look would meet it.

        Who shares the name of one that goes leaves the store with it, and is stored again before the exec.
        """
        kept = {*self._adopted.values(), *map(_stored_name, self._listening)}
        names = (self._stored - kept) | {passed.name for passed, _ in self._unclaimed}
        for _, sock in self._unclaimed:
            sock.close()
        fdstore.remove(sorted(names))
        self._stored -= names
        if names:
            notify.settled()

    def _claim_listener(self, target: Target) -> None:
        for entry in self._unclaimed:
            if entry[0].name == _stored_name(target) and is_listener(entry[1], target):
                self._unclaimed.remove(entry)
                self._listening[target] = entry[1]
                return

    def _claim_hold(self, own: hold.Hold) -> None:
        if own.target.protocol == "udp":
            return  # no UDP probe gets past a hold: it is let go, and taken and stored again after the look
        for entry in self._unclaimed:
            name, sock = entry[0].name, entry[1]
            form = name.rpartition("-")[2]
            if name == fdstore.name_of(own.target, form) and own.adopt(sock, form):
                self._unclaimed.remove(entry)
                self._adopted[own.target] = name
                return

    def _listeners(self, survey: ListeningSurvey) -> list[Kept]:
        """Let go of the holds, which no listener needs, and of the sockets' objects; in the targets' order."""
        for each in survey.holds:
            each.drop()
        opened = self._listening | dict(survey.listeners)
        return [
            self._kept(
                *(target, fdstore.LISTENER, opened[target].detach()),
                stored_as=_stored_name(target) if target in self._listening else None,
            )
            for target in self._targets
            if target in opened
        ]

    def _holds(self, survey: Survey) -> list[Kept]:
        return [
            self._kept(each.target, form, number, stored_as=self._adopted.get(each.target))
            for each in survey.holds
            if (form := each.form) is not None
            for number in each.descriptors
        ]

    def _kept(self, target: Target, form: str, number: int, *, stored_as: str | None) -> Kept:
        is_stored = stored_as in self._stored and stored_as == fdstore.name_of(target, form)
        return Kept(target, form, number, new=not is_stored)

    def _store(self, kept: Sequence[Kept]) -> None:
        """Put in what is new, take out what is no longer wanted."""
        wanted = kept if self._options.fdstore else ()
        fdstore.remove(sorted(self._stored - {each.name for each in wanted}))
        new = [each for each in wanted if each.new]
        if not new:
            return
        room = fdstore.room(len(new)) if notify.enabled() else 0
        if room is not None and room < len(new):
            self._warn(new, len(wanted))
        failed = [each for each in new if not fdstore.put(each.name, each.number)]
        if failed and notify.enabled():
            self._warn(failed, len(wanted), "systemd could not be told")

    def _warn(self, new: Sequence[Kept], size: int, why: str = "") -> None:
        """Say that the store takes less than it was given: `why`, or else what to add to the unit."""
        from portwait.log import Log
        from portwait.text.plural import names, typed

        ports = names(each.target for each in new)
        lines = () if why else ("[Service]", f"FileDescriptorStoreMax={size}", "NotifyAccess=exec")
        why = why or ("it has no room for it" if notify.enabled() else "there is none (NOTIFY_SOCKET is not set)")
        needs = "".join(f"\n  {line}" for line in lines)
        Log(self._options.log_format, quiet=self._options.quiet, verbose=self._options.verbose).warning(
            "fdstore",
            f"failed to keep {ports} in systemd's descriptor store: {why}; continuing without it"
            + (f". The unit needs:{needs}" if lines else ""),
            target=typed(each.target for each in new),
            reason=why,
            lines=lines,
        )


def check(options: Options, targets: Sequence[Target], command: Sequence[str]) -> None:
    """Raise UsageError where the options make no sense."""
    if options.listen and not command:
        raise UsageError("cannot use --listen without a COMMAND: there is nobody to pass the socket to")
    if options.fdstore and not command:
        raise UsageError(
            "cannot use --fdstore without a COMMAND, because nobody could hide the stored socket from the service: "
            "in a unit, put portwait in front of the command in ExecStart="
        )
    if options.fdstore and options.hold == "none" and not options.listen:
        raise UsageError("cannot use --fdstore with --no-hold: the hold is what the store keeps")
    if options.listen and len(targets) > WIDEST:
        raise UsageError(f"cannot use --listen for more than {WIDEST} ports")


def _take_over(passed: Passed) -> _socket.socket | None:
    """Make it ours alone; None for what is no socket, whoever gave it our name, or cannot be had."""
    try:
        os.set_inheritable(passed.number, False)
        return _socket.socket(fileno=passed.number)
    except OSError:
        os.closerange(passed.number, passed.number + 1)  # whether it is there or not
        return None


def _stored_name(target: Target) -> str:
    return fdstore.name_of(target, fdstore.LISTENER)


def _name(target: Target) -> str:
    """Call a socket what the user calls it, `http` or `30010`; a colon would separate names."""
    return target.text.rpartition(":")[2]

"""The narrator as the guard sees it: a process that finds out who is in the way, and can be abandoned in any state.

Whoever looks at other people's processes and files can be made to wait for good: by a mount that does not answer, a
user database that is down, a process with a million descriptors. So the guard forks a process for that, talks to it
without ever waiting for it, and ends it before the service starts. What it does there is in `narration`.

The service must not inherit it. So the guard forks twice: the process in the middle ends at once, and the narrator is
adopted by init (or by the nearest subreaper). As PID 1 of a container the guard adopts it itself and collects it; only
a narrator that even SIGKILL cannot end (state D) stays, and is a zombie of PID 1's from its end on. The kernel leaves
no other place for it in that PID namespace.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from portwait.errors import PortwaitError, own_fault
from portwait.model.verdict import Verdict
from portwait.wait import channel, polling
from portwait.wait.leaving import FORCED, Leaving, collect

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from portwait.bind.survey import Survey
    from portwait.log import Log
    from portwait.wait.channel import Channel

    Narrate = Callable[[Channel], None]

FREE, HELD = 1, 2
"""The socket tables' word on one target, in a message; 0 is none."""

_POLITE = 0.05  # seconds to begin nothing new
_TOLD = 1.0  # seconds to tell what it has begun, on a host that is too busy to let it run


class Narrator:
    """The guard's end of the line to the narrator; nothing here blocks."""

    def __init__(
        self, line: Channel, pid: int, log: Log, *, acts: bool, was_pending: bool, leaving: Leaving | None = None
    ) -> None:
        """Use `start` instead."""
        self.lost = False
        """Whether it has ended before it was told to: nobody names and evicts any more."""
        self.busy = False
        self.has_read = False
        """Whether it has read the socket tables, and told what they say."""
        self.told: set[object] = set()
        """The targets, as `reports.document` writes them, of which it has said what is in the way."""
        self.reports = 0
        """How many requests it has dealt with."""
        self.words = 0
        """How many times it has told what the socket tables say, or that they need not be read."""
        self.expected = math.inf
        """When the kernel ends a socket that is in the way, a monotonic time."""
        self.unsettled = False
        """Whether looking again soon may change something, although nothing in the kernel will say so."""
        self.status = ""
        """What is in the way, in one line."""
        self._line = line
        self._pid = pid
        self._log = log
        self._acts = acts
        self._acting = False
        """Whether it is about to destroy or signal, and has not told yet what came of it."""
        self._was_pending = was_pending
        self._leaving = leaving

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._line.fileno()

    def ask(self, survey: Survey) -> None:
        """Ask it to find out what is in the way, unless it is busy or lost."""
        if not self.lost and not self.busy:
            self.busy = True
            self._send_state(survey)

    def attend(self, survey: Survey) -> None:
        """Handle all messages that it has sent: write its lines, probe for it, remember what it found out."""
        for kind, *rest in self._line.received():
            if kind in ("log", "acting"):
                self._hear(kind, *rest)
            elif kind == "probe":
                self.has_read = True
                self.words += 1
                _learn(survey, *rest)
                survey.probe()
                self._send_state(survey)
            elif kind == "ask":
                said = survey.ask([survey.targets[number] for number in rest[0]])
                self._reply(tuple((verdict.state, verdict.errno, verdict.by) for verdict in said.values()))
            elif kind == "done":
                expected, self.unsettled, self.status = rest
                self.expected = math.inf if expected is None else expected
                self.reports += 1
                self.words += 1
                self.busy = False
            else:
                self._lose(str(rest[0]))
        if self._line.ended:
            self._lose(own_fault("see who is in the way", PortwaitError("its own process for that has ended")))
        if self.lost:
            survey.forget_held()

    def starved(self) -> float:
        """Seconds in which it was ready to run, and no processor was free."""
        from portwait.wait import starvation  # whom a busy host alone needs

        return starvation.seconds(self._pid)

    def stop(self) -> None:
        """End it, after it has told what it has begun to do. Takes milliseconds; 70 at most where it does nothing."""
        self._hear_all()  # it may have ended long ago, and its PID be another process's
        may_act = self._acts and self.busy
        if may_act:
            self._line.finish()
        if not (may_act and self._ends_within(_POLITE)) and not self._tells_within(_TOLD):
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGKILL)  # its end of the line is open, so the PID is still its own
            if may_act:
                self._ends_within(FORCED)
        self._hear_all()
        self.lost = True
        self._line.close()
        if self._leaving is not None:
            self._leaving.wait()
        collect(self._pid)
        _forget_child(was_pending=self._was_pending)

    def _ends_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self._line.ended and (left := until - time.monotonic()) > 0:
            polling.readable([self], left)
            self._hear_all()
        return self._line.ended

    def _tells_within(self, seconds: float) -> bool:
        """Wait as long as something that it has done is untold; whether it has ended by then."""
        until = time.monotonic() + seconds
        while self._acting and not self._line.ended and (left := until - time.monotonic()) > 0:
            polling.readable([self], left)
            self._hear_all()
        return self._line.ended

    def _hear_all(self) -> None:
        for kind, *rest in self._line.received():
            self._hear(kind, *rest)

    def _hear(self, kind: str, *rest: Any) -> None:  # whatever marshal can write
        if kind == "log":
            fields = rest[-1]
            if fields.get("verdict") in ("held", "unavailable"):
                self.told.add(fields["target"])
            self._log.say(*rest)
        elif kind == "acting":
            (self._acting,) = rest

    def _send_state(self, survey: Survey) -> None:
        """Tell it bind's word, and which sockets are the guard's own."""
        words = tuple(
            (number, verdict.state, verdict.errno, verdict.by)
            for number, target in enumerate(survey.targets)
            if (verdict := survey.verdicts[target]).by == "bind" or not survey.wide
        )
        self._reply(words, tuple(survey.own_inodes()))

    def _reply(self, *message: Any) -> None:  # whatever marshal can write
        if not self._line.offer(*message):
            self._line.finish()

    def _lose(self, why: str) -> None:
        if not self.lost:
            self.lost, self.busy = True, False
            self._log.warning("failed", why)


def start(narrate: Narrate, log: Log, *, acts: bool, ends: bool = False) -> Narrator:
    """Fork a process that does `narrate`; `acts` is whether it evicts or signals. Raises OSError where none starts.

    `ends`: whether this process ends afterwards and does not become a service, so that it may take the time to wait
    until the other one has really left: systemd warns of what is still in the cgroup of a unit that it starts.
    """
    was_pending = signal.SIGCHLD in signal.sigpending()
    ours, its = channel.pair()
    try:
        middle = os.fork()
        if middle == 0:
            _fork_again(narrate, its)
        its.close()
        _, status = os.waitpid(middle, 0)  # it only forks and ends
    except ChildProcessError:  # SIGCHLD is ignored, so the kernel has collected it
        status = 0
    _forget_child(was_pending=was_pending)
    for (pid,) in ours.received():
        leaving = Leaving(pid) if ends and sys.platform == "linux" else None
        return Narrator(ours, pid, log, acts=acts, was_pending=was_pending, leaving=leaving)
    ours.close()
    raise _why_none(status)


def _why_none(status: int) -> OSError:
    """Say why the process in the middle has started none, by how it ended."""
    if os.WIFSIGNALED(status):  # by SIGSYS, where SystemCallFilter= forbids what it does
        return OSError(errno.ECHILD, f"its own process was ended by {signal.Signals(os.WTERMSIG(status)).name}")
    number = os.WEXITSTATUS(status)
    return OSError(number, os.strerror(number)) if number else OSError(errno.ECHILD, "its own process has ended")


def _fork_again(narrate: Narrate, line: Channel) -> NoReturn:
    """In the process in the middle: start the narrator, say its PID, end."""
    status = 0
    try:
        for number in signal.valid_signals():
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_IGN)  # the guard decides when this ends, and it may be asked first
        reader, writer = os.pipe()
        pid = os.fork()
        if pid:
            line.send(pid)
        else:
            os.close(writer)
            os.read(reader, 1)  # until the other one has ended: its PID is the first message
            _be_narrator(narrate, line)
    except OSError as error:  # there is no room for another process
        status = error.errno or 255
    finally:
        os._exit(status)


def _be_narrator(narrate: Narrate, line: Channel) -> None:
    _drop_all_but(line.fileno())
    try:
        narrate(line)
    except Exception as fault:  # noqa: BLE001  # the guard goes on by bind alone
        with contextlib.suppress(OSError):  # the guard has gone
            line.send("fault", own_fault("see who is in the way", fault))


def _drop_all_but(kept: int) -> None:
    """Close what the guard has open: its holds must not live on in here, nor somebody's pipe stay open for it."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except OSError:  # no /dev here; a pipe that nobody writes to ends as early
        null, other = os.pipe()
        os.close(other)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        numbers = [*range(3, 1024)]
    for number in numbers:
        if number > 2 and number != kept:
            with contextlib.suppress(OSError):
                os.close(number)


def _learn(survey: Survey, codes: bytes, served: tuple[int, ...] | None, contested: tuple[int, ...]) -> None:
    """Give the survey the socket tables' word."""
    by_tables = {
        target: Verdict("free", 0, "tables")
        if code == FREE
        else Verdict("held", survey.verdicts[target].errno, "tables")
        for target, code in zip(survey.targets, codes)
        if code
    }
    survey.learn(by_tables, None if served is None else frozenset(served), contested)


def _forget_child(*, was_pending: bool) -> None:
    """Take back the SIGCHLD of a child of ours where the signal is blocked, and would be pending in the service."""
    if not was_pending and signal.SIGCHLD in signal.sigpending():
        signal.sigwait([signal.SIGCHLD])

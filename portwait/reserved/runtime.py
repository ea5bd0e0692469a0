"""The kernel's list of reserved ports: change it so that nobody's ports are lost, and read back what was changed.

The list belongs to the network namespace. Adding is safe at any time, because the kernel joins what is added with the
list; releasing replaces the list, so one portwait at a time does it. `boot_file` has what happens at boot.
"""

from __future__ import annotations

import contextlib
import errno
import sys
import time

from portwait.errors import PortwaitError, UsageError
from portwait.model import ports
from portwait.model.record import Record
from portwait.reserved import lock, notes
from portwait.text.plural import abbreviate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portwait.model.sockets import Range

    Ports = tuple[Range, ...]

KEY = "net.ipv4.ip_local_reserved_ports"
PATIENCE = 30.0
"""Seconds to wait for another portwait's turn; each takes a few milliseconds."""

_LOCK = "reserved-ports"
_ATTEMPTS = 3  # somebody who takes no lock (sysctl -w) may write in between


class ReservationError(PortwaitError):
    """The kernel's list cannot be read or changed."""


class Change(Record):
    """What a verb did to the list: the ports that were named, the list before and after."""

    named: Ports
    before: Ports
    after: Ports
    unrecorded: str | None = None
    """Why portwait could not note down that this was its doing, in words."""

    @property
    def changed(self) -> Ports:
        """Which of the named ports went onto the list, or came off it."""
        joined = ports.merge([*ports.subtract(self.before, self.after), *ports.subtract(self.after, self.before)])
        return ports.intersect(self.named, joined)


def reserved() -> Ports:
    """Read the list. Raises ReservationError."""
    if sys.platform != "linux":
        raise ReservationError("cannot read the reserved ports: only Linux has them")
    from portwait._linux import sysctl

    text = sysctl.read(sysctl.RESERVED)
    if text is None:
        raise ReservationError(f"cannot read the reserved ports: /proc/sys/{sysctl.RESERVED} cannot be read")
    try:
        return ports.from_kernel(text)
    except UsageError as error:
        raise ReservationError(f"cannot read the reserved ports: {error}") from error


def reserve(wanted: Ports, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda _: None) -> Change:
    """Put ports onto the list; what is on it stays. `say` hears of a long wait. Raises ReservationError.

    The ports are on the list before any lock is waited for. The lock is for what follows: to note down what was added,
    and to add it again where somebody's release had read the list before and wrote it after.
    """
    before = reserved()
    _add(wanted, before)
    try:
        with _locked(patience, say):
            _repair(say)
            for _ in range(_ATTEMPTS):
                after = reserved()
                if not ports.subtract(wanted, after):
                    change = Change(wanted, before, after)
                    return change._replace(unrecorded=notes.record(change.changed, reserved_now=True))
                _add(wanted, after)
    except TimeoutError as error:
        return Change(wanted, before, reserved(), error.strerror)
    raise _rewritten("reserve", wanted)


def _add(wanted: Ports, now: Ports) -> None:
    """Add to the list what it lacks. Raises ReservationError."""
    from portwait._linux import sysctl

    missing = ports.subtract(wanted, now)
    if not missing:
        return
    try:
        sysctl.add_to_list(sysctl.RESERVED, ports.show(missing))
    except OSError as error:
        raise _refused("reserve", wanted, ports.merge([*now, *wanted]), error) from error


def release(named: Ports, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda _: None) -> Change:
    """Take ports off the list, whoever put them there, and no others. Raises ReservationError."""
    try:
        with _locked(patience, say):
            _repair(say)
            before = now = reserved()
            goal = ports.subtract(before, named)
            for _ in range(_ATTEMPTS):
                if now == goal:
                    change = Change(named, before, now)
                    return change._replace(unrecorded=notes.record(change.changed, reserved_now=False))
                _replace(named, goal)
                now = reserved()
                goal = ports.subtract(ports.merge([*goal, *now]), named)  # what others have added meanwhile stays
    except TimeoutError as error:
        raise ReservationError(f"cannot release {ports.show(named)}: {error.strerror}") from error
    raise _rewritten("release", named)


def _replace(named: Ports, goal: Ports) -> None:
    """Write the whole list; one that takes several writes is noted down first, in case that it is cut short."""
    from portwait._linux import sysctl

    items = ports.show(goal)
    several = sysctl.takes_several_writes(items)
    if several:
        notes.begin_release(goal)
    try:
        sysctl.replace_list(sysctl.RESERVED, items)
    except OSError as error:
        lost = ports.subtract(goal, reserved())
        if several and not lost:
            notes.end_release()
        refusal = _refused("release", named, goal, error)
        if lost:
            refusal = ReservationError(
                f"{refusal}; {abbreviate(lost)} came off the list too, and the next portwait reserve or release puts "
                f"them back: portwait reserve {ports.show(lost)}"
            )
        raise refusal from error
    if several:
        notes.end_release()


def _repair(say: Callable[[str], None]) -> None:
    """Add again what a release that was cut short took off the list, by its note."""
    rest = notes.unfinished_release()
    if not rest:
        return
    from portwait._linux import sysctl

    lost = ports.subtract(rest, reserved())
    try:
        if lost:
            sysctl.add_to_list(sysctl.RESERVED, ports.show(lost))
            say(f"a release was cut short and took {abbreviate(lost)} off the list too: reserved again")
    except OSError:
        return  # the note stays for the next run
    notes.end_release()


def _rewritten(verb: str, named: Ports) -> ReservationError:
    return ReservationError(
        f"cannot {verb} {ports.show(named)}: the kernel's list is not what was written; "
        "another program writes it at the same time"
    )


@contextlib.contextmanager
def _locked(patience: float, say: Callable[[str], None]) -> Iterator[None]:
    """Let one portwait of root's at a time change the list: by a file, and across containers by an abstract socket."""
    from portwait._linux import netns_lock

    with contextlib.ExitStack() as stack:
        began = time.monotonic()
        stack.enter_context(lock.held(_LOCK, patience, say))
        try:
            stack.enter_context(netns_lock.locked(_LOCK, patience, say, began=began))
        except TimeoutError:
            raise
        except OSError:
            pass  # there are no such sockets here; the file is what is left
        yield


def _refused(verb: str, named: Ports, goal: Ports, error: OSError) -> ReservationError:
    """Say what the kernel's refusal means, and the cure."""
    what = f"cannot {verb} {ports.show(named)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return ReservationError(f"{what}: permission denied; it requires root in this network namespace")
    if error.errno != errno.EROFS:
        return ReservationError(f"{what}: {error.strerror}")
    from portwait.advice import container_sysctl  # advice loads much, and a guard with --reserve starts a service

    lines = container_sysctl.lines(KEY, ports.show(goal))
    return ReservationError(
        "\n".join(
            (
                f"{what}: /proc/sys is read-only here, as in a container or below ProtectKernelTunables=",
                "A unit can use ExecStartPre=+; a container is given the setting by whoever starts it:",
                *(f"  {line}" for line in lines),
            )
        )
    )

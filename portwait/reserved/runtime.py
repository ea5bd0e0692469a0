"""The kernel's list of reserved ports, changed as a merge that two portwaits can do at once, and read back each time.

Belongs to the network namespace, and so do the lock and the note of what portwait has added. The kernel knows no
authors: what is on the list and not in the note may be anybody's. What happens at boot is `boot`'s business.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from portwait.advice import container_sysctl
from portwait.errors import PortwaitError, UsageError
from portwait.model import ports
from portwait.reserved import atomic_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portwait.model.sockets import Range

    Ports = tuple[Range, ...]

KEY = "net.ipv4.ip_local_reserved_ports"
PATIENCE = 30.0
"""Seconds to wait for another portwait's turn; each takes a few milliseconds."""

_LOCK = "reserved-ports"
_NOTES = "/run/portwait"
_ATTEMPTS = 3  # somebody who takes no lock (sysctl -w) may write in between


class ReservationError(PortwaitError):
    """The kernel's list cannot be read or changed."""


class Change(NamedTuple):
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


class _Verb(NamedTuple):
    name: str
    goal: Callable[[Ports, Ports], Ports]
    """What the list should be, from what it is and the ports that were named."""
    write: Callable[[Ports, Ports], None]
    """Make the kernel's list, which is the first, the second. Raises OSError."""


def _add(now: Ports, goal: Ports) -> None:
    from portwait._linux import sysctl

    sysctl.add_to_list(sysctl.RESERVED, ports.show(ports.subtract(goal, now)))


def _replace(_now: Ports, goal: Ports) -> None:
    from portwait._linux import sysctl

    sysctl.replace_list(sysctl.RESERVED, ports.show(goal))


_RESERVE = _Verb("reserve", lambda now, named: ports.merge([*now, *named]), _add)
_RELEASE = _Verb("release", ports.subtract, _replace)


def reserve(wanted: Ports, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda _: None) -> Change:
    """Put ports onto the list; what is on it stays. `say` hears of a long wait. Raises ReservationError."""
    return _change(_RESERVE, wanted, patience, say)


def release(named: Ports, *, patience: float = PATIENCE, say: Callable[[str], None] = lambda _: None) -> Change:
    """Take ports off the list, whoever put them there, and no others. Raises ReservationError."""
    return _change(_RELEASE, named, patience, say)


def _change(verb: _Verb, named: Ports, patience: float, say: Callable[[str], None]) -> Change:
    """Read, merge, write, read again and compare, under the lock."""
    with _locked(verb.name, named, patience, say):
        before = now = reserved()
        goal = verb.goal(before, named)
        for _ in range(_ATTEMPTS):
            if now == goal:
                break
            try:
                verb.write(now, goal)
            except OSError as error:
                raise _refused(verb.name, named, goal, error) from error
            now = reserved()
            goal = verb.goal(ports.merge([*goal, *now]), named)  # what others have added meanwhile stays
        if now != goal:
            raise ReservationError(
                f"cannot {verb.name} {ports.show(named)}: the kernel's list is not what was written; "
                "another program writes it at the same time"
            )
        change = Change(named, before, now)
        return change._replace(unrecorded=_note(change.changed, reserved_now=verb is _RESERVE))


@contextlib.contextmanager
def _locked(verb: str, named: Ports, patience: float, say: Callable[[str], None]) -> Iterator[None]:
    if sys.platform != "linux":
        raise ReservationError(f"cannot {verb} {ports.show(named)}: only Linux has reserved ports")
    from portwait._linux import netns

    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(netns.locked(_LOCK, patience, say))
        except OSError as error:
            raise ReservationError(f"cannot {verb} {ports.show(named)}: {error.strerror or error}") from error
        yield


def _refused(verb: str, named: Ports, goal: Ports, error: OSError) -> ReservationError:
    """Say what the kernel's refusal means, and the cure."""
    what = f"cannot {verb} {ports.show(named)}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return ReservationError(f"{what}: permission denied; it requires root in this network namespace")
    if error.errno != errno.EROFS:
        return ReservationError(f"{what}: {error.strerror}")
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


def added() -> Ports | None:
    """Which ports portwait has added in this network namespace since the boot, by its own note; None: not known."""
    if sys.platform != "linux" or (path := _note_path()) is None:
        return None
    try:
        with open(path, encoding="ascii") as file:
            boot, _, listed = file.read().partition("\n")
        return ports.from_kernel(listed.strip()) if boot == _boot() else ()
    except FileNotFoundError:
        return ()
    except (OSError, UsageError, ValueError):
        return None


def is_host() -> bool | None:
    """Whether this is the network namespace that the machine starts with; None: not known."""
    if sys.platform != "linux":
        return None
    from portwait._linux import netns

    return netns.is_initial()


def _note(changed: Ports, *, reserved_now: bool) -> str | None:
    """Note down what changed; why not, where that fails: the list itself is what matters."""
    if not changed:
        return None
    path = _note_path()
    if path is None:
        return "this kernel has no names for network namespaces (Linux 5.14 has)"
    known = added() or ()
    listed = ports.merge([*known, *changed]) if reserved_now else ports.subtract(known, changed)
    try:
        os.makedirs(_NOTES, 0o755, exist_ok=True)
        if listed:
            atomic_file.write(path, f"{_boot()}\n{ports.show(listed)}\n")
        else:
            atomic_file.remove(path)
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return None


def _note_path() -> str | None:
    from portwait._linux import netns

    cookie = netns.cookie()
    return None if cookie is None else f"{_NOTES}/reserved-{cookie}"


def _boot() -> str:
    """Name this boot: a container's /run may outlive it, the kernel's numbers for namespaces start again."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()

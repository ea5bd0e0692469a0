"""What portwait notes down beside the kernel's list: the ports that it has added, and a release that is under way.

The kernel's list has no authors, so what is on it and not in the note may be anybody's. A note belongs to one network
namespace and one boot.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys

from portwait.errors import UsageError
from portwait.model import ports
from portwait.reserved import atomic_file, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.sockets import Range

    Ports = tuple[Range, ...]

_ADDED, _RELEASING = "reserved", "releasing"
_MOST = 1000
"""Notes that are kept. A unit with PrivateNetwork= has a new network namespace, and so a new note, at each start."""


def added() -> Ports | None:
    """Read which ports portwait has added in this network namespace since the boot; None: not known."""
    return _read(_ADDED)


def record(changed: Ports, *, reserved_now: bool) -> str | None:
    """Note down what was added or released; the reason where that fails, because the list itself is what matters."""
    if not changed:
        return None
    if _path(_ADDED) is None:
        return "this kernel has no names for network namespaces (Linux 5.14 has)"
    known = added() or ()
    listed = ports.merge([*known, *changed]) if reserved_now else ports.subtract(known, changed)
    return _write(_ADDED, listed)


def begin_release(rest: Ports) -> None:
    """Note down what a release of several writes leaves on the list, so that the next run can repair a broken one."""
    _write(_RELEASING, rest)


def end_release() -> None:
    """Remove that note: the release is complete."""
    _write(_RELEASING, ())


def unfinished_release() -> Ports:
    """Read what a release that was cut short meant to leave on the list; nothing where none was."""
    return _read(_RELEASING) or ()


def _read(kind: str) -> Ports | None:
    path = _path(kind)
    if path is None:
        return None
    try:
        with open(path, encoding="ascii") as file:
            boot, _, listed = file.read().partition("\n")
        return ports.from_kernel(listed.strip()) if boot == _boot() else ()
    except FileNotFoundError:
        return ()
    except (OSError, UsageError, ValueError):
        return None


def _write(kind: str, listed: Ports) -> str | None:
    path = _path(kind)
    if path is None:
        return None
    try:
        if listed:
            os.makedirs(lock.FOLDER, 0o755, exist_ok=True)
            atomic_file.write(path, f"{_boot()}\n{ports.show(listed)}\n")
            _remove_the_oldest()
        else:
            with contextlib.suppress(FileNotFoundError):
                atomic_file.remove(path)
    except OSError as error:
        return f"cannot write {path}: {error.strerror}"
    return None


def _remove_the_oldest() -> None:
    """Remove notes of network namespaces that are gone, most likely: nothing tells which those are.

    Not the one with the lowest number: the system's own namespace is the first that there is.
    """
    with contextlib.suppress(OSError), os.scandir(lock.FOLDER) as entries:
        notes = {int(note[1]): entry for entry in entries if (note := re.fullmatch(f"{_ADDED}-([0-9]+)", entry.name))}
        surplus = len(notes) - _MOST
        later = [notes[number] for number in sorted(notes)[1:]] if surplus > 0 else []
        ages = sorted((entry.stat(follow_symlinks=False).st_mtime, entry.path) for entry in later)
        for _, path in ages[: max(0, surplus)]:
            os.unlink(path)


def _path(kind: str) -> str | None:
    if sys.platform != "linux":
        return None
    from portwait._linux import netns

    cookie = netns.cookie()
    return None if cookie is None else f"{lock.FOLDER}/{kind}-{cookie}"


def _boot() -> str:
    """Name this boot: a container's /run may outlive it, and the kernel's numbers for namespaces start again."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()

"""Reserve and release, now and at boot, in the order in which the least is half done; and what is worth a note.

The file comes first: it is written whole or refused with nothing changed, while the kernel's list may be read-only.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

from portwait.diagnosis import tables
from portwait.errors import TablesError
from portwait.host.machine import call, machine
from portwait.host.port_settings import port_settings
from portwait.model import ports
from portwait.reserved import boot_file, notes, runtime, sysctld
from portwait.reserved.report import Done, Standing, unreadable_notes
from portwait.text import stderr
from portwait.text.escape import escape
from portwait.text.plural import abbreviate, plural

if TYPE_CHECKING:
    from portwait.model.sockets import Range
    from portwait.reserved.boot_file import Persisted
    from portwait.reserved.runtime import Change

Verb = Literal["reserve", "release"]


def change(verb: Verb, named: tuple[Range, ...], *, persist: bool) -> Done:
    """Put ports onto the list, or take them off. Raises PortwaitError; its words say what is done all the same."""
    if sys.platform != "linux":
        raise runtime.ReservationError(f"cannot {verb} {ports.show(named)}: only Linux has reserved ports")
    persisted = None
    if persist:
        persisted = (boot_file.reserve if verb == "reserve" else boot_file.release)(named, say=_say)
    try:
        changed = (runtime.reserve if verb == "reserve" else runtime.release)(named, say=_say)
    except runtime.ReservationError as error:
        if persisted is None or not persisted.changed:
            raise
        raise runtime.ReservationError(f"{boot_file.PLACE} is changed, for the next boot; now: {error}") from error
    return Done(verb, changed, persisted, _notes(verb, changed, persisted))


def standing() -> Standing:
    """Read what is reserved now and at boot. Raises PortwaitError."""
    files = sysctld.read()
    reserved = runtime.reserved()
    return Standing(
        port_settings(),
        reserved,
        notes.added(),
        boot_file.ours(files),
        boot_file.drift(files),
        machine(),
        ports.subtract(notes.unfinished_release(), reserved),
        tuple(file for file in files if file.problem is not None),
    )


def _say(text: str) -> None:
    stderr.write(f"portwait: {text}\n")


def _notes(verb: Verb, changed: Change, persisted: Persisted | None) -> tuple[str, ...]:
    notes = []
    if changed.unrecorded:
        notes.append(f"portwait will not know later that this was its doing: {changed.unrecorded}")
    if verb == "reserve":
        notes += _on_what_is_left(changed)
        notes += _on_use(changed.changed)
    elif persisted is not None:
        notes += _on_others(changed.named)
    if persisted is not None:
        notes += [
            f"{escape(str(line))} has a value that cannot be read, so nothing of it was taken over"
            for line in persisted.plan.broken
        ]
        notes += unreadable_notes(persisted.plan.unreadable)
        if persisted.plan.text is not None:
            notes += _on_boot()
    return tuple(notes)


def _on_others(released: tuple[Range, ...]) -> list[str]:
    """Say what reserves such a port again at the next boot: the file that wins then, or a unit of contrib/systemd."""
    by_file = ports.intersect(released, boot_file.by_file(sysctld.read(), systemd=machine().systemd))
    by_units = ports.intersect(released, boot_file.by_units())
    notes = [f"other files of sysctl.d reserve {abbreviate(by_file)} again at boot"] if by_file else []
    if by_units:
        notes.append(f"portwait-reserve@.service, which is enabled, reserves {abbreviate(by_units)} again at boot")
    return notes


def _on_what_is_left(changed: Change) -> list[str]:
    """Say how much of the range all reserved ports leave together, where that is noticed."""
    settings = port_settings()
    span = settings.ephemeral_range
    if span is None or not ports.count(changed.named, span):
        return []
    leftover = settings.leftover
    at_none = "" if leftover.left else ": no connect() works until some are released"
    return [f"leaves {leftover}{at_none}"] if leftover.is_noticeable else []


def _on_use(reserved: tuple[Range, ...]) -> list[str]:
    """What has such a port already keeps it."""
    if not reserved:
        return []
    try:
        opened, _ = tables.open_tables()
        with opened:
            used = {sock.local_port for sock in opened.sockets("tcp", reserved) if sock.remote_port}
            served = {sock.local_port for sock in opened.listeners(reserved)}
    except TablesError:
        return []
    taken = ports.merge((port, port) for port in used - served)
    if not taken:
        return []
    kept = plural(taken, "is in use by a connection, which keeps it", "are in use by connections, which keep them")
    return [f"{abbreviate(taken)} {kept}: {call('explain', *ports.show(taken).split(','))}"]


def _on_boot() -> list[str]:
    here = machine()
    if not here.sysctl_d:
        return ["files of sysctl.d are not read at boot for this network namespace, only for the system's own"]
    if not here.systemd:
        return []
    better = "the unit portwait-reserve@.service of contrib/systemd merges anew at every boot"
    return [f"the file goes stale when others change theirs (portwait audit tells); {better}"]

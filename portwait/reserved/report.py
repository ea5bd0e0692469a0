"""What `reserve` and `release` have done, and what is reserved, in words and as a dictionary: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait.advice import shell_commands
from portwait.model import ports
from portwait.reserved import boot_file
from portwait.text.escape import escape
from portwait.text.plural import abbreviate, amount, counted, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.host.machine import Machine
    from portwait.model.port_settings import PortSettings
    from portwait.model.sockets import Range
    from portwait.reserved.boot_file import Drift, Ours, Persisted
    from portwait.reserved.runtime import Change
    from portwait.reserved.sysctld import File

SCHEMA = 1


class Standing(NamedTuple):
    """What is reserved now and at boot; `added` is portwait's own doing since the boot, None where it is not known."""

    settings: PortSettings
    reserved: tuple[Range, ...]
    added: tuple[Range, ...] | None
    ours: Ours | None
    drift: Drift | None
    machine: Machine
    cut_short: tuple[Range, ...] = ()
    """Ports that a release which was cut short took off the list by mistake."""
    unreadable: tuple[File, ...] = ()


class Done(NamedTuple):
    """What a verb has done, `reserve` or `release`; `persisted` is None where nobody asked for it."""

    verb: str
    change: Change
    persisted: Persisted | None
    notes: tuple[str, ...]


def done_text(done: Done) -> str:
    """Say it in a few lines."""
    change = done.change
    did, did_not = ("reserved", "reserved already") if done.verb == "reserve" else ("released", "not reserved")
    lines = [f"{abbreviate(change.changed)} {plural(change.changed, 'is', 'are')} {did}"] if change.changed else []
    if unchanged := ports.subtract(change.named, change.changed):
        lines.append(f"{abbreviate(unchanged)} {plural(unchanged, 'was', 'were')} {did_not}")
    if done.persisted is not None:
        lines.append(_persisted(done.verb, change.named, done.persisted))
    lines += [f"note: {note}" for note in done.notes]
    return "\n".join(lines) + "\n"


def _persisted(verb: str, named: tuple[Range, ...], persisted: Persisted) -> str:
    if persisted.plan.text is None:
        return f"at boot: {boot_file.PLACE} " + ("is removed" if persisted.changed else "was not there")
    theirs = persisted.plan.theirs
    holds = abbreviate(persisted.plan.asked) + (
        f", and repeats {abbreviate(theirs)} from other files" if theirs else ""
    )
    if persisted.changed:
        return f"at boot: {boot_file.PLACE} is written: it reserves {holds}"
    if verb == "reserve":
        return f"at boot: {boot_file.PLACE} is as it was: it reserves {holds}"
    were = f"{abbreviate(named)} {plural(named, 'was', 'were')} not among portwait's own"
    return f"at boot: {boot_file.PLACE} is as it was, because {were}: it reserves {holds}"


def done_dict(done: Done) -> dict[str, object]:
    """The same for programs; lists of ports are strings as the kernel writes them."""
    persisted = done.persisted
    return {
        "schema": SCHEMA,
        "verb": done.verb,
        "ports": ports.show(done.change.named),
        "changed": ports.show(done.change.changed),
        "reserved": ports.show(done.change.after),
        "persisted": None
        if persisted is None
        else {
            "file": boot_file.PLACE,
            "changed": persisted.changed,
            "ours": ports.show(persisted.plan.asked),
            "theirs": ports.show(persisted.plan.theirs),
        },
        "notes": list(done.notes),
    }


def standing_text(standing: Standing) -> str:
    """List the range, what is reserved, and what of it is portwait's doing."""
    span = standing.settings.ephemeral_range
    rows = [
        ("range", "cannot be read" if span is None else f"{span[0]}-{span[1]} ({amount([span])})"),
        ("reserved", counted(standing.reserved)),
        ("by portwait, now", _now(standing)),
        ("by portwait, at boot", _at_boot(standing.ours)),
    ]
    lines = [f"{name:<22}{text}" for name, text in rows]
    if standing.cut_short:
        lines.append(
            f"note: a release was cut short and took {abbreviate(standing.cut_short)} off the list too: the next "
            "portwait reserve or release puts them back"
        )
    lines += [f"note: {note}" for note in unreadable_notes(standing.unreadable)]
    lines += [f"note: {note}" for note in drift_notes(standing.ours, standing.drift, standing.machine)]
    return "\n".join(lines) + "\n"


def _now(standing: Standing) -> str:
    if standing.added is None:
        return "not known: there is no note of it for this network namespace"
    gone = ports.subtract(standing.added, standing.reserved)
    lost = f"; {abbreviate(gone)} too, but somebody has taken that off the list" if gone else ""
    return counted(ports.intersect(standing.added, standing.reserved)) + lost


def _at_boot(ours: Ours | None) -> str:
    if ours is None:
        return f"none ({boot_file.PLACE} is not there, or not written by portwait)"
    theirs = ports.subtract(ours.written, ours.asked)
    return f"{counted(ours.asked)} in {boot_file.PLACE}" + (f", which repeats {abbreviate(theirs)}" if theirs else "")


def standing_dict(standing: Standing) -> dict[str, object]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "verb": "reserve",
        "range": list(standing.settings.ephemeral_range) if standing.settings.ephemeral_range else None,
        "reserved": ports.show(standing.reserved),
        "added": None if standing.added is None else ports.show(ports.intersect(standing.added, standing.reserved)),
        "persisted": persisted_dict(standing.ours, standing.drift, standing.machine),
    }


def persisted_dict(ours: Ours | None, drift: Drift | None, machine: Machine) -> dict[str, object] | None:
    """Our file and how it has drifted; None where there is none."""
    if ours is None:
        return None
    return {
        "file": boot_file.PLACE,
        "ours": ports.show(ours.asked),
        "theirs": ports.show(ports.subtract(ours.written, ours.asked)),
        "drift": None if drift is None else drift_notes(ours, drift, machine),
    }


def unreadable_notes(files: Sequence[File]) -> list[str]:
    """Say which files were left out, because what they reserve at boot is not known."""
    return [f"{escape(file.path)} cannot be read and was left out: {file.problem}" for file in files]


def drift_notes(ours: Ours | None, drift: Drift | None, machine: Machine) -> list[str]:
    """Say how our file differs from what it should be, and in a note of its own the cure, short enough to stay whole.

    Any of its own ports will do: whatever is asked for, the file is put together anew. In another network namespace
    than the system's own the command would reserve the port there as well.
    """
    if ours is None or drift is None:
        return []
    notes = []
    if drift.missing:
        notes.append(f"{boot_file.PLACE} lacks {abbreviate(drift.missing)}")
    if drift.stale:
        notes.append(f"{boot_file.PLACE} repeats {abbreviate(drift.stale)}, which no other file says any more")
    if drift.sources and (drift.missing or drift.stale):
        notes[-1] += f" (changed since: {', '.join(escape(name) for name in drift.sources[:3])})"
    if drift.overridden:
        notes.append(f"{drift.overridden} is read after {boot_file.PLACE} and undoes it")
    if notes and not drift.overridden and ours.asked:
        command = shell_commands.portwait(machine, "reserve", "--persist", str(ours.asked[0][0]))
        elsewhere = "write it anew in the system's own network namespace, the only one that it is read for"
        notes.append(f"write it anew: {command}" if machine.sysctl_d else elsewhere)
    return notes

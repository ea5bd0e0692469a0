"""What `reserve` and `release` have done, and what is reserved, in words and as a dictionary: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait import ports
from portwait.remedies import phrases
from portwait.reports.text import safe
from portwait.reserved import persistence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.exposure import Exposure
    from portwait.remedies.machine import Machine
    from portwait.reserved.persistence import Drift, Ours, Persisted
    from portwait.reserved.reservation import Change
    from portwait.sockets import Range

SCHEMA = 1
_SHOWN = 200  # characters of a list that a person can read


class Standing(NamedTuple):
    """What is reserved now and at boot; `added` is portwait's own doing since the boot, None where it is not known."""

    exposure: Exposure
    reserved: tuple[Range, ...]
    added: tuple[Range, ...] | None
    ours: Ours | None
    drift: Drift | None
    machine: Machine


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
    lines = [f"{shown(change.changed)} {either(change.changed, 'is', 'are')} {did}"] if change.changed else []
    if unchanged := ports.subtract(change.named, change.changed):
        lines.append(f"{shown(unchanged)} {either(unchanged, 'was', 'were')} {did_not}")
    if done.persisted is not None:
        lines.append(_persisted(done.verb, change.named, done.persisted))
    lines += [f"note: {note}" for note in done.notes]
    return "\n".join(lines) + "\n"


def _persisted(verb: str, named: tuple[Range, ...], persisted: Persisted) -> str:
    if persisted.plan.text is None:
        return f"at boot: {persistence.PLACE} " + ("is removed" if persisted.changed else "was not there")
    theirs = persisted.plan.theirs
    holds = shown(persisted.plan.asked) + (f", and repeats {shown(theirs)} from other files" if theirs else "")
    if persisted.changed:
        return f"at boot: {persistence.PLACE} is written: it reserves {holds}"
    if verb == "reserve":
        return f"at boot: {persistence.PLACE} is as it was: it reserves {holds}"
    were = f"{shown(named)} {either(named, 'was', 'were')} not among portwait's own"
    return f"at boot: {persistence.PLACE} is as it was, for {were}: it reserves {holds}"


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
            "file": persistence.PLACE,
            "changed": persisted.changed,
            "ours": ports.show(persisted.plan.asked),
            "theirs": ports.show(persisted.plan.theirs),
        },
        "notes": list(done.notes),
    }


def standing_text(standing: Standing) -> str:
    """List the range, what is reserved, and what of it is portwait's doing."""
    span = standing.exposure.ephemeral_range
    rows = [
        ("range", "cannot be read" if span is None else f"{span[0]}-{span[1]} ({amount([span])})"),
        ("reserved", counted(standing.reserved)),
        ("by portwait, now", _now(standing)),
        ("by portwait, at boot", _at_boot(standing.ours)),
    ]
    lines = [f"{name:<22}{text}" for name, text in rows]
    lines += [f"note: {note}" for note in drift_notes(standing.ours, standing.drift, standing.machine)]
    return "\n".join(lines) + "\n"


def _now(standing: Standing) -> str:
    if standing.added is None:
        return "not known: there is no note of it for this network namespace"
    gone = ports.subtract(standing.added, standing.reserved)
    lost = f"; {shown(gone)} too, but somebody has taken that off the list" if gone else ""
    return counted(ports.intersect(standing.added, standing.reserved)) + lost


def _at_boot(ours: Ours | None) -> str:
    if ours is None:
        return f"none ({persistence.PLACE} is not there)"
    theirs = ports.subtract(ours.written, ours.asked)
    return f"{counted(ours.asked)} in {persistence.PLACE}" + (f", which repeats {shown(theirs)}" if theirs else "")


def standing_dict(standing: Standing) -> dict[str, object]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "verb": "reserve",
        "range": list(standing.exposure.ephemeral_range) if standing.exposure.ephemeral_range else None,
        "reserved": ports.show(standing.reserved),
        "added": None if standing.added is None else ports.show(ports.intersect(standing.added, standing.reserved)),
        "persisted": persisted_dict(standing.ours, standing.drift, standing.machine),
    }


def persisted_dict(ours: Ours | None, drift: Drift | None, machine: Machine) -> dict[str, object] | None:
    """Our file and how it has drifted; None where there is none."""
    if ours is None:
        return None
    return {
        "file": persistence.PLACE,
        "ours": ports.show(ours.asked),
        "theirs": ports.show(ports.subtract(ours.written, ours.asked)),
        "drift": None if drift is None else drift_notes(ours, drift, machine),
    }


def drift_notes(ours: Ours | None, drift: Drift | None, machine: Machine) -> list[str]:
    """Say how our file differs from what it should be, and in a note of its own the cure, short enough to stay whole.

    Any of its own ports will do: whatever is asked for, the file is put together anew.
    """
    if ours is None or drift is None:
        return []
    notes = []
    if drift.missing:
        notes.append(f"{persistence.PLACE} lacks {shown(drift.missing)}")
    if drift.stale:
        notes.append(f"{persistence.PLACE} repeats {shown(drift.stale)}, which no other file says any more")
    if drift.sources and (drift.missing or drift.stale):
        notes[-1] += f" (changed since: {', '.join(safe(name) for name in drift.sources[:3])})"
    if drift.overridden:
        notes.append(f"{drift.overridden} is read after {persistence.PLACE} and undoes it")
    if notes and not drift.overridden and ours.asked:
        port = str(ours.asked[0][0])
        notes.append(f"write it anew: {phrases.as_root(machine, 'portwait', 'reserve', '--persist', port)}")
    return notes


def counted(ranges: Sequence[Range]) -> str:
    """Write ports for a person, and how many they are."""
    return f"{shown(ranges)} ({amount(ranges)})" if ranges else "none"


def amount(ranges: Sequence[Range]) -> str:
    """Write how many ports."""
    return f"{ports.count(ranges):,} {either(ranges, 'port', 'ports')}"


def either(ranges: Sequence[Range], one: str, many: str) -> str:
    """Choose the word that goes with one port, or with any other number of them."""
    return one if ports.count(ranges) == 1 else many


def shown(ranges: Sequence[Range]) -> str:
    """Write ports for a person: the beginning of an endless list, and how many are left out."""
    text = ports.show(ranges)
    if len(text) <= _SHOWN:
        return text
    cut = text.rindex(",", 0, _SHOWN)
    left = ports.count(ranges) - ports.count(ports.parse(text[:cut], lowest=0))
    return f"{text[:cut]} and {left} more"

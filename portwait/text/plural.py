"""Words that depend on how many there are: lists of targets and of ports in a sentence."""

from __future__ import annotations

from portwait.model import ports
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.model.sockets import Range
    from portwait.model.targets import Target

_SHOWN = 200  # characters of a list that a person can read


def names(targets: Iterable[object]) -> str:
    """Name targets in a sentence: all of a few, else three and how many more."""
    listed = [escape(str(target)) for target in targets]
    return ", ".join(listed) if len(listed) <= 4 else f"{', '.join(listed[:3])} and {len(listed) - 3} more"


def typed(targets: Iterable[Target]) -> str:
    """Name targets for programs, in the words that were typed, as reports do: logs and reports join on them."""
    return names(target.text for target in targets)


def listed(items: Sequence[str], most: int = 0) -> str:
    """Join words for a sentence: `a, b and c`; with `most` that many, and how many more there are."""
    if most and len(items) > most + 1:
        return f"{', '.join(items[:most])} and {len(items) - most} more"
    return items[0] if len(items) == 1 else " and ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def is_or_are(items: Sequence[object]) -> str:
    """Choose the verb for one or several."""
    return "are" if len(items) > 1 else "is"


def counted(ranges: Sequence[Range]) -> str:
    """Write ports for a person, and how many they are."""
    return f"{abbreviate(ranges)} ({amount(ranges)})" if ranges else "none"


def amount(ranges: Sequence[Range]) -> str:
    """Write how many ports."""
    return f"{ports.count(ranges):,} {plural(ranges, 'port', 'ports')}"


def plural(ranges: Sequence[Range], singular: str, plural: str) -> str:
    """Choose the word that goes with one port, or with any other number of them."""
    return singular if ports.count(ranges) == 1 else plural


def abbreviate(ranges: Sequence[Range]) -> str:
    """Write ports for a person: the beginning of an endless list, and how many are left out."""
    text = ports.show(ranges)
    if len(text) <= _SHOWN:
        return text
    cut = text.rindex(",", 0, _SHOWN)
    left = ports.count(ranges) - ports.count(ports.parse(text[:cut], lowest=0))
    return f"{text[:cut]} and {left} more"

"""The environment twins of options: `PORTWAIT_TIMEOUT=2m` is `--timeout 2m`; and how the values of both are read.

Knows no parser: `arguments` reads the words, and lets them win.
"""

from __future__ import annotations

import os

from portwait.errors import UsageError, quote
from portwait.options.table import EVICTABLE, EVICTED
from portwait.text import durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

PREFIX = "PORTWAIT_"
FORMATS = ("auto", "console", "logfmt", "json")


def read(environment: Mapping[str, str] | None = None, only: Collection[str] | None = None) -> dict[str, object]:
    """Read what the environment (the process's own, where none is given) says of these options, or of all."""
    given = os.environ if environment is None else environment
    found: dict[str, object] = {}
    for name, reader in _READERS.items():
        variable = PREFIX + name.upper()
        text = given.get(variable)
        if not text or (only is not None and name not in only):
            continue
        try:
            found[name] = reader(text)
        except UsageError as error:
            raise UsageError(f"in the environment variable {variable}: {error}") from None
    return found


def kinds(text: str) -> frozenset[str]:
    """Read what may be evicted; udp and unseen alone add to what a plain --evict may."""
    named = frozenset(_one_of(kind, EVICTABLE) for kind in text.split(","))
    return named if named - {"udp", "unseen"} else named | set(EVICTED)


def names(text: str) -> tuple[str, ...]:
    """Read names with commas between them."""
    found = tuple(name.strip() for name in text.split(","))
    if not all(found):
        raise UsageError(f"cannot read {quote(text)}: expected names with commas between them")
    return found


def _yes(text: str) -> bool:
    if text.lower() in ("1", "yes", "true", "on"):
        return True
    if text.lower() in ("0", "no", "false", "off"):
        return False
    raise UsageError(f"cannot read {quote(text)}: expected 1, yes, true, on or 0, no, false, off")


def _hold(text: str) -> str:
    if text in ("default", "full", "none"):
        return text
    return "default" if _yes(text) else "none"


def _evict(text: str) -> frozenset[str]:
    if text.partition(",")[0] in EVICTABLE:
        return kinds(text)
    return frozenset(EVICTED if _yes(text) else ())


def _family(text: str) -> int:
    return int(_one_of(text, ("0", "4", "6")))


def _log_format(text: str) -> str:
    return _one_of(text, FORMATS)


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text in choices:
        return text
    raise UsageError(f"cannot read {quote(text)}: expected {', '.join(choices)}")


_READERS: dict[str, Callable[[str], object]] = {
    "timeout": durations.parse,
    "hold": _hold,
    "reuseaddr": _yes,
    "family": _family,
    "listen": _yes,
    "fdstore": _yes,
    "evict": _evict,
    "evict_user": names,
    "evict_unit": names,
    "reserve": _yes,
    "anyway": _yes,
    "dry_run": _yes,
    "log_format": _log_format,
    "quiet": _yes,
    "verbose": _yes,
}
"""The twin is called as the option; --terminate has none: signals are for the command line itself to ask for."""

NAMES = tuple(_READERS)

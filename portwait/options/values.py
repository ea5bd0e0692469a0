"""How the values of options are read, on the command line and in the environment alike; the table names the readers.

Loaded as soon as an option has a value: imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _signal

from portwait.bind.hold import MOST
from portwait.errors import UsageError, quote
from portwait.options.table import EVICTABLE, EVICTED, FORMATS, ON_TOP, TERMINABLE
from portwait.text import durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def _yes(text: str) -> bool:
    if text.lower() in ("1", "yes", "true", "on"):
        return True
    if text.lower() in ("0", "no", "false", "off"):
        return False
    raise UsageError(f"cannot read {quote(text)}: expected 1, yes, true, on or 0, no, false, off")


def _is_yes_or_no(text: str) -> bool:
    return text.lower() in ("1", "yes", "true", "on", "0", "no", "false", "off")


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text in choices:
        return text
    raise UsageError(f"cannot read {quote(text)}: expected {', '.join(choices)}")


def _kinds(text: str, choices: Sequence[str]) -> frozenset[str]:
    """Read kinds with commas between them."""
    named = frozenset(_one_of(kind, choices) for kind in text.split(","))
    return named if named - ON_TOP else named | set(EVICTED)


def _evict(text: str) -> frozenset[str]:
    if _is_yes_or_no(text):
        return frozenset(EVICTED if _yes(text) else ())
    if "listener" in text.split(","):
        raise UsageError(
            "cannot evict a listener: its process would be left deaf; to signal that, --terminate=listener"
        )
    return _kinds(text, EVICTABLE)


def _terminate(text: str) -> frozenset[str]:
    try:
        return _kinds(text, TERMINABLE)
    except UsageError:
        if _signal_number(text):
            raise UsageError(
                f"cannot read {quote(text)}: expected kinds; the signal is --signal={text.upper()}"
            ) from None
        raise


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise UsageError(f"cannot read {quote(text)}: expected names with commas between them")
    return names


def _hold(text: str) -> str:
    if text in ("default", "full", "none"):
        return text
    if _is_yes_or_no(text):
        return "default" if _yes(text) else "none"
    raise UsageError(f"cannot read {quote(text)}: expected default, full or none")


def _family(text: str) -> int:
    return int(_one_of(text, ("0", "4", "6")))


def _log_format(text: str) -> str:
    return _one_of(text, FORMATS)


def _format(text: str) -> str:
    return _one_of(text, ("text", "json", "prometheus"))


def _file(text: str) -> str:
    if not text:
        raise UsageError("cannot read '': expected the name of a file")
    return text


def _kill_after(text: str) -> float:
    return durations.parse(text) or durations.INF  # 0 switches it off, as in timeout(1)


def _seconds(text: str) -> float:
    seconds = durations.parse(text)
    if seconds == durations.INF:
        raise UsageError("cannot use an endless duration here")
    return seconds


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < durations.INF:
        raise UsageError(f"cannot read rate {quote(text)}: expected connections a second, like 20 or 0.5")
    return rate


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 9 and 0 < int(text) <= MOST:
        return int(text)
    raise UsageError(f"cannot read count {quote(text)}: expected a number from 1 to {MOST}")


def _signal_number(text: str) -> int:
    """Find a signal by name or number; 0 where there is none. The module signal would cost 3 ms."""
    known = {name[3:]: int(value) for name, value in vars(_signal).items() if name[:3] == "SIG" and name[3] != "_"}
    name = text.upper()
    if name[:3] == "SIG":
        name = name[3:]
    if name in known:
        return known[name]
    return next((number for number in known.values() if str(number) == text), 0)


def _signal_of(text: str) -> int:
    number = _signal_number(text)
    if not number:
        raise UsageError(f"cannot read signal {quote(text)}: expected a name or a number, as TERM, INT or 15")
    return number


def _ports(text: str) -> str:
    from portwait.model import ports

    ports.parse(text)  # raises UsageError
    return text


READERS: dict[str, Callable[[str], object]] = {
    "yes": _yes,
    "duration": durations.parse,
    "kill_after": _kill_after,
    "seconds": _seconds,
    "rate": _rate,
    "count": _count,
    "hold": _hold,
    "family": _family,
    "evict": _evict,
    "terminate": _terminate,
    "names": _names,
    "signal": _signal_of,
    "log_format": _log_format,
    "format": _format,
    "file": _file,
    "ports": _ports,
}

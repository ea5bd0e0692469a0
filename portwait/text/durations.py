"""Durations as people write them: `90`, `90s`, `2m`, `1h30m`, `500ms`, `inf`."""

from __future__ import annotations

from portwait.errors import UsageError, quote

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
"""Seconds of each unit, in the order in which they may follow each other."""

INF = float("inf")


def parse(text: str) -> float:
    """Read a duration into seconds; `inf` is infinite. Raises UsageError."""
    if text == "inf":
        return INF
    if _is_number(text):
        return float(text)
    seconds, rest, units = 0.0, text, list(_UNITS)
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        unit = next((unit for unit in ("ms", *units) if rest.startswith(number + unit)), None)
        if unit not in units or not _is_number(number):
            raise _unreadable(text)
        seconds += float(number) * _UNITS[unit]
        rest = rest[len(number) + len(unit) :]
        units = units[units.index(unit) + 1 :]
    if not text:
        raise _unreadable(text)
    return seconds


def _is_number(text: str) -> bool:
    whole, point, part = text.partition(".")
    return text.isascii() and whole.isdigit() and (part.isdigit() or not point)


def _unreadable(text: str) -> UsageError:
    return UsageError(f"cannot read duration {quote(text)}: expected one like 90, 90s, 2m, 1h30m, 500ms or inf")


def show(seconds: float) -> str:
    """Write a duration for people: `450ms`, `4s`, `3h12m`, `2d4h`; two units at most."""
    if seconds == INF:
        return "inf"
    if round(seconds * 1000) < 1000:
        return f"{round(seconds * 1000)}ms"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}{rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"


def limit(seconds: float) -> str:
    """Say for how long something is waited for."""
    return "as long as it takes" if seconds == INF else f"for at most {show(seconds)}"

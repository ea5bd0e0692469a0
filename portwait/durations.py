"""Durations as people write them: `90`, `90s`, `2m`, `1h30m`, `500ms`, `inf`."""

from __future__ import annotations

import math
import re

from portwait.errors import UsageError

_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_WHOLE = re.compile(
    r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)
_PLAIN = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


def parse(text: str) -> float:
    """Read a duration into seconds; `inf` is math.inf. Raises UsageError."""
    if text == "inf":
        return math.inf
    if _PLAIN.fullmatch(text):
        return float(text)
    match = _WHOLE.fullmatch(text)
    if not text or match is None:
        raise UsageError(f"cannot read duration {text!a}: expected one like 90, 90s, 2m, 1h30m, 500ms or inf")
    return sum(float(number) * _SECONDS[unit] for number, unit in zip(match.groups(), _SECONDS, strict=True) if number)


def show(seconds: float) -> str:
    """Write a duration for people: `450ms`, `4s`, `3h12m`, `2d4h`; two units at most."""
    if seconds == math.inf:
        return "inf"
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    whole = round(seconds)
    for unit, size, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit}{rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"

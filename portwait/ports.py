"""Lists of ports, `50001,5200-5300,6001`: read, merge, take apart, write. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.sockets import Range


def parse(text: str) -> tuple[Range, ...]:
    """Read a list as the command line and the kernel write it, merged. Raises UsageError."""
    ranges: list[Range] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
            raise UsageError(f"cannot read ports {text!a}: expected a list like 50001,5200-5300,6001")
        low, high = int(ends[0]), int(ends[1])
        if not 0 < low <= high < 65536:
            raise UsageError(f"cannot read ports {part!a}: a port is 1 to 65535, a range goes from low to high")
        ranges.append((low, high))
    return merge(ranges)


def merge(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Sort ranges, and join those that touch or overlap."""
    merged: list[Range] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


def contains(ranges: Iterable[Range], port: int) -> bool:
    """Whether a port lies in one of the ranges."""
    return any(first <= port <= last for first, last in ranges)


def show(ranges: Iterable[Range]) -> str:
    """Write ranges as the kernel takes them, without spaces."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)

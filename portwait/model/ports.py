"""Lists of ports, `50001,5200-5300,6001`: read, merge, take apart, write. Pure functions."""

from __future__ import annotations

from portwait.errors import UsageError, quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.sockets import Range


def parse(text: str, *, lowest: int = 1) -> tuple[Range, ...]:
    """Read a list like `50001,5200-5300,6001`, merged. Raises UsageError.

    `lowest` is the smallest port that may be in it: nobody can bind 0, but the kernel lets it be reserved.
    """
    ranges: list[Range] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        ends = (first, last) if dash else (first, first)
        if not all(end.isascii() and end.isdigit() and len(end) <= 5 for end in ends):
            raise UsageError(f"cannot read ports {quote(part)}: expected a list like 50001,5200-5300,6001")
        low, high = int(ends[0]), int(ends[1])
        if not lowest <= low <= high < 65536:
            raise UsageError(
                f"cannot read ports {quote(part)}: a port is {lowest} to 65535, a range goes from low to high"
            )
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


def join(numbers: Iterable[int]) -> tuple[Range, ...]:
    """Make ranges of single ports."""
    ranges: list[Range] = []
    first = last = -2
    for number in sorted(numbers):
        if number > last + 1:
            ranges.append((first, last))
            first = number
        last = number
    return (*ranges[1:], (first, last)) if ranges else ()


def from_kernel(text: str) -> tuple[Range, ...]:
    """Read a list as the kernel shows it, which may be empty and may hold 0. Raises UsageError."""
    return parse(text, lowest=0) if text.strip() else ()


def subtract(ranges: Iterable[Range], taken: Iterable[Range]) -> tuple[Range, ...]:
    """Leave out of merged `ranges` the ports of merged `taken`."""
    left: list[Range] = []
    cuts = list(taken)
    index = 0
    for first, last in ranges:
        while index < len(cuts) and cuts[index][1] < first:
            index += 1
        at, here = first, index
        while here < len(cuts) and cuts[here][0] <= last:
            if cuts[here][0] > at:
                left.append((at, cuts[here][0] - 1))
            at = cuts[here][1] + 1
            here += 1
        if at <= last:
            left.append((at, last))
    return tuple(left)


def intersect(ranges: Iterable[Range], others: Iterable[Range]) -> tuple[Range, ...]:
    """Keep of merged `ranges` only the ports that are in merged `others` too."""
    kept = tuple(ranges)
    return subtract(kept, subtract(kept, others))


def count(ranges: Iterable[Range], within: Range = (0, 65535)) -> int:
    """How many ports merged ranges hold, of those within another range."""
    low, high = within
    return sum(min(last, high) - max(first, low) + 1 for first, last in ranges if first <= high and last >= low)


def contains(ranges: Iterable[Range], port: int) -> bool:
    """Whether a port lies in one of the ranges."""
    return any(first <= port <= last for first, last in ranges)


def show(ranges: Iterable[Range]) -> str:
    """Write ranges as the kernel takes them, without spaces."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)

"""Sleep until a descriptor has something to read: with poll(2), or with select(2) where Python has no poll."""

from __future__ import annotations

import math
import select
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence


POLL = 0.2
"""Seconds between two questions to bind() where no event comes; half of it is what such a start is late by."""


class HasDescriptor(Protocol):
    """Whatever has a descriptor."""

    def fileno(self) -> int:
        """The descriptor's number."""


T = TypeVar("T", bound="HasDescriptor")


def readable(sources: Sequence[T], seconds: float) -> list[T]:
    """Sleep until something can be read or that time is over; what can be read."""
    if not hasattr(select, "poll"):
        return select.select(sources, [], [], seconds)[0]
    poll = select.poll()
    by_number = {source.fileno(): source for source in sources}
    for number in by_number:
        poll.register(number, select.POLLIN)
    return [by_number[number] for number, _ in poll.poll(math.ceil(seconds * 1000))]

"""Which ip_local_port_range keeps the kernel's choice away from services: the one answer of `explain` and `audit`.

Both ask here and both count the same services, so that following the one's advice after the other's undoes nothing:
the setting is one line, of which the last one counts.
"""

from __future__ import annotations

from portwait.model import ports
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.port_settings import PortSettings
    from portwait.model.sockets import Range

USUAL = (32768, 60999)
"""The kernel's own default (inet_init_net)."""
ENOUGH = 10_000
"""Ports that a host should keep for its own connections at least: a third of the kernel's default."""
_AMPLE = 16_384
"""Source ports for one destination with room to spare: connect() looks at half of them first."""
HEADROOM = 4
"""A host should keep this many times the ports that its connections use now."""
APART = 20_000
"""Where the range starts when services have to move below it."""


class Leftover(Record):
    """What reserving some ports leaves: how many the kernel can still hand out, of how many that there were."""

    left: int
    before: int

    @property
    def is_noticeable(self) -> bool:
        """Whether it takes more than a tenth, so that the price has to stand beside the advice."""
        return self.left * 10 < self.before * 9

    def suffices(self, used: int = 0) -> bool:
        """Whether the reservation may be proposed to a host whose own connections use this many ports now.

        One that takes hardly anything may. A larger one has to leave as many as a host should have, or at least half
        of what it had, and room for what it uses.
        """
        if not self.is_noticeable:
            return True
        return (self.left >= ENOUGH or self.left * 2 >= self.before) and self.left >= max(1, HEADROOM * used)

    def __str__(self) -> str:
        """Say it after `leaves`."""
        return f"{self.left:,} of {self.before:,} ports for outgoing connections"


def leftover(settings: PortSettings, wanted: Iterable[Range]) -> Leftover:
    """Count what reserving these ports leaves; nothing of nothing where the range cannot be read."""
    span = [settings.ephemeral_range] if settings.ephemeral_range is not None else []
    before = ports.subtract(span, settings.reserved)
    return Leftover(ports.count(ports.subtract(before, ports.merge(wanted))), ports.count(before))


def narrower(span: Range, services: Iterable[int], used: int = 0) -> Range | None:
    """Choose a part of the range that has none of the services' ports; None where none is large enough.

    The kernel's default, where that is such a part; else the highest one with ample room, because services mostly have
    low ports; else the longest; from a round number on where that leaves enough. `used` is how many ports this host's
    own connections use now.
    """
    taken = ports.merge((port, port) for port in services)
    parts = ports.subtract([span], taken)
    if (span,) == parts:
        return None
    if any(first <= USUAL[0] and USUAL[1] <= last for first, last in parts):
        return USUAL if is_enough(USUAL, used) else None
    if not parts:
        return None
    ample = [(first, last) for first, last in parts if last - first + 1 >= _AMPLE]
    low, high = ample[-1] if ample else max(parts, key=lambda part: part[1] - part[0])
    rounded = -(-low // 1000) * 1000, high
    best = rounded if low != span[0] and is_enough(rounded, used) else (low, high)
    return best if is_enough(best, used) else None


def apart(span: Range, services: Iterable[int], used: int = 0) -> Range | None:
    """Choose the range where no part is free of services, and these have to move; None where it is as high already."""
    wanted = (APART, span[1])
    if span[0] >= APART or narrower(span, services, used) is not None or not is_enough(wanted, used):
        return None
    return wanted


def is_enough(span: Range, used: int = 0) -> bool:
    """Whether a range has enough ports for a host's own connections."""
    return span[1] - span[0] + 1 >= max(ENOUGH, HEADROOM * used)

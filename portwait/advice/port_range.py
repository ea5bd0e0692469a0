"""Which ip_local_port_range keeps the kernel's choice away from services: the one answer of `explain` and `audit`.

Both ask here and both count the same services, so that following the one's advice after the other's undoes nothing:
the setting is one line, of which the last one counts.
"""

from __future__ import annotations

from portwait.model import ports
from portwait.model.port_settings import ENOUGH, HEADROOM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.sockets import Range

USUAL = (32768, 60999)
"""The kernel's own default (inet_init_net)."""
_AMPLE = 16_384
"""Source ports for one destination with room to spare: connect() looks at half of them first."""
APART = 20_000
"""Where the range starts when services have to move below it."""


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

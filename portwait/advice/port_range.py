"""Which ip_local_port_range keeps the kernel's choice away from services: the one answer of `explain` and `audit`.

Both ask here and both count the same services, so that following the one's advice after the other's undoes nothing:
the setting is one line, of which the last one counts.
"""

from __future__ import annotations

from portwait.model import ports
from portwait.model.port_settings import ENOUGH, HEADROOM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.model.sockets import Range

USUAL = (32768, 60999)
"""The kernel's own default (inet_init_net)."""
_AMPLE = 16_384
"""Source ports for one destination with room to spare: connect() looks at half of them first."""
APART = 20_000
"""Where the range starts when services have to move below it."""


def narrower(span: Range, services: Iterable[int], used: int = 0, *, reserved: Sequence[Range] = ()) -> Range | None:
    """Choose a part of the range that has none of the services' ports; None where none is large enough.

    Reserved ports do not count: the kernel hands out none of them, whatever the range is.

    The kernel's default, where that is such a part; else the highest one with ample room, because services mostly have
    low ports; else the longest; from a round number on where that leaves enough. `used` is how many ports this host's
    own connections use now.
    """
    taken = ports.merge((port, port) for port in services)
    parts = ports.subtract([span], taken)
    if (span,) == parts:
        return None
    usual = any(first <= USUAL[0] and USUAL[1] <= last for first, last in parts)
    if usual and is_enough(USUAL, reserved=reserved):
        return USUAL if is_enough(USUAL, used, reserved=reserved) else None
    if not parts:
        return None
    ample = [part for part in parts if _room(part, reserved) >= _AMPLE]
    low, high = ample[-1] if ample else max(parts, key=lambda part: _room(part, reserved))
    rounded = -(-low // 1000) * 1000, high
    best = rounded if low != span[0] and is_enough(rounded, used, reserved=reserved) else (low, high)
    return best if is_enough(best, used, reserved=reserved) else None


def apart(span: Range, services: Iterable[int], used: int = 0, *, reserved: Sequence[Range] = ()) -> Range | None:
    """Choose the range where no part is free of services, and these have to move; None where it is as high already."""
    wanted = (APART, span[1])
    if span[0] >= APART or not is_enough(wanted, used, reserved=reserved):
        return None
    return wanted if narrower(span, services, used, reserved=reserved) is None else None


def is_enough(span: Range, used: int = 0, *, reserved: Sequence[Range] = ()) -> bool:
    """Whether a range has enough ports that are not reserved for a host's own connections."""
    return _room(span, reserved) >= max(ENOUGH, HEADROOM * used)


def _room(span: Range, reserved: Sequence[Range]) -> int:
    return ports.count(ports.subtract([span], reserved))

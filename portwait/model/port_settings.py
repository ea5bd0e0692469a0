"""Where a port stands in the kernel's own choice: the range, what is reserved, who may bind it. Values only."""

from __future__ import annotations

from portwait.model import ports
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.sockets import Range

ENOUGH = 10_000
"""Ports that a host should keep for its own connections at least: a third of the kernel's default."""
HEADROOM = 4
"""A host should keep this many times the ports that its connections use now."""


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

    @property
    def price(self) -> str:
        """Say it behind an advice to reserve; nothing where it is not noticed."""
        return f" That leaves {self}." if self.is_noticeable else ""

    def __str__(self) -> str:
        """Say it after `leaves`."""
        return f"{self.left:,} of {self.before:,} ports for outgoing connections"


class PortSettings(Record):
    """The settings of this network namespace; `ephemeral_range` is None where it cannot be read."""

    ephemeral_range: Range | None = None
    reserved: tuple[Range, ...] = ()
    unprivileged_start: int | None = None
    """The first port that needs no CAP_NET_BIND_SERVICE."""

    def covers(self, port: int) -> bool:
        """Whether the port lies in ip_local_port_range."""
        return self.ephemeral_range is not None and ports.contains([self.ephemeral_range], port)

    def reserves(self, port: int) -> bool:
        """Whether the port is in ip_local_reserved_ports."""
        return ports.contains(self.reserved, port)

    def hands_out(self, port: int) -> bool:
        """Whether the kernel may give the port to somebody who did not ask for it by number."""
        return self.covers(port) and not self.reserves(port)

    def prefers(self, port: int) -> bool:
        """Whether connect() looks at the port first: it has the parity of the range's low end.

        bind(address, 0) looks at the other parity first, since Linux 4.2 (07f4c90062f8); each goes on with the
        rest when its own half is full.
        """
        return self.ephemeral_range is not None and (port - self.ephemeral_range[0]) % 2 == 0

    def after_reserving(self, wanted: Iterable[Range]) -> Leftover:
        """Count what reserving these ports too leaves; nothing of nothing where the range cannot be read."""
        span = () if self.ephemeral_range is None else (self.ephemeral_range,)
        before = ports.subtract(span, self.reserved)
        return Leftover(ports.count(ports.subtract(before, ports.merge(wanted))), ports.count(before))

    @property
    def leftover(self) -> Leftover:
        """What all ports that are reserved leave of the range."""
        return self._replace(reserved=()).after_reserving(self.reserved)

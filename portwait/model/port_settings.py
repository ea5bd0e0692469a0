"""Where a port stands in the kernel's own choice: the range, what is reserved, who may bind it. Values only."""

from __future__ import annotations

from portwait.model import ports
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.sockets import Range


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

"""Where a port stands in the kernel's own choice of ports: its range, and what is reserved from it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from portwait import ports
from portwait.errors import UsageError

if TYPE_CHECKING:
    from portwait.sockets import Range


class Exposure(NamedTuple):
    """The settings of this network namespace; `ephemeral_range` is None where it cannot be read."""

    ephemeral_range: Range | None = None
    reserved: tuple[Range, ...] = ()

    def covers(self, port: int) -> bool:
        """Whether the port lies in ip_local_port_range."""
        return self.ephemeral_range is not None and ports.contains([self.ephemeral_range], port)

    def reserves(self, port: int) -> bool:
        """Whether the port is in ip_local_reserved_ports."""
        return ports.contains(self.reserved, port)


def exposure() -> Exposure:
    """Read them now."""
    if sys.platform != "linux":
        return Exposure()
    from portwait._linux import sysctl

    listed = sysctl.read(sysctl.RESERVED)
    try:
        reserved = ports.parse(listed) if listed else ()
    except UsageError:  # the kernel would have to change its own format
        reserved = ()
    return Exposure(sysctl.ephemeral_range(), reserved)

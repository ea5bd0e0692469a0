"""The door to the socket tables: what they can be asked, and who answers on this system."""

from __future__ import annotations

import sys

from portwait.errors import TablesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType
    from typing import Protocol

    from portwait.model.sockets import Connections, KernelSocket, Range
else:
    Protocol = object


class Tables(Protocol):
    """Questions about the sockets of this network namespace; each raises TablesError where there is no answer."""

    def __enter__(self) -> Tables:
        """Use it for a while."""

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Give back what it needs."""

    def sockets(self, protocol: str, ranges: Sequence[Range], *, listening: bool = False) -> tuple[KernelSocket, ...]:
        """Read all sockets of a protocol, both families, on these local ports (none given: all)."""

    def listeners(self, ranges: Sequence[Range]) -> tuple[KernelSocket, ...]:
        """Read the TCP listeners on these ports."""

    def connections(self, served: Collection[int]) -> Connections:
        """Read all TCP connections; those on `served` ports are a server's."""

    def again(self, sock: KernelSocket) -> KernelSocket | None:
        """Look at one socket once more; None when it is gone."""

    def other_end(self, sock: KernelSocket) -> KernelSocket | None:
        """Find the socket at the other end of a connection, where that is in this network namespace."""


def open_tables(protocols: Collection[str] = ("tcp",)) -> tuple[Tables, str | None]:
    """Open the best tables that have all these protocols; with them, if not the kernel's own, what is lost and why.

    Raises TablesError where there are none at all.
    """
    if sys.platform != "linux":
        from portwait._psutil.tables import PsutilTables

        return PsutilTables(), f"no netlink on this system: {PsutilTables.lost}"
    from portwait._linux.sockdiag import SockDiag

    try:
        diag = SockDiag()
        for protocol in protocols:
            diag.sockets(protocol, [(1, 1)], listening=True)  # cheap; only an answer shows that the module is there
    except TablesError as error:
        from portwait._linux import net_tables
        from portwait._psutil.tables import PsutilTables

        return PsutilTables(net_tables.read), f"{error}: {net_tables.LOST}"
    return diag, None

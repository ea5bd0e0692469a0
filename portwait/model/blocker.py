"""A socket that makes a bind fail, and what is known of it. Values only."""

from __future__ import annotations

from portwait.model.record import Record
from portwait.model.targets import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.kind import Kind
    from portwait.model.owner import Owner
    from portwait.model.sockets import KernelSocket


class Blocker(Record):
    """A socket that makes a bind fail, and what is known of it.

    `expires_in` and `idle` are seconds, None where the kernel does not say. `unseen` says why owners may be missing.
    `evictable` is whether evicting it harms nobody else: proved outbound with its owner seen, or owned by nobody.
    """

    kind: Kind
    socket: KernelSocket
    user: str | None
    owners: tuple[Owner, ...]
    remote_service: str | None
    expires_in: float | None
    idle: float | None
    evictable: bool
    unseen: str | None
    peer: Owner | None = None
    """The process at the other end, where that is on this host and could be found at little cost."""
    peer_user: str | None = None
    """The user at the other end, where that is on this host, also where the process was not found."""
    peer_unit: str | None = None
    """Likewise, by the cgroup that its socket was made in."""
    peer_waits: bool = False
    """Whether the other end waits to be accepted: `peer` is of the only listener that can, as far as that is known."""
    unit: str | None = None
    """The unit that the socket was made in, by its cgroup: known also where the owner cannot be seen."""
    container: str | None = None
    """Likewise."""
    device: str | None = None
    """The interface or VRF that the socket is bound to."""
    inherited: bool = False
    """Whether this portwait has the socket open too, from whoever started it: `owners` are the others."""

    @property
    def is_owned(self) -> bool:
        """Whether a process that has it open is known: another one, or this one."""
        return bool(self.owners) or self.inherited

    @property
    def local(self) -> str:
        """Write this host's end, `host:port`, with the interface that it is bound to: `127.0.0.53%lo:53`."""
        return endpoint(self.socket.local_address, self.socket.local_port, self.device)

    @property
    def remote(self) -> str | None:
        """Write the other end, `host:port`, a link-local one with its interface; None where there is none."""
        address = self.socket.remote_address
        device = self.device if address.startswith(("fe8", "fe9", "fea", "feb")) else None
        return endpoint(address, self.socket.remote_port, device) if self.socket.remote_port else None


def endpoint(address: str, port: int, device: str | None = None) -> str:
    """Write an end as `host:port` or `[v6]:port`, an IPv4-mapped address as IPv4, `%DEVICE` behind the address."""
    host = plain(address) + (f"%{device}" if device else "")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

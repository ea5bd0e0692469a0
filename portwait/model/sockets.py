"""A socket as the kernel's tables show it. Values only; imports nothing of ours."""

from __future__ import annotations

from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

Range = tuple[int, int]
"""First and last port, both included."""


class TcpInfo(Record):
    """What of struct tcp_info is used; counts in bytes and segments, times in milliseconds.

    `acked_control` is how many of SYN and FIN the other end has acknowledged to this one, less the bytes that are in
    flight; None on a kernel whose structure is too short to say. `not_sent` are bytes that were only queued yet.
    """

    unacked: int
    last_data_sent: int
    last_data_received: int
    acked_control: int | None
    not_sent: int | None = None


class KernelSocket(Record):
    """One socket of the kernel's tables.

    `state` is the header's name without its prefix; a UDP socket is ESTABLISHED when it is connected, else CLOSE, as
    a TCP socket is that is only bound. `expires` is milliseconds where the kernel runs a timer that ends this socket,
    else None. Addresses are literals as the kernel has them, an IPv4 client of an AF_INET6 socket as
    `::ffff:127.0.0.1`. `v6only` and `traffic_class` are None where the kernel does not say; `cgroup` is the inode of
    the directory under the cgroup v2 mount, 0 where unknown. `identity` is the inet_diag_sockid as it came, which a
    lookup or a destroy of exactly this socket takes; `pids` are the owners where the tables name them themselves.
    `interface` is the number of the one that it is bound to, 0 for none. `queue` is how many connections wait to be
    accepted, of a TCP listener; `mptcp` is whether it is a subflow of a Multipath TCP socket.
    """

    family: int
    protocol: str
    state: str
    expires: int | None
    local_address: str
    local_port: int
    remote_address: str
    remote_port: int
    interface: int
    cookie: int
    uid: int
    inode: int
    cgroup: int = 0
    v6only: bool | None = None
    traffic_class: int | None = None
    info: TcpInfo | None = None
    identity: bytes = b""
    pids: tuple[int, ...] = ()
    send_queue: int = 0
    queue: int | None = None
    mptcp: bool = False


class Connections(Record):
    """All TCP sockets of a host but the listeners: their local ports, and little else, because they are so many.

    `clients` has for each destination the ports that lead there. A destination is bytes that only tell whether two are
    the same. `accepted` are ports of listeners that have connections: where those lead to matters to nobody. `bound`
    are the ports of sockets that are only bound.
    """

    clients: Mapping[bytes, set[int]]
    accepted: set[int]
    bound: set[int]

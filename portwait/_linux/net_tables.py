"""The socket tables as text, /proc/net/tcp and its siblings: what is left where there is no netlink.

They name a socket's inode and user, so that its owners are found as with netlink. psutil reads these files too, but
only after it has looked into every process of the host.
"""

from __future__ import annotations

import _socket
import struct

from portwait._linux import kernel
from portwait.errors import TablesError
from portwait.model.sockets import KernelSocket

LOST = "sockets that are only bound, and who called connect(), cannot be seen"

_ENDS_BY_ITSELF = "03"  # the timer of TIME_WAIT and of a FIN_WAIT2 that no process has
_TICK = 10  # milliseconds: USER_HZ is 100 everywhere


def read(protocol: str) -> tuple[KernelSocket, ...]:
    """Read one protocol's sockets of this network namespace, both families. Raises TablesError."""
    sockets = []
    for family, name in ((_socket.AF_INET, protocol), (_socket.AF_INET6, f"{protocol}6")):
        try:
            with open(f"/proc/net/{name}", encoding="ascii") as file:
                lines = file.readlines()[1:]
        except FileNotFoundError:
            if family == _socket.AF_INET6:  # there is no IPv6 here
                continue
            raise TablesError("there is no /proc/net") from None
        except OSError as error:
            raise TablesError(f"/proc/net/{name} cannot be read: {error.strerror}") from None
        sockets += [_socket_of(line.split(), family, protocol) for line in lines]
    return tuple(sockets)


def _socket_of(words: list[str], family: int, protocol: str) -> KernelSocket:
    """Read a line: number, both ends, state, queues, timer, retransmits, uid, timeout, inode."""
    address, port = _end(words[1], family)
    remote_address, remote_port = _end(words[2], family)
    number = int(words[3], 16)
    state = kernel.STATE_NAMES.get(number, str(number))
    sent, _, received = words[4].partition(":")
    timer, _, ticks = words[5].partition(":")
    return KernelSocket(
        family=family,
        protocol=protocol,
        state=state,
        expires=int(ticks, 16) * _TICK if timer == _ENDS_BY_ITSELF else None,
        local_address=address,
        local_port=port,
        remote_address=remote_address if remote_port else "",
        remote_port=remote_port,
        interface=0,
        cookie=0,
        uid=int(words[7]),
        inode=int(words[9]),
        send_queue=int(sent, 16),
        queue=int(received, 16) if state == "LISTEN" else None,
    )


def _end(text: str, family: int) -> tuple[str, int]:
    """Read `0100007F:753A`: an address of 32-bit words in the host's order, and a port."""
    address, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(address[at : at + 8], 16)) for at in range(0, len(address), 8))
    return _socket.inet_ntop(family, raw), int(port, 16)

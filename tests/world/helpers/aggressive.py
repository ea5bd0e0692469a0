"""A client that is never content: argument PORT, in a private network whose range is PORT and PORT + 1.

It keeps three connections, looks at them all the time and replaces a broken one at once; between two looks it makes
one more and takes it down. A line on its standard input makes it drop everything and connect again until PORT is among
its ports; then it says `holding`.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from typing import NamedTuple

LOOPBACK = "127.0.0.1"
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that the port is free at once


class Pair(NamedTuple):
    """Both ends of a connection."""

    client: socket.socket
    accepted: socket.socket

    def broken(self) -> bool:
        try:
            return self.client.recv(1, socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def drop(self) -> None:
        for end in self:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            end.close()


def connect(server: socket.socket) -> Pair:
    """Connect from whatever port the kernel picks; again, until there is one."""
    while True:
        client = socket.socket()
        try:
            client.connect(server.getsockname())
        except OSError:  # no port left at this moment
            client.close()
        else:
            return Pair(client, server.accept()[0])


def main() -> None:
    port = int(sys.argv[1])
    *servers, extra = (socket.create_server((LOOPBACK, number)) for number in range(7000, 7004))
    pairs = [connect(server) for server in servers]
    print("ready", flush=True)
    while True:
        for at, server in enumerate(servers):
            if pairs[at].broken():
                pairs[at].drop()
                pairs[at] = connect(server)
        connect(extra).drop()
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            while True:
                for pair in pairs:
                    pair.drop()
                pairs = [connect(server) for server in servers]
                if port in {pair.client.getsockname()[1] for pair in pairs}:
                    break
            print("holding", flush=True)


main()

"""A storm of outbound connections that takes every port it can be given: argument MILLISECONDS between two of them.

It keeps as many connections to one server as there are ports, and replaces the oldest by a new one all the time, each
closed with RST so that nothing stays behind. Says READY=1 to systemd when no port is left.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from collections import deque

_RESET = struct.pack("ii", 1, 0)


def main() -> None:
    milliseconds = int(sys.argv[1])
    connections: deque[tuple[socket.socket, socket.socket]] = deque()
    ready = False
    with socket.create_server(("127.0.0.1", 7000), backlog=100) as server:
        while True:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            try:
                client.connect(("127.0.0.1", 7000))
            except OSError as error:
                client.close()
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                for sock in connections.popleft():
                    sock.close()
                if not ready:
                    ready = True
                    _say_ready()
            else:
                connections.append((client, server.accept()[0]))
                if ready:
                    select.select([], [], [], milliseconds / 1000)


def _say_ready() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])


main()

"""Hold a port as somebody else does, arguments KIND PORT: `outbound` is a connection, `listener` a server.

Says READY=1 to systemd when it stands. The outbound connection is given its port by the kernel, so whoever starts
this leaves it no other; a privileged port, which the kernel gives to nobody, it binds by number. It ends with RST, so
that the port is free at once.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", 7000) if kind == "outbound" else ("", port))
    server.listen()
    if kind == "outbound":
        client = socket.socket()
        if port < 1024:
            client.bind(("127.0.0.1", port))
        client.connect(("127.0.0.1", 7000))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert client.getsockname()[1] == port
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    signal.pause()


main()

"""Open and close connections without pause until standard input ends; ready after the first thousand.

Every connection goes from 127.0.0.1 to port 7001 of 127.0.0.1, and ends with RST.
"""

from __future__ import annotations

import select
import socket
import struct

ABORT = struct.pack("ii", 1, 0)


def main() -> None:
    """Do it."""
    count = 0
    with socket.create_server(("127.0.0.1", 7001)) as server:
        while count % 64 or not select.select([0], [], [], 0)[0]:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            client.connect(("127.0.0.1", 7001))
            accepted, _ = server.accept()
            client.close()
            accepted.close()
            count += 1
            if count == 1000:
                print("ready", flush=True)


main()

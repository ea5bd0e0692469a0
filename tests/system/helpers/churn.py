"""Open and close connections without pause until standard input ends; prints how many, and how many a second.

Every connection goes from 127.0.0.1 to port 7001 of 127.0.0.1, and ends with RST.
"""

from __future__ import annotations

import select
import socket
import struct
import time

ABORT = struct.pack("ii", 1, 0)


def main() -> None:
    """Count."""
    count = 0
    with socket.create_server(("127.0.0.1", 7001)) as server:
        print("ready", flush=True)
        began = time.monotonic()
        while count % 64 or not select.select([0], [], [], 0)[0]:
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            client.connect(("127.0.0.1", 7001))
            accepted, _ = server.accept()
            client.close()
            accepted.close()
            count += 1
        print(count, round(count / (time.monotonic() - began)), flush=True)


main()

"""Connect without pause, and count how often the kernel chose PORT as the source port: `storm.py PORT connect|bind`.

`bind` calls bind(address, 0) before connect(). A line on standard input ends a phase as soon as it has seen 1,000
attempts; its name comes back with the numbers of attempts and hits.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

LOOPBACK = "127.0.0.1"
AT_LEAST = 1000
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that the port is free at once


def attempt(server: socket.socket, *, first_bind: bool) -> int:
    """Make one connection and take it down again; the source port that it had."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
        if first_bind:
            client.bind((LOOPBACK, 0))
        client.connect(server.getsockname())
        with server.accept()[0] as accepted:
            accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
            port: int = client.getsockname()[1]
        return port


def main() -> None:
    port, first_bind = int(sys.argv[1]), sys.argv[2] == "bind"
    with socket.create_server((LOOPBACK, 7001)) as server:
        print("storming", flush=True)
        attempts = hits = 0
        while True:
            attempts += 1
            hits += attempt(server, first_bind=first_bind) == port
            if attempts >= AT_LEAST and select.select([0], [], [], 0)[0]:
                name = sys.stdin.readline().strip()
                if not name:
                    return
                print(name, attempts, hits, flush=True)
                attempts = hits = 0


main()

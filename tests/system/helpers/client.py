"""A client that keeps one connection to PORT of this host, as a pool does: `client.py PORT [stubborn|reuseaddr]`.

Prints `ready LOCALPORT`. When the connection ends under it, it says how, connects again at once, and says `ready` again
with the new port. With `reuseaddr` it binds its address before, with SO_REUSEADDR and IP_BIND_ADDRESS_NO_PORT. Words on
its standard input: `close` ends the connection for good; `count` tells how often a stubborn client, which ignores
SIGTERM, was sent one.
"""

from __future__ import annotations

import errno
import selectors
import signal
import socket
import struct
import sys

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that no TIME_WAIT is left
IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
terminations: list[int] = []


def connect(port: int) -> socket.socket:
    client = socket.socket()
    if "reuseaddr" in sys.argv:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        client.bind(("127.0.0.1", 0))
    client.connect(("127.0.0.1", port))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    print("ready", client.getsockname()[1], flush=True)
    return client


def end_of(client: socket.socket) -> str:
    try:
        return "data" if client.recv(1) else "closed"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def main() -> None:
    port, *rest = sys.argv[1:]
    if rest == ["stubborn"]:
        signal.signal(signal.SIGTERM, lambda number, _: terminations.append(number))
    client = connect(int(port))
    with selectors.DefaultSelector() as selector:
        selector.register(client, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is client:
                    print(end_of(client), flush=True)
                    again = connect(int(port))  # while the old one is still open: a pool, too, closes it later
                    selector.unregister(client)
                    client.close()
                    client = again
                    selector.register(client, selectors.EVENT_READ)
                    continue
                order = sys.stdin.readline().strip()
                if order == "close":
                    selector.unregister(client)
                    client.close()
                    print("done", flush=True)
                elif order == "count":
                    print("terminations", len(terminations), flush=True)
                else:
                    return


main()

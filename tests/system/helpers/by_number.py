"""A client that binds its source port by number, and again a moment after its connection has ended.

`by_number.py PORT` connects to a server of its own. It says `connected` for each connection, and `refused` when the
port is refused to it for the first time since. `by_number.py PORT slowly` keeps its first socket open until a line
comes on standard input. `by_number.py PORT overlapping` keeps each socket open until the next one has bound the port,
which is never free so.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


def main() -> None:
    port, how = int(sys.argv[1]), sys.argv[2:]
    with socket.create_server(("127.0.0.1", 0)) as server:
        if how == ["overlapping"]:
            overlap(port, server)
        else:
            return_again(port, server, slowly=how == ["slowly"])


def return_again(port: int, server: socket.socket, *, slowly: bool) -> None:
    refused = False
    while True:
        with socket.socket() as client:
            try:
                client.bind(("127.0.0.1", port))
                client.connect(server.getsockname())
            except OSError:
                if not refused:
                    print("refused", flush=True)
                refused = True
                threading.Event().wait(0.001)
                continue
            refused = False
            wait_for_end(client, server)
            if slowly:
                sys.stdin.readline()
            slowly = False


def overlap(port: int, server: socket.socket) -> None:
    before = socket.socket()
    while True:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind(("127.0.0.1", port))
        before.close()
        client.connect(server.getsockname())
        wait_for_end(client, server)
        before = client


def wait_for_end(client: socket.socket, server: socket.socket) -> None:
    with server.accept()[0]:
        print("connected", flush=True)
        with contextlib.suppress(OSError):
            client.recv(1)


main()

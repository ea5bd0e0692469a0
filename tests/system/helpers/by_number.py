"""A client that binds its source port by number, and again a moment after its connection has ended.

`by_number.py PORT` connects to a server of its own. It says `connected` for each connection, and `refused` when the
port is refused to it for the first time since. `by_number.py PORT slowly` keeps its first socket open until a line
comes on standard input.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


def main() -> None:
    port, slowly = int(sys.argv[1]), sys.argv[2:] == ["slowly"]
    refused = False
    with socket.create_server(("127.0.0.1", 0)) as server:
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
                with server.accept()[0]:
                    print("connected", flush=True)
                    with contextlib.suppress(OSError):
                        client.recv(1)
                    if slowly:
                        sys.stdin.readline()
                    slowly = False


main()

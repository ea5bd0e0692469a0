"""A service for a unit of any Type=: arguments TYPE PORT. It binds as nearly all do, with SO_REUSEADDR, and says hello.

`notify` says READY=1 when it listens, `forking` goes on in a child once it listens and writes RUN/PID. Without the port
it ends with status 1.
"""

from __future__ import annotations

import os
import socket
import sys


def main() -> None:
    kind, port = sys.argv[1:]
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("", int(port)))
    server.listen()
    if kind == "notify":
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"READY=1\nSTATUS=serving", os.environ["NOTIFY_SOCKET"])
    if kind == "forking" and (child := os.fork()):
        with open(os.environ["RUNTIME_DIRECTORY"] + "/pid", "w", encoding="ascii") as file:  # noqa: PTH123  # starts fast
            file.write(f"{child}\n")
        os._exit(0)
    while True:
        client, _ = server.accept()
        client.sendall(b"hello from a unit\n")
        client.recv(1)  # who closes first is left with a TIME_WAIT, and this port shall have none
        client.close()


main()

"""A service that is passed a listening socket by systemd's protocol (LISTEN_FDS), and says hello to each client."""

from __future__ import annotations

import os
import socket


def main() -> None:
    assert os.environ["LISTEN_FDS"] == "1"
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    server = socket.socket(fileno=3)
    while True:
        client, _ = server.accept()
        client.sendall(b"hello from a unit\n")
        client.recv(1)  # who closes first is left with a TIME_WAIT, and this port shall have none
        client.close()


main()

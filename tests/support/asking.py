"""Ask a server on 127.0.0.1 of the current network namespace, as a client would."""

from __future__ import annotations

import socket

from tests.support.programs import DEADLINE


def talk(port: int, question: bytes = b"", *, finish: bool = False) -> bytes:
    """Say something, end the own half of the connection if so asked, and read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
        client.sendall(question)
        if finish:
            client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(4096), b""))


def http(port: int) -> bytes:
    """Ask for /, and keep of the answer what does not change with the time: its status line and its body."""
    head, _, body = talk(port, b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n").partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0] + b"\n" + body

"""Connections by the thousand, each from a port of the kernel's choice, each reset at once so that nothing stays."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from typing import TYPE_CHECKING

from tests.support.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

PORT = 6000
"""Where they go: nothing else of the tests is there."""

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close() resets, and leaves no TIME_WAIT


def source_ports(destinations: Iterable[str]) -> Generator[int]:
    """Connect to each of these addresses of 127.0.0.0/8 in turn, and say from which port."""
    with socket.create_server(("0.0.0.0", PORT)) as server:  # noqa: S104  # in a private namespace
        server.settimeout(DEADLINE)
        for address in destinations:
            with socket.socket() as client:
                client.settimeout(DEADLINE)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.connect((address, PORT))
                yield client.getsockname()[1]
                server.accept()[0].close()


def counted(destinations: Iterable[str]) -> Counter[int]:
    """How often each port was picked."""
    return Counter(source_ports(destinations))

"""The kernel's events of destroyed sockets, read one by one."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
from typing import TYPE_CHECKING

from portwait._linux import wire
from portwait._linux.sockdiag import DestroyEvents
from tests.support.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.model.sockets import KernelSocket

_SO_COOKIE = 57  # asm-generic/socket.h


class Events(DestroyEvents):
    """The events, read instead of drained."""

    def next(self) -> tuple[KernelSocket, ...]:
        """Wait for one and read it."""
        assert select.select([self], [], [], DEADLINE)[0], "no event"
        return wire.answer(self._socket.recv(1 << 16), "tcp").sockets

    def until(self, cookie: int) -> Iterator[KernelSocket]:
        """Read those that come until that of one socket has come."""
        while True:
            for each in self.next():
                yield each
                if each.cookie == cookie:
                    return

    def read_all(self) -> None:
        """Read until nothing comes; OSError ENOBUFS where more came than fits."""
        while self.next():
            pass


@contextlib.contextmanager
def subscribed(*ranges: tuple[int, int]) -> Iterator[Events]:
    """Subscribe to the events of these local ports for the length of the body."""
    events = Events(ranges)
    try:
        yield events
    finally:
        events.close()


def cookie_of(sock: socket.socket) -> int:
    """Ask for the number by which an event names a socket."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), sys.byteorder)

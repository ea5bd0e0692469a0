"""A line for messages between two processes of ours: tuples of plain values over a pair of stream sockets.

The values are what `marshal` can write (None, numbers, text, bytes, tuples, lists, dicts); both ends are the same
interpreter, forked, so that its format is no matter.
"""

from __future__ import annotations

import _socket
import marshal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    Message = tuple[Any, ...]

_HEAD = 4  # bytes that say how long the message is
_READ = 1 << 16


class Channel:
    """One end of the line. The process that may block uses `send` and `receive`, the other one the rest."""

    def __init__(self, end: _socket.socket) -> None:
        """Use this end."""
        self._end = end
        self._unread = bytearray()
        self.ended = False
        """Whether the other end is closed: nothing more will come."""

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._end.fileno()

    def send(self, *message: Any) -> None:  # whatever marshal can write
        """Send, however long it takes. Raises OSError where nobody reads any more."""
        self._end.sendall(_packed(message))

    def receive(self) -> Message | None:
        """Wait for a message; None where none will come any more."""
        while (message := self._take()) is None:
            self._read(0)
            if self.ended:
                return None
        return message

    def offer(self, *message: Any) -> bool:  # likewise
        """Send without waiting; whether all of it went out. A short message does where the last one was answered."""
        data = _packed(message)
        try:
            return self._end.send(data, _socket.MSG_DONTWAIT) == len(data)
        except OSError:
            return False

    def received(self) -> Iterator[Message]:
        """Go through the messages that have come, without waiting for more."""
        while (message := self._take()) is not None or self._read(_socket.MSG_DONTWAIT):
            if message is not None:
                yield message

    def finish(self) -> None:
        """Say that no message will follow."""
        try:
            self._end.shutdown(_socket.SHUT_WR)
        except OSError:  # the other end is closed
            self.ended = True

    def close(self) -> None:
        """Close this end."""
        self._end.close()

    def _take(self) -> Message | None:
        unread = self._unread
        size = int.from_bytes(unread[:_HEAD], "big")
        if len(unread) < _HEAD or len(unread) < _HEAD + size:
            return None
        message: Message = marshal.loads(unread[_HEAD : _HEAD + size])  # noqa: S302  # from our own process
        del unread[: _HEAD + size]
        return message

    def _read(self, flags: int) -> bool:
        """Take in what has come; whether anything has."""
        try:
            data = self._end.recv(_READ, flags)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.ended = self.ended or not data
        self._unread += data
        return bool(data)


def pair() -> tuple[Channel, Channel]:
    """Make a line; its two ends. Raises OSError."""
    ours, theirs = _socket.socketpair()
    return Channel(ours), Channel(theirs)


def _packed(message: Message) -> bytes:
    data = marshal.dumps(message)
    return len(data).to_bytes(_HEAD, "big") + data

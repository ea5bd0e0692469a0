"""What systemd is told while portwait waits (sd_notify(3)): for what, and that the start needs more time.

Knows the protocol: datagrams of assignments, and of descriptors, to the socket that NOTIFY_SOCKET names. What is worth
telling is the business of whoever waits (`loop`) or keeps (`fdstore`). Never READY=1: only the service can say that.
Nobody depends on an answer, so a failure means at most that nobody was told.
"""

from __future__ import annotations

import _socket
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXTENSION = 90.0
"""Seconds that each EXTEND_TIMEOUT_USEC asks for, systemd's default TimeoutStartSec=. systemd only ever moves a timeout
to a later time by it, and the last one leaves the service as long to start as if it had not had to wait."""

RENEWAL = EXTENSION / 3
_LONGEST = 1000  # characters, of four bytes at most: systemd drops a datagram of more than PIPE_BUF bytes
_PATIENCE_MS = 1000


def enabled() -> bool:
    """Whether there is somebody to tell."""
    return _address() is not None


def send(*assignments: str, descriptors: Sequence[int] = ()) -> bool:
    """Send one datagram of assignments and descriptors; whether it went out. Raises nothing, never blocks."""
    address = _address()
    if address is None:
        return False
    data = "\n".join(line.replace("\n", " ").replace("\0", " ") for line in assignments)
    numbers = b"".join(number.to_bytes(4, sys.byteorder) for number in descriptors)
    attached = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, numbers)] if numbers else []
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    except OSError:
        return False
    try:
        sock.sendmsg([data.encode(errors="replace")], attached, _socket.MSG_DONTWAIT, address)
    except OSError:
        return False
    finally:
        sock.close()
    return True


def settled() -> bool:
    """Wait until all that was sent has been dealt with (BARRIER=1, systemd 246); False where nobody says so."""
    import select

    reader, writer = os.pipe()
    try:
        sent = send("BARRIER=1", descriptors=[writer])  # the receiver closes its copy when it gets there
        os.close(writer)
        poll = select.poll()
        poll.register(reader, 0)  # POLLHUP is always reported
        return sent and bool(poll.poll(_PATIENCE_MS))
    finally:
        os.close(reader)


def _address() -> bytes | None:
    """The receiver, a path or an abstract name; None where there is none of a kind that we can reach."""
    name = os.fsencode(os.environ.get("NOTIFY_SOCKET", ""))
    if name.startswith(b"@"):
        return b"\0" + name[1:]
    return name if name.startswith(b"/") else None


class Progress:
    """What one wait is for, told when it changes and often enough that the start is not timed out meanwhile."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Tell nothing yet."""
        self._clock = clock
        self._told: str | None = None
        self._renew_at = 0.0

    def tell(self, status: str) -> None:
        """Say for what it waits now; the same again costs nothing until the start needs more time."""
        now = self._clock()
        if not enabled() or (status == self._told and now < self._renew_at):
            return
        self._told, self._renew_at = status, now + RENEWAL
        send(f"STATUS={status[:_LONGEST]}", f"EXTEND_TIMEOUT_USEC={round(EXTENSION * 1_000_000)}")

    def end(self, status: str = "") -> None:
        """Say how it ended, if anything was told; no words take back what was said, because the service has its own."""
        if self._told is not None:
            self.tell(status)
            self._told = None

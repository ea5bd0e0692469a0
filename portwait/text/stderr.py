"""Standard error, written so that a reader who does not read can never keep a service down."""

from __future__ import annotations

import contextlib
import os
import select
import stat

_DESCRIPTOR = 2
_PIECE = 4096  # PIPE_BUF: a pipe that polls writable takes as much without blocking (pipe(7))
_PATIENCE_MS = 200


def write(text: str) -> None:
    """Write, and let fall what nobody takes within a moment. Raises nothing."""
    data = text.encode(errors="backslashreplace")
    poll = select.poll()
    poll.register(_DESCRIPTOR, select.POLLOUT)
    with contextlib.suppress(OSError):
        while data:
            ready = poll.poll(_PATIENCE_MS)
            if not ready or not ready[0][1] & select.POLLOUT:
                return
            data = data[os.write(_DESCRIPTOR, data[:_PIECE]) :]


def is_terminal() -> bool:
    """Whether a person looks at it."""
    try:
        return os.isatty(_DESCRIPTOR)
    except OSError:
        return False


def columns() -> int:
    """Count the columns of the terminal; 0 where it is none."""
    try:
        return os.get_terminal_size(_DESCRIPTOR).columns
    except OSError:
        return 0


def is_journal() -> bool:
    """Whether it goes to journald, which then reads a priority `<3>` at the head of a line (systemd.exec(5))."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(_DESCRIPTOR)
    except OSError:
        return False
    return stat.S_ISSOCK(status.st_mode) and (str(status.st_dev), str(status.st_ino)) == (device, inode)

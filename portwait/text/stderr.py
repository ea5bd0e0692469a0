"""Standard error, written so that a reader who does not read can never keep a service down."""

from __future__ import annotations

import _signal
import _socket
import os
import stat
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_DESCRIPTOR = 2
_PIECE = 4096  # PIPE_BUF: a pipe that polls writable takes as much without blocking (pipe(7))
_PATIENCE = 0.05  # seconds for a reader that is busy
_PAUSE = 0.002
_reader_is_slow = False


def write(text: str) -> None:
    """Write, and drop what nobody reads within a moment. Raises nothing.

    SIGTTOU, which a shell's background job gets for writing to its terminal (`stty tostop`), would stop this process.
    """
    global _reader_is_slow  # noqa: PLW0603  # a reader that did not read the last line is not waited for again
    until = time.monotonic() + (0 if _reader_is_slow else _PATIENCE)
    data = text.encode(errors="backslashreplace")
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTTOU,)) if sys.platform != "win32" else set()
    send, number = _writer()
    try:
        while data:
            try:
                data = data[send(data[:_PIECE]) :]
            except BlockingIOError:
                _reader_is_slow = time.monotonic() >= until
                if _reader_is_slow:
                    return
                time.sleep(_PAUSE)
        _reader_is_slow = False
    except OSError:  # closed, or a reader that has gone
        return
    finally:
        if number is not None:
            os.close(number)
        if sys.platform != "win32":
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)


def _writer() -> tuple[Callable[[bytes], int], int | None]:
    """Answer what writes without blocking, and the descriptor to close behind it.

    O_NONBLOCK belongs to what everybody shares who has this pipe or terminal open. So it is opened once more; a socket
    has a flag for each message instead.
    """
    if not hasattr(os, "O_NONBLOCK"):  # Windows
        return (lambda data: os.write(_DESCRIPTOR, data)), None
    try:
        mode = os.fstat(_DESCRIPTOR).st_mode
        if stat.S_ISSOCK(mode):
            return _send, None
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            number = os.open(f"/proc/self/fd/{_DESCRIPTOR}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
            return (lambda data: os.write(number, data)), number
    except OSError:  # it is closed, there is no /proc, or another user's
        return _write_where_it_polls, None
    return (lambda data: os.write(_DESCRIPTOR, data)), None


def _send(data: bytes) -> int:
    sock = _socket.socket(fileno=os.dup(_DESCRIPTOR))
    try:
        return sock.send(data, _socket.MSG_DONTWAIT)
    finally:
        sock.close()


def _write_where_it_polls(data: bytes) -> int:
    """Write if it polls writable; another writer can still be quicker, and then this waits for the reader."""
    import select

    if not select.select([], [_DESCRIPTOR], [], 0)[1]:
        raise BlockingIOError
    return os.write(_DESCRIPTOR, data)


def is_terminal() -> bool:
    """Whether a person looks at it."""
    try:
        return os.isatty(_DESCRIPTOR)
    except OSError:
        return False


def is_foreground() -> bool:
    """Whether the terminal is this job's now, so that nobody types into what is drawn.

    A terminal that is not this session's has no jobs.
    """
    try:
        return os.tcgetpgrp(_DESCRIPTOR) == os.getpgrp()
    except OSError:
        return True


def columns() -> int:
    """Count the columns of the terminal, 80 where it does not know them; 0 where it is none."""
    try:
        return os.get_terminal_size(_DESCRIPTOR).columns or 80
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

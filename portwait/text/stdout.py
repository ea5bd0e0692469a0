"""Standard output, for reports: written at once, so that what cannot be written is known before portwait ends."""

from __future__ import annotations

import os
import sys

from portwait.errors import PortwaitError

_DESCRIPTOR = 1


def write(text: str) -> None:
    """Write it, whatever the encoding; a reader who has seen enough is no error. Raises PortwaitError: a full disk."""
    data = text.encode(getattr(sys.stdout, "encoding", None) or "utf-8", "backslashreplace")
    try:
        while data:
            try:
                data = data[os.write(_DESCRIPTOR, data) :]
            except BlockingIOError:  # O_NONBLOCK, set by somebody who has the same pipe or terminal open
                import select

                select.select([], [_DESCRIPTOR], [])
    except BrokenPipeError:  # `portwait explain 1-65535 | head`
        return
    except OSError as error:
        raise PortwaitError(f"cannot write to stdout: {error.strerror}") from error

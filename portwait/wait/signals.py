"""Stopping while it waits: by the signal itself, so that whoever sent it sees a clean stop.

Imports only what the interpreter has loaded anyway: as PID 1 every millisecond without a handler loses signals.
"""

from __future__ import annotations

import _signal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn

_STOPPING = {
    getattr(_signal, name): name
    for name in (
        *("SIGTERM", "SIGINT", "SIGHUP"),
        "SIGQUIT",  # how the images of nginx and PHP are stopped (STOPSIGNAL)
        "SIGUSR1",  # HAProxy's
        *("SIGUSR2", "SIGALRM"),
    )
    if hasattr(_signal, name)
}
"""What ends a process that does nothing about it, and is sent to ask for that; a fault's signals are not."""


class Stopped(BaseException):  # like KeyboardInterrupt, it is no error and no `except Exception` may eat it
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        """Say which: `number` is the signal's."""
        super().__init__(number)
        self.number = number
        self.name = _STOPPING.get(number, str(number))


class Stopping:
    """Within the body the signals that ask to end raise Stopped, unless they were ignored from the start.

    PID 1 needs the handlers most: the kernel drops a signal that PID 1 of a namespace has none for (pid_namespaces(7)).
    """

    def __enter__(self) -> None:
        """Take the signals."""
        self._before = {
            number: handler for number in _STOPPING if (handler := _signal.getsignal(number)) != _signal.SIG_IGN
        }
        for number in self._before:
            _signal.signal(number, self._stop)

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            _signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        for other in self._before:
            _signal.signal(other, _not_again)
        raise Stopped(number)


def _not_again(_number: int, _frame: FrameType | None) -> None:
    """Let a second signal pass: one is enough, what follows is the way out.

    Not SIG_IGN: for a signal that has already come the interpreter would report "ignored due to race condition".
    """


def end_by(number: int) -> NoReturn:
    """End by this signal; as PID 1, where that is impossible, with status 128+N."""
    _signal.signal(number, _signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)

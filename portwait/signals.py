"""Stopping while it waits: by the signal itself, so that whoever sent it sees a clean stop."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):  # like KeyboardInterrupt, it is no error and no `except Exception` may eat it
    """A signal asks this process to end."""

    def __init__(self, number: int) -> None:
        """Say which: `number` is the signal's."""
        super().__init__(number)
        self.number = number
        self.name = signal.Signals(number).name


@contextlib.contextmanager
def stopping() -> Iterator[None]:
    """Within the body SIGTERM, SIGINT and SIGHUP raise Stopped, unless they were ignored from the start.

    PID 1 needs the handlers most: the kernel drops a signal that PID 1 of a namespace has none for (pid_namespaces(7)).
    """
    before = {number: signal.getsignal(number) for number in _STOPPING}
    taken = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def stop(number: int, _frame: FrameType | None) -> None:
        for other in taken:
            signal.signal(other, signal.SIG_IGN)  # one is enough: what follows is the way out
        raise Stopped(number)

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)


def end_by(number: int) -> NoReturn:
    """End by this signal; as PID 1, where that is impossible, with status 128+N."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)

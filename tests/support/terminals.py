"""Programs whose output is a terminal: what it was sent, and what it shows."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import struct
import termios
from typing import TYPE_CHECKING

from tests.support.programs import Program, portwait, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_LINES = 24
IN_BACKGROUND = ("bash", "-mc", '"$@" & wait $!', "bash")
"""A shell with job control, which starts a job and has the terminal itself."""
STOPPING_WRITERS = ("bash", "-mc", 'stty tostop; "$@" & wait $!', "bash")
"""The same, where the terminal stops a background job that writes to it (SIGTTOU)."""


class Screen:
    """What a terminal was sent, and what it shows in the end."""

    def __init__(self, leader: int) -> None:
        self._leader = leader
        self._sent = b""

    @property
    def text(self) -> str:
        """What it was sent so far, without the carriage return that a terminal puts before each line feed."""
        return self._sent.decode(errors="replace").replace("\r\n", "\n")

    def read(self) -> None:
        """Take in what has come."""
        while select.select([self._leader], [], [], 0)[0]:
            try:
                self._sent += os.read(self._leader, 1 << 16)
            except OSError:  # EIO: nobody has the other end open
                return

    def read_to_end(self) -> None:
        """Take in all that comes until nobody has the other end open."""
        with contextlib.suppress(OSError):  # EIO
            while True:
                self._sent += os.read(self._leader, 1 << 16)

    def lines(self) -> list[str]:
        """Follow carriage returns and `erase to the end of the line`; colours are left out."""
        self.read()
        text = re.sub(r"\x1b\[[0-9;]*m", "", self.text)
        return [re.split(r"\r\x1b\[K", line.removesuffix("\r"))[-1] for line in text.split("\n")]

    def live(self, words: str) -> bool:
        """Whether the line that the cursor is on says so."""
        return words in self.lines()[-1]

    def type(self, keys: bytes) -> None:
        """Send what somebody at the terminal types."""
        os.write(self._leader, keys)


def run_on_terminal(
    argv: Sequence[str | bytes], columns: int = 200, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program with a terminal of this width as its output, to its end; its status, and what it has said."""
    with _opened(columns) as (screen, follower), running(argv, env, stdout=follower, stderr=follower) as program:
        os.close(follower)
        screen.read_to_end()
        return program.status(), screen.text


@contextlib.contextmanager
def on_terminal(
    *words: str, before: Sequence[str] = (), program: str | None = None
) -> Iterator[tuple[Program, Screen]]:
    """Start portwait, or another program, in a session of its own on a terminal of 200 columns."""
    with _opened(200) as (screen, follower):
        argv = ["setsid", "--ctty", *before, *(portwait(*words) if program is None else (program, *words))]
        env = {**os.environ, "TERM": "xterm"}
        with running(argv, env=env, stdin=follower, stdout=follower, stderr=follower) as started:
            os.close(follower)
            yield started, screen


@contextlib.contextmanager
def _opened(columns: int) -> Iterator[tuple[Screen, int]]:
    """Open a terminal; whoever has started its program closes the descriptor that was for it."""
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", _LINES, columns, 0, 0))
    try:
        yield Screen(leader), follower
    finally:
        os.close(leader)

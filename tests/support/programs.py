"""Programs that tests start: each says when it is ready, has a deadline, and is ended by its own pid."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

DEADLINE = 120.0  # seconds; it only ends a test that has failed, also where forty programs want to run
T = TypeVar("T")


def eventually(look: Callable[[], T], what: str = "it", deadline: float = DEADLINE) -> T:
    """Look again and again until `look` answers something true, and return that; AssertionError at the deadline."""
    end = time.monotonic() + deadline
    while not (answer := look()):
        assert time.monotonic() < end, f"{what} did not happen within {deadline} s"
        threading.Event().wait(0.01)
    return answer


class Program:
    """A child process whose standard output and error are read line by line as they come."""

    def __init__(self, argv: Sequence[str | bytes], env: Mapping[str, str] | None = None, **popen: object) -> None:
        self.argv = argv
        popen.setdefault("stdin", subprocess.DEVNULL)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        self.process: subprocess.Popen[bytes] = subprocess.Popen(argv, env=env, **popen)  # type: ignore[call-overload]  # passes Popen's own keywords on
        self.pid: int = self.process.pid
        self.out: list[str] = []
        self.err: list[str] = []
        self._news: queue.Queue[None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, args=(stream, lines), daemon=True)
            for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
            if stream is not None
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: object, lines: list[str]) -> None:
        for line in stream:  # type: ignore[attr-defined]  # a binary pipe
            lines.append(line.decode(errors="replace").rstrip("\n"))
            self._news.put(None)
        stream.close()  # type: ignore[attr-defined]  # likewise
        self._news.put(None)

    def _await(self, look: Callable[[], T | None], what: str, deadline: float) -> T:
        """Look at the start and at each new line, until `look` has an answer; AssertionError where none can come."""
        end = time.monotonic() + deadline
        while True:
            more = any(reader.is_alive() for reader in self._readers)  # asked first: they may end while we look
            if (answer := look()) is not None:
                return answer
            left = end - time.monotonic()
            assert left > 0, f"no {what} within {deadline} s: {self.describe()}"
            assert more, f"ended without {what}: {self.describe()}"
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=min(left, 0.2))

    def _await_line(self, lines: list[str], text: str, deadline: float) -> str:
        return self._await(
            lambda: next((line for line in list(lines) if text in line), None), f"line with {text!r}", deadline
        )

    def says(self, text: str, deadline: float = DEADLINE) -> str:
        """Wait for the line of standard output that holds `text`."""
        return self._await_line(self.out, text, deadline)

    def complains(self, text: str, deadline: float = DEADLINE) -> str:
        """Wait for the line of standard error that holds `text`."""
        return self._await_line(self.err, text, deadline)

    def says_lines(self, count: int, deadline: float = DEADLINE) -> list[str]:
        """Wait until standard output has this number of lines, and return all."""
        return self._await(lambda: self.out if len(self.out) >= count else None, f"{count} lines", deadline)

    def tell(self, text: str) -> None:
        """Write a line to its standard input (start it with stdin=subprocess.PIPE)."""
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode() + b"\n")
        self.process.stdin.flush()

    def status(self, deadline: float = DEADLINE) -> int:
        """Wait for its end; the exit status, or -N for signal N."""
        status = self.process.wait(deadline)
        for reader in self._readers:
            reader.join(deadline)
        return status

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it, by its own pid, and collect it."""
        if self.process.poll() is None:
            self.process.kill()
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.close()
        self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(1)  # a grandchild may keep the pipe open

    def describe(self) -> str:
        return f"{self.argv!r} (status {self.process.poll()})\nstdout: {self.out}\nstderr: {self.err}"


@contextlib.contextmanager
def running(argv: Sequence[str | bytes], env: Mapping[str, str] | None = None, **popen: object) -> Iterator[Program]:
    """Start a program for the length of the body."""
    program = Program(argv, env, **popen)
    try:
        yield program
    finally:
        program.stop()


def youngest(pid: int) -> int:
    """Follow a process's children, each of whom has one at most, to the last: what `nsenter --pid` has started, say."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        (pid,) = map(int, children)
    return pid


def command_line(pid: int) -> list[str]:
    """Read the command line of a process; of one that has ended it is empty."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).split("\0")[:-1]
    except OSError:
        return []


def portwait(*words: str | bytes) -> list[str | bytes]:
    """Answer the command line of the portwait under test."""
    return [os.environ.get("PORTWAIT", str(Path(sys.executable).parent / "portwait")), *words]

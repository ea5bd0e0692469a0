"""Run the portwait under test, and read what it says."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from portwait import Target, parse
from tests.support.programs import DEADLINE, Program, portwait, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

GAVE_UP, WRONG, NOT_EXECUTABLE, NOT_FOUND = 124, 125, 126, 127
STARTED = ("echo", "started")
"""A service that binds nothing."""


class Outcome(NamedTuple):
    """How a program ended, and all that it said."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it said with --log-format json; every line has to be one object."""
        return events(self.err)

    def event(self, name: str) -> dict[str, Any]:
        """Answer the one event of this name."""
        (found,) = [event for event in self.events if event["event"] == name]
        return found

    @property
    def started(self) -> bool:
        """Whether STARTED has run."""
        return self.out == "started\n"


def events(text: str) -> list[dict[str, Any]]:
    """Read lines of JSON."""
    return [json.loads(line) for line in text.splitlines()]


def in_order(said: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the first report before the line that the wait begins; where naming takes 3 s, that line comes first."""
    if [event["event"] for event in said[:2]] == ["waiting", "held"]:
        said[:2] = said[1::-1]
    return said


def run(argv: Sequence[str | bytes], **how: Any) -> Outcome:
    """Run any program to its end; `timeout` is for one that computes for seconds on a host without other work."""
    how.setdefault("stdin", subprocess.DEVNULL)
    how.setdefault("stdout", subprocess.PIPE)
    how.setdefault("stderr", subprocess.PIPE)
    how.setdefault("timeout", DEADLINE)
    done = subprocess.run(argv, check=False, **how)
    return Outcome(
        done.returncode,
        (done.stdout or b"").decode(errors="surrogateescape"),
        (done.stderr or b"").decode(errors="surrogateescape"),
    )


def guard(*words: str | bytes, before: Sequence[str] = (), **how: Any) -> Outcome:
    """Run portwait to its end; `before` is a program that execs it, with its own arguments."""
    return run([*before, *portwait(*words)], **how)


def changed(code: str, *words: str) -> list[str]:
    """Answer the command line of a portwait that this code has changed before it starts."""
    start = "import sys; from portwait.__main__ import start; sys.argv[0] = 'portwait'; sys.exit(start())"
    return [sys.executable, "-Ic", f"{code}\n{start}", *words]


def slow_tables(seconds: float) -> str:
    """Answer the code with which reading the tables takes this long, for `changed`."""
    return f"""
import time
from portwait.wait import inspection
diagnose, occupied = inspection.diagnose, inspection.occupied
inspection.diagnose = lambda *words, **named: (time.sleep({seconds}), diagnose(*words, **named))[1]
inspection.occupied = lambda *words, **named: (time.sleep({seconds}), occupied(*words, **named))[1]
"""


def target_of(words: str) -> Target:
    """Read a target with its family option in front: `-6 30010`."""
    option, _, word = words.rpartition(" ")
    (target,) = parse([word], {"": 0, "-4": 4, "-6": 6}[option])  # type: ignore[arg-type]  # a Literal, by this table
    return target


@contextlib.contextmanager
def waiting(*words: str, form: str = "auto", start: Sequence[str] = ()) -> Iterator[Program]:
    """Start portwait, or a program that stands in for it, and go on when it waits."""
    with running([*(start or portwait()), "--log-format", form, *words]) as program:
        program.complains("waiting for")
        yield program

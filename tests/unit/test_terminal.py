"""How wide an output is taken to be, and whether it gets colours."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from portwait.text import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="it has no pseudo terminals")


@pytest.fixture
def pty(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Open a terminal that, like a serial console, says that it has 0 columns; no variable says something else."""
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = os.openpty()
    yield follower
    os.close(leader)
    os.close(follower)


def resize(descriptor: int, columns: int) -> None:
    """Tell a terminal how wide it is."""
    import fcntl
    import struct
    import termios

    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


@pytest.mark.parametrize(
    ("variable", "has", "columns"),
    [
        (None, 0, 80),
        (None, 132, 132),
        ("100", 132, 100),
        ("0", 132, 132),
        ("wide", 132, 132),
        ("-5", 132, 132),
        ("12345", 132, 132),
        ("١٢٠", 132, 132),  # digits, and not in ASCII
    ],
)
def test_columns(variable: str | None, has: int, columns: int, pty: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS wins where it is a width; a terminal that says 0 is taken for 80."""
    if variable is not None:
        monkeypatch.setenv("COLUMNS", variable)
    resize(pty, has)
    assert terminal.columns(pty) == columns


@pytest.mark.parametrize(("has", "width"), [(10, 40), (60, 60), (300, 100)])
def test_paper(has: int, width: int, pty: int) -> None:
    """No report is narrower than 40 columns or wider than 100."""
    resize(pty, has)
    paper = terminal.paper(pty)
    assert (paper.width, paper.colours) == (width, True)


def test_what_is_no_terminal(pty: int) -> None:  # noqa: ARG001  # for its variables
    """A pipe and a closed descriptor are not wrapped and have no colours."""
    reader, writer = os.pipe()
    os.close(reader)
    for descriptor in (writer, reader):
        paper = terminal.paper(descriptor)
        assert (paper.width, paper.colours) == (0, False)
    assert terminal.columns(writer) == 80
    os.close(writer)


@pytest.mark.parametrize(
    ("variables", "colours"),
    [
        ({}, (True, False)),
        ({"TERM": "dumb"}, (False, False)),
        ({"TERM": None}, (False, False)),
        ({"TERM": ""}, (False, False)),
        ({"NO_COLOR": "1"}, (False, False)),
        ({"NO_COLOR": ""}, (True, False)),
        ({"FORCE_COLOR": "1"}, (True, True)),
        ({"FORCE_COLOR": "1", "TERM": "dumb"}, (True, True)),
        ({"FORCE_COLOR": "0"}, (True, False)),
        ({"FORCE_COLOR": ""}, (True, False)),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, (False, False)),
    ],
)
def test_colours(
    variables: dict[str, str | None],
    colours: tuple[bool, bool],
    pty: int,  # noqa: ARG001  # for its variables
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal, and elsewhere: NO_COLOR says no, FORCE_COLOR yes, neither where it is empty."""
    for name, value in variables.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    assert (terminal.colours(terminal=True), terminal.colours(terminal=False)) == colours

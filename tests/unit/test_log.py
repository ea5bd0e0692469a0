"""How portwait speaks: to people, to the journal and to programs."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portwait import log
from portwait.log import Log

if TYPE_CHECKING:
    from portwait.log import Format

LEVELS: tuple[Literal["debug", "info", "warning", "error"], ...] = ("debug", "info", "warning", "error")
FORMATS: tuple[Format, ...] = ("auto", "console", "logfmt", "json")
HELD = {
    "target": "30010",
    "port": 30010,
    "ephemeral": True,
    "errno": None,
    "waited": 1.5,
    "blockers": [{"kind": "outbound", "owners": [{"pid": 1988719}]}],
}


class Stderr:
    """What `log` knows as the module `stderr`."""

    def __init__(self, *, terminal: bool = False, journal: bool = False, columns: int = 0) -> None:
        self.written = ""
        self.foreground = True
        self._terminal = terminal
        self._journal = journal
        self._columns = columns

    def write(self, text: str) -> None:
        self.written += text

    def is_terminal(self) -> bool:
        return self._terminal

    def is_foreground(self) -> bool:
        return self.foreground

    def is_journal(self) -> bool:
        return self._journal

    def columns(self) -> int:
        return self._columns


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Stderr:
    """Let it speak into a pipe."""
    return put(Stderr(), monkeypatch)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Stderr:
    """Let it speak to a person."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return put(Stderr(terminal=True, columns=60), monkeypatch)


def put(fake: Stderr, monkeypatch: pytest.MonkeyPatch) -> Stderr:
    monkeypatch.setattr(log, "stderr", fake)
    return fake


PAIR = r'([\w.-]+)=(?:"((?:[^"\\\n]|\\.)*)"|([^\s"=]*))'


def logfmt(line: str) -> dict[str, str]:
    """Read a line as a strict reader of logfmt does: bare values have no space, quote or equals sign."""
    assert re.fullmatch(f"{PAIR}(?: {PAIR})*", line), line
    pairs = re.findall(PAIR, line)
    assert len({key for key, _, _ in pairs}) == len(pairs)
    return {key: bare or re.sub(r"\\(.)", r"\1", quoted) for key, quoted, bare in pairs}


def test_people_read_the_text_alone(pipe: Stderr) -> None:
    """The fields are for programs; the text says it all."""
    said = Log()
    said.info("waiting", "waiting for 30010/tcp\n  for at most 75s", **HELD)
    said.error("gave-up", "gave up", **HELD)
    assert pipe.written == "portwait: waiting for 30010/tcp\n  for at most 75s\nportwait: gave up\n"


@pytest.mark.parametrize("level", LEVELS)
def test_json_is_one_object_a_line(pipe: Stderr, level: str) -> None:
    """With everything that is known, nested as it is, a time with its zone and the level's name."""
    getattr(Log("json", verbose=True), level)("held", "30010/tcp is held\nby somebody", **HELD)
    assert pipe.written.count("\n") == 1
    found = json.loads(pipe.written)
    stamp = found.pop("timestamp")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", stamp)
    assert found == {"event": "held", "level": level, "text": "30010/tcp is held\nby somebody", **HELD}


@pytest.mark.parametrize("level", LEVELS)
def test_logfmt_is_one_flat_line(pipe: Stderr, level: str) -> None:
    """In an order that the eye finds its way in; what is nested is left out, for the text says it."""
    getattr(Log("logfmt", verbose=True), level)("held", 'is held\nby "somebody" a=b', **HELD)
    assert pipe.written.count("\n") == 1
    found = logfmt(pipe.written[:-1])
    assert list(found)[:4] == ["timestamp", "level", "event", "target"]
    del found["timestamp"]
    assert found.pop("text") == 'is held by "somebody" a=b'
    known = {"level": level, "event": "held", "target": "30010", "port": "30010", "waited": "1.5"}
    assert found == {**known, "ephemeral": "true", "errno": ""}


@given(st.text(), st.dictionaries(st.sampled_from(["target", "reason", "name"]), st.text()))
def test_no_text_breaks_a_line(text: str, fields: dict[str, Any]) -> None:
    """Whatever other processes are called: a line for programs is one line, printable, and reads as what went in."""
    with pytest.MonkeyPatch.context() as patch:
        for form in ("json", "logfmt"):
            pipe = put(Stderr(), patch)
            Log("json" if form == "json" else "logfmt").info("held", text, **fields)
            line = pipe.written[:-1]
            assert pipe.written[-1] == "\n"
            assert line.isprintable(), ascii(line)
            if form == "json":
                assert line.isascii()
                assert json.loads(line).items() >= {"text": text, **fields}.items()
            else:
                assert logfmt(line).keys() == {"timestamp", "level", "event", "text", *fields}


@pytest.mark.parametrize(
    ("how", "heard"),
    [
        ({}, ["info", "warning", "error"]),
        ({"verbose": True}, ["debug", "info", "warning", "error"]),
        ({"quiet": True}, ["error"]),
        ({"quiet": True, "verbose": True}, ["error"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("form", FORMATS)
def test_how_much_it_says(pipe: Stderr, form: Format, how: dict[str, bool], heard: list[str]) -> None:
    """-v says more, -q only why the command was not started; the form makes no difference."""
    said = Log(form, **how)
    for level in LEVELS:
        getattr(said, level)("event", f"this is {level}.")
    assert re.findall(r"this is (\w+)\.", pipe.written) == heard
    assert pipe.written.count("\n") == len(heard)


@pytest.mark.parametrize("form", ["auto", "console"])
def test_the_journal_reads_priorities(monkeypatch: pytest.MonkeyPatch, form: Format) -> None:
    """A priority on each line, syslog's number (sd-daemon(3)), details being information; no colours for journald."""
    journal = put(Stderr(journal=True), monkeypatch)
    said = Log(form, verbose=True)
    for level in LEVELS:
        getattr(said, level)("event", f"{level}\n  and more")
    numbers = {"debug": 7, "info": 6, "warning": 4, "error": 3}
    details = {"debug": 7, "info": 6, "warning": 6, "error": 6}
    expected = "".join(f"<{numbers[level]}>portwait: {level}\n<{details[level]}>  and more\n" for level in LEVELS)
    assert journal.written == expected


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_programs_read_no_priorities(monkeypatch: pytest.MonkeyPatch, form: Format) -> None:
    """A form that was asked for by name stays what it is, in the journal too."""
    journal = put(Stderr(journal=True), monkeypatch)
    Log(form).warning("event", "text")
    assert journal.written[0] in "{t"


def test_colours_are_for_terminals(terminal: Stderr) -> None:
    """What is in the way stands out; the details below do not."""
    said = Log()
    said.info("event", "all is well")
    said.warning("event", "is held\n  by somebody")
    said.error("event", "gave up")
    assert terminal.written == (
        "portwait: all is well\n"
        "\x1b[33mportwait: is held\x1b[0m\n  by somebody\n"
        "\x1b[31mportwait: gave up\x1b[0m\n"
    )  # fmt: skip  # a line each


@pytest.mark.parametrize(
    ("variable", "value", "coloured"),
    [
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "", True),
        ("TERM", "dumb", False),
        ("TERM", "xterm", True),
        ("FORCE_COLOR", "1", True),
    ],
)
def test_who_wants_no_colours_gets_none(
    terminal: Stderr, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, coloured: bool
) -> None:
    """NO_COLOR counts when it is not empty (no-color.org); a dumb terminal shows escapes as they are."""
    monkeypatch.setenv(variable, value)
    Log().error("event", "gave up")
    assert ("\x1b[" in terminal.written) is coloured


@pytest.mark.parametrize("form", ["json", "logfmt"])
def test_programs_get_no_colours(terminal: Stderr, form: Format) -> None:
    """Not even on a terminal."""
    Log(form).error("event", "gave up")
    assert terminal.written[:-1].isprintable()


def test_a_pipe_gets_no_escapes(pipe: Stderr) -> None:
    """Neither colours nor a live line."""
    said = Log()
    said.live("waiting for 3s")
    said.error("event", "gave up")
    said.live("")
    assert pipe.written == "portwait: gave up\n"


def test_a_live_line_gives_way(terminal: Stderr) -> None:
    """It is replaced in its place, by the next one, by an event or by nothing; the same again is not written."""
    said = Log()
    said.live("waiting for 3s")
    said.live("waiting for 3s")
    said.live("waiting for 4s")
    said.info("event", "still waiting")
    said.live("waiting for 5s")
    said.live("")
    said.live("")
    said.info("event", "free")
    assert terminal.written == (
        "\r\x1b[Kwaiting for 3s"
        "\r\x1b[Kwaiting for 4s"
        "\r\x1b[Kportwait: still waiting\n"
        "\r\x1b[Kwaiting for 5s"
        "\r\x1b[K"
        "portwait: free\n"
    )  # fmt: skip  # a line each


def test_a_live_line_gives_way_to_what_ctrl_c_says(terminal: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: a signal that comes as soon as the live line is there leaves a line of its own for the last word."""

    def write_and_be_interrupted(text: str) -> None:
        terminal.written += text
        raise KeyboardInterrupt

    said = Log()
    with monkeypatch.context() as interrupted:
        interrupted.setattr(terminal, "write", write_and_be_interrupted)
        with pytest.raises(KeyboardInterrupt):
            said.live("waiting for 3s")
    said.info("stopped", "stopped")
    assert terminal.written == "\r\x1b[Kwaiting for 3s\r\x1b[Kportwait: stopped\n"


@pytest.mark.parametrize(("columns", "longest"), [(60, 59), (25, 24), (5, 19), (0, 79)])
def test_a_live_line_is_one_line(terminal: Stderr, columns: int, longest: int) -> None:
    """A line that wraps cannot be replaced."""
    terminal._columns = columns
    Log().live("x" * 500)
    assert terminal.written == "\r\x1b[K" + "x" * max(longest, 20)
    terminal.written = ""
    Log().live("港" * 500)
    assert terminal.written == "\r\x1b[K" + "港" * (max(longest, 20) // 2)


def test_a_job_in_the_background_draws_nothing(terminal: Stderr) -> None:
    """The user types on that line; events are written all the same, and the foreground has its live line again."""
    said = Log()
    said.live("waiting for 3s")
    terminal.foreground, terminal.written = False, ""
    said.live("waiting for 4s")
    said.info("event", "still waiting")
    said.live("")
    assert terminal.written == "portwait: still waiting\n"
    terminal.foreground = True
    said.live("waiting for 5s")
    assert terminal.written.endswith("\r\x1b[Kwaiting for 5s")


@pytest.mark.parametrize(
    ("form", "how"), [("json", {}), ("logfmt", {}), ("auto", {"quiet": True}), ("console", {"quiet": True})], ids=str
)
def test_who_wants_no_live_line_gets_none(terminal: Stderr, form: Format, how: dict[str, bool]) -> None:
    """Programs, and -q."""
    Log(form, **how).live("waiting for 3s")
    assert terminal.written == ""


def test_a_dumb_terminal_has_no_live_line(terminal: Stderr, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot go back to the beginning of its line."""
    monkeypatch.setenv("TERM", "dumb")
    Log().live("waiting for 3s")
    assert terminal.written == ""

"""How portwait speaks while it waits: one event, as a line to read, as logfmt or as JSON. The one door to structlog.

A line to read is the event's own text and needs no library: structlog's import would cost 40 ms between the eviction
of a connection and the service's start.
"""

from __future__ import annotations

import os

from portwait.text import stderr, terminal
from portwait.text.escape import cut
from portwait.text.layout import Paper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

    Format = Literal["auto", "console", "logfmt", "json"]
    Level = Literal["debug", "info", "warning", "error"]

_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}  # the logging module's numbers
_PRIORITIES: dict[Level, int] = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog's (sd-daemon(3))
_COLOURS: dict[Level, str] = {"warning": "\x1b[33m", "error": "\x1b[31m"}


class Events:
    """Takes events with their fields; `text` is what a person reads in place of the fields."""

    def debug(self, event: str, text: str, **fields: object) -> None:
        """Say what only -v wants to know."""
        self.say("debug", event, text, fields)

    def info(self, event: str, text: str, **fields: object) -> None:
        """Say what happens."""
        self.say("info", event, text, fields)

    def warning(self, event: str, text: str, **fields: object) -> None:
        """Say what is in the way, or what could not be done."""
        self.say("warning", event, text, fields)

    def error(self, event: str, text: str, **fields: object) -> None:
        """Say why the service is not started."""
        self.say("error", event, text, fields)

    def say(self, level: Level, event: str, text: str, fields: dict[str, object]) -> None:
        """Say it; each kind of log in its own way."""
        raise NotImplementedError

    def acting(self, now: bool) -> None:
        """Learn that something is about to be destroyed or signalled, or that all of that has been said."""


class Log(Events):
    """Writes events to stderr. On a terminal the last line can be a live one, which each event replaces."""

    def __init__(self, form: Format = "auto", *, quiet: bool = False, verbose: bool = False) -> None:
        """Choose the form: `auto` is for people, with priorities where the journal reads."""
        self._terminal = stderr.is_terminal() and os.environ.get("TERM") != "dumb"
        self._live = ""
        self._level = _LEVELS["error" if quiet else "debug" if verbose else "info"]
        self._can_live = self._terminal and form in ("auto", "console") and self._level <= _LEVELS["info"]
        self._structured = None if form in ("auto", "console") else _structured(form, self._write)
        self._colours = _COLOURS if terminal.colours(terminal=self._terminal) else {}
        self._priorities = stderr.is_journal()

    def say(self, level: Level, event: str, text: str, fields: dict[str, object]) -> None:
        """Write it, where this level is wanted."""
        if _LEVELS[level] < self._level:
            return
        if self._structured is None:
            self._write(self._to_read(level, text))
        else:
            getattr(self._structured, level)(event, text=text, **fields)

    def _to_read(self, level: Level, text: str) -> str:
        first, *others = text.split("\n")
        width = stderr.columns()
        lines = [*Paper(width).wrap(first, "portwait: ", "  "), *others]
        if level in self._colours:
            lines[0] = f"{self._colours[level]}{lines[0]}\x1b[0m"
        if self._priorities:  # the details are for who reads everything: `journalctl -p warning` has a line a change
            details = max(_PRIORITIES[level], _PRIORITIES["info"])
            lines = [f"<{details if index else _PRIORITIES[level]}>{line}" for index, line in enumerate(lines)]
        return "\n".join(lines)

    def live(self, text: str) -> None:
        """Show what changes all the time, on a terminal only; an empty text takes it away."""
        if not self._can_live or text == self._live:
            return
        if not stderr.is_foreground():  # a shell's background job: the user types on this line
            self._live = ""
            return
        shown = cut(text, max(20, (stderr.columns() or 80) - 1))
        self._live = text  # first: Ctrl-C can come as soon as the line is there
        stderr.write(f"\r\x1b[K{shown}")

    def _write(self, line: str) -> None:
        stderr.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._live = ""


class _Lines:
    """What structlog calls a logger: takes the finished line, whatever the level."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = write


def _structured(form: Format, write: Callable[[str], None]) -> FilteringBoundLogger:
    import structlog

    processors: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
    ]
    if form == "json":
        processors.append(structlog.processors.JSONRenderer())
    else:
        order = ["timestamp", "level", "event", "target"]
        renderer = structlog.processors.LogfmtRenderer(key_order=order, drop_missing=True, bool_as_flag=False)
        processors += [_flat, renderer]
    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Lines(write),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["debug"]),
        cache_logger_on_first_use=True,
    )
    return logger


def _flat(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out of logfmt what is not flat, `text` says it too; and what would break its line, as JSON does."""
    from portwait.text.escape import escape

    return {
        key: escape(value.replace("\n", " "), len(value)) if isinstance(value, str) else value
        for key, value in event.items()
        if not isinstance(value, (list, dict))
    }

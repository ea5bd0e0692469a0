"""How portwait speaks while it waits: one event, as a line to read, as logfmt or as JSON. The one door to structlog."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

import structlog

from portwait import stderr

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

Format = Literal["auto", "console", "logfmt", "json"]
_DEBUG, _INFO, _ERROR = 10, 20, 40  # the logging module's numbers, without its import
_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}  # syslog's (sd-daemon(3))
_COLOURS = {"warning": "\x1b[33m", "error": "\x1b[31m"}


class Log:
    """Events go in with their fields; `text` is what a person reads in place of the fields.

    On a terminal the last line can be a live one, which each event replaces.
    """

    def __init__(self, form: Format = "auto", *, quiet: bool = False, verbose: bool = False) -> None:
        """Choose the form: `auto` is for people, with priorities where the journal reads."""
        self._terminal = stderr.is_terminal() and os.environ.get("TERM") != "dumb"
        self._live = ""
        level = _ERROR if quiet else _DEBUG if verbose else _INFO
        self._can_live = self._terminal and form in ("auto", "console") and level <= _INFO
        self._logger: FilteringBoundLogger = structlog.wrap_logger(
            _Lines(self._write),
            processors=_processors(form, colours=self._terminal and not os.environ.get("NO_COLOR")),
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=True,
        )

    def debug(self, event: str, text: str, **fields: object) -> None:
        """Say what only -v wants to know."""
        self._logger.debug(event, text=text, **fields)

    def info(self, event: str, text: str, **fields: object) -> None:
        """Say what happens."""
        self._logger.info(event, text=text, **fields)

    def warning(self, event: str, text: str, **fields: object) -> None:
        """Say what is in the way, or what could not be done."""
        self._logger.warning(event, text=text, **fields)

    def error(self, event: str, text: str, **fields: object) -> None:
        """Say why the service is not started."""
        self._logger.error(event, text=text, **fields)

    def live(self, text: str) -> None:
        """Show what changes all the time, on a terminal only; an empty text takes it away."""
        if not self._can_live or text == self._live:
            return
        shown = text[: max(20, _columns() - 1)]
        stderr.write(f"\r\x1b[K{shown}")
        self._live = text

    def _write(self, line: str) -> None:
        stderr.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._live = ""


class _Lines:
    """What structlog calls a logger: takes the finished line, whatever the level."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = write


def _processors(form: Format, *, colours: bool) -> list[Processor]:
    if form in ("auto", "console"):
        priorities = stderr.is_journal()

        def console(_logger: WrappedLogger, method: str, event: EventDict) -> str:
            lines = f"portwait: {event['text']}".split("\n")
            if colours and method in _COLOURS:
                lines[0] = f"{_COLOURS[method]}{lines[0]}\x1b[0m"
            return "\n".join(f"<{_PRIORITIES[method]}>{line}" if priorities else line for line in lines)

        return [console]
    stamps: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.add_log_level,
    ]
    if form == "json":
        return [*stamps, structlog.processors.JSONRenderer()]
    order = ["timestamp", "level", "event", "target"]
    return [*stamps, _flat, structlog.processors.LogfmtRenderer(key_order=order, drop_missing=True)]


def _flat(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out of logfmt what is not flat: `text` says it too."""
    return {
        key: value.replace("\n", " ") if isinstance(value, str) else value
        for key, value in event.items()
        if not isinstance(value, (list, dict))
    }


def _columns() -> int:
    try:
        return os.get_terminal_size(2).columns
    except OSError:
        return 80

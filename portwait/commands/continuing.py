"""Whatever portwait itself cannot do is said in one line, and keeps no service down. On the free path."""

from __future__ import annotations

from portwait.errors import UsageError, own_fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from portwait.log import Level
    from portwait.options.record import Options


class continuing_without:  # noqa: N801  # reads as a statement: `with continuing_without("hold the port"):`
    """Within the body a fault of the guard's own is said in one line, and ends the body only: no service stays down."""

    def __init__(self, verb: str, options: Options) -> None:
        """Say it as "failed to `verb`"."""
        self._verb = verb
        self._options = options
        self.failed = False

    def __enter__(self) -> continuing_without:  # typing has no Self before 3.11
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: object, _traceback: TracebackType | None) -> bool:
        """Say what went wrong, except where it is nobody's fault: a wrong word, a signal."""
        if not isinstance(fault, Exception) or isinstance(fault, UsageError):
            return False
        self.failed = True
        say("warning", "failed", own_fault(self._verb, fault), self._options)
        return True


def say(level: Level, event: str, text: str, options: Options, **fields: object) -> None:
    """Say it in the form that the user wants to read, and in plain words where that fails too."""
    try:
        from portwait.log import Log

        Log(options.log_format).say(level, event, text, fields)
    except Exception:  # noqa: BLE001  # structlog is missing, say
        try:
            from portwait.text import stderr

            stderr.write(f"portwait: {text}\n")
        except Exception:  # noqa: BLE001  # nothing can be loaded any more, and no word is worth a wrong start
            return

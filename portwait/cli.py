"""The command line: which verb, and how errors become words and an exit status. The only module that does either."""

from __future__ import annotations

import os
import sys

from portwait.errors import CommandNotFoundError, PortwaitError, UsageError, reason
from portwait.options.record import GUARD, VERBS, Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run portwait with these words, or the process's own; the exit status, unless it becomes the command."""
    own = sys.argv[1:] if words is None else list(words)
    try:
        return _dispatch(own)
    except PortwaitError as error:
        _complain(error, own)
        return error.status
    except SystemExit as end:  # argparse's, behind help: with PYTHONINSPECT Python would show it as a traceback
        return end.code if isinstance(end.code, int) else 0


def _complain(error: PortwaitError, words: list[str]) -> None:
    """Say why nothing was started or done, as a line of the log where one of another form was asked for."""
    from portwait.text import stderr

    form = os.environ.get("PORTWAIT_LOG_FORMAT", "")
    own = words[: words.index("--")] if "--" in words else words
    for index, word in enumerate(own):
        name, _, value = word.partition("=")
        if name == "--log-format":
            form = value or "".join(own[index + 1 : index + 2])
    if form in ("json", "logfmt"):
        try:
            from portwait.log import Log

            Log("json" if form == "json" else "logfmt").error("failed", str(error), status=error.status)
        except ImportError:  # structlog is missing
            stderr.write(f"portwait: {error}\n")
    else:
        stderr.write(f"portwait: {error}\n")


def _dispatch(words: list[str]) -> int:
    if sys.platform != "linux":
        _refuse_what_only_linux_has(words)
    if words and words[0] in VERBS:
        return _verb(words[0], words[1:])
    cut = words.index("--") if "--" in words else len(words)
    own, command = words[:cut], words[cut + 1 :]
    try:
        return _guard(own, command if cut < len(words) else None)
    except UsageError as error:
        from portwait.options import suggestions

        raise suggestions.hinted(error, GUARD, own, command) from None
    except CommandNotFoundError as error:
        from portwait.options import suggestions

        raise suggestions.hinted_command(error, own, command) from None


def _refuse_what_only_linux_has(words: list[str]) -> None:
    """Raise PortwaitError for what this system has no means for; help and the version are everybody's."""
    verb = words[0] if words and words[0] in VERBS else GUARD
    windows = sys.platform == "win32"
    own = words[: words.index("--")] if "--" in words else words
    if verb in ("explain", "completion") or (verb == GUARD and not windows):
        return
    if {"-h", "--help", "-V", "--version"} & {*own}:
        return
    here = "here portwait can explain" if windows else "here portwait can explain, and wait as a guard"
    only = "on Windows no process becomes another one (exec)" if verb == GUARD else "only Linux has the means for it"
    raise PortwaitError(f"cannot {verb}: {only}; {here}")


def _guard(own: list[str], command: list[str] | None) -> int:
    from portwait.commands import guard

    if command is not None and not command:
        raise UsageError("cannot start nothing: a COMMAND follows --; to wait only, leave out the --")
    if any(word[:1] == "-" for word in own) or _has_variables():
        from portwait.options import reader

        options = reader.read(GUARD, own)
    else:
        options = Options()
        options.targets = tuple(own)
    if command is None and any(word[:1].isalpha() for word in options.targets[1:]):
        from portwait.options import suggestions

        suggestions.refuse_commands(options.targets)
    return guard.run(options, command or [])


def _verb(name: str, words: list[str]) -> int:
    try:
        if name == "explain" and sys.platform == "linux":
            _load_in_one_piece()
        # Not importlib.import_module: importing importlib takes half a millisecond.
        module = __import__(f"portwait.commands.{'reserve' if name == 'release' else name}", fromlist=["run"])
        status, text = (module.release if name == "release" else module.run)(words)
    except UsageError as error:
        from portwait.options import suggestions

        cut = words.index("--") if "--" in words else len(words)
        raise suggestions.hinted(error, name, words[:cut], words[cut + 1 :]) from None
    except PortwaitError:
        raise
    except Exception as fault:  # a traceback's status 1 would say that something is held
        from portwait.text.escape import escape

        raise PortwaitError(f"cannot {name}: {escape(reason(fault))}") from fault
    from portwait.text import stdout

    stdout.write(text)
    return int(status)


def _load_in_one_piece() -> None:
    """Load the modules that explain a held port from the one file that an installed portwait has for them."""
    try:
        from portwait._explain_path import load  # type: ignore[import-not-found,unused-ignore]  # a wheel has it
    except ImportError:  # a checkout
        return
    load()


def _has_variables() -> bool:
    """Whether the environment says anything of options; PORTWAIT_TARGETS alone needs no reading."""
    return any(name.startswith("PORTWAIT_") and name != "PORTWAIT_TARGETS" for name in os.environ)

"""argparse over the table of options: the help, every error, and the spellings that `reader` does not know."""

from __future__ import annotations

import argparse
import os

from portwait._version import __version__
from portwait.errors import UsageError
from portwait.options.record import GUARD, VERBS, verb_of
from portwait.options.table import ROWS, rows_of
from portwait.options.values import READERS
from portwait.text import stdout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from portwait.options.row import Row

_DESCRIPTION = """\
Start a service only when the kernel says that its port can be bound.

portwait asks by bind(), as the service will. When the port is held it says by
whom (mostly an outbound connection that was given the port as its source
port: netstat -l cannot show it), waits, keeps the port from being given to
anybody else, and then becomes the service: same PID, nothing in between.
"""

_EPILOG = """\
verbs, each with its own --help:
{verbs}

TARGET is a port (30010), an address and a port (127.0.0.1:30010, [::1]:30010),
a range (30000-30010) or a service's name (redis), each with /udp for UDP; a
device may follow the address (0.0.0.0%eth0:67). Without an address it means
all addresses of both families. Without a COMMAND portwait only waits, as for
systemd's ExecStartPre=.

Every option but --terminate, --signal and --kill-after has an environment
variable: --timeout 2m is PORTWAIT_TIMEOUT=2m, --no-hold is PORTWAIT_HOLD=none,
-6 is PORTWAIT_FAMILY=6. The option wins, and each flag has its opposite:
--no-evict wins over PORTWAIT_EVICT=1, --no-reserve over PORTWAIT_RESERVE=1.
PORTWAIT_TARGETS stands in where no TARGET is given.

exit status:
  the command's own   portwait has become it
  0                   free (or --anyway), and there was no command
  124                 gave up waiting; the command was not started
  125                 portwait was called wrongly
  126, 127            the command cannot be run, or is not found
  signal N            stopped while waiting (as PID 1: status 128+N)
--dry-run ends with 124 where the port is held now, whatever would come of the
wait; with 126, 127 where it is free and the command cannot be run; else with 0.

examples:
  portwait 30010 -- java -jar app.jar      wait for at most 75 s, then become it
  portwait --timeout 2m 80 443 -- nginx    two ports, two minutes
  ExecStartPre=+/usr/local/bin/portwait 30010        in a systemd unit
  ENTRYPOINT ["portwait", "--"]            in an image, with PORTWAIT_TARGETS
"""

_BARE = {flag: row.bare for row in ROWS if row.bare for flag in row.flags}
"""Options whose value is optional and has to stand behind `=`, so that a TARGET never becomes one."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Argparse makes one for each option, and imports shutil, 4 ms, to ask the terminal for its width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width(), max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Write `-t, --timeout DURATION`, and `--hold[=full]` where the value is optional and behind `=`."""
        if not action.option_strings or not action.metavar:
            return super()._format_action_invocation(action)
        value = f"[={action.metavar}]" if action.option_strings[-1] in _BARE else f" {action.metavar}"
        return ", ".join(action.option_strings) + value


def _width() -> int:
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns) - 2
    except (OSError, ValueError):
        return 78


class Parser(argparse.ArgumentParser):
    """argparse, with its errors turned into ours, and its help written as our reports are."""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing and exiting; argparse repeats some words as they are."""
        from portwait.text.escape import escape

        option, ignored, value = message.removeprefix("argument ").partition(": ignored explicit argument ")
        if ignored:
            message = f"the option {option} takes no value, and {value} is one"
        raise UsageError(f"{escape(message)} (see {self.prog} --help)")

    def _print_message(self, message: str, file: object = None) -> None:  # noqa: ARG002  # as argparse has it
        """Write the help or the version; argparse would leave it in a buffer, or be silent about a full disk."""
        stdout.write(message)


def read(verb: str, words: Sequence[str], about: tuple[str, str] = ("", "")) -> dict[str, object]:
    """Read a verb's words, or the guard's; prints the help or the version and exits where they are asked for."""
    said = vars(parser(verb, about).parse_intermixed_args(_spell_out(verb, words)))
    alone = said.pop(verb_of(verb).field)
    return {**said, verb_of(verb).field: tuple(alone)} if alone else said


def parser(verb: str = GUARD, about: tuple[str, str] = ("", "")) -> argparse.ArgumentParser:
    """Build the parser of a verb, or of the guard; defaults are absent, so that the environment can stand in."""
    prog = "portwait" if verb == GUARD else f"portwait {verb}"
    description, epilog = (_DESCRIPTION, _guard_epilog()) if verb == GUARD else about
    of = verb_of(verb)
    result = Parser(
        prog=prog,
        usage=f"{prog} {of.usage}",
        description=description,
        epilog=epilog,
        formatter_class=_Help,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    result._positionals.title, result._optionals.title = "arguments", "options"  # noqa: SLF001  # Python 3.9 differs
    result.add_argument(of.field, nargs="*", default=[], metavar=of.metavar, help=of.what)
    rows = rows_of(verb)
    for row in sorted(rows, key=lambda row: row.key != "help"):
        _add(result, row)
    return result


def _guard_epilog() -> str:
    return _EPILOG.format(verbs="\n".join(f"  portwait {name:10}  {verb.summary}" for name, verb in VERBS.items()))


def _add(to: argparse.ArgumentParser, row: Row) -> None:
    text = row.text.replace("%", "%%")
    if row.key == "help":
        to.add_argument(*row.flags, action="help", help=text)
    elif row.key == "version":
        to.add_argument(*row.flags, action="version", version=f"portwait {__version__}", help=text)
    elif row.metavar:
        to.add_argument(*row.flags, dest=row.key, type=_reader(row), metavar=row.metavar, help=text)
    else:
        to.add_argument(*row.flags, dest=row.key, action="store_const", const=row.const, help=text)
    if row.other:
        flag, value, other = row.other
        text = other.replace("%", "%%") or argparse.SUPPRESS
        to.add_argument(flag, dest=row.key, action="store_const", const=value, help=text)


def _reader(row: Row) -> Callable[[str], object]:
    """Let errors name the option."""

    def read(text: str) -> object:
        try:
            return READERS[row.reader](text)
        except UsageError as error:
            raise UsageError(f"in the option {'/'.join(row.flags)}: {error}") from None

    return read


def _spell_out(verb: str, words: Sequence[str]) -> list[str]:
    """Put a value that argparse would not see behind `=`: one that may be left out, and one like -1."""
    rows = rows_of(verb)
    optional = {flag: row.bare for row in rows if row.bare for flag in row.flags}
    valued = {flag: row.flags[-1] for row in rows if row.metavar and not row.bare for flag in row.flags}
    result: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in optional:
            result.append(f"{word}={optional[word]}")
        elif word in valued:
            value = next(rest, None)
            negative = value is not None and value[:1] == "-" and value[1:2].isdigit()
            result += [f"{valued[word]}={value}"] if negative else [word] if value is None else [word, value]
        else:
            result.append(word)
    return result

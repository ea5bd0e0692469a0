"""From words to options: argparse, with the environment's twins standing in for what no word says."""

from __future__ import annotations

import argparse
import os

from portwait._version import __version__
from portwait.errors import UsageError, quote
from portwait.options import environment
from portwait.options.table import EVICTABLE, EVICTED, Options
from portwait.text import durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

_DESCRIPTION = """\
Start a service only when the kernel says that its port can be bound.

portwait asks by bind(), as the service will. When the port is held it says by
whom (mostly an outbound connection that was given the port as its source
port: netstat -l cannot show it), waits, keeps the port from being given to
anybody else, and then becomes the service: same PID, nothing in between.
"""

_EPILOG = """\
verbs, each with its own --help:
  portwait explain TARGET...   who is in the way, why, what to do
  portwait evict TARGET...     destroy the connections in the way
  portwait reserve PORTS...    keep the kernel from picking these ports
  portwait release PORTS...    undo that
  portwait audit [PORTS...]    which ports can be taken, and how likely

TARGET is a port (30010), an address and a port (127.0.0.1:30010, [::1]:30010),
a range (30000-30010) or a service's name (redis), each with /udp for UDP.
Without an address it means all addresses of both families. Without a COMMAND
portwait only waits, as for systemd's ExecStartPre=.

Every option but --terminate has an environment twin: --timeout 2m is
PORTWAIT_TIMEOUT=2m, --no-hold is PORTWAIT_HOLD=none, -6 is PORTWAIT_FAMILY=6.
The option wins, and each flag has its opposite: --no-evict wins over
PORTWAIT_EVICT=1, --no-reserve over PORTWAIT_RESERVE=1. PORTWAIT_TARGETS stands
in where no TARGET is given.

exit status:
  the command's own   portwait has become it
  0                   free (or --anyway), and there was no command
  124                 gave up waiting; the command was not started
  125                 portwait was called wrongly
  126, 127            the command cannot be run, or is not found
  signal N            stopped while waiting (as PID 1: status 128+N)
--dry-run ends with 0 where it is free now, else with 124; likewise 126, 127.

examples:
  portwait 30010 -- java -jar app.jar      wait for at most 75 s, then become it
  portwait --timeout 2m 80 443 -- nginx    two ports, two minutes
  ExecStartPre=+/usr/local/bin/portwait 30010        in a systemd unit
  ENTRYPOINT ["portwait", "--"]            in an image, with PORTWAIT_TARGETS
"""

_BARE = {"--hold": "--hold=default", "--evict": f"--evict={','.join(EVICTED)}", "--terminate": "--terminate=TERM"}
"""Options whose value is optional and must be behind `=`, so that a TARGET never becomes one."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Argparse makes one for each option, and imports shutil, 4 ms, to ask the terminal for its width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_width(), max_help_position=28)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        """Write `-t, --timeout DURATION`, and `--hold[=full]` where the value is optional and behind `=`."""
        if not action.option_strings or not action.metavar:
            return super()._format_action_invocation(action)
        value = f"[={action.metavar}]" if set(action.option_strings) & set(_BARE) else f" {action.metavar}"
        return ", ".join(action.option_strings) + value


def _width() -> int:
    try:
        return int(os.environ.get("COLUMNS") or os.get_terminal_size().columns) - 2
    except (OSError, ValueError):
        return 78


class Parser(argparse.ArgumentParser):
    """argparse, with its errors turned into ours."""

    def __init__(self, **settings: Any) -> None:
        """Give its list of options the heading that Python 3.10 and newer give it."""
        super().__init__(**settings)
        self._optionals.title = "options"

    def error(self, message: str) -> NoReturn:
        """Raise UsageError instead of printing and exiting; argparse repeats some words as they are."""
        from portwait.text.escape import escape

        raise UsageError(f"{escape(message)} (see {self.prog} --help)")


def parser() -> argparse.ArgumentParser:
    """Build the guard's parser; its defaults are absent, so that the environment can stand in for them."""
    result = Parser(
        prog="portwait",
        usage="portwait [OPTION...] TARGET... [-- COMMAND [ARG...]]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=_Help,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    result.add_argument("targets", nargs="*", metavar="TARGET", help="what the service will bind")
    add = result.add_argument
    add(
        "-t",
        "--timeout",
        type=durations.parse,
        metavar="DURATION",
        help="give up after this: 90, 90s, 2m, 1h30m, 500ms, inf; 0 looks once (default: 75s)",
    )
    add(
        "--hold",
        choices=("default", "full", "none"),
        metavar="full",
        help="keep the port from connect() until the service has it; on where there is a COMMAND; "
        "--hold=full also from bind(0), and from services without SO_REUSEADDR",
    )
    add("--no-hold", dest="hold", action="store_const", const="none", help="do not hold")
    target_options(result)
    flag(result, "--listen", "bind, listen and pass the socket on (LISTEN_FDS), for services that take sockets")
    flag(result, "--fdstore", "keep the hold in systemd's descriptor store, so that it outlives restarts")
    evict_options(
        result, "destroy the outbound connections and ownerless leftovers that are in the way", "evict and signal only"
    )
    add("--no-evict", dest="evict", action="store_const", const=frozenset(), help=argparse.SUPPRESS)
    add(
        "--terminate",
        type=_signal,
        metavar="SIGNAL",
        help="last resort: signal the process that owns what is in the way, once, with TERM by default",
    )
    flag(result, "--reserve", "reserve the ports before waiting, so that the kernel gives them to nobody; takes root")
    flag(result, "--anyway", "after the timeout start the command all the same")
    flag(result, "--dry-run", "say what would be done, and do none of it")
    log_format_option(result)
    flag(result, "--quiet", "say only why the command was not started", short="-q")
    flag(result, "--verbose", "say more", short="-v")
    add("--version", action="version", version=f"portwait {__version__}")
    return result


def verb(name: str, usage: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Build the parser of a verb, without options yet."""
    return Parser(
        prog=f"portwait {name}",
        usage=f"portwait {name} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=_Help,
        allow_abbrev=False,
    )


def target_options(to: argparse.ArgumentParser) -> None:
    """Add what says how the service binds its targets."""
    flag(
        to,
        "--reuseaddr",
        "the service sets SO_REUSEADDR, as nearly all do (the default)",
        "the service does not set SO_REUSEADDR: probe like it",
    )
    to.add_argument("-4", dest="family", action="store_const", const=4, help="IPv4 only")
    to.add_argument("-6", dest="family", action="store_const", const=6, help="IPv6 only")


def log_format_option(to: argparse.ArgumentParser) -> None:
    """Add how to speak on stderr."""
    to.add_argument(
        "--log-format",
        choices=environment.FORMATS,
        metavar="FORMAT",
        help="how it speaks: auto, console, logfmt or json",
    )


def evict_options(to: argparse.ArgumentParser, text: str, narrowed: str) -> None:
    """Add what the guard and the verb `evict` take alike; `narrowed` is what is done only to what some own."""
    to.add_argument(
        "--evict",
        type=environment.kinds,
        metavar="KIND,...",
        help=f"{text}; the kinds are {', '.join(EVICTED)} (these by default), "
        f"{', '.join(EVICTABLE[len(EVICTED) : -2])}, and on top of them udp (connected sockets) and unseen (owners)",
    )
    to.add_argument("--evict-user", type=environment.names, metavar="USER,...", help=f"{narrowed} what these users own")
    to.add_argument(
        "--evict-unit", type=environment.names, metavar="UNIT,...", help="likewise these units, or patterns like app@*"
    )


def flag(to: argparse.ArgumentParser, name: str, text: str, opposite: str = argparse.SUPPRESS, short: str = "") -> None:
    """Add --name and its --no-name, so that a flag can win over the environment."""
    key = name[2:].replace("-", "_")
    to.add_argument(*([short] if short else []), name, dest=key, action="store_true", help=text)
    to.add_argument(f"--no-{name[2:]}", dest=key, action="store_false", help=opposite)


def read(words: Sequence[str], variables: Mapping[str, str] | None = None) -> Options:
    """Read the guard's options; a flag wins over its environment twin. Raises UsageError."""
    options = Options()
    for name, value in environment.read(variables).items():
        setattr(options, name, value)
    parsed = vars(parser().parse_intermixed_args(bare(words)))
    for name, value in parsed.items():
        setattr(options, name, tuple(value) if name == "targets" else value)
    if options.evict is None and not options.terminate and {"evict_user", "evict_unit"} & parsed.keys():
        raise UsageError("--evict-user and --evict-unit narrow --evict or --terminate, and neither was given")
    return options


def read_verb(
    of: argparse.ArgumentParser, words: Sequence[str], variables: Mapping[str, str] | None = None
) -> argparse.Namespace:
    """Read a verb's options; for those that it shares with the guard the twins stand in, as they do there."""
    shared = {name for name in environment.NAMES if of.get_default(name) is not None}
    return of.parse_intermixed_args(bare(words), argparse.Namespace(**environment.read(variables, shared)))


def bare(words: Sequence[str]) -> list[str]:
    """Give options whose value is optional, and missing, the value that they then have."""
    return [_BARE.get(word, word) for word in words]


def _signal(text: str) -> int:
    from signal import Signals

    name = text.upper().removeprefix("SIG")
    for known in Signals:
        if name in (known.name.removeprefix("SIG"), str(known.value)):
            return known.value
    raise UsageError(f"cannot read signal {quote(text)}: expected a name or a number, as TERM, INT or 15")

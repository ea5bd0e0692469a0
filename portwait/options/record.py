"""The verbs, and the record of what the user asked for, with its defaults.

On the free path: imports nothing before it is asked for targets.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from portwait.bind.hold import Mode
    from portwait.log import Format
    from portwait.model.targets import Family, Target

GUARD = "guard"
"""What the table calls the guard, which no word starts."""


class Verb:
    """A verb: what follows it, what it does in a few words, and which field of Options its words go to."""

    __slots__ = ("field", "metavar", "summary", "usage", "what")

    def __init__(self, usage: str, summary: str, field: str, metavar: str, what: str) -> None:
        """Fill it."""
        self.usage, self.summary, self.field, self.metavar, self.what = usage, summary, field, metavar, what


_TARGET = ("targets", "TARGET", "what the service will bind")
_PORTS = ("ports", "PORTS", "ports and ranges: 50001,5200-5300,6001")

VERBS = {
    "explain": Verb("[OPTION...] TARGET...", "who is in the way, why, what to do", *_TARGET),
    "evict": Verb("[OPTION...] TARGET...", "destroy the connections in the way", *_TARGET),
    "reserve": Verb("[OPTION...] [PORTS...]", "keep the kernel from picking these ports", *_PORTS),
    "release": Verb("[OPTION...] PORTS...", "undo reserve", *_PORTS),
    "audit": Verb("[OPTION...] [PORTS...]", "which ports can be taken, and how likely", *_PORTS),
    "pick": Verb(
        "[OPTION...] RANGE... [-- COMMAND [ARG...]]",
        "choose a free port and hold it for a command",
        *("targets", "RANGE", "where to pick from"),
    ),
    "unit": Verb(
        "[OPTION...] UNIT [TARGET...]",
        "print the drop-in that guards a systemd unit",
        *("targets", "UNIT", "the service's unit, as in orders.service or orders, and what it binds"),
    ),
    "completion": Verb("bash|zsh|fish", "print the completion of a shell", *("shells", "SHELL", "bash, zsh or fish")),
}
"""Each is a module of `portwait.commands`, whose `run(words)` answers a status and the text for stdout.

`release` is a function of the module `reserve`.
"""

_COMMAND = Verb("[OPTION...] TARGET... [-- COMMAND [ARG...]]", "", *_TARGET)


def verb_of(name: str) -> Verb:
    """Find a verb, or the guard."""
    return VERBS.get(name, _COMMAND)


class Options:
    """What the user asked for, by option, environment variable or default; the defaults are the table's."""

    targets: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    shells: tuple[str, ...] = ()
    timeout: float = 75.0
    hold: Mode | None = None
    """None: on where there is a command."""
    reuseaddr: bool = True
    reuseport: bool = False
    freebind: bool = False
    family: Family = 0
    listen: bool = False
    fdstore: bool = False
    evict: frozenset[str] | None = None
    """What may be evicted, nothing where it is empty; None: nothing was said."""
    evict_user: tuple[str, ...] = ()
    evict_unit: tuple[str, ...] = ()
    terminate: frozenset[str] | None = None
    """Whose owners may be signalled; None: nobody's."""
    signal: int = 15
    kill_after: float = float("inf")
    """Seconds; inf: never."""
    reserve: bool = False
    anyway: bool = False
    dry_run: bool = False
    log_format: Format = "auto"
    quiet: bool = False
    verbose: bool = False
    count: int = 1
    random: bool = False
    env: tuple[str, ...] = ()
    persist: bool = False
    only: bool = False
    ignore: str = ""
    gap: float = 10.0
    rate: float | None = None
    window: float = 1.0
    format: str = "text"
    output: str | None = None
    user: bool = False
    template: str | None = None
    json: bool = False

    def wanted(self, variables: Mapping[str, str]) -> tuple[Target, ...]:
        """Read its TARGETs, or those of PORTWAIT_TARGETS where it has none; () without either. Raises UsageError."""
        from portwait.model import targets

        return targets.asked_for(self.targets, variables, self.family, reuseport=self.reuseport, freebind=self.freebind)

    @property
    def surely_reuseaddr(self) -> bool:
        """Whether the user has said that the service sets SO_REUSEADDR; otherwise it is what nearly all do."""
        return self.reuseaddr and "reuseaddr" in vars(self)

    @property
    def talks(self) -> bool:
        """Whether even a free port is worth a word."""
        return self.verbose or self.dry_run

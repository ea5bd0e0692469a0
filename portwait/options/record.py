"""The verbs, a row of the table of options, and the record of what the user asked for; the table has its defaults.

On the free path: imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.bind.hold import Mode
    from portwait.log import Format
    from portwait.model.targets import Family

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
}
"""Each is a module of `portwait.commands`, whose `run(words)` answers a status and the text for stdout.

`release` is a function of the module `reserve`.
"""

_COMMAND = Verb("[OPTION...] TARGET... [-- COMMAND [ARG...]]", "", *_TARGET)


def verb_of(name: str) -> Verb:
    """Find a verb, or the guard."""
    return VERBS.get(name, _COMMAND)


class Row:
    """One option.

    `flags` are its spellings, short before long; `key` is its field in Options; `text` its help, `more` what the manual
    adds. With a `metavar` it takes a value, which `reader` reads; with a `bare` text too, the value may be left out and
    has to stand behind `=`. Without a metavar the flag stands for `const`. `other` is a second spelling with a value
    and a help of its own, `--no-hold`; without a help it is not listed. `dry_run` is what a rehearsal says it would do.
    `offers` are values for completion, or the name of what the shell knows: USERS, UNITS, FILES, PORTS.
    """

    __slots__ = (
        *("bare", "const", "default", "dry_run", "flags", "key", "metavar", "more", "offers", "other", "reader"),
        *("text", "typed_only", "verbs"),
    )

    def __init__(  # the columns of the table
        self,
        flags: str,
        verbs: str,
        text: str,
        *,
        key: str = "",
        default: object = False,
        const: object = True,
        reader: str = "yes",
        metavar: str = "",
        bare: str = "",
        other: tuple[str, object, str] | None = None,
        typed_only: bool = False,
        dry_run: str = "",
        offers: tuple[str, ...] = (),
        more: str = "",
    ) -> None:
        """Fill it; a flag of the guard gets its --no- form, which wins over the environment."""
        self.flags = tuple(flags.split())
        self.verbs = tuple(verbs.split())
        self.key = key or self.flags[-1][2:].replace("-", "_")
        self.text, self.default, self.const, self.reader, self.metavar = text, default, const, reader, metavar
        self.bare, self.typed_only, self.dry_run, self.offers, self.more = bare, typed_only, dry_run, offers, more
        if other is None and not metavar and self.variable:
            other = (f"--no-{self.flags[-1][2:]}", False, "")
        self.other = other

    @property
    def variable(self) -> str:
        """Name its environment variable; empty where it has none."""
        return "" if self.typed_only or GUARD not in self.verbs else f"PORTWAIT_{self.key.upper()}"


class Options:
    """What the user asked for, by option, environment variable or default; the defaults are the table's."""

    targets: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    timeout: float
    hold: Mode | None
    """None: on where there is a command."""
    reuseaddr: bool
    reuseport: bool
    freebind: bool
    family: Family
    listen: bool
    fdstore: bool
    evict: frozenset[str] | None
    """What may be evicted, nothing where it is empty; None: nothing was said."""
    evict_user: tuple[str, ...]
    evict_unit: tuple[str, ...]
    terminate: frozenset[str] | None
    """Whose owners may be signalled; None: nobody's."""
    signal: int
    kill_after: float
    """Seconds; inf: never."""
    reserve: bool
    anyway: bool
    dry_run: bool
    log_format: Format
    quiet: bool
    verbose: bool
    count: int
    random: bool
    env: tuple[str, ...]
    persist: bool
    only: bool
    gap: float
    rate: float | None
    window: float
    format: str
    output: str | None
    json: bool

    @property
    def talks(self) -> bool:
        """Whether even a free port is worth a word."""
        return self.verbose or self.dry_run

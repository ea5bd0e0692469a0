"""What a row of the table of options says."""

from __future__ import annotations

from portwait.options.record import GUARD


class Row:
    """One option.

    `flags` are its spellings, short before long; `key` is its field in Options; `text` its help, `more` what the manual
    adds. With a `metavar` it takes a value, which `reader` reads; with a `bare` text too, the value may be left out and
    has to stand behind `=`. Without a metavar the flag stands for `const`. `other` is a second spelling with a value
    and a help of its own, `--no-hold`; without a help it is not listed. `dry_run` is what a rehearsal says it would do.
    `offers` are values for completion, or the name of what the shell knows: USERS, UNITS, FILES, PORTS.
    """

    __slots__ = (
        *("bare", "const", "dry_run", "flags", "key", "metavar", "more", "offers", "other", "reader"),
        *("text", "typed_only", "verbs"),
    )

    def __init__(  # the columns of the table
        self,
        flags: str,
        verbs: str,
        text: str,
        *,
        key: str = "",
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
        self.text, self.const, self.reader, self.metavar = text, const, reader, metavar
        self.bare, self.typed_only, self.dry_run, self.offers, self.more = bare, typed_only, dry_run, offers, more
        if other is None and not metavar and self.variable:
            other = (f"--no-{self.flags[-1][2:]}", False, "")
        self.other = other

    @property
    def variable(self) -> str:
        """Name its environment variable; empty where it has none."""
        return "" if self.typed_only or GUARD not in self.verbs else f"PORTWAIT_{self.key.upper()}"

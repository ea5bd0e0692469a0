"""From words and environment to Options, without argparse where every word is spelt exactly.

Exact are `--name=value`, `--name value`, `-t value`, flags, and words that do not begin with `-`. Help, errors and all
other spellings (`-t5`, `-qv`) go to `parser`, which is argparse over the same table: there is one grammar.
"""

from __future__ import annotations

import os

from portwait.errors import UsageError
from portwait.options import environment
from portwait.options.record import GUARD, Options, verb_of
from portwait.options.table import rows_of
from portwait.options.values import READERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Form = tuple[str, object, Callable[[str], object] | None]


def read(
    verb: str, words: Sequence[str], about: tuple[str, str] = ("", ""), variables: Mapping[str, str] | None = None
) -> Options:
    """Read the options of a verb, or of the guard; a word wins over its variable. Raises UsageError.

    `about` are the texts in front of and behind the options in a verb's help.
    """
    environ = os.environ if variables is None else variables
    said = exact(verb, words)
    if said is None:
        from portwait.options import parser

        said = parser.read(verb, words, about)
    options = Options()
    vars(options).update(environment.read(verb, environ))
    vars(options).update(said)
    _check(verb, said, options)
    if any(name.startswith(environment.PREFIX) for name in environ) and (unknown := environment.unknown(environ)):
        from portwait.options import suggestions

        suggestions.name_unknown(unknown, options)
    return options


def exact(verb: str, words: Sequence[str]) -> dict[str, object] | None:
    """Read words that are spelt exactly; None where one is not, or where a value cannot be read."""
    forms: dict[str, Form] = {}
    for row in rows_of(verb):
        if row.key in ("help", "version"):
            continue
        reader = READERS[row.reader] if row.metavar else None
        const = reader(row.bare) if reader and row.bare else row.const
        for flag in row.flags:
            forms[flag] = (row.key, None if reader and not row.bare else const, reader)
        if row.other:
            forms[row.other[0]] = (row.key, row.other[1], None)
    said: dict[str, object] = {}
    alone: list[str] = []
    rest = iter(words)
    for word in rest:
        if word[:1] != "-":
            alone.append(word)
            continue
        flag, equals, text = word.partition("=")
        if flag not in forms or (equals and word[:2] != "--"):
            return None
        key, value, reader = forms[flag]
        if equals or value is None:
            if not equals:
                text = next(rest, "-")
            if reader is None or text[:1] == "-":
                return None
            try:
                value = reader(text)
            except UsageError:
                return None
        said[key] = value
    if alone:
        said[verb_of(verb).field] = tuple(alone)
    return said


def _check(verb: str, said: Mapping[str, object], options: Options) -> None:
    """Refuse options that narrow what nobody asked for."""
    if options.terminate is not None:
        return
    if {"signal", "kill_after"} & said.keys():
        raise UsageError("--signal and --kill-after say how to --terminate, and that was not given")
    if verb == GUARD and options.evict is None and {"evict_user", "evict_unit"} & said.keys():
        raise UsageError("--evict-user and --evict-unit narrow --evict or --terminate, and neither was given")

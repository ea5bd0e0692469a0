"""The two readers of options: the exact one, and argparse over the same table."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portwait.errors import UsageError
from portwait.options import parser, reader
from portwait.options.record import GUARD, VERBS
from portwait.options.table import rows_of
from portwait.options.values import READERS

if TYPE_CHECKING:
    from portwait.options.row import Row

ALL = (GUARD, *VERBS)

VALUES = {
    "duration": "1m30s",
    "kill_after": "10s",
    "seconds": "2",
    "rate": "0.5",
    "count": "2",
    "hold": "full",
    "evict": "udp,closing",
    "terminate": "bound",
    "names": "app,www-data",
    "signal": "INT",
    "log_format": "json",
    "format": "prometheus",
    "file": "ports.prom",
    "ports": "30010,30020-30030",
}
"""A value that each reader of the table takes; a reader without one fails its test."""


def by_argparse(verb: str, words: list[str]) -> dict[str, object] | None:
    """Read with argparse; None where it has an error, or prints the help or the version."""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return parser.read(verb, words)
        except (UsageError, SystemExit):
            return None


def flags_of(row: Row) -> list[str]:
    return [*row.flags, *(row.other or ())[:1]]


def spellings(row: Row) -> list[list[str]]:
    """Every way to spell an option exactly."""
    if row.key in ("help", "version"):
        return []
    words = [[row.other[0]]] if row.other else []
    if not row.metavar:
        return [*words, *([flag] for flag in row.flags)]
    value = VALUES[row.reader]
    words += [[f"{flag}={value}"] for flag in row.flags if flag[:2] == "--"]
    return words + [[flag] if row.bare else [flag, value] for flag in row.flags]


@pytest.mark.parametrize("verb", ALL)
def test_every_exact_spelling_is_read_without_argparse(verb: str) -> None:
    """And means what argparse reads; alone, and with a word on either side."""
    for row in rows_of(verb):
        for words in spellings(row):
            for around in (words, ["30010", *words], [*words, "30010"]):
                said = reader.exact(verb, around)
                assert said is not None, around
                assert row.key in said
                assert said == by_argparse(verb, around), around


_VALUES = [
    "5",
    "1m",
    "-1",
    "-4",
    "-",
    "--",
    "",
    "=",
    "TERM",
    "udp",
    "json",
    "full",
    "yes",
    "30010",
    "127.0.0.1:1",
    "a b",
]


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Draw a verb and words that look like its options: right, cut, joined, and of other verbs."""
    verb = draw(st.sampled_from(ALL))
    own = sorted({flag for row in rows_of(verb) for flag in flags_of(row)})
    every = sorted({flag for each in ALL for row in rows_of(each) for flag in flags_of(row)})
    exact = [words for row in rows_of(verb) for words in spellings(row)]
    values = st.sampled_from(_VALUES)
    flags = st.one_of(st.sampled_from(own), st.sampled_from(every))
    part = st.one_of(
        st.sampled_from(exact) if exact else st.just(["30010"]),
        values.map(lambda value: [value]),
        flags.map(lambda flag: [flag]),
        st.tuples(flags, values).map(lambda pair: [f"{pair[0]}={pair[1]}"]),
        st.tuples(flags, values).map(lambda pair: [f"{pair[0]}{pair[1]}"]),
        st.tuples(flags, values).map(list),
        flags.map(lambda flag: [flag[:-1]]),
        st.text(max_size=4).map(lambda text: [f"-{text}"]),
    )
    return verb, [word for words in draw(st.lists(part, max_size=5)) for word in words]


@given(lines())
@settings(max_examples=1500)
def test_both_readers_agree(line: tuple[str, list[str]]) -> None:
    """What the exact one reads, argparse reads likewise; where argparse has an error, the exact one leaves it that."""
    verb, words = line
    said = reader.exact(verb, words)
    assert said is None or said == by_argparse(verb, words)


@given(lines())
@settings(max_examples=300)
def test_any_words_are_options_or_a_usage_error(line: tuple[str, list[str]]) -> None:
    """In one line of printable text, and never anything else."""
    verb, words = line
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            reader.read(verb, words, variables={})
        except UsageError as error:
            assert str(error).isprintable()  # noqa: PT017  # both outcomes are right, each in its own way
        except SystemExit as end:
            assert end.code in (0, None)  # noqa: PT017  # the help, or the version


@pytest.mark.parametrize(
    "text", ["", "0", "65", "-1", "1.0", "00000000165", "\u0663", "9" * 5000], ids=lambda text: text[:12]
)
def test_a_count_is_1_to_64(text: str) -> None:
    """However many zeros are in front of it."""
    with pytest.raises(UsageError, match="from 1 to 64"):
        READERS["count"](text)
    assert READERS["count"]("064") == 64

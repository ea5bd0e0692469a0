"""What is tried with a failing system call: each option of each verb (`support.fault_situations`)."""

from __future__ import annotations

import pytest

from portwait.options.record import GUARD, VERBS
from portwait.options.table import ROWS
from tests.support.fault_situations import SITUATIONS, UNITS

EVERY = {**SITUATIONS, **UNITS}
WORDS: dict[str, set[str]] = {}
"""The options that the situations of a verb have."""
for _situation in EVERY.values():
    _first, *_others = _situation.words
    _verb = _first if _first in VERBS else GUARD
    _own = _situation.words[: _situation.words.index("--")] if "--" in _situation.words else _situation.words
    WORDS.setdefault(_verb, set()).update(word.partition("=")[0] for word in _own)

ONE_OF_ALL = {
    "--help": "one parser writes the help of all verbs, and loading a verb's module fails in its own situations"
}
"""The options that need no situation for each verb that has them, and why: one verb stands for all."""


@pytest.mark.parametrize(
    ("verb", "flags"), [(verb, row.flags) for row in ROWS for verb in row.verbs if row.flags[-1] not in ONE_OF_ALL]
)
def test_each_option_of_each_verb_has_a_situation(verb: str, flags: tuple[str, ...]) -> None:
    """A new option comes with a situation in which its system calls fail; any of its spellings is one."""
    (row,) = (row for row in ROWS if row.flags == flags)
    opposite = {row.other[0]} if row.other and row.other[2] else set()
    assert WORDS[verb] & {*flags, *opposite}


@pytest.mark.parametrize(
    "flag",
    [row.flags[-1] for row in ROWS] + [row.other[0] for row in ROWS if row.other],
)
def test_each_spelling_has_a_situation(flag: str) -> None:
    """The opposites, those of variables too, and what one verb stands for."""
    (row,) = (row for row in ROWS if flag in row.flags or (row.other and flag == row.other[0]))
    alike = {flag} if flag not in row.flags else {*row.flags}
    assert any(words & alike for words in WORDS.values())


@pytest.mark.parametrize("verb", [GUARD, *VERBS])
def test_each_verb_has_a_situation(verb: str) -> None:
    """A verb without options of its own too."""
    assert WORDS[verb]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_situation(shell: str) -> None:
    """The completions are files of their own."""
    assert shell in WORDS["completion"]


@pytest.mark.parametrize("name", EVERY)
def test_what_is_like_another_names_one(name: str) -> None:
    """A situation names others that are there, and not itself."""
    like = EVERY[name].like
    assert name not in like
    assert {*like} <= {*(UNITS if name in UNITS else SITUATIONS)}

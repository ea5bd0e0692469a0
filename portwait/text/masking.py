"""Write command lines without secrets. Most have none, and that is seen here without `re`: it takes 5 ms to import.

The work for a word is bounded: what is cut off when it is shown is never looked at.
"""

from __future__ import annotations

from portwait.text import secret_names
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_WORDS = 60
_MOST_CHARACTERS = 1000  # of a word; a secret behind them is cut off anyway


def mask(command: Sequence[str]) -> tuple[str, ...]:
    """Replace what looks like a secret in the words of a command line; the names stay."""
    if not may_have_secret(command):
        return tuple(command)
    from portwait.text import secret_words

    words = []
    for whole in command:
        word = whole[:_MOST_CHARACTERS]
        # A URL that is cut before its `@` must not show the beginning of a password.
        words.append(word if word == whole else secret_words.end_before_password(word) + "…")
    return tuple(secret_words.mask_words(words))


def may_have_secret(command: Sequence[str]) -> bool:
    """Whether a word of the command line can be masked, or is cut: true too often, never false for one that is."""
    programs, _ = secret_names.programs()
    before = ""
    for word in command:
        if word and (len(word) > _MOST_CHARACTERS or word.split() != [word] or "@" in word or "%" in word):
            return True
        if secret_names.program_of(word) in programs or secret_names.announces(word, before):
            return True
        if before.startswith("-") and ":" in word and before.lstrip("-").lower() in secret_names.USERS:
            return True
        if ("=" in word or ":" in word) and (secret_names.may_name_secret(word) or word[:2] in ("-u", "-U")):
            return True
        if len(word) >= 15 and any(mark in word for mark in secret_names.SHAPE_MARKS):
            return True
        before = word
    return False


def command_line(command: Sequence[str], longest: int = 0) -> str:
    """Write a command line in one line, safe and without secrets; `longest` cuts it in the middle.

    A JVM's first words say that it is one, and its last ones which service it is.
    """
    words = [escape(word) for word in mask(command[:_MOST_WORDS])]
    line = " ".join(words) + (" …" if len(command) > _MOST_WORDS else "")
    if not longest or len(line) <= longest:
        return line
    head = longest // 3
    return line[:head] + "…" + line[head + 1 - longest :]

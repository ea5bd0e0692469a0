"""Other people's text made safe to show: control characters escaped, words quoted for the shell.

Names and command lines of processes are whatever their owners like: escape sequences, line breaks, bidirectional
marks, piles of accents, bytes that are no text at all, megabytes. Everything here takes time in proportion to what it
shows, whatever it is given.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_WORD = 400
_MOST_MARKS = 3  # one above the other: more make a tower across the neighbouring lines


def escape(text: str, longest: int = _LONGEST_WORD) -> str:
    """Escape what would move a cursor, break a line, turn the direction of text or is no text; cut what is endless."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    shown, marks = [], 0
    for character in cut:
        marks = marks + 1 if _is_mark(character) else 0
        shown.append(character if _harmless(character) and marks <= _MOST_MARKS else _escaped(character))
    return "".join(shown)


def _harmless(character: str) -> bool:
    if character.isascii():
        return character.isprintable()
    import unicodedata

    return unicodedata.category(character)[0] not in "CZ"


def _is_mark(character: str) -> bool:
    import unicodedata

    return unicodedata.category(character) in ("Mn", "Me")


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no text (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def columns(text: str) -> int:
    """Count the columns that text takes on a terminal."""
    if text.isascii():
        return len(text)
    import unicodedata

    return sum(
        0 if _is_mark(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text
    )


def cut(text: str, room: int) -> str:
    """Cut text to this number of columns of a terminal."""
    if columns(text) <= room:
        return text
    used = 0
    for place, character in enumerate(text):
        used += columns(character)
        if used > room:
            return text[:place]
    return text


_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./-_")


def shell(words: Sequence[str]) -> str:
    """Quote words for the shell, so that a line of ours can be pasted; what cannot be typed is written as $'...'."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if word and _PLAIN.issuperset(word):
        return word
    if all(_harmless(character) for character in word):
        return "'" + word.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(_in_c(character) for character in word) + "'"


def _in_c(character: str) -> str:
    if character in "'\\":
        return f"\\{character}"
    if _harmless(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))

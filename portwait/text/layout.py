"""Lines of text on paper of some width: wrapping, and colour that nobody needs to understand them. Pure functions."""

from __future__ import annotations

from portwait.model.record import Record
from portwait.text.escape import columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_CODES = {"held": "\x1b[1;31m", "free": "\x1b[1;32m", "other": "\x1b[1;33m", "command": "\x1b[1m"}


class Paper(Record):
    """What is written on: `width` columns, 0 for lines as long as they are; with or without colours.

    `lead` is how many columns of a report's first line are taken already, by the guard's `portwait: `.
    """

    width: int = 0
    colours: bool = False
    lead: int = 0

    def paint(self, line: str, style: str) -> str:
        """Colour a line that is finished."""
        return f"{_CODES[style]}{line}\x1b[0m" if self.colours and line else line

    def wrap(self, text: str, first: str = "", rest: str | None = None, *, lead: int = 0) -> list[str]:
        """Break text at spaces into lines that fit, `first` and `rest` standing before them.

        `lead` columns of the first line are taken already.
        """
        rest = first if rest is None else rest
        taken = columns(first) + lead
        if not self.width or taken + columns(text) <= self.width:
            return [first + text]
        lines = list(_filled(text, max(20, self.width - taken), max(20, self.width - columns(rest))))
        return [first + lines[0], *(rest + line for line in lines[1:])]


def _filled(text: str, first: int, room: int) -> Iterator[str]:
    """Fill lines with words; the first line has a room of its own."""
    line, here = "", first
    for word in text.split(" "):
        joined = f"{line} {word}" if line else word
        if columns(joined) <= here:
            line = joined
            continue
        if line:
            yield line
            here = room
        *pieces, line = _cut(word, min(here, room))
        yield from pieces
        here = room if pieces else here
    yield line


def _cut(word: str, room: int) -> Iterator[str]:
    """Cut a word that is longer than a line, which only other people's are."""
    piece, used = "", 0
    for character in word:
        wide = columns(character)
        if used + wide > room:
            yield piece
            piece, used = "", 0
        piece, used = piece + character, used + wide
    yield piece

"""Other people's text made safe to show: control characters escaped, secrets masked, words quoted for the shell.

Names and command lines of processes are whatever their owners like: escape sequences, line breaks, bidirectional
marks, bytes that are no text at all, megabytes.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = "***"
_LONGEST_WORD, _MOST_WORDS = 400, 60

_SECRET = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|credential|auth"  # noqa: S105  # what secrets are called, not one of them
    r"|api[-_.]?key|access[-_.]?key|private[-_.]?key|wrapper\.key)"
)
_ASSIGNED = re.compile(rf"(?i)^((?:-{{1,2}}|-D|/)?[\w.\-]*{_SECRET}[\w.\-]*[=:])(.+)$", re.DOTALL)
_FLAG = re.compile(rf"(?i)^-{{1,2}}[\w.\-]*{_SECRET}[\w.\-]*$")
_URL = re.compile(r"(?i)([a-z][a-z0-9+.\-]*://[^\s/:@]*):[^\s@]*@")
_QUERY = re.compile(rf"(?i)([?&;,\s][\w.\-]*{_SECRET}[\w.\-]*=)[^&;,\s]+")
_HEADER = re.compile(r"(?i)\b(authorization:\s*(?:bearer|basic|token)?|bearer)\s+\S+")


def safe(text: str, longest: int = _LONGEST_WORD) -> str:
    """Escape what would move a cursor, break a line, turn the direction of text or is no text; cut what is endless."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return "".join(character if _harmless(character) else _escaped(character) for character in cut)


def _harmless(character: str) -> bool:
    return character in " …" or unicodedata.category(character)[0] not in "CZ"


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no text (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def masked(command: Sequence[str]) -> tuple[str, ...]:
    """Replace the values of options that look like secrets; `--password X`, `--password=X`, `-Dwrapper.key=X`, URLs."""
    shown: list[str] = []
    hide_next = False
    for word in command:
        if hide_next and not word.startswith("-"):
            shown.append(MASK)
            hide_next = False
            continue
        hide_next = _FLAG.match(word) is not None
        shown.append(_mask(word))
    return tuple(shown)


def _mask(word: str) -> str:
    match = _ASSIGNED.match(word)
    if match and "://" not in match[1]:
        return match[1] + MASK
    word = _URL.sub(rf"\1:{MASK}@", word)
    word = _QUERY.sub(rf"\1{MASK}", word)
    return _HEADER.sub(rf"\1 {MASK}", word)


def command_line(command: Sequence[str], longest: int = 0) -> str:
    """Write a command line in one line, safe and without secrets; `longest` cuts it in the middle.

    For a JVM's first words say that it is one, and its last ones which service it is.
    """
    words = [safe(word) for word in masked(command[:_MOST_WORDS])]
    line = " ".join(words) + (" …" if len(command) > _MOST_WORDS else "")
    if not longest or len(line) <= longest:
        return line
    head = longest // 3
    return line[:head] + "…" + line[head + 1 - longest :]


def shell(words: Sequence[str]) -> str:
    """Quote words for the shell, so that a line of ours can be pasted; what cannot be typed is written as $'...'."""
    return " ".join(_quoted(word) for word in words)


def _quoted(word: str) -> str:
    if all(_harmless(character) for character in word):
        return shlex.quote(word)
    body = "".join(
        "\\'"
        if character == "'"
        else "\\\\"
        if character == "\\"
        else character
        if _harmless(character)
        else _byte_escapes(character)
        for character in word
    )
    return f"$'{body}'"


def _byte_escapes(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))


def columns(text: str) -> int:
    """Count the columns that text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1

"""What somebody may have meant whose words the guard cannot read; loaded only to say it.

Knows verbs, targets and which commands there are; whether the words are wrong was for others to find.
"""

from __future__ import annotations

import difflib
import shutil
from typing import TYPE_CHECKING

from portwait.errors import UsageError, quote
from portwait.model import targets
from portwait.text.escape import escape
from portwait.text.masking import command_line

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST = 60


def hinted(error: UsageError, own: Sequence[str], command: Sequence[str], verbs: Sequence[str]) -> UsageError:
    """Say the cure instead, where it can be guessed, or where to read; `own` is what stood before the `--`."""
    unknown = [place for place, word in enumerate(own) if not word.startswith("-") and not _is_target(word)]
    for place in unknown:
        if hint := _hint(own[:place], own[place], verbs, last=place + 1 == len(own), free=not command):
            return UsageError(f"cannot read target {quote(own[place])}: {hint}")
    return UsageError(f"{error} (see portwait --help)") if unknown and "--help" not in str(error) else error


def _hint(before: Sequence[str], word: str, verbs: Sequence[str], *, last: bool, free: bool) -> str:
    """Guess what a word that is no target was to be; `free` is whether there is room for a command."""
    if word in verbs:
        return f"{word} is a verb and comes first: portwait {word} ..."
    if not any(map(_is_target, before)):
        near = difflib.get_close_matches(word.lower(), verbs, 1)
        return f"did you mean portwait {near[0]}?" if near else ""
    if free and shutil.which(word):
        more = "" if last else " ..."
        return f"a command stands behind --: portwait {command_line(before, _LONGEST)} -- {escape(word)}{more}"
    return ""


def _is_target(word: str) -> bool:
    try:
        targets.parse([word])
    except UsageError:
        return False
    return True

"""Put ports into the words of a command: `{}` and `{1}` to `{N}`, and `{{}}` for a literal `{}`. Pure functions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACEHOLDER = re.compile(r"\{\{(\d*)\}\}|\{(\d*)\}", re.ASCII)


def fill(words: Sequence[str], ports: Sequence[int]) -> tuple[list[str], set[int]]:
    """Replace the placeholders; the new words, and the places (from 1 on) of the ports that were put in.

    `{}` is the only port, `{1}` the first. `{{}}` becomes `{}`, and `{{1}}` becomes `{1}`. Braces that name no port of
    these, such as `{3}` where there are two, stay as they are; so does `{}` where there are several, and its place is
    0 then, for the caller to refuse.
    """
    used: set[int] = set()

    def replace(match: re.Match[str]) -> str:
        quoted, plain = match.groups()
        digits = plain if quoted is None else quoted
        place = int(digits) if digits and len(digits) < 4 else 0 if digits else 1
        if not 0 < place <= len(ports):
            return match[0]
        if quoted is not None:
            return f"{{{digits}}}"
        if not digits and len(ports) > 1:
            used.add(0)
            return match[0]
        used.add(place)
        return str(ports[place - 1])

    return [_PLACEHOLDER.sub(replace, word) for word in words], used

"""All ports as two lines of text: what the kernel may choose from, and what is on it. Pure functions."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from portwait.model import ports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.audit.scan import Audit
    from portwait.model.sockets import Range

_WIDEST = 64
"""Columns of 1,024 ports each; a narrower terminal gets half as many, or a quarter."""


def block(audit: Audit, width: int = 0) -> list[str]:
    """Draw the scale, both lines and the legend for a terminal of this many columns; 0: as wide as they are."""
    count = columns(width)
    return [scale(count), *lines(audit, count), *_legend(count, width)]


def columns(width: int) -> int:
    """Choose how many columns the lines have: the number at the end of the scale needs room behind them."""
    return next((count for count in (_WIDEST, 32) if not width or count + 5 <= width), 16)


def scale(count: int = _WIDEST) -> str:
    """Write the port of every eighth column above it."""
    marks = range(0, count, 8)
    return "".join(f"{column * 65536 // count:<8}" for column in marks)[: count - 1] + "65535"


def lines(audit: Audit, count: int = _WIDEST) -> tuple[str, str]:
    """Draw the range and what is reserved, then who is there."""
    size = 65536 // count
    at_risk = ports.join(finding.port for finding in audit.at_risk)
    listening = ports.join(finding.port for finding in audit.findings if finding.listening)
    settings = (("r", audit.settings.reserved), ("=", (audit.span,)))
    uses = (("!", at_risk), ("L", listening), (":", audit.in_use))
    return _draw(count, size, settings), _draw(count, size, uses)


def _legend(count: int, width: int) -> list[str]:
    words = "= range  r reserved  : in use  L listener  ! at risk"
    column = f"(a column: {65536 // count:,} ports)"
    whole = f"{words}  {column}"
    if not width or len(whole) <= width:
        return [whole]
    return [*textwrap.wrap(words, width), column]


def _draw(count: int, size: int, signs: Sequence[tuple[str, Sequence[Range]]]) -> str:
    """Give each column the first sign whose ports it has any of."""
    line = ["."] * count
    for sign, where in reversed(signs):
        for first, last in where:
            for column in range(first // size, last // size + 1):
                line[column] = sign
    return "".join(line)

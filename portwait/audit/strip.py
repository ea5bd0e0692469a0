"""The space of all ports as two lines of text: what the kernel may choose from, and what stands on it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.model import ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.audit.scan import Audit
    from portwait.model.sockets import Range

COLUMN = 1024
"""Ports to a column; 64 columns fit on any screen."""

LEGEND = "= range  r reserved  : in use  L listener  ! at risk  (a column: 1,024 ports)"
SCALE = "0       8192    16384   24576   32768   40960   49152   57344  65535"


def lines(audit: Audit) -> tuple[str, str]:
    """Draw it: the range and what is reserved, then who is there."""
    columns = [(first, first + COLUMN - 1) for first in range(0, 65536, COLUMN)]
    at_risk = _ports(finding.port for finding in audit.at_risk)
    listening = _ports(finding.port for finding in audit.findings if finding.listening)
    settings = (("r", audit.settings.reserved), ("=", (audit.span,)))
    uses = (("!", at_risk), ("L", listening), (":", audit.in_use))
    return _draw(columns, settings), _draw(columns, uses)


def _ports(numbers: Iterable[int]) -> tuple[Range, ...]:
    return ports.merge((number, number) for number in numbers)


def _draw(columns: Sequence[Range], signs: Sequence[tuple[str, Sequence[Range]]]) -> str:
    """Give each column the first sign whose ports it has any of."""
    return "".join(next((sign for sign, where in signs if ports.intersect([column], where)), ".") for column in columns)

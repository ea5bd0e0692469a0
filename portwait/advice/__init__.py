"""What to do about a port that is held or at risk: `advise` asks every rule that `rules.RULES` lists.

A rule is a pure function from facts to a remedy, or to None where it does not fit. `gather` reads the facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.advice.facts import Facts
from portwait.host.machine import machine
from portwait.model.case import Remedy

if TYPE_CHECKING:
    from portwait.host.machine import Machine
    from portwait.model.case import Case

__all__ = ("Facts", "Remedy", "advise", "gather")


def advise(facts: Facts) -> tuple[Remedy, ...]:
    """Ask every rule."""
    from portwait.advice.rules import RULES

    return tuple(remedy for rule in RULES if (remedy := rule(facts)) is not None)


def gather(case: Case, where: Machine | None = None, *, reuseaddr: bool = True) -> Facts:
    """Read what the rules look at; `where` is for a caller that knows the machine already."""
    from portwait.advice.tanuki.rules import wrappers_of

    return Facts(case, where or machine(), wrappers_of(case.blockers), reuseaddr)

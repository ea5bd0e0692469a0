"""Which cure fits what was seen: a registry of rules, each a small function with its own table of hits and non-hits.

`advise(facts)` is pure; `gather` reads what the rules want to know beyond the blockers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from portwait.remedies.machine import machine
from portwait.remedies.registry import Facts, Remedy, advise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.diagnosis.blockers import Blocker
    from portwait.exposure import Exposure
    from portwait.remedies.machine import Machine
    from portwait.targets import Target
    from portwait.verdict import Verdict

__all__ = ("Facts", "Remedy", "advise", "gather")

_RULES = (
    "wrapper",
    "kernel_sockets",
    "listener",
    "leftovers",
    "evicting",
    "bound",
    "outbound",
    "permission",
    "address",
    "seeing",
)
"""The modules with rules, in the order of the advice: the culprit's own settings, what helps at once, what lasts."""

for _name in _RULES:
    import_module(f"portwait.remedies.{_name}")


def gather(
    target: Target,
    verdict: Verdict,
    blockers: Sequence[Blocker],
    exposure: Exposure,
    where: Machine | None = None,
    *,
    reuseaddr: bool = True,
) -> Facts:
    """Put together what the rules look at; `where` is for who has looked around already."""
    from portwait.remedies.wrapper import wrappers_of

    return Facts(target, verdict, tuple(blockers), exposure, where or machine(), wrappers_of(blockers), reuseaddr)

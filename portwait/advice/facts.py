"""What a remedy is, what it can be judged by, and the list of all rules.

A rule is a function from facts to a remedy, or to None where it does not fit. It enters itself here with `@rule`, in
the order in which the modules of this package are imported: the cures come in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait.exposure import Exposure
from portwait.remedies.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.diagnosis.blockers import Blocker
    from portwait.remedies.tanuki import Wrapper
    from portwait.targets import Target
    from portwait.verdict import Verdict

    Rule = Callable[["Facts"], "Remedy | None"]


class Remedy(NamedTuple):
    """A piece of advice tied to what was seen.

    `commands` are ready to paste, or lines for a file that the summary names: right for this machine, quoted.
    """

    code: str
    summary: str
    commands: tuple[str, ...] = ()


class Facts(NamedTuple):
    """All that a rule may look at."""

    target: Target
    verdict: Verdict
    blockers: tuple[Blocker, ...] = ()
    exposure: Exposure = Exposure()
    machine: Machine = Machine()
    wrappers: tuple[Wrapper, ...] = ()
    """The Tanuki wrappers among the owners."""
    reuseaddr: bool = True
    """Whether the service sets SO_REUSEADDR."""

    def by_number(self, blocker: Blocker) -> bool:
        """Whether a client bound the port by number, as far as can be told: the kernel would not have picked it."""
        known = {pid for wrapper in self.wrappers for pid in wrapper.pids}
        if any(one.pid in known for one in blocker.owners):
            return True
        return self.exposure.ephemeral_range is not None and not self.exposure.covers(self.target.port)


RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Enter a rule."""
    RULES.append(function)
    return function


def advise(facts: Facts) -> tuple[Remedy, ...]:
    """Ask every rule."""
    return tuple(remedy for each in RULES if (remedy := each(facts)) is not None)

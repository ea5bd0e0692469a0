"""What would show more."""

from __future__ import annotations

from portwait.advice import shell_commands
from portwait.model.case import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def look_as_root(facts: Facts) -> Remedy | None:
    """Only root sees everybody's descriptors."""
    if facts.machine.root or not any(one.unseen and not one.owners for one in facts.blockers):
        return None
    how = "See the owner, as root of this container:" if facts.machine.contained else "See the owner:"
    return Remedy("look-as-root", how, (shell_commands.portwait(facts, "explain"),))

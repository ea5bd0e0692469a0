"""All that a rule may look at. Values only; `advice.gather` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait.host.machine import Machine
from portwait.model.port_settings import PortSettings

if TYPE_CHECKING:
    from portwait.advice.tanuki.config import Wrapper
    from portwait.model.blocker import Blocker
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict


class Facts(NamedTuple):
    """All that a rule may look at."""

    target: Target
    verdict: Verdict
    blockers: tuple[Blocker, ...] = ()
    settings: PortSettings = PortSettings()
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
        return self.settings.ephemeral_range is not None and not self.settings.covers(self.target.port)

"""All that a rule may look at. Values only; `advice.gather` reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait.host.machine import Machine

if TYPE_CHECKING:
    from portwait.advice.tanuki.config import Wrapper
    from portwait.model.blocker import Blocker
    from portwait.model.case import Case
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict


class Facts(NamedTuple):
    """A case, and what else a rule may look at."""

    case: Case
    machine: Machine = Machine()
    wrappers: tuple[Wrapper, ...] = ()
    """The Tanuki wrappers among the owners."""
    reuseaddr: bool = True
    """Whether the service sets SO_REUSEADDR."""

    @property
    def target(self) -> Target:
        """What the service wants to bind."""
        return self.case.target

    @property
    def verdict(self) -> Verdict:
        """What the kernel says of it."""
        return self.case.verdict

    @property
    def blockers(self) -> tuple[Blocker, ...]:
        """The sockets in the way."""
        return self.case.blockers

    @property
    def settings(self) -> PortSettings:
        """The settings that decide which ports the kernel hands out."""
        return self.case.settings

    def by_number(self, blocker: Blocker) -> bool:
        """Whether a client bound the port by number, as far as can be told: the kernel would not have picked it."""
        known = {pid for wrapper in self.wrappers for pid in wrapper.pids}
        if any(one.pid in known for one in blocker.owners):
            return True
        return self.settings.ephemeral_range is not None and not self.settings.covers(self.target.port)

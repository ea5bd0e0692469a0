"""All that a rule may look at. Values only; `advice.gather` reads them."""

from __future__ import annotations

from types import MappingProxyType

from portwait.host.machine import Machine
from portwait.model.record import Record
from portwait.model.targets import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from portwait.advice.tanuki.config import Wrapper
    from portwait.host.supervisors import Supervisor
    from portwait.host.systemd_units import Unit, UnitsOf
    from portwait.model.blocker import Blocker
    from portwait.model.case import Case
    from portwait.model.owner import Owner
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict


_PRIVILEGED = 1024


class Facts(Record):
    """A case, and what else a rule may look at."""

    case: Case
    machine: Machine = Machine()
    wrappers: tuple[Wrapper, ...] = ()
    """The Tanuki wrappers among the owners."""
    units: Mapping[tuple[str, str | None], Unit] | UnitsOf = MappingProxyType({})
    """The owners' units and what starts or stops with these, by name and user (None: the system's), where known."""
    published: bool | None = None
    """Whether Docker has a container that publishes the port; None where it was not asked or does not say."""
    listening: frozenset[int] = frozenset()
    """The TCP ports of ip_local_port_range that somebody listens on: services too, for which the range counts."""
    managed: Mapping[int, tuple[Unit, ...]] = MappingProxyType({})
    """Of a service manager among the owners, by its pid: for which units it can have the port open."""
    supervisors: Mapping[int, Supervisor] = MappingProxyType({})
    """The process supervisors above owners, by the owner's pid."""
    above: frozenset[int] = frozenset()
    """The processes that started this portwait, by pid: the user's own session ends with them."""
    began: int = 0
    """When the run of the unit that this portwait is a part of began, in the kernel's ticks; 0 where it is in none."""

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

    def unit_of(self, owner: Owner) -> Unit | None:
        """Describe the service that an owner is in; None where it is in none, or where systemd did not answer."""
        return None if owner.unit is None else self.units.get((owner.unit, owner.user if owner.user_unit else None))

    def is_active(self, name: str, user: str | None) -> bool:
        """Whether a unit that was asked for is active."""
        unit = self.units.get((name, user))
        return unit is not None and unit.active

    def is_from_here(self, blocker: Blocker) -> bool:
        """Whether its local address is this host's own, so that this host's kernel can have picked its port."""
        return plain(blocker.socket.local_address) not in self.case.not_local

    def by_number(self, blocker: Blocker) -> bool:
        """Whether a client may have bound the port by number: today the kernel would not pick it."""
        if self.surely_by_number(blocker):
            return True
        return self.settings.ephemeral_range is not None and not self.settings.covers(self.target.port)

    def surely_by_number(self, blocker: Blocker) -> bool:
        """Whether a client bound the port by number and keeps it when its connection is destroyed.

        A Tanuki wrapper does, and whoever has a port below 1024, which no ip_local_port_range of sense holds. Any other
        range can have been the one of the day when the client connected. A connection that was destroyed and has left
        its socket bound is the proof: the kernel takes back what it has chosen itself.
        """
        if blocker.kind.name == "bound" and blocker.socket.remote_port:
            return True
        known = {pid for wrapper in self.wrappers for pid in wrapper.pids}
        if any(owner.pid in known for owner in blocker.owners):
            return True
        return (
            blocker.socket.inode != 0 and self.target.port < _PRIVILEGED and not self.settings.covers(self.target.port)
        )

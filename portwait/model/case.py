"""What is known of one target at one moment: verdict, blockers, port settings, advice. Values only."""

from __future__ import annotations

from portwait.model.port_settings import PortSettings
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from portwait.model.blocker import Blocker
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict

    AddressTrouble = Literal[
        "absent",
        "tentative",
        "duplicate",
        "ipv6-off",
        "vrf",
        "no-zone",
        "no-interface",
        "no-family",
        "loopback-down",
        "loopback",
    ]
    """The last two are of an address of the loopback interface, which never moves to another host."""


class Remedy(Record):
    """A piece of advice tied to what was seen.

    `commands` are ready to paste, or lines for a file that the summary names: right for this machine, quoted.
    """

    code: str
    summary: str
    commands: tuple[str, ...] = ()


class AddressState(Record):
    """Why an address cannot be bound, and at which interface or VRF that is so."""

    code: AddressTrouble
    device: str = ""


class Case(Record):
    """One target with all that is known of it at one moment.

    `blockers` are empty unless the verdict is `held`; `remedies` are empty until `advice` was asked.
    """

    target: Target
    verdict: Verdict
    blockers: tuple[Blocker, ...] = ()
    settings: PortSettings = PortSettings()
    remedies: tuple[Remedy, ...] = ()
    holds: tuple[Blocker, ...] = ()
    """Other portwaits' holds that stand on the port and do not make the bind fail."""
    address: AddressState | None = None
    """Of a target whose address cannot be bound: why."""
    not_local: frozenset[str] = frozenset()
    """Local addresses of blockers that are no addresses of this host: a transparent proxy's."""
    reuseaddr: bool = True
    """Whether the service sets SO_REUSEADDR."""

    @property
    def starved(self) -> bool:
        """Whether nothing is known because no file descriptor was left to ask bind with."""
        return self.verdict.state == "unknown" and self.verdict.starved

    @property
    def held(self) -> bool:
        """Whether something is in the way of the target."""
        return self.verdict.state == "held"

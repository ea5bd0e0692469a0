"""Which ports of this host the kernel may hand out, and how likely: read from the tables, never probed.

Looked at are the TCP listeners and the ports that were asked for; a UDP socket does not say whether it serves, so it
counts only on a port that was asked for. How the kernel chooses is `probability`'s business, what helps `advice`'s.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.audit.probability import Choice, Traffic, by_udp, within
from portwait.diagnosis import owners, tables
from portwait.errors import PortwaitError
from portwait.host.machine import Machine, machine
from portwait.host.port_settings import port_settings
from portwait.model import ports
from portwait.reserved import boot, runtime, sysctld

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from portwait.model.port_settings import PortSettings
    from portwait.model.sockets import KernelSocket, Range
    from portwait.reserved.boot import Drift, Ours
    from portwait.reserved.sysctld import File

How = Literal["given", "measured", "since boot", "not known"]


class AuditError(PortwaitError):
    """There is nothing to be said of this system's ports."""


class Rate(NamedTuple):
    """New outgoing TCP connections a second, and how that is known; `window` is the seconds of a measurement."""

    per_second: float | None
    how: How
    window: float = 0.0


class Finding(NamedTuple):
    """A port and what may happen to it. Probabilities are of TCP; of UDP only `per_client` is known."""

    port: int
    protocol: str
    named: bool
    """Whether it was asked for."""
    listening: bool
    processes: tuple[str, ...]
    in_range: bool
    reserved: bool
    preferred: bool
    """Whether it has the parity that connect() looks at first; for UDP all ports are alike."""
    taken: bool
    """Whether a connection has it now, and nobody listens there."""
    per_client: float
    """How probable it is that one new client is given the port."""
    probability: float | None
    """How probable it is that somebody is given it while it is free for so long; None where no rate is known."""

    @property
    def at_risk(self) -> bool:
        """Whether the kernel may hand it out, or has done so."""
        return self.taken or (self.in_range and not self.reserved)

    def __str__(self) -> str:
        """Name it as a target."""
        return f"{self.port}/{self.protocol}"


class Audit(NamedTuple):
    """One look at the whole host."""

    settings: PortSettings
    gap: float
    """For how many seconds a restart leaves its port free."""
    rate: Rate
    in_use: tuple[Range, ...]
    """The ports of connections, wherever they are."""
    usable: tuple[int, int]
    """How many ports of the range connect() can still be given: of the parity that it prefers, of the other."""
    by_bind: float
    """The part of the present clients that asked with bind(address, 0)."""
    findings: tuple[Finding, ...]
    lost: str | None
    """What the tables that answered cannot show, in words."""
    ours: Ours | None = None
    drift: Drift | None = None
    lost_at_boot: tuple[Range, ...] = ()
    """Ports that are reserved now, and that neither a file of sysctl.d nor a unit of ours reserves at boot."""
    machine: Machine = Machine()
    unreadable: tuple[File, ...] = ()
    """Files of sysctl.d that cannot be read."""

    @property
    def span(self) -> Range:
        """The range."""
        assert self.settings.ephemeral_range is not None  # noqa: S101  # `audit` refuses such a system
        return self.settings.ephemeral_range

    @property
    def at_risk(self) -> tuple[Finding, ...]:
        """What somebody should do something about."""
        return tuple(finding for finding in self.findings if finding.at_risk)


def audit(
    named: tuple[Range, ...], *, only: bool = False, gap: float, rate: float | None = None, window: float
) -> Audit:
    """Look at every listener and the named ports (`only` them). Raises AuditError and TablesError.

    `rate` is new connections a second where the caller knows better than a measurement of `window` seconds.
    """
    seen = port_settings()
    if seen.ephemeral_range is None:
        raise AuditError("cannot audit: the range of ports that the kernel hands out can only be read on Linux")
    speed = Rate(rate, "given") if rate is not None else measure(window)
    opened, lost = tables.open_tables()
    with opened:
        tcp, udp = opened.sockets("tcp", ()), opened.sockets("udp", named) if named else ()
    look = _Look(seen, tcp, udp)
    found = sysctld.read()
    return Audit(
        seen,
        gap,
        speed,
        look.in_use,
        look.usable,
        look.traffic.by_bind,
        look.findings(named, only=only, clients=None if speed.per_second is None else speed.per_second * gap),
        lost,
        boot.ours(found),
        boot.drift(found),
        () if boot.counts_here() is False else ports.subtract(seen.reserved, boot.at_boot(found)),
        machine(),
        tuple(file for file in found if file.problem is not None),
    )


def measure(window: float) -> Rate:
    """Count new connections for so many seconds; the average since boot where that is more, and is the host's."""
    if sys.platform != "linux":
        return Rate(None, "not known")
    from portwait._linux import snmp

    before, began = snmp.active_opens(), time.monotonic()
    time.sleep(window)
    after, seconds = snmp.active_opens(), time.monotonic() - began
    if before is None or after is None:
        return Rate(None, "not known")
    now = (after - before) / seconds if window else 0.0
    since_boot = after / time.clock_gettime(time.CLOCK_BOOTTIME) if runtime.is_host() else 0.0
    if since_boot > now:
        return Rate(since_boot, "since boot")
    return Rate(now, "measured", window)


class _Look:
    """The tables at one moment, sorted by what they mean for a choice."""

    def __init__(self, seen: PortSettings, tcp: Sequence[KernelSocket], udp: Sequence[KernelSocket]) -> None:
        self._seen = seen
        self._udp = udp
        self._listeners = [which for which in tcp if which.state == "LISTEN"]
        self._served = {which.local_port for which in self._listeners}
        self._connected = [which for which in tcp if which.remote_port]
        self._taken = {which.local_port for which in self._connected} - self._served
        bound = {which.local_port for which in tcp if which.state == "CLOSE"}
        self._reserved = {port for first, last in seen.reserved for port in range(first, last + 1)}
        self.traffic = self._traffic(bound)
        self.in_use = ports.merge((port, port) for port in {which.local_port for which in self._connected})

    def _traffic(self, bound: set[int]) -> Traffic:
        """Tell clients of connect() from those of bind: by their parity, which is all that a table shows of it."""
        used: dict[int, set[Hashable]] = {}
        of_bind: set[int] = set()
        for which in self._connected:
            port = which.local_port
            if port in self._taken and self._seen.covers(port):
                if self._seen.prefers(port):
                    used.setdefault(port, set()).add((which.local_address, which.remote_address, which.remote_port))
                else:
                    of_bind.add(port)
        part = len(of_bind) / (len(of_bind) + len(used)) if of_bind else 0.0
        return Traffic(frozenset(bound | self._served | of_bind), used, part)

    @property
    def usable(self) -> tuple[int, int]:
        """How many ports of the preferred parity and of the other a new destination can be reached from."""
        low, high = self._seen.ephemeral_range or (1, 0)
        free = [port for port in range(low, high + 1) if port not in self._reserved and port not in self.traffic.bound]
        preferred = sum(1 for port in free if self._seen.prefers(port))
        return preferred, len(free) - preferred

    def findings(self, named: tuple[Range, ...], *, only: bool, clients: float | None) -> tuple[Finding, ...]:
        """Judge every port that counts."""
        wanted = {("tcp", port) for first, last in named for port in range(first, last + 1)}
        wanted |= {("udp", which.local_port) for which in self._udp if not which.remote_port}
        looked_at = wanted if only else wanted | {("tcp", port) for port in self._served}
        sockets = [*self._listeners, *self._udp]
        names = _names(which for which in sockets if (which.protocol, which.local_port) in looked_at)
        choice = Choice(self._span, self._reserved, self.traffic)
        udp = {which.local_port for which in self._udp}
        found = []
        for protocol, port in sorted(looked_at, key=lambda which: (which[1], which[0])):
            if protocol == "tcp":
                each = choice.picked(port)
                probability = None if clients is None else within(clients, each)
            else:
                each, probability = by_udp(self._span, self._reserved, udp, port), None
            listening = protocol == "udp" or port in self._served
            found.append(
                Finding(
                    port=port,
                    protocol=protocol,
                    named=(protocol, port) in wanted,
                    listening=listening,
                    processes=names.get((protocol, port), ()),
                    in_range=self._seen.covers(port),
                    reserved=port in self._reserved,
                    preferred=protocol == "tcp" and self._seen.prefers(port),
                    taken=not listening and port in self._taken,
                    per_client=each,
                    probability=probability,
                )
            )
        return tuple(found)

    @property
    def _span(self) -> Range:
        return self._seen.ephemeral_range or (1, 0)


def _names(sockets: Iterable[KernelSocket]) -> dict[tuple[str, int], tuple[str, ...]]:
    """Name the programs behind each port, or where they cannot be seen nobody."""
    asked = list(sockets)
    by_inode = owners.find([which for which in asked if which.inode]).by_inode
    names: dict[tuple[str, int], dict[str, None]] = {}
    for which in asked:
        some = names.setdefault((which.protocol, which.local_port), {})
        for owner in by_inode.get(which.inode, ()):
            some.setdefault(owner.name)
        for pid in which.pids:
            described = owners.describe(pid)
            if described is not None:
                some.setdefault(described.name)
    return {port: tuple(some) for port, some in names.items()}

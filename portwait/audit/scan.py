"""Audit a host: which ports the kernel may hand out, and how likely. Reads tables and files, and never probes.

`sockets` judges the ports, `probability` models the kernel's choice, `advice` says what helps.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.audit.sockets import Finding, Sample, Scan, Wanted
from portwait.diagnosis import tables
from portwait.errors import PortwaitError
from portwait.host.machine import Machine, machine
from portwait.host.port_settings import port_settings
from portwait.model import ports
from portwait.reserved import boot_file, sysctld

if TYPE_CHECKING:
    from portwait.model.port_settings import PortSettings
    from portwait.model.sockets import Range
    from portwait.reserved.boot_file import Drift, Ours
    from portwait.reserved.sysctld import File

How = Literal["given", "measured", "since boot", "not known"]


class AuditError(PortwaitError):
    """There is nothing to be said of this system's ports."""


class Rate(NamedTuple):
    """New outgoing TCP connections a second, and how that is known; `window` is the seconds of a measurement."""

    per_second: float | None
    how: How
    window: float = 0.0


class Audit(NamedTuple):
    """One look at the whole host."""

    settings: PortSettings
    gap: float
    """For how many seconds a restart leaves its port free."""
    rate: Rate
    in_use: tuple[Range, ...]
    """The ports of connections, wherever they are."""
    usable: tuple[int, int]
    """How many ports of the range connect() can still be given: of those that it tries first, and last."""
    by_bind: float
    """Which part of new clients is likely to ask with bind(address, 0)."""
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
    served: frozenset[int] = frozenset()
    """The ports of all TCP listeners, judged or not: no cure may hit them."""
    sample: Sample = Sample(0, 0)
    """The ports that `by_bind` is judged by."""

    @property
    def span(self) -> Range:
        """The range."""
        assert self.settings.ephemeral_range is not None  # noqa: S101  # `audit` refuses such a system
        return self.settings.ephemeral_range

    @property
    def used(self) -> int:
        """How many ports of the range connections are on."""
        return ports.count(self.in_use, self.span)

    @property
    def at_risk(self) -> tuple[Finding, ...]:
        """What somebody should do something about."""
        return tuple(finding for finding in self.findings if finding.at_risk)


def audit(
    wanted: Wanted = Wanted(),  # noqa: B008  # an immutable value
    *,
    gap: float,
    rate: float | None = None,
    window: float,
) -> Audit:
    """Look at every listener, or at the ports that are named. Raises AuditError and TablesError.

    `rate` is new connections a second where the caller knows better than a measurement of `window` seconds.
    """
    settings = port_settings()
    if settings.ephemeral_range is None:
        if sys.platform != "linux":
            raise AuditError("cannot audit: the range of ports that the kernel hands out can only be read on Linux")
        from portwait._linux import sysctl

        raise AuditError(f"cannot audit: /proc/sys/{sysctl.RANGE} cannot be read")
    speed = Rate(rate, "given") if rate is not None else measure(window)
    udp_ports = ports.merge([*wanted.tcp, *wanted.udp])
    opened, lost = tables.open_tables(("tcp", "udp") if udp_ports else ("tcp",))
    with opened:
        listeners = opened.listeners(())
        connections = opened.connections({sock.local_port for sock in listeners})
        udp = opened.sockets("udp", ports.merge([*udp_ports, settings.ephemeral_range])) if udp_ports else ()
    scan = Scan(settings, connections, listeners, udp)
    files = sysctld.read()
    here = machine()
    return Audit(
        settings,
        gap,
        speed,
        scan.in_use,
        scan.usable,
        scan.traffic.by_bind,
        scan.findings(wanted, clients=None if speed.per_second is None else speed.per_second * gap),
        lost,
        boot_file.ours(files),
        boot_file.drift(files),
        ports.subtract(settings.reserved, boot_file.at_boot(files, systemd=here.systemd)) if here.sysctl_d else (),
        here,
        tuple(file for file in files if file.problem is not None),
        frozenset(sock.local_port for sock in listeners),
        scan.sample,
    )


def measure(window: float) -> Rate:
    """Count new connections for some seconds; the average since boot where that is more, and is the host's."""
    if sys.platform != "linux":
        return Rate(None, "not known")
    from portwait._linux import netns, snmp

    before, began = snmp.active_opens(), time.monotonic()
    time.sleep(window)
    after, seconds = snmp.active_opens(), time.monotonic() - began
    if before is None or after is None:
        return Rate(None, "not known")
    now = (after - before) / seconds if window else 0.0
    since_boot = after / time.clock_gettime(time.CLOCK_BOOTTIME) if netns.is_initial() else 0.0
    if since_boot > now:
        return Rate(since_boot, "since boot")
    return Rate(now, "measured", window)

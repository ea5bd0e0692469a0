"""An audit as Prometheus's text format 0.0.4, for node_exporter's textfile collector: a pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from portwait.model import ports
from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from portwait.audit.scan import Audit
    from portwait.audit.sockets import Finding


class _Family(NamedTuple):
    name: str
    help: str
    samples: tuple[tuple[Mapping[str, str], float], ...]


def text(audit: Audit) -> str:
    """Write every metric with its help and type; a value that is not known has no sample."""
    return "".join(_shown(family) for family in _families(audit))


def _families(audit: Audit) -> Iterable[_Family]:
    low, high = audit.span
    by_port = [(_labels(finding), finding) for finding in audit.findings]
    yield _single("ephemeral_range_first", "First port of ip_local_port_range.", low)
    yield _single("ephemeral_range_last", "Last port of ip_local_port_range.", high)
    yield _single("reserved_ports", "Ports of ip_local_reserved_ports.", ports.count(audit.settings.reserved))
    yield _single("unprivileged_port_start", "ip_unprivileged_port_start.", audit.settings.unprivileged_start)
    yield _Family(
        "usable_ports",
        "Ports of the range that connect() can still be given, by which it tries first (preferred).",
        (({"parity": "preferred"}, audit.usable[0]), ({"parity": "other"}, audit.usable[1])),
    )
    yield _single("used_ports", "Ports of the range that connections are on.", audit.used)
    yield _single("connects_per_second", "New outgoing TCP connections a second.", audit.rate.per_second)
    yield _single("restart_gap_seconds", "How long a restart is taken to leave its port free.", audit.gap)
    yield _Family(
        "port_at_risk",
        "Whether the kernel may hand out the port, or has done so.",
        tuple((labels, finding.at_risk) for labels, finding in by_port),
    )
    yield _Family(
        "port_taken",
        "Whether a connection has the port and nobody listens on it.",
        tuple((labels, finding.taken) for labels, finding in by_port),
    )
    yield _Family(
        "port_probability",
        "How probable it is that the port is handed out during one restart.",
        tuple((labels, finding.probability) for labels, finding in by_port if finding.probability is not None),
    )
    yield _single("ports_at_risk", "How many of the ports are at risk.", len(audit.at_risk))
    drift = audit.drift
    drifted = None if drift is None else bool(drift.missing or drift.stale or drift.overridden)
    yield _single("persisted_drift", "Whether portwait's file in sysctl.d differs from what it should say.", drifted)
    yield _single(
        "reserved_until_boot_ports",
        "Reserved ports that nothing known reserves at boot.",
        ports.count(audit.lost_at_boot),
    )


def _labels(finding: Finding) -> dict[str, str]:
    return {
        "port": str(finding.port),
        "protocol": finding.protocol,
        "process": ",".join(escape(name, 40) for name in finding.processes),
    }


def _single(name: str, words: str, value: float | None) -> _Family:
    return _Family(name, words, () if value is None else (({}, value),))


def _shown(family: _Family) -> str:
    if not family.samples:
        return ""
    name = f"portwait_{family.name}"
    lines = [f"# HELP {name} {family.help}", f"# TYPE {name} gauge"]
    for labels, value in family.samples:
        inner = ",".join(f'{label}="{_escaped(said)}"' for label, said in labels.items())
        lines.append(f"{name}{{{inner}}} {value + 0!r}" if inner else f"{name} {value + 0!r}")  # + 0: True is 1
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    """Write a label's value: a backslash, a quote and a line's end are the format's own."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""`portwait audit`: which ports of this host the kernel may hand out, how likely, and what to do."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from portwait.audit import prometheus, report
from portwait.audit.scan import AuditError, audit
from portwait.errors import TablesError, UsageError
from portwait.model import ports
from portwait.options import parser
from portwait.reserved import atomic_file
from portwait.text import durations
from portwait.text.escape import escape

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

AT_RISK = 1
"""The status when the kernel may hand out a port, or has done so."""

_DESCRIPTION = """\
Say which ports of this host the kernel may hand out to somebody's connect(),
how likely that is while a service restarts, and what to do about it. Looks at
every TCP listener and at PORTS, reads tables only, and changes nothing.
"""

_EPILOG = """\
PORTS are ports and ranges: 50001,5200-5300,6001. They are looked at whether
somebody listens or not; on them UDP sockets too. --only leaves out the
listeners that are not among them.

The probability is that of at least one new connection being given the port
while it is free for the gap. It comes from the range, what is reserved and in
use, the parity that connect() prefers, and the connections that this network
namespace opens a second: counted for the window, or the average since boot
where that is more.

exit status:
  0     nothing is at risk
  1     the kernel may hand out at least one of the ports, or has done so
  125   it cannot be said

examples:
  portwait audit                         every listener
  portwait audit --gap 30s 30000-30100   planned ports as well; 30 s to restart
  portwait audit --only 30010            one port, for CI
  portwait audit --format prometheus --output /var/lib/node_exporter/ports.prom
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Audit; the status and the text. Raises PortwaitError."""
    options = _parser().parse_intermixed_args(words)
    if options.only and not options.ports:
        raise UsageError("cannot audit nothing: --only wants PORTS (see portwait audit --help)")
    named = ports.parse(",".join(options.ports)) if options.ports else ()
    try:
        found = audit(named, only=options.only, gap=options.gap, rate=options.rate, window=options.window)
    except TablesError as error:
        raise AuditError(f"cannot audit: the socket tables cannot be read: {error}") from error
    form = "json" if options.json else options.format
    if form == "json":
        text = json.dumps(report.as_dict(found), indent=2) + "\n"
    else:
        text = prometheus.text(found) if form == "prometheus" else report.text(found)
    if options.output is not None:
        _write(options.output, text)
        text = ""
    return AT_RISK if found.at_risk else 0, text


def _parser() -> argparse.ArgumentParser:
    result = parser.verb("audit", "[OPTION...] [PORTS...]", _DESCRIPTION, _EPILOG)
    add = result.add_argument
    add("ports", nargs="*", metavar="PORTS", help="ports and ranges")
    add("--only", action="store_true", help="look at PORTS alone")
    add(
        "--gap",
        type=_seconds,
        default=10.0,
        metavar="DURATION",
        help="how long a restart leaves its port free (default: 10s)",
    )
    add("--rate", type=_rate, metavar="N", help="connections opened a second, instead of counting them")
    add("--window", type=_seconds, default=1.0, metavar="DURATION", help="count them for so long (default: 1s)")
    add(
        "--format",
        choices=("text", "json", "prometheus"),
        default="text",
        metavar="FORMAT",
        help="text, json or prometheus",
    )
    add("--json", action="store_true", help="the same as --format json")
    add("--output", metavar="FILE", help="write it into a file, whole or not at all, instead of stdout")
    return result


def _seconds(text: str) -> float:
    seconds = durations.parse(text)
    if seconds == math.inf:
        raise UsageError("cannot use an endless duration here")
    return seconds


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < math.inf:
        raise UsageError(f"cannot read rate {text!a}: expected connections a second, like 20 or 0.5")
    return rate


def _write(path: str, text: str) -> None:
    try:
        atomic_file.write(path, text)
    except OSError as error:
        raise AuditError(f"cannot write {escape(path)}: {error.strerror or error}; it is as it was") from error

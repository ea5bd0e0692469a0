"""`portwait audit`: which ports of this host the kernel may hand out, how likely, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portwait.audit import prometheus, report
from portwait.audit.scan import AuditError, audit
from portwait.errors import TablesError, UsageError
from portwait.model import ports
from portwait.options import reader
from portwait.reserved import atomic_file
from portwait.text.escape import escape

if TYPE_CHECKING:
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
    options = reader.read("audit", words, (_DESCRIPTION, _EPILOG))
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


def _write(path: str, text: str) -> None:
    try:
        atomic_file.write(path, text)
    except OSError as error:
        raise AuditError(f"cannot write {escape(path)}: {error.strerror or error}; it is as it was") from error

"""`portwait audit`: which ports of this host the kernel may hand out, how likely, and what to do."""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING

from portwait.audit import prometheus, report
from portwait.audit.scan import AuditError, audit
from portwait.audit.sockets import Wanted
from portwait.errors import TablesError, UsageError
from portwait.model import ports
from portwait.options import reader
from portwait.reserved import atomic_file
from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_RISK = 1
"""The status when the kernel may hand out a port, or has done so."""

_NARROWEST = 40

_DESCRIPTION = """\
Say which ports of this host the kernel may hand out to somebody's connect(),
how likely that is while a service restarts, and what to do about it. Judges
every TCP listener, or PORTS alone. It reads tables only, and changes nothing.
"""

_EPILOG = """\
PORTS are ports and ranges: 50001,5200-5300,40000-50000/udp. They are judged
whether somebody listens or not, and then no others are; on a port without a
protocol a UDP socket counts too. --only says the same again.

A listener whose number the kernel picked (containerd, Docker's DNS at
127.0.0.11) is shown and is not at risk: it takes another number after each
start. It is on loopback, its port has the parity that bind(0) prefers, and its
command line does not have the number. --ignore PORTS says it of others.

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
  portwait audit --gap 30s 30000-30100   planned ports; 30 s to restart
  portwait audit 30010                   one port, for CI
  portwait audit --ignore 35421          every listener but this one
  portwait audit --format prometheus --output /var/lib/node_exporter/ports.prom
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Audit; the status and the text. Raises PortwaitError."""
    gc.disable()  # this process ends before there is anything to collect
    options = reader.read("audit", words, (_DESCRIPTION, _EPILOG))
    if options.only and not options.ports:
        raise UsageError("cannot audit nothing: --only wants PORTS (see portwait audit --help)")
    if options.json and "format" in vars(options) and options.format != "json":
        raise UsageError(f"cannot use --json with --format {options.format}: name one form")
    wanted = _wanted(options.ports, options.ignore)
    try:
        result = audit(wanted, gap=options.gap, rate=options.rate, window=options.window)
    except TablesError as error:
        raise AuditError(f"cannot audit: the socket tables cannot be read: {error}") from error
    form = "json" if options.json else options.format
    output = None if options.output == "-" else options.output
    if form == "json":
        text = json.dumps(report.as_dict(result), indent=2) + "\n"
    else:
        text = prometheus.text(result) if form == "prometheus" else report.text(result, 0 if output else _width())
    if output is not None:
        _write(output, text)
        text = ""
    return AT_RISK if result.at_risk else 0, text


def _wanted(words: Sequence[str], ignored: str) -> Wanted:
    """Read PORTS, each with /tcp, /udp or neither."""
    by_protocol: dict[str, list[str]] = {"tcp": [], "udp": []}
    for word in ",".join(words).split(",") if words else ():
        listed, slash, protocol = word.rpartition("/")
        if not slash or protocol not in by_protocol:
            listed, protocol = word, "tcp"
        by_protocol[protocol].append(listed)
    tcp, udp = (ports.parse(",".join(listed)) if listed else () for listed in by_protocol.values())
    return Wanted(tcp, udp, ports.parse(ignored) if ignored else ())


def _width() -> int:
    """Ask the terminal for its columns; 0 for a pipe, which gets whole lines."""
    try:
        if not sys.stdout.isatty():
            return 0
        return max(_NARROWEST, os.get_terminal_size(sys.stdout.fileno()).columns or 80)  # a serial console says 0
    except (AttributeError, OSError, ValueError):  # no stdout at all, or a closed one
        return 0


def _write(path: str, text: str) -> None:
    try:
        atomic_file.write(path, text)
    except OSError as error:
        raise AuditError(f"cannot write {escape(path)}: {error.strerror or error}; it is as it was") from error

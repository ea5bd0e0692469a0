"""`portwait reserve`: keep ports out of the kernel's own choice, now and at boot; without ports, list what is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portwait.model import ports
from portwait.options import parser
from portwait.reserved import apply, boot, report

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Reserve ports: the kernel gives a reserved port to nobody who does not ask for
it by its number. connect() and bind(port 0) are given other ports of
ip_local_port_range; the service that binds it by its number still can. What is
reserved already stays, whoever did it. It takes root in the network namespace.

A connection that has the port already keeps it: see `portwait explain` and
`portwait evict`.
"""

_EPILOG = f"""\
PORTS are ports and ranges: 50001,5200-5300,6001. Without PORTS it lists the
range, what is reserved, and which of it portwait has added.

--persist writes one file, {boot.PLACE}, with these
ports and what all other files of sysctl.d and /etc/sysctl.conf say, for at
boot the last file wins whole. It is refused where another file would win over
it. `portwait audit` tells when the others have changed since. Where systemd is
PID 1, portwait-reserve@.service of contrib/systemd is the better way: it
merges anew at every boot.

In a container /proc/sys is read-only; the error has the lines for docker run,
compose and Kubernetes.

exit status:
  0     the ports are reserved
  125   they are not, or not in both places; the error says what was done

examples:
  portwait reserve 30010                    now
  portwait reserve --persist 30000-30100    now, and after every boot
  portwait reserve                          what is reserved
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Reserve or list; the status and the text. Raises PortwaitError."""
    result = parser.verb("reserve", "[--persist] [--json] [PORTS...]", _DESCRIPTION, _EPILOG)
    result.add_argument("ports", nargs="*", metavar="PORTS", help="ports and ranges")
    result.add_argument("--persist", action="store_true", help="at boot too")
    result.add_argument("--json", action="store_true", help="print one object of JSON")
    options = result.parse_intermixed_args(words)
    if not options.ports:
        if options.persist:
            result.error("cannot persist nothing: name PORTS")
        standing = apply.standing()
        if options.json:
            return 0, json.dumps(report.standing_dict(standing), indent=2) + "\n"
        return 0, report.standing_text(standing)
    done = apply.change("reserve", ports.parse(",".join(options.ports)), persist=options.persist)
    if options.json:
        return 0, json.dumps(report.done_dict(done), indent=2) + "\n"
    return 0, report.done_text(done)

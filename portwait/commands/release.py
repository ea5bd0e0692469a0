"""`portwait release`: give reserved ports back to the kernel's own choice, now and at boot."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portwait.model import ports
from portwait.options import parser
from portwait.reserved import apply, boot, report

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Release ports: take them off the kernel's list of reserved ports, whoever put
them there, and no others. It takes root in the network namespace.
"""

_EPILOG = f"""\
PORTS are ports and ranges: 50001,5200-5300,6001. `portwait reserve` without
PORTS lists what is reserved.

--persist takes the ports out of {boot.PLACE} too, where
`portwait reserve --persist` put them. What other files of sysctl.d say is left
to them: the answer names what they will reserve again.

exit status:
  0     the ports are not reserved any more
  125   they are, or in one of both places; the error says what was done

examples:
  portwait release 30010                    until somebody reserves it again
  portwait release --persist 30000-30100    after the next boot too
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Release; the status and the text. Raises PortwaitError."""
    result = parser.verb("release", "[--persist] [--json] PORTS...", _DESCRIPTION, _EPILOG)
    result.add_argument("ports", nargs="*", metavar="PORTS", help="ports and ranges")
    result.add_argument("--persist", action="store_true", help="at boot too")
    result.add_argument("--json", action="store_true", help="print one object of JSON")
    options = result.parse_intermixed_args(words)
    if not options.ports:
        result.error("cannot release nothing: name PORTS")
    done = apply.change("release", ports.parse(",".join(options.ports)), persist=options.persist)
    if options.json:
        return 0, json.dumps(report.done_dict(done), indent=2) + "\n"
    return 0, report.done_text(done)

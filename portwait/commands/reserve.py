"""`portwait reserve` and `portwait release`: keep ports from the kernel's own choice, or give them back.

Both change the kernel's list now and, with --persist, a file of sysctl.d for the next boot. `reserve` without ports
lists what is reserved.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from portwait.errors import UsageError
from portwait.model import ports
from portwait.options import reader
from portwait.reserved import apply, boot_file, report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.options.record import Options

_RESERVE = """\
Reserve ports: the kernel gives a reserved port to nobody who does not ask for
it by its number. connect() and bind(port 0) are given other ports of
ip_local_port_range; the service that binds it by its number still can. What is
reserved already stays, whoever did it. It requires root in the network
namespace.

A connection that has the port already keeps it: see `portwait explain` and
`portwait evict`.
"""

_RESERVE_EPILOG = f"""\
PORTS are ports and ranges: 50001,5200-5300,6001. Without PORTS it lists the
range, what is reserved, and which of it portwait has added.

--persist writes one file, {boot_file.PLACE}, with these
ports and what all other files of sysctl.d and /etc/sysctl.conf say, because at
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

_RELEASE = """\
Release ports: take them off the kernel's list of reserved ports, whoever put
them there, and no others. It requires root in the network namespace.
"""

_RELEASE_EPILOG = f"""\
PORTS are ports and ranges: 50001,5200-5300,6001. `portwait reserve` without
PORTS lists what is reserved.

--persist takes the ports out of {boot_file.PLACE} too, where
`portwait reserve --persist` put them. What other files of sysctl.d say is left
to them: the answer names what they will reserve again.

exit status:
  0     the ports are not reserved any more
  125   they are, in one place at least; the error says what was done

examples:
  portwait release 30010                    until somebody reserves it again
  portwait release --persist 30000-30100    after the next boot too
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Reserve or list; the status and the text. Raises PortwaitError."""
    options = reader.read("reserve", words, (_RESERVE, _RESERVE_EPILOG))
    if options.ports:
        return _change("reserve", options)
    if options.persist:
        raise UsageError("cannot persist nothing: name PORTS (see portwait reserve --help)")
    standing = apply.standing()
    if options.json:
        return 0, json.dumps(report.standing_dict(standing), indent=2) + "\n"
    return 0, report.standing_text(standing)


def release(words: Sequence[str]) -> tuple[int, str]:
    """Release; the status and the text. Raises PortwaitError."""
    options = reader.read("release", words, (_RELEASE, _RELEASE_EPILOG))
    if not options.ports:
        raise UsageError("cannot release nothing: name PORTS (see portwait release --help)")
    return _change("release", options)


def _change(verb: apply.Verb, options: Options) -> tuple[int, str]:
    done = apply.change(verb, ports.parse(",".join(options.ports)), persist=options.persist)
    if options.json:
        return 0, json.dumps(report.done_dict(done), indent=2) + "\n"
    return 0, report.done_text(done)

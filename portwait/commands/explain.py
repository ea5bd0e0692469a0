"""`portwait explain TARGET...`: who is in the way, why, and what to do."""

from __future__ import annotations

import gc
import os

from portwait.advice import advise, for_many, gather, units_of
from portwait.bind.survey import Survey
from portwait.diagnosis import owners
from portwait.errors import UsageError
from portwait.host.machine import machine
from portwait.host.port_settings import port_settings
from portwait.options import reader
from portwait.reports import summary
from portwait.text import terminal
from portwait.wait.inspection import Inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_IN_FULL = 4
"""More targets than that get a line each."""


_DESCRIPTION = """\
Say who is in the way of a service that wants these ports: which socket, which
direction, which process, unit or container, what is at the other end, since
when and until when, and which cure fits. Changes nothing.
"""

_EPILOG = """\
TARGET is a port (30010), an address and a port (127.0.0.1:30010, [::1]:30010),
a range (30000-30010) or a service's name (redis), each with /udp for UDP. More
than 4 get a line each. Of more than 64 the socket tables say which are free,
and bind() is asked about the others. If these are more than 64 too, it is not
asked, and every socket on a port counts.

It needs no privilege; root sees the processes of other users.

PORTWAIT_FAMILY, PORTWAIT_REUSEADDR, PORTWAIT_REUSEPORT and PORTWAIT_FREEBIND in
the environment count here as they do for the guard; the option wins.
PORTWAIT_TARGETS stands in where no TARGET is given.

exit status:
  0     nothing is held
  1     something is held
  125   portwait was called wrongly

examples:
  portwait explain 30010                 who, why, what to do
  portwait explain --json 80 443/udp     for programs
  portwait explain 30000-31000           what is held among many
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Explain; status 1 when something is held, else 0. Raises UsageError."""
    gc.disable()  # this process ends before there is anything to collect
    asked = reader.read("explain", words, (_DESCRIPTION, _EPILOG))
    wanted = asked.wanted(os.environ)
    if not wanted:
        raise UsageError(
            "cannot explain nothing: name a TARGET, as in `portwait explain 30010`, or set PORTWAIT_TARGETS"
        )
    inspection = Inspection(Survey(wanted, reuseaddr=asked.reuseaddr), {owners.this_process()})
    survey = inspection.survey
    if not inspection.probe() or survey.undecided:
        inspection.inspect()
    settings = port_settings()
    cases = [inspection.case(target, settings) for target in survey.targets]
    in_full = len(cases) <= _MOST_IN_FULL
    here = machine()
    cases = inspection.with_holds(cases)
    if in_full or asked.json:
        units = units_of(cases)
        cases = [case._replace(remedies=advise(gather(case, here, units=units))) for case in cases]
    text = (
        summary.as_json(cases, inspection.diagnosis.lost)
        if asked.json
        else summary.as_text(
            cases, inspection.diagnosis.lost, terminal.paper(1), in_full=in_full, cures=for_many(cases, here)
        )
    )
    return int(any(case.verdict.state == "held" for case in cases)), text

"""`portwait pick RANGE... [-- COMMAND...]`: choose a free port, hold it, become COMMAND with {} replaced by it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from portwait import handoff
from portwait.bind import hold
from portwait.bind.choice import Choice, choose, order
from portwait.commands.continuing import continuing_without
from portwait.errors import PortwaitError, UsageError, own_fault, quote
from portwait.host.port_settings import port_settings
from portwait.log import Log
from portwait.model import targets
from portwait.options import reader
from portwait.reports import choice as choice_report
from portwait.text import durations, placeholders
from portwait.text.escape import escape
from portwait.text.plural import names, typed
from portwait.wait import signals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.bind.hold import Mode
    from portwait.model.targets import Target
    from portwait.options.record import Options

GAVE_UP = 124

_DESCRIPTION = """\
Choose a port of these ranges that can be bound, keep it from everybody else,
and become COMMAND with each {} replaced by it. Several at once never choose
the same port.
"""

_EPILOG = """\
RANGE is a range (10000-19999), a port, or one of them behind an address
(127.0.0.1:10000-19999), each with /udp for UDP. Ports outside of
ip_local_port_range come first: the kernel gives those inside to connect().

In COMMAND, {} is the port; with --count they are {1}, {2} and so on. A literal
{} is written {{}}. Without a COMMAND the ports go to stdout, one a line, and
nothing keeps them.

exit status:
  the command's own   portwait has become it
  0                   the port was printed
  124                 gave up waiting: all ports are taken
  125                 portwait was called wrongly
  126, 127            the command cannot be run, or is not found

examples:
  portwait pick 10000-19999 -- python3 -m http.server {}
  portwait pick --count 2 8000-8999 -- server --port {1} --admin-port {2}
  portwait pick --env PORT 3000-3999 -- npm start
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Pick, and become the command; where there is none, answer 0 and the ports. Raises UsageError."""
    began = time.monotonic()
    cut = list(words).index("--") if "--" in words else len(words)
    command = list(words[cut + 1 :])
    if cut < len(words) and not command:
        raise UsageError("cannot run nothing: name a COMMAND behind --, or leave -- out to print the port")
    asked = _read(words[:cut])
    candidates = targets.parse(asked.targets, asked.family, freebind=asked.freebind)
    if command:
        _check(asked, command)
    log = Log(asked.log_format, quiet=asked.quiet, verbose=asked.verbose)
    mode: Mode = (asked.hold or "default") if command else "none"
    try:
        with signals.Stopping():
            choice = _choose(asked, candidates, mode, log, began)
    except signals.Stopped as stopped:
        signals.end_by(stopped.number)
    if not choice.claims:
        return GAVE_UP, ""
    picked = [claim.port for claim in choice.claims]
    if not command:
        many = len(picked) > 1
        log.info(
            "not-held",
            f"nothing keeps {'these ports' if many else 'this port'} from others now: write the command behind --, "
            "and portwait holds what it picks until the command has it",
        )
        return 0, "".join(f"{port}\n" for port in picked)
    for claim in choice.claims:
        if claim.unkept is not None:
            log.warning("failed", own_fault(f"keep other picks from {escape(str(claim.target))}", claim.unkept))
    for name, port in zip(asked.env, picked):  # as many or fewer, by _check
        os.environ[name] = str(port)
    with continuing_without("hold the port", asked):
        hold.make_all_inheritable(choice.claims)
    return handoff.become(placeholders.fill(command, picked)[0])


def _choose(asked: Options, candidates: Sequence[Target], mode: Mode, log: Log, began: float) -> Choice:
    """Take the ports, and wait while they are all taken; an empty choice at the deadline."""
    settings = port_settings()
    label = " ".join(asked.targets)
    choice = Choice()

    def look() -> bool:
        nonlocal choice
        tried = order(candidates, settings, shuffled=asked.random)
        choice = choose(tried, asked.count, mode, reuseaddr=asked.reuseaddr)
        return bool(choice.claims)

    tried = time.monotonic()
    free = look()
    took = time.monotonic() - tried
    if not free and asked.timeout and choice.can_wait:
        from portwait.wait import polling, schedule

        what = choice_report.taken(label, choice.refused, asked.count)
        timeout = None if asked.timeout == durations.INF else asked.timeout
        text = f"waiting {durations.limit(asked.timeout)}: {what}"
        log.warning("waiting", text, target=names(asked.targets), timeout=timeout, hold=False)
        every = max(polling.POLL, 20 * took)  # a long range takes a while to try
        free = schedule.until(look, time.sleep, began + asked.timeout, every=every)
    elif not free and not choice.can_wait:
        raise PortwaitError(f"cannot pick: {choice_report.taken(label, choice.refused, asked.count)}")
    if free:
        for claim in choice.claims:
            text = choice_report.picked(claim, choice.refused, settings, label, by_chance=asked.random)
            log.debug("picked", text, target=typed([claim.target]))
            log.debug("hold", choice_report.held(claim), target=typed([claim.target]))
    else:
        what = choice_report.taken(label, choice.refused, asked.count)
        after = f" after {durations.show(time.monotonic() - began)}" if asked.timeout else ""
        log.error("gave-up", f"gave up{after}: {what}", target=names(asked.targets))
    return choice


def _read(words: Sequence[str]) -> Options:
    options = reader.read("pick", words, (_DESCRIPTION, _EPILOG))
    if not options.targets:
        raise UsageError("cannot pick from nothing: name a RANGE, as in `portwait pick 10000-19999 -- server {}`")
    if options.hold == "full" and not options.reuseaddr:
        raise UsageError("cannot use --hold=full with --no-reuseaddr: such a service cannot bind beside a full hold")
    return options


def _check(asked: Options, command: Sequence[str]) -> None:
    """Refuse a command that would not know its ports, before any port is taken."""
    if len(asked.env) > asked.count:
        raise UsageError(f"cannot set {len(asked.env)} variables from {asked.count} port(s): see --count")
    for name in asked.env:
        if "=" in name or "\0" in name:
            raise UsageError(f"cannot set the variable {quote(name)}: a name has no =")
    _, used = placeholders.fill(command, range(1, asked.count + 1))
    if 0 in used:
        last = f"{{{asked.count}}}"
        raise UsageError(
            f"cannot replace {{}} with --count {asked.count}: write {{1}} to {last}, or {{{{}}}} for braces"
        )
    missing = set(range(len(asked.env) + 1, asked.count + 1)) - used
    if missing:
        place = f"{{{min(missing)}}}" if asked.count > 1 else "{}"
        raise UsageError(f"cannot tell the command its port: write {place} where the port belongs, or use --env NAME")

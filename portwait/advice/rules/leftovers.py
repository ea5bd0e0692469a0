"""What is left of a connection that has ended, or of a server that has."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping
from portwait.model.case import Remedy
from portwait.text import durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts
    from portwait.model.blocker import Blocker

_TIME_WAIT = 60.0  # seconds, TCP_TIMEWAIT_LEN (net/tcp.h); the guard's default timeout is longer


def wait(facts: Facts) -> Remedy | None:
    """Wait for the kernel's timer."""
    ends = [_expected_end(blocker) for blocker in facts.blockers]
    known = [end for end in ends if end is not None]
    if not known or len(known) < len(ends):
        return None
    left = max(known)
    surely = all(blocker.expires_in is not None for blocker in facts.blockers)
    limit = () if left <= _TIME_WAIT else ("-t", durations.show(left + 15))
    helps = "does not help here: the connection itself had to set it"
    if not facts.case.reuseaddr or facts.case.verdict.by == "tables":  # bind alone knows whether it had
        helps = "helps where the connection had set it too, as those of most servers have"
    return Remedy(
        "wait",
        f"Wait {'' if surely else 'at most '}{durations.show(left)}: the kernel ends it by itself. "
        f"SO_REUSEADDR in the service {helps}.",
        (
            shell_commands.about_network(
                facts.machine,
                facts.machine.portwait,
                *limit,
                *shell_commands.asked(facts.case),
                requires_root=False,
            ),
        ),
    )


def _expected_end(blocker: Blocker) -> float | None:
    """Say in how many seconds the kernel ends a socket at the latest: a TIME_WAIT also where its timer is not seen."""
    if blocker.expires_in is None and blocker.kind.name == "time-wait":
        return _TIME_WAIT
    return blocker.expires_in


def accepted_leftover(facts: Facts) -> Remedy | None:
    """Stop what is left of a server that no longer listens."""
    blockers = [blocker for blocker in facts.blockers if blocker.kind.name == "accepted"]
    left = shell_commands.owners(blockers)
    if not left or any(blocker.kind.name == "listener" for blocker in facts.blockers):
        return None
    stop = stopping.stop(facts, left)
    return Remedy(
        "stop-leftover",
        f"A server that listened here has stopped listening, and {shell_commands.called(left)} still "
        f"{shell_commands.verb(left, 'has', 'have')} connections of it. Let {shell_commands.pronoun(left)} end them, "
        f"or stop {shell_commands.pronoun(left)}. A service that sets SO_REUSEADDR binds beside them where that "
        f"server had set it too.{stop.words}",
        stop.commands,
    )


def close_wait(facts: Facts) -> Remedy | None:
    """Name the leak: the other end has closed, and the owner does not."""
    blockers = [blocker for blocker in facts.blockers if blocker.socket.state == "CLOSE_WAIT" and blocker.owners]
    if not blockers:
        return None
    left = shell_commands.owners(blockers)
    restart = stopping.restart(facts, left)
    who = shell_commands.called(left)
    return Remedy(
        "close-wait",
        f"The other end has closed and {who} {shell_commands.verb(left, 'has', 'have')} not: no timer ends that, it is "
        f"a leak in {who}." + (" Restarting helps for now." if restart.commands else "") + restart.words,
        restart.commands,
    )

"""What is left of a connection that has ended, or of a server that has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.advice import shell_commands
from portwait.model.case import Remedy
from portwait.text import durations
from portwait.text.escape import shell

if TYPE_CHECKING:
    from portwait.advice.facts import Facts

_TIME_WAIT = 60.0  # seconds, TCP_TIMEWAIT_LEN (net/tcp.h); the guard's default timeout is longer


def wait(facts: Facts) -> Remedy | None:
    """Wait for the kernel's timer."""
    ends = [one.expires_in for one in facts.blockers]
    known = [one for one in ends if one is not None]
    if not known or len(known) < len(ends):
        return None
    left = max(known)
    limit = () if left <= _TIME_WAIT else ("-t", durations.show(left + 15))
    helps = "does not help here: the connection itself had to have it"
    if not facts.reuseaddr:
        helps = "helps where the connection had it too, as those of most servers have"
    return Remedy(
        "wait",
        f"Wait {durations.show(left)}: the kernel ends it by itself. SO_REUSEADDR in the service {helps}.",
        (shell(("portwait", *limit, *shell_commands.asked(facts))),),
    )


def accepted_leftover(facts: Facts) -> Remedy | None:
    """Stop what is left of a server that no longer listens."""
    some = [one for one in facts.blockers if one.kind.name == "accepted"]
    left = shell_commands.owners(some)
    if not left or any(one.kind.name == "listener" for one in facts.blockers):
        return None
    return Remedy(
        "stop-leftover",
        f"A server that listened here has stopped listening, and {shell_commands.called(left)} still has connections "
        "of it. Let it end them, or stop what is left of it. A service that sets SO_REUSEADDR binds beside them where "
        "that server had set it too.",
        tuple(dict.fromkeys(shell_commands.stop(facts.machine, one) for one in left)),
    )


def close_wait(facts: Facts) -> Remedy | None:
    """Name the leak: the other end has closed, and the owner does not."""
    some = [one for one in facts.blockers if one.socket.state == "CLOSE_WAIT" and one.owners]
    if not some:
        return None
    left = shell_commands.owners(some)
    commands = tuple(
        dict.fromkeys(line for one in left if (line := shell_commands.restart(facts.machine, one)) is not None)
    )
    return Remedy(
        "close-wait",
        f"The other end has closed and {shell_commands.called(left)} has not: no timer ends that, it is a leak in "
        f"{shell_commands.called(left)}. Restarting it helps for now.",
        commands,
    )

"""Sockets that this portwait was started with: ending it, or whoever reads this, is no cure."""

from __future__ import annotations

from portwait.model.case import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def inherited_socket(facts: Facts) -> Remedy | None:
    """Whoever started portwait has left a socket on the port open for it."""
    blockers = [blocker for blocker in facts.blockers if blocker.inherited and blocker.kind.name != "hold"]
    if not blockers:
        return None
    passes = (
        " If the service takes sockets that are passed to it, say so with LISTEN_FDS and LISTEN_PID as systemd does: "
        "then it counts as the service's own."
        if any(blocker.kind.name in ("listener", "bound") for blocker in blockers)
        else ""
    )
    return Remedy(
        "inherited-socket",
        "This portwait has inherited the socket from whoever started it, and a command that it starts would inherit "
        f"it too. Close it there before portwait is started.{passes}",
    )


def inherited_hold(facts: Facts) -> Remedy | None:
    """Another portwait has become what started this one, and its hold is for the same service."""
    if not any(blocker.inherited and blocker.kind.name == "hold" for blocker in facts.blockers):
        return None
    beside = ""
    if not facts.case.reuseaddr and facts.target.protocol == "tcp":
        beside = ", or the inner one without --no-reuseaddr, if the service sets SO_REUSEADDR"
    return Remedy(
        "inherited-hold",
        "This portwait was started by the command of another one, and has inherited its hold on this port. A guard of "
        "a port needs no other guard inside: leave the inner one out. Or start the outer one with "
        f"--no-hold{beside}.",
    )

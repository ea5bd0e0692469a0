"""What is known of a target, as a dictionary for programs, with the keys that DESIGN promises: pure functions.

Text of other processes passes through `text.escape` and `text.masking` on its way.
"""

from __future__ import annotations

import time

from portwait.text.escape import escape
from portwait.text.masking import mask

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.blocker import Blocker
    from portwait.model.case import Case, Remedy
    from portwait.model.owner import Owner


def of_case(case: Case) -> dict[str, object]:
    """One target with all that is known of it."""
    target, verdict, settings = case.target, case.verdict, case.settings
    return {
        "target": escape(target.text),
        "protocol": target.protocol,
        "address": target.address,
        "port": target.port,
        "verdict": verdict.state,
        "errno": verdict.errno_name,
        "by": verdict.by,
        "ephemeral": settings.covers(target.port),
        "reserved": settings.reserves(target.port),
        "preferred": target.protocol == "tcp" and settings.hands_out(target.port) and settings.prefers(target.port),
        "blockers": [of_blocker(blocker) for blocker in case.blockers],
        "holds": [of_blocker(blocker) for blocker in case.holds],
        "remedies": [of_remedy(remedy) for remedy in case.remedies],
    }


def of_remedy(remedy: Remedy) -> dict[str, object]:
    """One piece of advice."""
    return {"code": remedy.code, "summary": remedy.summary, "commands": list(remedy.commands)}


def of_blocker(blocker: Blocker) -> dict[str, object]:
    """One blocker."""
    return {
        "kind": blocker.kind.name,
        "evidence": blocker.kind.evidence,
        "state": blocker.socket.state,
        "local": blocker.local,
        "remote": blocker.remote,
        "remote_service": blocker.remote_service,
        "inode": blocker.socket.inode,
        "cookie": blocker.socket.cookie,
        "uid": None if blocker.user is None else blocker.socket.uid,
        "user": _safe(blocker.user),
        "unit": _safe(blocker.unit),
        "container": _safe(blocker.container),
        "device": _safe(blocker.device),
        "queue": blocker.socket.queue,
        "mptcp": blocker.socket.mptcp,
        "expires_in": blocker.expires_in,
        "idle": blocker.idle,
        "evictable": blocker.evictable,
        "owners": [of_owner(owner) for owner in blocker.owners],
        "inherited": blocker.inherited,
        "peer": None if blocker.peer is None else of_owner(blocker.peer),
        "peer_user": _safe(blocker.peer_user),
        "peer_unit": _safe(blocker.peer_unit),
        "peer_waits": blocker.peer_waits,
        "unseen": blocker.unseen,
    }


def of_owner(owner: Owner) -> dict[str, object]:
    """One process."""
    return {
        "pid": owner.pid,
        "foreign_pid": owner.foreign_pid,
        "name": escape(owner.name),
        "cmdline": [escape(word) for word in mask(owner.cmdline)],
        "user": _safe(owner.user),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(owner.started)),
        "unit": _safe(owner.unit),
        "container": _safe(owner.container),
        "pod": _safe(owner.pod),
        "forwards": _safe(owner.forwards),
        "state": owner.state,
    }


def _safe(text: str | None) -> str | None:
    return None if text is None else escape(text)

"""The last resort: a signal to the process that owns a blocker; which process may get one, why another one may not.

Only an owner that was seen, after looking again whether it is still that process and still has the socket, which is
not touched. It gets the signal once, then CONT where it is stopped, and KILL after a while where the user said so.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.diagnosis.evictable import Refusal, names_needed
from portwait.options.table import EVICTED, ON_TOP, TERMINABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait._linux.pidfd import Means, Process
    from portwait.diagnosis.evictable import Selection
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner

NUMBER = int(signal.SIGTERM)
_FOREIGN = Refusal(
    "pid-namespace",
    "/proc numbers processes of another PID namespace than ours",
    "run portwait in that PID namespace, or mount its own /proc",
)
_ITSELF = Refusal("self", "it is this process, which was started with the socket open", "close it before")


class Termination(NamedTuple):
    """What the user asked for: whose owners, by the blocker's kind, are sent what, and when KILL follows."""

    kinds: frozenset[str] = frozenset(EVICTED)
    number: int = NUMBER
    kill_after: float | None = None
    """Seconds; None: never."""


class Relations(NamedTuple):
    """Our own process, and those that it descends from."""

    pid: int
    ancestors: frozenset[int]


def relations(guard: int | None = None) -> Relations:
    """Look them up: of this process, or of the guard that it works for."""
    from portwait._psutil import processes

    pid = guard or os.getpid()
    return Relations(pid, processes.ancestors(pid) | ({os.getppid()} - {pid}))


def names_to_agree(blocker: Blocker) -> frozenset[str]:
    """Say which names a user has to agree to before this blocker's owners are signalled.

    Those of --evict, without what matters to a socket only. What a destroyed connection leaves of a socket that was
    bound by number is still that connection.
    """
    if blocker.kind.name != "bound":
        return names_needed(blocker) - {"mptcp", "unseen"}
    kind = "outbound" if blocker.socket.remote_port else "bound"
    return frozenset({kind, "udp"} if blocker.socket.protocol == "udp" else {kind})


def listening(blockers: Iterable[Blocker]) -> frozenset[tuple[int, int]]:
    """List the processes, by pid and birth, that listen on one of these sockets."""
    return frozenset(
        (owner.pid, owner.birth) for blocker in blockers if blocker.kind.name == "listener" for owner in blocker.owners
    )


def names_of_all(blockers: Iterable[Blocker], serving: frozenset[tuple[int, int]]) -> frozenset[str]:
    """Say which names a user has to agree to before the owners of all these are signalled."""
    names: set[str] = set()
    for blocker in blockers:
        names |= names_to_agree(blocker)
        if any((owner.pid, owner.birth) in serving for owner in blocker.owners):
            names.add("listener")
    return frozenset(names)


def refusal(  # noqa: PLR0917  # what is asked about comes first
    blocker: Blocker,
    serving: frozenset[tuple[int, int]],
    kinds: frozenset[str],
    selection: Selection,
    us: Relations,
    beside: frozenset[str] = frozenset(),
) -> Refusal | None:
    """Say why this blocker's owners may not be signalled, None where all of them may.

    All, because the port stays held as long as one of them has the socket. `serving` are the processes that listen on
    the port, and `beside` are the names that what else is in the way needs.
    """
    if blocker.kind.name == "hold":
        return Refusal("hold", "it is another portwait's hold", "it ends with that service")
    if blocker.inherited:
        return _ITSELF
    if not blocker.owners:
        return Refusal("unseen", blocker.unseen or "no process owns it", "it has to end by itself", passing=True)
    if any(owner.foreign_pid for owner in blocker.owners):
        return _FOREIGN
    missing = names_to_agree(blocker) - kinds
    needed = names_of_all([blocker], serving) | beside
    if "udp" in missing:
        return _not_named(missing, needed)
    for owner in blocker.owners:
        if owner.pid == us.pid:
            return _ITSELF
        if owner.pid == 1:
            return Refusal("init", "it is PID 1", "stop what it started, or the container")
        if owner.pid in us.ancestors:
            return Refusal("ancestor", "it started this process", "close the socket there")
        if (owner.pid, owner.birth) in serving and "listener" not in kinds:
            return _not_named(frozenset(["listener"]), needed)
    if missing:
        return _not_named(missing, needed)
    for owner in blocker.owners:
        if not selection.expects(owner):
            return Refusal("not-selected", f"it is not among those that were named ({selection})", "name it too")
        if not str(selection) and owner.uid >= 0 and owner.uid != blocker.socket.uid:
            # anybody can pass a socket to a daemon, in a message, and have that daemon signalled
            why = f"the socket was opened by user {blocker.user}, and this process is user {owner.user}'s"
            return Refusal("other-user", why, f"name it: --evict-user {owner.user}")
    return None


def _option(needed: frozenset[str]) -> str:
    """Write the shortest option that allows these names."""
    on_top = needed & ON_TOP
    named = on_top if on_top and needed - on_top <= set(EVICTED) else needed
    return f"--terminate={','.join(kind for kind in TERMINABLE if kind in named)}"


def _not_named(missing: frozenset[str], needed: frozenset[str]) -> Refusal:
    """Refuse it, with the option that allows all that is needed; the kinds that were named so far may not be."""
    option = _option(needed)
    if "listener" in missing:
        return Refusal("listener", "it listens on the port", "stop its service, or name it", option=option)
    if "udp" in missing:
        return Refusal("udp", "a UDP socket's owner is signalled only when that is named", f"name it: {option}")
    if "unknown" in missing:
        why = "that this end called connect() is not proved"
        return Refusal("unproved", why, f"wait, because data in flight hides it, or name it: {option}", passing=True)
    code = "accepted" if "accepted" in missing else "not-named"
    return Refusal(code, f"{' and '.join(sorted(missing))} is not among the kinds to terminate", f"name it: {option}")


def terminate(
    owner: Owner, inode: int, number: int, means: Means | None = None
) -> Refusal | Literal["signalled", "gone"]:
    """Send the signal to this very process if it still has the socket; `gone` where one of the two is no more."""
    if sys.platform != "linux":
        return Refusal(
            "no-pidfd", "its PID cannot be kept from being reused, because pidfds are Linux's", "signal it by hand"
        )
    from portwait._linux import pidfd

    try:
        with pidfd.Process(owner.pid, means) as process:
            return _signal(process, owner, inode, number)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return Refusal("not-permitted", "this user may not signal it (EPERM)", "run portwait as root, or as its user")
    except OSError as error:
        return Refusal("no-pidfd", f"its PID cannot be kept from being reused ({error.strerror})", "signal it by hand")


def _signal(process: Process, owner: Owner, inode: int, number: int) -> Refusal | Literal["signalled", "gone"]:
    from portwait._linux import socket_owners

    now = process.stat()
    if now is None or now.birth != owner.birth:
        return "gone"
    if not process.is_the_one_in_proc():
        return _FOREIGN
    if now.kernel:
        return Refusal("kernel", "it is a thread of the kernel", "stop what it works for")
    if not socket_owners.has_socket(owner.pid, inode):
        return "gone"
    process.signal(number)
    if number not in (signal.SIGKILL, signal.SIGCONT) and _is_stopped(owner.pid):
        process.signal(signal.SIGCONT)  # until then any other signal stays pending
    return "signalled"


def _is_stopped(pid: int) -> bool:
    from portwait._psutil import processes

    return processes.is_stopped(pid)


def name(number: int) -> str:
    """Name a signal."""
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal between SIGRTMIN and SIGRTMAX
        return f"signal {number}"

"""The last resort: a signal to the process that owns a blocker; which process may get one, why another one may not.

Only an owner that was seen, by pidfd, after looking again whether it is still that process and still has the socket. A
process that does not obey is left alone: nothing here goes on to SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.diagnosis.evictable import Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.diagnosis.evictable import Selection
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner


class Kin(NamedTuple):
    """Our own process, and those that it descends from."""

    pid: int
    ancestors: frozenset[int]


def kin(pid: int | None = None) -> Kin:
    """Look them up: this process, or the guard that it works for."""
    pid = pid or os.getpid()
    if sys.platform != "linux":
        return Kin(pid, frozenset([os.getppid()]))
    from portwait._linux import procfs

    ancestors: set[int] = set()
    stat = procfs.stat_of(pid)
    while stat is not None and stat.parent and stat.parent not in ancestors:
        ancestors.add(stat.parent)
        stat = procfs.stat_of(stat.parent)
    return Kin(pid, frozenset(ancestors))


def refusal(blocker: Blocker, among: Sequence[Blocker], selection: Selection, us: Kin) -> Refusal | None:
    """Say why this blocker's owners may not be signalled, None where all of them may; `among` are all blockers.

    All, for the port stays held as long as one of them has the socket.
    """
    if not blocker.owners:
        return Refusal("unseen", blocker.unseen or "no process owns it", "it has to end by itself", passing=True)
    if blocker.kind.name == "hold":
        return Refusal("hold", "it is another portwait's hold", "it goes when that service binds the port, or ends")
    if blocker.socket.protocol == "udp" and "udp" not in selection.kinds:
        return Refusal("udp", "a UDP socket's owner is signalled only when that is named", "name it: --evict=udp")
    served = {(owner.pid, owner.birth) for one in among if one.kind.name == "listener" for owner in one.owners}
    for owner in blocker.owners:
        if owner.pid == us.pid:
            return Refusal("self", "it is this process, which was started with the socket open", "close it before")
        if owner.pid == 1:
            return Refusal("init", "it is PID 1", "stop what it started, or the container")
        if owner.pid in us.ancestors:
            return Refusal("ancestor", "it started this process", "close the socket there")
        if (owner.pid, owner.birth) in served and "listener" not in selection.kinds:
            return Refusal("listener", "it listens on the port", "stop its service, or name it: --evict=listener")
        if not selection.expects(owner):
            return Refusal("not-selected", f"it is not among those that were named ({selection})", "name it too")
    return None


def terminate(owner: Owner, inode: int, number: int) -> Refusal | Literal["signalled", "gone"]:
    """Send the signal to this very process if it still has the socket; `gone` where one of the two is no more."""
    if sys.platform != "linux":
        return Refusal("no-pidfd", "it cannot be held on to, for pidfds are Linux's", "signal it by hand")
    from portwait._linux import procfs

    try:
        process = os.pidfd_open(owner.pid)
    except ProcessLookupError:
        return "gone"
    except OSError as error:
        return Refusal("no-pidfd", f"it cannot be held on to (pidfd_open: {error.strerror})", "signal it by hand")
    try:
        now = procfs.stat_of(owner.pid)  # of the process that the pidfd stands for, or of nobody: it was there first
        if now is None or now.birth != owner.birth:
            return "gone"
        if now.kernel:
            return Refusal("kernel", "it is a thread of the kernel", "stop what it works for")
        if not procfs.has_socket(owner.pid, inode):
            return "gone"
        signal.pidfd_send_signal(process, number)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        return Refusal("not-permitted", "this user may not signal it (EPERM)", "run portwait as root, or as its user")
    finally:
        os.close(process)
    return "signalled"


def name(number: int) -> str:
    """Name a signal."""
    return signal.Signals(number).name

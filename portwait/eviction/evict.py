"""Which blockers may be evicted, and why another one may not; and evicting one: its connection, not its process.

By default that is what harms nobody else: a connection that a client of this host is proved to have opened, and what
no process owns any more. The user widens or narrows that by naming kinds, and narrows it by naming owners.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from portwait.options import EVICTABLE, EVICTED

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from portwait.diagnosis.blockers import Blocker
    from portwait.owners import Owner
    from portwait.sockets import KernelSocket


class Selection(NamedTuple):
    """What the user allows: kinds by name, and of owners only these users and units (none given: all)."""

    kinds: frozenset[str] = frozenset(EVICTED)
    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    """Names, or patterns like `worker@*.service`."""

    def expects(self, owner: Owner) -> bool:
        """Whether this process is one of those that the user has named."""
        from fnmatch import fnmatchcase

        of_user = not self.users or owner.user in self.users
        of_unit = owner.unit is not None and any(fnmatchcase(owner.unit, unit) for unit in self.units)
        return of_user and (of_unit or not self.units)

    def __str__(self) -> str:
        """Say which owners are expected: `user app, unit orders.service`."""
        users = f"user {' or '.join(self.users)}" if self.users else ""
        units = f"unit {' or '.join(self.units)}" if self.units else ""
        return ", ".join(part for part in (users, units) if part)


def select(kinds: Iterable[str], users: Iterable[str] = (), units: Iterable[str] = ()) -> Selection:
    """Build a selection from the words of the command line, where a user can also be a number."""
    from portwait.diagnosis.processes import user_name

    names = (user_name(int(user)) if user.isascii() and user.isdigit() else user for user in users)
    return Selection(frozenset(kinds), tuple(name or "" for name in names), tuple(units))


class Refusal(NamedTuple):
    """Why something was not done, and what helps. The code is a promise, as the JSON keys are."""

    code: str
    why: str
    cure: str
    passing: bool = False
    """Whether another look can change it: data in flight hides who called connect()."""
    general: bool = False
    """Whether it is so for every socket here, and not for this one alone."""


def names_needed(blocker: Blocker) -> frozenset[str]:
    """Say which names a user has to agree to before this blocker is evicted."""
    names = {_direction(blocker)}
    if blocker.kind.name == "closing":
        names = {"closing"} if blocker.socket.inode == 0 else {"closing", *names - {"outbound"}}
    if blocker.socket.protocol == "udp":
        names.add("udp")
    if blocker.socket.inode and not blocker.owners:
        names.add("unseen")
    return frozenset(names)


def _direction(blocker: Blocker) -> str:
    """Name the kind; an inference is no proof of `outbound`. A FIN_WAIT2's FIN is acknowledged, so it counts too."""
    kind, info = blocker.kind, blocker.socket.info
    if kind.name == "closing":
        fins = {1: "accepted", 2: "outbound"} if blocker.socket.state == "FIN_WAIT2" else {}
        return "unknown" if info is None else fins.get(info.acked_control or 0, "unknown")
    return "unknown" if kind.name == "outbound" and not kind.proved else kind.name


def refusal(blocker: Blocker, selection: Selection) -> Refusal | None:
    """Say why this blocker may not be evicted, None where it may."""
    which = blocker.socket
    if which.state == "CLOSE":
        return _bound(blocker)
    if which.cookie == 0:
        return Refusal(
            "no-netlink",
            "the socket tables that can be read here do not identify it",
            "it takes netlink (in a unit with RestrictAddressFamilies=: AF_NETLINK)",
            general=True,
        )
    missing = names_needed(blocker) - selection.kinds
    if missing:
        return _not_named(blocker, missing, _option(selection.kinds | missing))
    unexpected = [owner for owner in blocker.owners if not selection.expects(owner)]
    if unexpected or (str(selection) and which.inode and not blocker.owners):
        return Refusal(
            "not-selected",
            f"its owner is not among those that may be evicted ({selection})",
            "name that one too (--evict-user, --evict-unit), or wait for it",
        )
    return None


def by_default(blocker: Blocker) -> bool:
    """Whether a plain --evict would evict it."""
    return refusal(blocker, Selection()) is None


def _option(kinds: frozenset[str]) -> str:
    """Write the option that allows these kinds."""
    return f"--evict={','.join(kind for kind in EVICTABLE if kind in kinds)}"


def _bound(blocker: Blocker) -> Refusal:
    if blocker.kind.name == "hold":
        return Refusal("hold", "it is another portwait's hold", "it goes when that service binds the port, or ends")
    if (
        blocker.socket.remote_port
    ):  # what a destroyed connection leaves of a socket whose port was not the kernel's choice
        return Refusal(
            "kept",
            "its connection is gone, but its process had bound the port by number and keeps it",
            "that process has to close the socket, or end",
        )
    return Refusal(
        "bound-only",
        "it is bound and neither listens nor connects, and the kernel takes no port away from such a socket",
        "its process has to close it, or end",
    )


def _not_named(blocker: Blocker, missing: frozenset[str], option: str) -> Refusal:
    """Explain the gravest of the names that the user has not agreed to."""
    anyway = f"or name it: {option}"
    if "listener" in missing:
        return Refusal("listener", "it is a listener", f"stop its service, {anyway}")
    if "accepted" in missing:
        return Refusal("accepted", "a server has accepted it", f"stop that server, {anyway}")
    if "unknown" in missing:
        why = "that this end called connect() is not proved"
        return Refusal("unproved", why, f"look again, for data in flight hides it, {anyway}", passing=True)
    if "unseen" in missing:
        why, _, cure = (blocker.unseen or "owner not visible").partition("; ")
        return Refusal(
            "unseen", why, f"{cure or 'look as root on the host'}, or name it (with CAP_NET_ADMIN): {option}"
        )
    if "udp" in missing:
        return Refusal("udp", "a UDP socket is evicted only when it is named", f"name it: {option}")
    return Refusal(
        "not-named", f"{' and '.join(sorted(missing))} is not among the kinds to evict", f"name it: {option}"
    )


class Door(Protocol):
    """What of the socket tables is used to destroy; each method raises TablesError where there is no answer."""

    def __enter__(self) -> Self:
        """Use it for a while."""

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Give back what it needs."""

    def again(self, which: KernelSocket) -> KernelSocket | None:
        """Look at one socket once more, by its cookie."""

    def destroy(self, which: KernelSocket) -> int:
        """Destroy it, by its cookie; the error number, 0 for done."""

    def may_destroy(self) -> int:
        """Say what error number any socket would get, 0 for none."""


def evict(door: Door, blocker: Blocker) -> Refusal | Literal["evicted", "gone"]:
    """Destroy this very socket; `gone` where it, or the state in which it was seen, is no more. Raises TablesError.

    Another socket can have taken the same two ends since: the kernel compares the cookie.
    """
    now = door.again(blocker.socket)
    if now is None or (now.state == "LISTEN") != (blocker.socket.state == "LISTEN"):
        return "gone"
    number = door.destroy(now)
    if number in (errno.ENOENT, errno.ESTALE):
        return "gone"
    # tcp_abort() of Linux 5.10 reports success and does nothing to what no process has (FIN_WAIT1, CLOSING, LAST_ACK)
    if number == 0 and (now.inode or door.again(now) is None):
        return "evicted"
    return failure(door, blocker, number)


def rehearse(door: Door, blocker: Blocker) -> Refusal | None:
    """Say why the kernel would not destroy it, None where it would, without touching it. Raises TablesError."""
    number = door.may_destroy()
    return failure(door, blocker, number) if number else None


def failure(door: Door, blocker: Blocker, number: int) -> Refusal:
    """Put the kernel's error into words; 0 is a success that changed nothing."""
    if number == errno.EPERM:
        return Refusal(
            "not-permitted",
            "destroying a connection takes CAP_NET_ADMIN in the network namespace (EPERM)",
            "run it as root; in a unit ExecStartPre=+... or AmbientCapabilities=CAP_NET_ADMIN;"
            " in a container --cap-add NET_ADMIN",
            general=True,
        )
    if number == 0 or (number == errno.EOPNOTSUPP and door.may_destroy() != errno.EOPNOTSUPP):
        left = "it" if blocker.expires_in is None else f"it, at most {blocker.expires_in:.0f} s"
        return Refusal(
            "state-unsupported",
            f"this kernel cannot destroy a connection in {blocker.socket.state} that no process has"
            f"{' (EOPNOTSUPP)' if number else ', though it says that it did'}",
            f"wait for {left}; newer kernels can (6.1 does)",
        )
    if number == errno.EOPNOTSUPP:
        return Refusal(
            "unsupported",
            "this kernel cannot destroy connections (EOPNOTSUPP)",
            "it takes a kernel with CONFIG_INET_DIAG_DESTROY; until then its process has to close it",
            general=True,
        )
    return Refusal("failed", f"the kernel refused: {os.strerror(number)}", "its process has to close it, or end")


def hidden() -> Refusal:
    """Explain a port that is still held after its connection was destroyed, while the tables show nothing on it."""
    return Refusal(
        "kept",
        "its connection is gone, but its process perhaps bound the port by number and keeps it: this kernel hides that",
        "that process has to close the socket, or end",
    )

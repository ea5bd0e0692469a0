"""Which blockers may be evicted, and why another one may not.

By default that is what harms nobody else: a connection that a client of this host is proved to have opened, and what
no process owns any more. The user widens or narrows that by naming kinds, and narrows it by naming owners.
"""

from __future__ import annotations

from portwait.diagnosis.owners import user_name
from portwait.model.record import Record
from portwait.options.table import EVICTABLE, EVICTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner


class Selection(Record):
    """What the user allows: kinds by name, and of owners only these users and units (none given: all)."""

    kinds: frozenset[str] = frozenset(EVICTED)
    users: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    """Names, or patterns like `worker@*.service`."""

    def expects(self, owner: Owner) -> bool:
        """Whether this process is one of those that the user has named."""
        if self.users and owner.user not in self.users:
            return False
        if not self.units:
            return True
        from fnmatch import fnmatchcase

        return owner.unit is not None and any(fnmatchcase(owner.unit, unit) for unit in self.units)

    def __str__(self) -> str:
        """Say which owners are expected: `user app, unit orders.service`."""
        users = f"user {' or '.join(self.users)}" if self.users else ""
        units = f"unit {' or '.join(self.units)}" if self.units else ""
        return ", ".join(part for part in (users, units) if part)


def select(kinds: Iterable[str], users: Iterable[str] = (), units: Iterable[str] = ()) -> Selection:
    """Build a selection from the words of the command line, where a user can also be a number."""
    names = (user_name(int(user)) if user.isascii() and user.isdigit() and len(user) <= 10 else user for user in users)
    return Selection(frozenset(kinds), tuple(name or "" for name in names), tuple(units))


class Refusal(Record):
    """Why something was not done, and what helps. The code is a promise, as the JSON keys are."""

    code: str
    why: str
    cure: str
    passing: bool = False
    """Whether another look can change it: data in flight hides who called connect()."""
    general: bool = False
    """Whether it is so for every socket here, and not for this one alone."""
    option: str = ""
    """An option of the guard that helps, which stands behind the cure as a whole command."""


def names_needed(blocker: Blocker) -> frozenset[str]:
    """Say which names a user has to agree to before this blocker is evicted."""
    names = {_direction(blocker)}
    if blocker.kind.name == "closing":
        names = {"closing"} if blocker.socket.inode == 0 else {"closing", *names - {"outbound"}}
    if blocker.socket.protocol == "udp":
        names.add("udp")
    if blocker.socket.mptcp and blocker.socket.inode:
        names.add("mptcp")
    if blocker.socket.inode and not blocker.is_owned:
        names.add("unseen")
    return frozenset(names)


def _direction(blocker: Blocker) -> str:
    """Name the kind; an inference is no proof of `outbound`. A FIN_WAIT2's FIN is acknowledged, so it counts too."""
    kind, info = blocker.kind, blocker.socket.info
    if kind.evidence == "beside-listener":
        return "unknown"
    if kind.name == "closing":
        fins = {1: "accepted", 2: "outbound"} if blocker.socket.state == "FIN_WAIT2" else {}
        return "unknown" if info is None else fins.get(info.acked_control or 0, "unknown")
    return "unknown" if kind.name == "outbound" and not kind.proved else kind.name


def refusal(blocker: Blocker, selection: Selection) -> Refusal | None:
    """Say why this blocker may not be evicted, None where it may."""
    sock = blocker.socket
    if sock.state == "CLOSE":
        return _bound(blocker)
    if blocker.kind.name == "listener":
        return Refusal(
            "listener",
            "it is a listener, whose process would be left deaf",
            "stop its service, or have that process signalled",
            option="--terminate=listener",
        )
    if sock.cookie == 0:
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
    if unexpected or (str(selection) and sock.inode and not blocker.owners):
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
        return Refusal("hold", "it is another portwait's hold", "it ends with that service")
    if blocker.socket.remote_port:  # it was connected, and that connection was destroyed
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
    """Explain the most important of the names that the user has not agreed to."""
    anyway = f"or name it: {option}"
    if "accepted" in missing:
        return Refusal("accepted", "a server has accepted it", f"stop that server, {anyway}")
    if "unknown" in missing and blocker.kind.evidence == "beside-listener":
        why = "somebody listens at its address and port, so destroying it would not free the port"
        return Refusal("unproved", why, f"stop that listener, {anyway}")
    if "unknown" in missing:
        why = "that this end called connect() is not proved"
        return Refusal("unproved", why, f"look again, for data in flight hides it, {anyway}", passing=True)
    if "mptcp" in missing:
        why = "it is one path of a Multipath TCP connection, whose program would not be told that it is gone"
        return Refusal("mptcp", why, f"its process has to close it, {anyway}")
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

"""A process that has a socket open, as people know it. Values only; imports nothing of ours."""

from __future__ import annotations

from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Place(Record):
    """Where a process lives. `user_unit` is whether the unit is one of a user's own manager, not the system's."""

    unit: str | None = None
    user_unit: bool = False
    container: str | None = None
    """`ENGINE:ID` or `ENGINE:NAME`."""
    pod: str | None = None


class Owner(Record):
    """A process that has a socket open. Its pid and its start are its identity, for pids are used again.

    `started` is seconds since the epoch, for people; `birth` is the same in the kernel's ticks since boot, which no
    change of the clock moves, 0 where unknown. `forwards` is where a proxy passes connections on to.
    """

    pid: int
    name: str
    cmdline: tuple[str, ...]
    user: str | None
    started: float
    unit: str | None = None
    container: str | None = None
    user_unit: bool = False
    """Whether the unit is one of a user's own service manager."""
    pod: str | None = None
    forwards: str | None = None
    parent: int = 0
    birth: int = 0
    state: str | None = None
    """As in /proc/PID/stat: T is stopped; None where it is not known."""
    uid: int = -1
    """The user's number; -1 where it is not known."""
    foreign_pid: bool = False
    """Whether the pid is the number of another PID namespace, so that no command here may name it."""


def forwarded(command: Sequence[str]) -> str | None:
    """Say where Docker's proxy forwards to, `172.17.0.2:80`; None for any other process."""
    if not command or command[0].rpartition("/")[2] != "docker-proxy":
        return None
    options = dict(zip(command[1:], command[2:]))
    address, port = options.get("-container-ip"), options.get("-container-port")
    if not address or not port:
        return None
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

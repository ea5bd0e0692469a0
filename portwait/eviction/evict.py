"""Evict a blocker: destroy its connection, not the process behind it; and put what the kernel refuses into words."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Literal, Protocol

from portwait.diagnosis.evictable import Refusal
from portwait.errors import TablesError

if TYPE_CHECKING:
    from types import TracebackType

    from portwait.model.blocker import Blocker
    from portwait.model.sockets import KernelSocket


class Door(Protocol):
    """What of the socket tables is used to destroy; each method raises TablesError where there is no answer."""

    def __enter__(self) -> Door:
        """Use it for a while."""

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Give back what it needs."""

    def again(self, sock: KernelSocket) -> KernelSocket | None:
        """Look at one socket once more, by its cookie."""

    def destroy(self, sock: KernelSocket) -> int:
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
    try:
        number = door.destroy(now)
    except TablesError:  # the answer was lost (ENOBUFS), and the kernel may have done it all the same
        if door.again(now) is None:
            return "evicted"
        raise
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
            "destroying a connection requires CAP_NET_ADMIN in the network namespace (EPERM)",
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

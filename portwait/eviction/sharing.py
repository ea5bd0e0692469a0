"""Which blockers share their port with the service, so that they are not what makes its bind fail.

The socket tables do not show that; where something is to be destroyed or signalled, the sockets themselves are asked.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from portwait.diagnosis.evictable import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait._linux.socket_flags import Flags
    from portwait.bind.survey import Survey
    from portwait.model.blocker import Blocker
    from portwait.model.targets import Target

NOT_IN_THE_WAY = Refusal(
    "shares-port",
    "it shares its port with the service (SO_REUSEADDR or SO_REUSEPORT), so something else is in the way",
    "look again; older kernels do not show a socket that is only bound",
)


class Sharing:
    """The flags of the blockers that were asked, remembered by inode."""

    def __init__(self) -> None:
        """Nobody was asked yet."""
        self._flags: dict[int, Flags | None] = {}

    def among(self, survey: Survey, target: Target, blockers: Sequence[Blocker]) -> frozenset[int]:
        """List the inodes of those that share the port; a single blocker is what bind means, and is not asked."""
        if len(blockers) < 2 or target.protocol != "tcp" or survey.verdicts[target].by != "bind":
            return frozenset()
        self._ask([blocker for blocker in blockers if blocker.socket.inode not in self._flags])
        return frozenset(
            blocker.socket.inode
            for blocker in blockers
            if (flags := self._flags[blocker.socket.inode]) is not None
            and share(blocker, flags, reuseaddr=survey.reuseaddr, reuseport=target.reuseport)
        )

    def forget_all_but(self, blockers: Iterable[Blocker]) -> None:
        """Forget what is gone."""
        present = {blocker.socket.inode for blocker in blockers}
        self._flags = {inode: flags for inode, flags in self._flags.items() if inode in present}

    def _ask(self, blockers: Sequence[Blocker]) -> None:
        """Ask the sockets, each process for all of its own at once."""
        self._flags.update(dict.fromkeys(blocker.socket.inode for blocker in blockers))
        if sys.platform != "linux":
            return
        from portwait._linux import socket_flags

        by_owner: dict[int, list[int]] = {}
        for blocker in blockers:
            if blocker.owners and blocker.socket.inode and not blocker.socket.mptcp:
                by_owner.setdefault(blocker.owners[0].pid, []).append(blocker.socket.inode)
        self._flags.update(socket_flags.read(by_owner))


def share(blocker: Blocker, flags: Flags, *, reuseaddr: bool, reuseport: bool) -> bool:
    """Whether a socket with these flags and the service can have the port both (inet_bind_conflict, net/ipv4)."""
    if reuseaddr and flags.reuseaddr and blocker.socket.state != "LISTEN":
        return True
    return reuseport and flags.reuseport and blocker.socket.uid == os.geteuid()

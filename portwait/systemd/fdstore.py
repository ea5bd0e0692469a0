"""systemd's file descriptor store: sockets of ours that outlive the unit's restarts (FDSTORE=1, sd_notify(3)).

Knows what our sockets are called there, how one is put in and taken out, and whether the store takes any. systemd hands
the whole store to the next start behind the sockets that it passes (`listen_fds`); which of ours are wanted then, and
that the service never sees them, is the business of `handover`.
"""

from __future__ import annotations

import os

from portwait.systemd import notify
from portwait.systemd.listen_fds import OURS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from portwait.model.targets import Target

LISTENER = "listen"
"""Stands for a hold's form in the name of a socket that listens."""

_ROOM = f"{OURS}room"


def name_of(target: Target, form: str) -> str:
    """Call a socket by what it is, `portwait-tcp-30010-v6only`, so that one of a form no longer wanted is known."""
    return f"{OURS}{target.protocol}-{target.port}-{form}"


def is_ours(name: str) -> bool:
    """Whether a name in LISTEN_FDNAMES is one that we gave."""
    return name.startswith(OURS)


def put(name: str, descriptor: int) -> bool:
    """Store a copy; whether systemd was told.

    Without polling (FDPOLL=0, systemd 246), because a socket that is bound and does not listen polls EPOLLHUP, and
    systemd would drop it at once.
    """
    return notify.send("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", descriptors=[descriptor])


def remove(names: Iterable[str]) -> None:
    """Take all sockets of these names out of the store."""
    for name in names:
        notify.send("FDSTOREREMOVE=1", f"FDNAME={name}")


def room(wanted: int) -> int | None:
    """Say how many of these new descriptors the store takes; None where nobody answers.

    systemd drops what it has no room for without a word to us (only since 254 it says FDSTORE= in the environment). So
    give it the reading ends of pipes: a pipe that has lost its reader was dropped. FileDescriptorStoreMax= shows in
    this, and whether NotifyAccess= lets this process speak.
    """
    import select

    pipes = [os.pipe() for _ in range(wanted)]
    readers, writers = [reader for reader, _ in pipes], [writer for _, writer in pipes]
    try:
        sent = notify.send("FDSTORE=1", f"FDNAME={_ROOM}", descriptors=readers)
        while readers:
            os.close(readers.pop())
        if not sent or not notify.settled():
            return None
        poll = select.poll()
        for writer in writers:
            poll.register(writer, 0)  # POLLERR, the readers are gone, is always reported
        return wanted - len(poll.poll(0))
    finally:
        remove([_ROOM])
        for number in (*readers, *writers):
            os.close(number)

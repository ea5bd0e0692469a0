"""Which path keeps another user from executing a program, as far as mode bits tell: its own, or a folder's above it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

NOBODY = -1
"""A user of whom nothing is known: what is open to others is open to it."""


def account(name: str) -> tuple[int, frozenset[int]]:
    """Find a user's number and groups by name or number; NOBODY and none where there is no such user."""
    import pwd

    try:
        user = pwd.getpwuid(int(name)) if name.isascii() and name.isdigit() else pwd.getpwnam(name)
        return user.pw_uid, frozenset(os.getgrouplist(user.pw_name, user.pw_gid))
    except (KeyError, OverflowError, OSError):
        return NOBODY, frozenset()


def closed(
    paths: Iterable[str],
    uid: int = NOBODY,
    groups: Collection[int] = (),
    *,
    stat: Callable[[str], os.stat_result] = os.stat,
) -> str:
    """Name the first of these absolute paths that this user cannot read and execute, or the folder above it.

    A folder above has to be one that can be entered. With its mode, `/root (mode 0700)`; "" where all are open, or
    cannot be looked at.
    """
    for path in paths:
        parts = path.rstrip("/").split("/")
        for end in range(1, len(parts) + 1):
            each = "/".join(parts[:end]) or "/"
            wanted = 0o5 if end == len(parts) else 0o1
            try:
                status = stat(each)
            except OSError:
                break
            shift = 6 if status.st_uid == uid else 3 if status.st_gid in groups else 0
            if ~(status.st_mode >> shift) & wanted:
                return f"{each} (mode {status.st_mode & 0o7777:04o})"
    return ""

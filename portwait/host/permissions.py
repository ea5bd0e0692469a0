"""What keeps somebody else from executing a program: a path that is closed to a user, or hidden from a unit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

NOBODY = -1
"""A user of whom nothing is known: what is open to others is open to it."""


_HOMES, _HIDING = ("/home", "/root", "/run/user"), ("yes", "true", "on", "1", "y", "t", "tmpfs")
"""What ProtectHome= hides, and by which of its values."""


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


def hidden(paths: Iterable[str], settings: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Name the setting of a unit that hides one of these paths from its processes, and the path; else twice nothing."""
    homes = _HOMES if (settings.get("ProtectHome") or ("",))[-1].lower() in _HIDING else ()
    hides = [("ProtectHome", home) for home in homes]
    for name in ("InaccessiblePaths", "TemporaryFileSystem"):
        words = " ".join(settings.get(name, ())).split()
        hides += [(name, word.strip("\"'").lstrip("-+").partition(":")[0].rstrip("/")) for word in words]
    return next(
        ((name, path) for path in paths for name, folder in hides if f"{path}/".startswith(f"{folder}/")), ("", "")
    )

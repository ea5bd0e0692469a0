"""Whose word a command line is: what it names goes into a command of root's to paste only where it is root's own."""

from __future__ import annotations

import os
import stat
import sys

from portwait.diagnosis import owners

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.model.owner import Owner


def is_roots_word(process: Owner) -> bool:
    """Whether root wrote this command line, and its paths are those of this machine: what it names may be acted on.

    A set-user-ID program runs as root with the words, and the open sockets, of whoever started it; `sudo` even sets its
    real uid before it asks for the password.
    """
    if process.container is not None:
        return False
    if sys.platform != "linux":
        return process.user in ("root", "NT AUTHORITY\\SYSTEM")
    folder = f"/proc/{process.pid}"
    try:
        with open(f"{folder}/status", encoding="utf-8", errors="replace") as file:
            (uids,) = (line.split()[1:] for line in file if line.startswith("Uid:"))
        program, root = os.stat(f"{folder}/exe"), os.stat(f"{folder}/root")
    except (OSError, ValueError):  # it has ended, or is not ours to look at
        return False
    if set(uids) != {"0"} or program.st_mode & stat.S_ISUID or not os.path.samestat(root, os.stat("/")):
        return False
    now = owners.describe(process.pid)  # it may have become another program since its words were read
    return now is not None and (now.birth, now.cmdline) == (process.birth, process.cmdline)

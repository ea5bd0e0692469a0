"""Read a small file that somebody else wrote, perhaps an enemy: as its owner sees it, and without coming to harm.

The path is walked from the root of the process that uses the file, its links resolved within that root. The last name
must be a regular file and no link. What is there is looked at before it is opened, for opening a device has effects and
opening a FIFO waits.
"""

from __future__ import annotations

import os
import stat
import sys

_MOST_LINKS = 40  # as the kernel's own limit (MAXSYMLINKS, linux/namei.h)


class UntrustedFileError(Exception):
    """The file cannot or must not be read; the text is the reason."""


def read(path: str, pid: int, largest: int) -> bytes:
    """Read a file by its absolute path in the root of a process. Raises UntrustedFileError."""
    try:
        if sys.platform != "linux":
            return _read_regular(os.open(path, os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK")), largest)
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
        try:
            found = _walk(root, path)
        finally:
            os.close(root)
        try:
            if not stat.S_ISREG(os.fstat(found).st_mode):
                raise UntrustedFileError("it is no regular file")
            opened = os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        finally:
            os.close(found)
        return _read_regular(opened, largest)
    except OSError as error:
        raise UntrustedFileError(error.strerror or str(error)) from error


def working_directory(pid: int) -> str | None:
    """Name a process's working directory as the process sees it; None where that may not be known."""
    try:
        folder, root = os.readlink(f"/proc/{pid}/cwd"), os.readlink(f"/proc/{pid}/root")
    except OSError:
        return None
    return folder.removeprefix(root) if root != "/" and folder.startswith(f"{root}/") else folder


def _flag(name: str) -> int:
    """A flag of os.open that this system may not have."""
    return int(getattr(os, name, 0))


def _walk(root: int, path: str) -> int:
    """Open a path below a root, as O_PATH, never leaving the root."""
    rest = path.split("/")[::-1]
    trail = [os.dup(root)]
    links = 0
    try:
        while rest:
            name = rest.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(trail) > 1:
                    os.close(trail.pop())
                continue
            here = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=trail[-1])
            if not stat.S_ISLNK(os.fstat(here).st_mode):
                trail.append(here)
                continue
            try:
                links += 1
                if not any(part not in ("", ".") for part in rest):
                    raise UntrustedFileError("it is a symbolic link")
                if links > _MOST_LINKS:
                    raise UntrustedFileError("too many symbolic links")
                to = os.readlink("", dir_fd=here)
            finally:
                os.close(here)
            if to.startswith("/"):
                while len(trail) > 1:
                    os.close(trail.pop())
            rest += to.split("/")[::-1]
        return trail.pop()
    finally:
        for one in trail:
            os.close(one)


def _read_regular(opened: int, largest: int) -> bytes:
    try:
        found = os.fstat(opened)
        if not stat.S_ISREG(found.st_mode):
            raise UntrustedFileError("it is no regular file")
        if found.st_size > largest:
            raise UntrustedFileError(f"it is too large, {found.st_size} bytes")
        return os.read(opened, largest)
    finally:
        os.close(opened)

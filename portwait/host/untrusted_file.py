"""Read small files that others may have written, whatever they have put there: a FIFO, a device, gigabytes, links.

What a path leads to is looked at before it is opened, because opening a device has effects and opening a FIFO waits.
Only regular files up to a size are read.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

_DEV_NULL = 0x103  # device 1, 3
_MOST_LINKS = 40  # as the kernel's own limit (MAXSYMLINKS, linux/namei.h)


class UntrustedFileError(Exception):
    """The file cannot or must not be read; the text is the reason."""


def read(path: str, pid: int, largest: int) -> bytes:
    """Read a file by its absolute path in the root of a process, as that process sees it. Raises UntrustedFileError.

    Links are resolved within that root; the last name must be no link.
    """
    try:
        if sys.platform != "linux":
            return _read_regular(os.open(path, os.O_RDONLY | _flag("O_NOFOLLOW") | _flag("O_NONBLOCK")), largest)
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_CLOEXEC)
        try:
            target = _walk(root, path)
        finally:
            os.close(root)
        return _read_target(target, largest)
    except OSError as error:
        raise UntrustedFileError(error.strerror or str(error)) from error


def read_setting(path: str, largest: int) -> bytes:
    """Read a file of settings by its path, links followed; /dev/null is empty. Raises UntrustedFileError, OSError.

    The OSError is that of the path itself: there is no such file, or it cannot be looked at.
    """
    if sys.platform != "linux":
        return _read_regular(os.open(path, os.O_RDONLY | _flag("O_NONBLOCK")), largest)
    target = os.open(path, os.O_PATH | os.O_CLOEXEC)
    status = os.fstat(target)
    if stat.S_ISDIR(status.st_mode):
        os.close(target)
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == _DEV_NULL:
        os.close(target)
        return b""
    return _read_target(target, largest)


def _read_target(target: int, largest: int) -> bytes:
    """Read what an O_PATH descriptor stands for, and close it."""
    try:
        if not stat.S_ISREG(os.fstat(target).st_mode):
            raise UntrustedFileError("it is no regular file")
        opened = os.open(f"/proc/self/fd/{target}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    finally:
        os.close(target)
    return _read_regular(opened, largest)


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
        for descriptor in trail:
            os.close(descriptor)


def _read_regular(opened: int, largest: int) -> bytes:
    try:
        status = os.fstat(opened)
        if not stat.S_ISREG(status.st_mode):
            raise UntrustedFileError("it is no regular file")
        if status.st_size > largest:
            raise UntrustedFileError(f"it is too large, {status.st_size} bytes")
        return os.read(opened, largest)
    finally:
        os.close(opened)

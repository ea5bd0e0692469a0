"""Files written whole or not at all: a reader sees the old text or the new one, after a crash too."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat

MODE = 0o644


def write(path: str, text: str, *, root: bool = False) -> None:
    """Put a new file in the place of `path`, which may be absent or a regular file. Raises OSError.

    A link or a device in its place is refused and left as it is. `root` makes root its owner. The new text stands
    beside the old one first, under a hidden name with another ending, and takes its place in one step.
    """
    folder, name = os.path.split(path)
    directory = _directory(folder)
    try:
        _refuse_others(directory, name, path)
        temporary = f".{name}.{secrets.token_hex(4)}"
        try:
            _create(directory, temporary, text, root=root)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        os.fsync(directory)
    finally:
        os.close(directory)


def remove(path: str) -> None:
    """Take a regular file away for good; nothing where there is none. Raises OSError."""
    folder, name = os.path.split(path)
    directory = _directory(folder)
    try:
        _refuse_others(directory, name, path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
            os.fsync(directory)
    finally:
        os.close(directory)


def is_as(path: str, *, root: bool = False) -> bool:
    """Whether a file has the mode and the owner that `write` gives. Raises OSError."""
    status = os.lstat(path)
    return status.st_mode == stat.S_IFREG | MODE and (not root or (status.st_uid, status.st_gid) == (0, 0))


def _directory(folder: str) -> int:
    return os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _refuse_others(directory: int, name: str, path: str) -> None:
    """A link would be replaced, not followed, but somebody meant something by it; a device is nothing to replace."""
    try:
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(kind):
        raise OSError(errno.ELOOP, "is a symbolic link", path)
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "is not a regular file", path)


def _create(directory: int, name: str, text: str, *, root: bool) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        data = text.encode(errors="surrogateescape")
        while data:
            data = data[os.write(descriptor, data) :]
        os.fchmod(descriptor, MODE)
        if root:
            os.fchown(descriptor, 0, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

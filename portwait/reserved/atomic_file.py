"""Files written whole or not at all: a reader sees the old text or the new one, after a crash too.

A new text is first written beside the old one, under a hidden name. Signals wait until it has taken its place or is
removed again; what a process that was killed has left is removed by the next one that writes the same file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat

MODE = 0o644


def write(path: str, text: str, *, root: bool = False) -> None:
    """Put a new file in the place of `path`, which may be absent or a regular file. Raises OSError.

    A link or a device in its place is refused and left as it is. `root` makes root its owner.
    """
    folder, name = os.path.split(path)
    directory = _directory(folder)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _refuse_others(directory, name, path)
        _sweep(directory, name)
        temporary, descriptor = _create(directory, name)
        try:
            _fill(descriptor, text, root=root)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        finally:
            os.close(descriptor)
        _sync(directory)
    finally:
        os.close(directory)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def remove(path: str) -> None:
    """Take a regular file away for good; nothing where there is none. Raises OSError."""
    folder, name = os.path.split(path)
    directory = _directory(folder)
    try:
        _refuse_others(directory, name, path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
            _sync(directory)
    finally:
        os.close(directory)


def is_as(path: str, *, root: bool = False) -> bool:
    """Whether a file has the mode and the owner that `write` gives. Raises OSError."""
    status = os.lstat(path)
    return status.st_mode == stat.S_IFREG | MODE and (not root or (status.st_uid, status.st_gid) == (0, 0))


def _directory(folder: str) -> int:
    return os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _sync(directory: int) -> None:
    """Let the change outlive a crash. Where that is refused it is done all the same, and who reads sees it."""
    with contextlib.suppress(OSError):
        os.fsync(directory)


def _refuse_others(directory: int, name: str, path: str) -> None:
    """Raise OSError for a link, which somebody has put there for a reason, and for what is no regular file."""
    try:
        kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(kind):
        raise OSError(errno.ELOOP, "is a symbolic link", path)
    if not stat.S_ISREG(kind):
        raise OSError(errno.EINVAL, "is not a regular file", path)


def _create(directory: int, name: str) -> tuple[str, int]:
    """Make the new file, locked as long as it is ours, so that nobody takes it for one that was left behind."""
    import fcntl  # Windows, which has the help too, lacks it

    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        temporary = f".{name}.{os.urandom(4).hex()}"
        descriptor = os.open(temporary, flags, 0o600, dir_fd=directory)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: nobody can sweep there either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            links = os.fstat(descriptor).st_nlink
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            os.close(descriptor)
            raise
        if links:
            return temporary, descriptor
        os.close(descriptor)  # swept before it was locked


def _fill(descriptor: int, text: str, *, root: bool) -> None:
    data = text.encode(errors="surrogateescape")
    while data:
        data = data[os.write(descriptor, data) :]
    os.fchmod(descriptor, MODE)
    if root:
        os.fchown(descriptor, 0, 0)
    os.fsync(descriptor)


def _sweep(directory: int, name: str) -> None:
    """Remove what writers of this file that were killed have left: their locks ended with them."""
    with contextlib.suppress(OSError):
        for entry in os.listdir(directory):
            if entry.startswith(f".{name}.") and _is_hex(entry[len(name) + 2 :]):
                with contextlib.suppress(OSError):
                    _sweep_one(directory, entry)


def _sweep_one(directory: int, entry: str) -> None:
    import fcntl  # likewise

    descriptor = os.open(entry, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(entry, dir_fd=directory)
    finally:
        os.close(descriptor)


def _is_hex(text: str) -> bool:
    return len(text) == 8 and all(character in "0123456789abcdef" for character in text)

"""Become the service: an exec that nothing can tell from a direct start.

Whatever the interpreter changed when it started is put back: the environment's LC_CTYPE, the signals that Python
ignores. Everything else (working directory, umask, signal mask, descriptors) was never touched. On the free path:
imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _signal
import errno
import os
import sys

from portwait.errors import CommandNotExecutableError, CommandNotFoundError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

_DEFAULT_PATH = b"/bin:/usr/bin"  # glibc's confstr(_CS_PATH), where PATH is not set
_NOT_HERE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT)  # as glibc's execvp goes on


def become(command: Sequence[str]) -> NoReturn:
    """Replace this process by the command, found along PATH.

    Raises CommandNotFoundError or CommandNotExecutableError, and then the process is as the interpreter made it.
    """
    words = as_given(command)
    restored = restore()
    try:
        _exec_along_path(words)
    finally:  # only reached when exec failed
        for number in restored:
            _signal.signal(number, _signal.SIG_IGN)


def as_given(command: Sequence[str]) -> list[bytes]:
    """Turn the command's words back into the bytes that this process was given.

    The C library has decoded them and Python encodes them, and for some encodings (EUC-JP, GB18030) the two disagree;
    the kernel still has the bytes. UTF-8 always comes back as it was.
    """
    raw: list[bytes] = []
    if sys.getfilesystemencoding() != "utf-8":
        try:
            with open("/proc/self/cmdline", "rb", buffering=0) as file:
                raw = (file.readall() or b"").split(b"\0")[:-1]
        except OSError:
            raw = []
    if raw and [*command] == sys.argv[-len(command) :]:
        return raw[-len(command) :]
    originals = dict(zip(sys.argv[::-1], raw[::-1]))  # some words are ours: a placeholder's, say
    return [originals[word] if word in originals else os.fsencode(word) for word in command]


def restore() -> tuple[int, ...]:
    """Put back what the interpreter changed when it started; the signals that it had set to be ignored."""
    restore_environment()
    ignored = inherited_ignores()
    restored = tuple(number for number in (_signal.SIGPIPE, _signal.SIGXFSZ) if number not in ignored)
    for number in restored:
        _signal.signal(number, _signal.SIG_DFL)
    return restored


def restore_environment() -> None:
    """Undo PEP 538: without a locale the interpreter sets LC_CTYPE in the C environment that exec hands on.

    Only the one variable is put back in its place, so that order, duplicates and odd entries stay as they were.
    """
    if not hasattr(os, "environb") or os.environb.get(b"LC_CTYPE") not in (
        b"C.UTF-8",
        b"C.utf8",
        b"UTF-8",
    ):  # the three that it may set
        return
    try:
        with open("/proc/self/environ", "rb", buffering=0) as file:
            before = file.readall() or b""
    except OSError:  # no /proc: what the interpreter adds stands last
        if [*os.environb][-1] == b"LC_CTYPE":
            os.unsetenv(b"LC_CTYPE")
        return
    for entry in before.split(b"\0"):
        if entry.startswith(b"LC_CTYPE="):
            os.putenv(b"LC_CTYPE", entry[len(b"LC_CTYPE=") :])
            return
    os.unsetenv(b"LC_CTYPE")


def inherited_ignores() -> tuple[int, ...]:
    """Say which of the signals that the interpreter ignores were ignored before it started, as far as can be known.

    sigaction() keeps no history, so this reads the evidence: systemd starts its services with SIGPIPE ignored
    (IgnoreSIGPIPE=, systemd.exec(5)) and names the process in SYSTEMD_EXEC_PID; any other parent hands on what it
    ignores itself. A parent that ignores SIGXFSZ too is a Python, whose subprocess module puts both back.
    """
    if os.environb.get(b"SYSTEMD_EXEC_PID") == b"%d" % os.getpid():
        return (_signal.SIGPIPE,)
    ignored = _ignored_by(_parent_in_proc())
    if ignored >> (_signal.SIGXFSZ - 1) & 1:
        return ()
    return (_signal.SIGPIPE,) if ignored >> (_signal.SIGPIPE - 1) & 1 else ()


def _parent_in_proc() -> int:
    """Answer our parent's number in /proc, which may have been mounted for another PID namespace; 0 for none."""
    try:
        with open("/proc/self/stat", "rb", buffering=0) as file:
            return int((file.readall() or b"").rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _ignored_by(pid: int) -> int:
    """Read a process's mask of ignored signals; 0 where it cannot be seen."""
    try:
        with open(f"/proc/{pid}/status", "rb", buffering=0) as file:
            _, _, rest = (file.readall() or b"").partition(b"\nSigIgn:\t")
        return int(rest.partition(b"\n")[0] or b"0", 16)
    except (OSError, ValueError):
        return 0


def _exec_along_path(command: Sequence[bytes]) -> NoReturn:
    name = command[0]
    if not name:
        raise CommandNotFoundError("cannot run '': a command has a name")
    if b"/" in name:
        error = _exec(name, command)
        raise _failure(name, error)
    denied: OSError | None = None
    folders = os.environb.get(b"PATH", _DEFAULT_PATH).split(b":")
    paths = [folder + b"/" + name if folder else name for folder in folders]
    for path in paths:
        error = _exec(path, command)
        if error.errno == errno.EACCES:
            denied = error
        elif error.errno not in _NOT_HERE:
            raise _failure(name, error)
    if denied is None and error.errno == errno.ENOENT:
        for path in filter(os.path.exists, paths):
            raise _failure(path, error)
        raise CommandNotFoundError(f"cannot run {os.fsdecode(name)!r}: no such command in PATH")
    raise _failure(name, denied or error)


def _exec(path: bytes, command: Sequence[bytes]) -> OSError:
    """Try one file; only an error comes back."""
    try:
        os.execv(path, list(command))  # noqa: S606  # that there is no shell is the point
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            return error
    try:  # no format that the kernel knows: a script without a shebang, which execvp(3) gives to the shell
        os.execv(b"/bin/sh", [b"/bin/sh", path, *command[1:]])  # noqa: S606  # likewise
    except OSError as error:
        return error


def _failure(name: bytes, error: OSError) -> CommandNotFoundError | CommandNotExecutableError:
    text = f"cannot run {os.fsdecode(name)!r}: {error.strerror}"
    if error.errno == errno.ENOENT and os.path.exists(name):
        return CommandNotFoundError(f"{text}; the file is there, so its interpreter is not (see its first line)")
    if error.errno == errno.ENOENT:
        return CommandNotFoundError(text)
    return CommandNotExecutableError(text)

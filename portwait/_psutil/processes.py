"""Who a process is, through psutil: name, command line, user, start. Units and containers are Linux's."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, TypeVar

import psutil

from portwait.model.owner import Owner, forwarded

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def describe(pid: int) -> Owner | None:
    """Look a process up; None when it has ended. What may not be read is empty."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            started = process.create_time()
            name = _readable(process.name, "")
            cmdline: tuple[str, ...] = tuple(_readable(process.cmdline, []))
            user: str | None = _readable(process.username, "") or None
            parent = _readable(process.ppid, 0)
    except psutil.Error:
        return None
    return Owner(pid, name, cmdline, user, started, forwards=forwarded(cmdline), parent=parent)


def ancestors(pid: int) -> frozenset[int]:
    """List the processes that one descends from, as far as they can be seen. Raises OSError where none can be listed.

    Whoever wants to know spares them, so no list is not an empty one.
    """
    try:
        return frozenset(process.pid for process in psutil.Process(pid).parents())
    except psutil.Error:
        return frozenset()
    except IndexError as error:  # psutil takes the first of all processes, of which /proc has shown none
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "/proc") from error


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped, by Ctrl-Z say: no signal but KILL and CONT reaches it then."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _readable(read: Callable[[], T], default: T) -> T:
    try:
        return read()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return default

"""Who a process is, through psutil: name, command line, user, start."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Process(NamedTuple):
    """A process, identified by its pid together with its start (seconds since the epoch), for pids are used again."""

    pid: int
    name: str
    cmdline: tuple[str, ...]
    user: str | None
    started: float


def describe(pid: int) -> Process | None:
    """Look a process up; None when it has ended. What may not be read is empty."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            started = process.create_time()
            name = _readable(process.name, "")
            cmdline = tuple(_readable(process.cmdline, list[str]()))
            user: str | None = _readable(process.username, "") or None
    except psutil.Error:
        return None
    return Process(pid, name, cmdline, user, started)


def _readable(read: Callable[[], T], default: T) -> T:
    try:
        return read()
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return default

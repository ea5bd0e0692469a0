"""Process supervisors other than systemd: who starts a process again when it ends, and how it is stopped there."""

from __future__ import annotations

import os
import sys

from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.model.owner import Owner

_LONGEST = 1 << 16  # bytes of an environment


class Supervisor(Record):
    """The supervisor above a process."""

    name: str
    pid: int
    stop: tuple[str, ...] | None = None
    """The command that stops the supervised program; None where its name there is not known."""


def supervisor_of(owner: Owner, ancestors: Iterable[Owner]) -> Supervisor | None:
    """Find the nearest supervisor among a process's ancestors, the nearest first."""
    for ancestor in ancestors:
        words = [word.rpartition("/")[2] for word in ancestor.cmdline[:3]]
        if "supervisord" in words:
            return Supervisor("supervisord", ancestor.pid, _supervisorctl(owner, ancestor))
        if words and words[0] == "runsv":
            return Supervisor("runsv", ancestor.pid, _in_folder(ancestor.pid, "sv", "stop"))
        if words and words[0] == "s6-supervise":
            return Supervisor("s6-supervise", ancestor.pid, _in_folder(ancestor.pid, "s6-svc", "-d"))
        if words and words[0] == "supervise":
            return Supervisor("supervise", ancestor.pid, _in_folder(ancestor.pid, "svc", "-d"))
        if ancestor.cmdline and ancestor.cmdline[0].startswith("PM2 "):
            return Supervisor("PM2", ancestor.pid)
        if words and words[0] in ("circusd", "s6-svscan", "runit", "runsvdir", "monit"):
            return Supervisor(words[0], ancestor.pid)
    return None


def _supervisorctl(owner: Owner, supervisord: Owner) -> tuple[str, ...] | None:
    """Read what supervisord calls a program from the environment that it gave it (SUPERVISOR_PROCESS_NAME).

    supervisorctl is told its configuration, where it has one of its own: another supervisord would answer else.
    """
    if sys.platform != "linux":
        return None
    from portwait._linux import procfs

    words = procfs.read_patiently(f"/proc/{owner.pid}/environ", _LONGEST).split(b"\0")
    told = dict(word.split(b"=", 1) for word in words if b"=" in word)
    name = os.fsdecode(told.get(b"SUPERVISOR_PROCESS_NAME", b""))
    group = os.fsdecode(told.get(b"SUPERVISOR_GROUP_NAME", b"")) or name
    if not name or not (name + group).isprintable() or (name + group).startswith("-"):
        return None
    path = _configuration(supervisord.cmdline)
    if path and not path.startswith("/"):
        try:
            path = os.path.join(os.readlink(f"/proc/{supervisord.pid}/cwd"), path)
        except OSError:
            return None
    conf = ("-c", os.path.normpath(path)) if path else ()
    return ("supervisorctl", *conf, "stop", name if group == name else f"{group}:{name}")


def _configuration(cmdline: Sequence[str]) -> str:
    """Name the configuration that a supervisord was started with; empty where it found one by itself."""
    for word, following in zip(cmdline, (*cmdline[1:], "")):
        if word in ("-c", "-nc", "--configuration"):
            return following
        if word.startswith("--configuration="):
            return word.partition("=")[2]
        if word.startswith("-c"):
            return word[2:]
    return ""


def _in_folder(pid: int, *command: str) -> tuple[str, ...] | None:
    """Write a command on the folder that a supervisor works in, which is its service's."""
    try:
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
    return (*command, folder)

"""The network namespace of this process: its names, whether it is the machine's first one, and the way into it."""

from __future__ import annotations

import _socket
import os
import struct

from portwait._linux import kernel
from portwait.text.escape import shell

_SETTINGS = "/proc/sys/net"
_OF_THE_MACHINE = "core/netdev_max_backlog"  # only the first namespace shows it (sysctl_core_init, net/core)
_NAMED = "/run/netns"  # ip-netns(8)


def cookie() -> int | None:
    """Answer the number that names this namespace until the next boot; None before Linux 5.14."""
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            data = sock.getsockopt(_socket.SOL_SOCKET, kernel.SO_NETNS_COOKIE, 8)
        finally:
            sock.close()
    except OSError:
        return None
    (number,) = struct.unpack("=Q", data)
    return int(number)


def is_initial() -> bool | None:
    """Whether this is the namespace that the machine starts with; None where /proc/sys does not show any settings."""
    if not os.path.isdir(_SETTINGS):
        return None
    return os.path.exists(f"{_SETTINGS}/{_OF_THE_MACHINE}")


def number(pid: int | None = None) -> int | None:
    """Answer the number by which lsns(8) and /proc/PID/ns/net name its namespace, in every PID namespace alike."""
    try:
        digits = os.readlink(f"/proc/{'self' if pid is None else pid}/ns/net").strip("net:[]")
    except OSError:
        return None
    return int(digits) if digits.isdigit() else None


def way_in(number: int, path: str | None = None, *, sudo: bool) -> str:
    """Write how a command begins that is to run in this namespace, for a shell of the host: `nsenter --net=...`.

    Without a path, any process that is in it when the command runs leads there. lsns would not do: that of util-linux
    2.38 stops at a process that ends while it reads, and then lists nothing.
    """
    root = "sudo " if sudo else ""
    if path is not None:
        return root + shell(("nsenter", f"--net={path}"))
    find = f"{root}find /proc -maxdepth 3 -lname 'net:\\[{number}\\]' -print -quit 2>/dev/null"
    return f'{root}nsenter --net="$({find})"'


def path_of(number: int) -> str | None:
    """Answer the file by which `ip netns` knows a namespace; None where it has no name."""
    try:
        with os.scandir(_NAMED) as entries:
            return next((entry.path for entry in entries if entry.stat().st_ino == number), None)
    except OSError:
        return None

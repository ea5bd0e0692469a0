"""The network namespace of this process: its names, and whether it is the machine's first one."""

from __future__ import annotations

import _socket
import os
import struct

from portwait._linux import kernel

_SETTINGS = "/proc/sys/net"
_OF_THE_MACHINE = "core/netdev_max_backlog"  # only the first namespace shows it (sysctl_core_init, net/core)


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

"""Private network namespaces for the test process itself, entered and left again within one fixture."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from portwait._linux import netns
from portwait.reserved import lock

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNET = 0x40000000  # linux/sched.h
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1  # linux/sockios.h, linux/if.h
_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def loopback_up() -> None:
    """Bring lo up in the current network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | _IFF_UP, b""))


@contextlib.contextmanager
def private_network(*, up: bool = True) -> Iterator[None]:
    """Run the body, and all that it starts, in a new network namespace; needs CAP_SYS_ADMIN."""
    before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.unshare(CLONE_NEWNET))
        try:
            if up:
                loopback_up()
            yield
        finally:
            _remove_notes()
            _check(_libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


def _remove_notes() -> None:
    """Remove what `portwait reserve` has noted down about this network namespace, which ends."""
    for path in Path(lock.FOLDER).glob(f"re*-{netns.cookie()}"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def in_network_of(pid: int) -> Iterator[None]:
    """Run the body, and all that it starts, in the network namespace of another process."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(there, CLONE_NEWNET))
        try:
            yield
        finally:
            _check(_libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)
        os.close(there)


def sysctl(name: str, value: str | None = None) -> str:
    """Read a net.* setting of the current network namespace, after writing `value` where one is given."""
    path = Path("/proc/sys") / name.replace(".", "/")
    if value is not None:
        path.write_text(value)
    return path.read_text().strip()


@contextlib.contextmanager
def forced_source_port(port: int) -> Iterator[None]:
    """Within the body the kernel can pick no other source port than `port`; afterwards the range is 1024-65000."""
    sysctl("net.ipv4.ip_local_port_range", f"{port} {port}")
    try:
        yield
    finally:
        sysctl("net.ipv4.ip_local_port_range", "1024 65000")

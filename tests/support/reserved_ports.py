"""The kernel's list of reserved ports, read and written as portwait's neighbours do."""

from __future__ import annotations

import os

RANGE, RESERVED = "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"
_FILE = "/proc/sys/net/ipv4/ip_local_reserved_ports"


def listed() -> str:
    """Read the list in one read(), as it must be."""
    descriptor = os.open(_FILE, os.O_RDONLY)
    try:
        return os.read(descriptor, 1 << 20).decode().strip()
    finally:
        os.close(descriptor)


def write_list(items: str) -> None:
    """Write a list as somebody else would who knows how: no more than the kernel takes of a write at once."""
    descriptor = os.open(_FILE, os.O_WRONLY)
    try:
        rest = items.split(",")
        while rest:
            os.write(descriptor, ",".join(rest[:500]).encode())
            rest = rest[500:]
    finally:
        os.close(descriptor)

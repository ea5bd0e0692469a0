"""The settings of this network namespace that decide which ports the kernel may hand out."""

from __future__ import annotations

import os

RANGE = "net/ipv4/ip_local_port_range"
RESERVED = "net/ipv4/ip_local_reserved_ports"
UNPRIVILEGED = "net/ipv4/ip_unprivileged_port_start"


def read(name: str) -> str | None:
    """Read a setting whole; None where it cannot be read.

    One read() returns everything but only one does, so the buffer must be large enough at once: a buffered reader
    that starts with 8 KiB gets 8 KiB and then end of file (proc_do_large_bitmap).
    """
    try:
        descriptor = os.open(f"/proc/sys/{name}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, 1 << 20).decode("ascii", "replace").strip()
    except OSError:
        return None
    finally:
        os.close(descriptor)


def ephemeral_range() -> tuple[int, int] | None:
    """Read ip_local_port_range: the ports that connect() and bind(0) are given; None where it cannot be read."""
    words = (read(RANGE) or "").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]), int(words[1])

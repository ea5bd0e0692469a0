"""The settings of this network namespace that decide which ports the kernel may hand out: read and written whole."""

from __future__ import annotations

import os

RANGE = "net/ipv4/ip_local_port_range"
RESERVED = "net/ipv4/ip_local_reserved_ports"
UNPRIVILEGED = "net/ipv4/ip_unprivileged_port_start"

_LONGEST_WRITE = 4000
"""The kernel takes at most PAGE_SIZE - 1 bytes of one write() and ignores the rest (proc_do_large_bitmap)."""
_ATTEMPTS = 5  # of a write that adds: the next may succeed, where memory was short for example


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


def add_to_list(name: str, items: str) -> None:
    """Add to a list of ports, and leave alone what is in it, whoever put it there. Raises OSError.

    A write anywhere but at offset 0 is joined with the list by the kernel, so nothing can get lost on the way.
    """
    _write(name, _pieces(items), first=1)


def takes_several_writes(items: str) -> bool:
    """Whether a list is longer than one write, so that it is on the kernel's side in part for a moment."""
    return len(items) > _LONGEST_WRITE


def replace_list(name: str, items: str) -> None:
    """Put this list of ports in the place of the one that is there. Raises OSError.

    A list of more than one write is there in part for some microseconds: the first write replaces, the others add. A
    signal must not end the process in between. Where a later write fails, it is tried again, and so are all others
    before the error is raised.
    """
    import signal

    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        _write(name, _pieces(items) or [b"\n"], first=0)  # a write of nothing at all changes nothing
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write(name: str, pieces: list[bytes], first: int) -> None:
    """Write all pieces; an error of the first ends it with nothing changed, one of a later only after the rest."""
    descriptor = os.open(f"/proc/sys/{name}", os.O_WRONLY | os.O_CLOEXEC)
    failed = None
    try:
        for index, piece in enumerate(pieces):
            error = _try_write(descriptor, piece, first or index, 1 if index == 0 else _ATTEMPTS)
            if error is not None and index == 0:
                raise error
            failed = failed or error
    finally:
        os.close(descriptor)
    if failed is not None:
        raise failed


def _try_write(descriptor: int, piece: bytes, offset: int, attempts: int) -> OSError | None:
    failed = None
    for _ in range(attempts):
        try:
            os.pwrite(descriptor, piece, offset)
        except OSError as error:
            failed = error
        else:
            return None
    return failed


def _pieces(items: str) -> list[bytes]:
    """Cut a list at commas into what one write() takes: a number that is cut in two becomes two wrong ports."""
    rest = items.encode("ascii")
    pieces: list[bytes] = []
    while rest:
        end = len(rest) if len(rest) <= _LONGEST_WRITE else rest.rindex(b",", 0, _LONGEST_WRITE + 1)
        pieces.append(rest[:end])
        rest = rest[end + 1 :]
    return pieces


def ephemeral_range() -> tuple[int, int] | None:
    """Read ip_local_port_range: the ports that connect() and bind(0) are given; None where it cannot be read."""
    words = (read(RANGE) or "").split()
    if len(words) != 2 or not all(word.isdigit() for word in words):
        return None
    return int(words[0]), int(words[1])


def unprivileged_start() -> int | None:
    """Read ip_unprivileged_port_start: the first port that anybody may bind; None where it cannot be read."""
    text = read(UNPRIVILEGED) or ""
    return int(text) if text.isdigit() else None

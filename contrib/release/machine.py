"""The processor that a program is for, by the names that tar.gz, .deb and .rpm have for it.

It is read from the program itself: a 32-bit Python runs under a 64-bit kernel too, whose name uname(1) says.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Machine(NamedTuple):
    """A processor's names."""

    uname: str
    """What `uname -m` says on it."""
    debian: str
    """What `dpkg --print-architecture` says there."""
    rpm: str
    """What `rpm --eval %_target_cpu` says there."""


MACHINES = {  # elf.h: EI_CLASS (1: 32 bits, 2: 64), EI_DATA (1: little-endian, 2: big-endian), e_machine
    (1, 1, 3): Machine("i686", "i386", "i686"),
    (1, 1, 40): Machine("armv7l", "armhf", "armv7hl"),
    (2, 1, 21): Machine("ppc64le", "ppc64el", "ppc64le"),
    (2, 2, 22): Machine("s390x", "s390x", "s390x"),
    (2, 1, 62): Machine("x86_64", "amd64", "x86_64"),
    (2, 1, 183): Machine("aarch64", "arm64", "aarch64"),
    (2, 1, 243): Machine("riscv64", "riscv64", "riscv64"),
    (2, 1, 258): Machine("loongarch64", "loong64", "loongarch64"),
}


def of(program: Path) -> Machine:
    """Read whom a program is for; ValueError where it is no program, or for a processor without a name here."""
    with program.open("rb") as file:
        head = file.read(20)
    if len(head) < 20 or not head.startswith(b"\x7fELF"):
        raise ValueError(f"{program} is not an ELF program")
    word, order = head[4], head[5]
    (number,) = struct.unpack_from(">H" if order == 2 else "<H", head, 18)
    try:
        return MACHINES[word, order, number]
    except KeyError:
        raise ValueError(f"{program} is for a processor that has no name here: ELF machine {number}") from None

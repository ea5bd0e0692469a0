"""The names that the pieces of a release have for the processor that they are for."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest

from tests.support.scripts import load

ROOT = Path(__file__).parents[2]
AARCH64, ARM, I386, IA_64, LOONGARCH, PPC64, RISCV, S390, X86_64 = 183, 40, 3, 50, 258, 21, 243, 22, 62  # elf.h


machine = load("contrib/release/machine.py")
pack = load("contrib/docker/pack.py")


def program(folder: Path, bits: int, order: str, number: int) -> Path:
    """Write the head of a program."""
    file = folder / "program"
    ident = b"\x7fELF" + bytes([bits // 32, 2 if order == ">" else 1, 1]) + bytes(9)
    file.write_bytes(ident + struct.pack(order + "HHI", 3, number, 1))
    return file


@pytest.mark.parametrize(
    ("bits", "order", "number", "names"),
    [
        (64, "<", X86_64, ("x86_64", "amd64", "x86_64")),
        (64, "<", AARCH64, ("aarch64", "arm64", "aarch64")),
        (64, ">", S390, ("s390x", "s390x", "s390x")),
        (32, "<", I386, ("i686", "i386", "i686")),
        (32, "<", ARM, ("armv7l", "armhf", "armv7hl")),
        (64, "<", PPC64, ("ppc64le", "ppc64el", "ppc64le")),
        (64, "<", RISCV, ("riscv64", "riscv64", "riscv64")),
        (64, "<", LOONGARCH, ("loongarch64", "loong64", "loongarch64")),
    ],
    ids=lambda value: value[1] if isinstance(value, tuple) else "",
)
def test_each_processor_has_three_names(
    tmp_path: Path, bits: int, order: str, number: int, names: tuple[str, str, str]
) -> None:
    """The head of the packed program decides, and not the kernel of the machine that builds: uname, Debian, rpm."""
    assert machine.of(program(tmp_path, bits, order, number)) == names


@pytest.mark.parametrize(
    ("bits", "order", "number"),
    [(64, "<", IA_64), (64, ">", AARCH64), (32, "<", X86_64), (64, ">", PPC64)],
    ids=["unknown", "big-endian-arm", "x32", "big-endian-power"],
)
def test_no_name_is_made_up(tmp_path: Path, bits: int, order: str, number: int) -> None:
    """A processor that is none of these, x32 and the other order of bytes included, is refused."""
    with pytest.raises(ValueError, match=f"ELF machine {number}"):
        machine.of(program(tmp_path, bits, order, number))


def test_what_is_no_program_is_refused(tmp_path: Path) -> None:
    """A script, and an empty file, have no processor."""
    for content in (b"", b"#!/bin/sh\nexec python3 -m portwait\n"):
        (tmp_path / "script").write_bytes(content)
        with pytest.raises(ValueError, match="not an ELF program"):
            machine.of(tmp_path / "script")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="programs of other systems are not ELF")
def test_this_python_is_for_this_processor() -> None:
    """The real head of a real program says what uname says, where both have as many bits."""
    assert machine.of(Path(sys.executable).resolve()).uname == os.uname().machine == pack.machine()


@pytest.mark.parametrize(
    ("kernel", "bits", "expected"),
    [
        ("x86_64", 64, "x86_64"),
        ("x86_64", 32, "i686"),
        ("aarch64", 64, "aarch64"),
        ("aarch64", 32, "armv7l"),
        ("armv7l", 32, "armv7l"),
        ("s390x", 64, "s390x"),
    ],
)
def test_the_packer_names_what_it_packs(monkeypatch: pytest.MonkeyPatch, kernel: str, bits: int, expected: str) -> None:
    """A 32-bit Python packs a 32-bit folder, whatever the kernel is."""
    monkeypatch.setattr(pack.platform, "machine", lambda: kernel)
    monkeypatch.setattr(pack.sys, "maxsize", 2 ** (bits - 1) - 1)
    assert pack.machine() == expected

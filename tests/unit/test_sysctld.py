"""Which line of which file has the last word. The system's own programs are asked the same in tests/world."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portwait.reserved import sysctld
from portwait.reserved.sysctld import CONF, READERS, File

KEY = "net.ipv4.ip_local_reserved_ports"
SYSTEMD, PROCPS = READERS


def value(reader: str, *files: tuple[str, str]) -> str | None:
    line = sysctld.last([File(*file) for file in files], KEY, reader)
    return None if line is None else line.value


@pytest.mark.parametrize(
    ("line", "read"),
    [
        (f"{KEY}=1", "1"),
        (f"{KEY} = 1,2-3 ", "1,2-3"),
        (f"  {KEY}=1", "1"),
        ("net/ipv4/ip_local_reserved_ports=1", "1"),
        ("net/ipv4//ip_local_reserved_ports=1", "1"),
        (f"-{KEY}=1", "1"),
        ("net.ipv4.ip_local_res*=1", "1"),
        ("net.*.ip_local_reserved_ports=1", "1"),
        ("net/ipv4/ip_local_reserved_port[s]=1", "1"),
        (f"{KEY}=", ""),
        (f"{KEY}=1\r", "1"),
        (f"#{KEY}=1", None),
        (f"; {KEY}=1", None),
        (f"{KEY} 1", None),
        (f"-{KEY}", None),
        ("net.ipv4.ip_local_port_range=1 2", None),
        ("net.*=1", None),
        ("net/ipv4.ip_local_reserved_ports=1", None),
        ("net.ipv4.ip_local_reserved_port?s=1", None),
        ("NET.IPV4.IP_LOCAL_RESERVED_PORTS=1", None),
    ],
    ids=lambda line: line if isinstance(line, str) else "",
)
def test_a_line_is_read_as_both_programs_do(line: str, read: str | None) -> None:
    """Names with dots or slashes, a dash in front, patterns, comments."""
    assert value(SYSTEMD, ("/etc/sysctl.d/a.conf", line)) == read
    assert value(PROCPS, ("/etc/sysctl.d/a.conf", line)) == read


A, B = "/etc/sysctl.d/a.conf", "/usr/lib/sysctl.d/b.conf"


@pytest.mark.parametrize(
    ("files", "systemd", "procps"),
    [
        ([(A, f"{KEY}=1"), (B, f"{KEY}=2")], "2", "2"),
        ([(A, f"{KEY}=1\n{KEY}=2")], "2", "2"),
        ([(A, f"{KEY}=1"), (CONF, f"{KEY}=2")], "1", "2"),
        ([(A, f"{KEY}=1"), (B, "net.ipv4.ip_local_re*=2")], "1", "1"),
        ([(A, f"{KEY}=1"), (B, f"{KEY}=broken")], "broken", "1"),
        ([(A, f"{KEY}=broken")], "broken", None),
        ([(A, "net.ipv4.ip_local_re*=1"), (B, f"-{KEY}")], None, None),
        ([(A, "net.ipv4.ip_local_re*=1"), (CONF, f"{KEY}=2")], "1", "2"),
        ([(A, "net.ipv4.ip_local_re*=1"), (CONF, f"-{KEY}")], "1", None),
        ([(A, f"{KEY}=1"), (B, f"-{KEY}")], None, "1"),
        ([(A, f"-{KEY}"), (B, f"{KEY}=1")], "1", "1"),
        ([], None, None),
    ],
    ids=[
        "the last file",
        "the last line",
        "sysctl.conf is procps' alone",
        "spelled out beats a pattern",
        "broken hides the one before from systemd",
        "broken alone",
        "shielded from patterns",
        "sysctl.conf beats a pattern",
        "shielded for procps alone",
        "a dash makes systemd forget",
        "a dash before is no harm",
        "nothing",
    ],
)
def test_who_wins(files: list[tuple[str, str]], systemd: str | None, procps: str | None) -> None:
    """Both readers, side by side."""
    assert (value(SYSTEMD, *files), value(PROCPS, *files)) == (systemd, procps)


VALUES: list[tuple[str, tuple[tuple[int, int], ...] | None]] = [
    ("8080,30000-30010", ((8080, 8080), (30000, 30010))),
    ("8080,", ((8080, 8080),)),
    ("", ()),
    (",", None),
    (",8080", None),
    ("8080,,", None),
    ("0", ((0, 0),)),
    ("00", ((0, 0),)),
    ("010", ((8, 8),)),
    ("0x1F90", ((8080, 8080),)),
    ("1-070", ((1, 56),)),
    ("0X10-0x1f,2", ((2, 2), (16, 31))),
    ("0x", None),
    ("0o10", None),
    ("08080", None),
    ("0b1", None),
    ("1_0", None),
    ("+1", None),
    ("8080, 8081", None),
    ('"8080"', None),
    ("65536", None),
    ("0x10000", None),
    ("00000000000000000000000001", None),
    ("8080 # web", None),
]
"""Values of the list, and the ports that the kernel takes them for; None where it refuses."""


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=ascii)
def test_a_value_is_what_the_kernel_takes_it_for(text: str, expected: object) -> None:
    """In base 8 and 16 too; tests/system/test_reserve.py asks the kernel the same."""
    [line] = sysctld.settings([File(A, f"{KEY}={text}")], KEY)
    assert line.ports == expected


def test_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Across folders; a name in an earlier folder hides the same one in a later; sysctl.conf comes last."""
    for name in (
        "/usr/lib/sysctl.d/50-b.conf",
        "/run/sysctl.d/40-c.conf",
        "/etc/sysctl.d/50-b.conf",
        "/usr/local/lib/sysctl.d/60-a.conf",
        "/lib/sysctl.d/60-a.conf",
        "/etc/sysctl.d/README",
        "/etc/sysctl.conf",
    ):
        path = Path(f"{tmp_path}{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "etc/sysctl.d/45-masked.conf").symlink_to("/dev/null")
    (tmp_path / "usr/lib/sysctl.d/45-masked.conf").write_text("hidden")
    (tmp_path / "etc/sysctl.d/70-folder.conf").mkdir()
    (tmp_path / "etc/sysctl.d/80-dangling.conf").symlink_to("nowhere")
    assert [(file.path, file.text or "empty") for file in sysctld.read(str(tmp_path))] == [
        ("/run/sysctl.d/40-c.conf", "/run/sysctl.d/40-c.conf"),
        ("/etc/sysctl.d/45-masked.conf", "empty"),
        ("/etc/sysctl.d/50-b.conf", "/etc/sysctl.d/50-b.conf"),
        ("/usr/local/lib/sysctl.d/60-a.conf", "/usr/local/lib/sysctl.d/60-a.conf"),
        ("/etc/sysctl.conf", "/etc/sysctl.conf"),
    ]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    """A file of anything at all is read, and what it says of the key is found."""
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    (tmp_path / "etc/sysctl.d/a.conf").write_bytes(b"\xff\x00\n" + KEY.encode() + b"=8080\n")
    line = sysctld.last(sysctld.read(str(tmp_path)), KEY, SYSTEMD)
    assert line is not None
    assert (line.value, str(line)) == ("8080", "/etc/sysctl.d/a.conf:2")


def test_what_must_not_be_read_is_named_and_hangs_nobody(tmp_path: Path) -> None:
    """A FIFO waits for a writer, a device has effects, gigabytes do not fit: each is left out, with the reason."""
    folder = tmp_path / "etc/sysctl.d"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a-fifo.conf")
    os.mkfifo(tmp_path / "theirs")
    (folder / "b-link.conf").symlink_to(tmp_path / "theirs")
    with (folder / "c-sparse.conf").open("wb") as sparse:
        sparse.truncate(3 << 30)
    (folder / "d-device.conf").symlink_to("/dev/zero")
    (folder / "e-fine.conf").write_text(f"{KEY}=8080")
    (folder / "f-round.conf").symlink_to("f-round.conf")
    files = {file.path.rpartition("/")[2]: (file.text, file.problem) for file in sysctld.read(str(tmp_path))}
    assert files == {
        "a-fifo.conf": ("", "it is no regular file"),
        "b-link.conf": ("", "it is no regular file"),
        "c-sparse.conf": ("", f"it is too large, {3 << 30} bytes"),
        "d-device.conf": ("", "it is no regular file"),
        "e-fine.conf": (f"{KEY}=8080", None),
        "f-round.conf": ("", "Too many levels of symbolic links"),
    }

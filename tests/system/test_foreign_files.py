"""A file that an owner names is read as the owner sees it, and never one that somebody has put in its place."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.host import untrusted_file
from tests.support.descriptors import own_descriptors
from tests.support.programs import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PRISONER = """
import os, sys
os.chroot(sys.argv[1])
os.chdir("/conf")
print("ready", flush=True)
sys.stdin.read()
"""


class TestForeignFiles:
    """A file that somebody else wrote is read below that somebody's root, or not at all."""

    @pytest.fixture
    def jail(self, tmp_path: Path) -> Iterator[tuple[Path, int]]:
        """Have a process whose root is a folder."""
        root = tmp_path / "root"
        (root / "conf").mkdir(parents=True)
        with running([sys.executable, "-ISc", PRISONER, str(root)], stdin=subprocess.PIPE) as prisoner:
            prisoner.says("ready")
            yield root, prisoner.pid

    def test_its_root_is_the_owners(self, jail: tuple[Path, int]) -> None:
        """Absolute paths and absolute links mean what they mean to the owner; `..` ends at its root."""
        root, pid = jail
        (root / "conf" / "file").write_text("inside")
        (root / "link").symlink_to("/conf")
        (root / "conf" / "up").symlink_to("../../../../../conf")
        for path in ("/conf/file", "/link/file", "/../../conf/./file", "/conf/up/file", "//link/up/../conf/file"):
            assert untrusted_file.read(path, pid, 100) == b"inside"

    def test_links_do_not_lead_out(self, jail: tuple[Path, int], tmp_path: Path) -> None:
        """What is out here stays out of reach."""
        root, pid = jail
        (tmp_path / "secret").write_text("outside")
        (root / "out").symlink_to(tmp_path)
        (root / "up").symlink_to("../..")
        for path in ("/out/secret", "/up/secret", f"/up{tmp_path}/secret", f"{tmp_path}/secret"):
            with pytest.raises(untrusted_file.UntrustedFileError, match="No such file"):
                untrusted_file.read(path, pid, 100)

    def test_the_working_directory_is_as_the_owner_sees_it(self, jail: tuple[Path, int]) -> None:
        assert untrusted_file.working_directory(jail[1]) == "/conf"
        assert untrusted_file.working_directory(os.getpid()) == str(Path.cwd())
        assert untrusted_file.working_directory(2**22 + 1) is None

    @pytest.mark.parametrize(
        ("make", "reason"),
        [
            (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
            (lambda path: path.symlink_to("file"), "symbolic link"),
            (os.mkfifo, "no regular file"),
            (lambda path: os.mknod(path, 0o20600, os.makedev(5, 0)), "no regular file"),
            (lambda path: path.mkdir(), "no regular file"),
            (lambda path: path.write_text("x" * 101), "too large, 101 bytes"),
            (lambda path: (path.parent / "on").symlink_to("on"), "No such file"),
        ],
        ids=["link", "itself", "fifo", "device", "folder", "large", "nothing"],
    )
    def test_what_is_not_read(self, jail: tuple[Path, int], make: Callable[[Path], object], reason: str) -> None:
        """Only a small regular file is opened at all."""
        root, pid = jail
        make(root / "conf" / "file")
        with pytest.raises(untrusted_file.UntrustedFileError, match=reason):
            untrusted_file.read("/conf/file", pid, 100)

    def test_links_in_a_circle(self, jail: tuple[Path, int]) -> None:
        """End as in the kernel."""
        root, pid = jail
        (root / "round").symlink_to("/round")
        with pytest.raises(untrusted_file.UntrustedFileError, match="too many symbolic links"):
            untrusted_file.read("/round/file", pid, 100)

    def test_nothing_stays_open(self, jail: tuple[Path, int]) -> None:
        """Whether it is read or refused."""
        root, pid = jail
        (root / "conf" / "file").write_text("x")
        before = own_descriptors()
        for path in ("/conf/file", "/conf", "/nothing/at/all", "/conf/../conf/file"):
            with contextlib.suppress(untrusted_file.UntrustedFileError):
                untrusted_file.read(path, pid, 100)
        assert own_descriptors() == before

"""Root file systems of Debian's releases, with nothing of this machine, where the pieces of a release are installed."""

from __future__ import annotations

import contextlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.guarding import run
from tests.support.packages import needs
from tests.support.release import ROOT, do

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.guarding import Outcome
    from tests.support.release import Release

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILES = "/release"
"""Where the files of a release are in a root."""
SUITES: dict[str, tuple[str, ...]] = {
    "bullseye": (),  # the oldest Debian and the oldest Python that portwait is for
    "sid": ("deb [check-valid-until=no] http://deb.debian.org/debian sid main",),  # the newest, whatever the clock says
}
"""Releases of Debian's, and what mmdebstrap has to be told beside the name."""


@pytest.fixture(scope="session")
def debian() -> Iterator[dict[str, Path]]:
    """Make the roots, with apt and each with its own Python; this needs the network."""
    needs("mmdebstrap", "mmdebstrap")
    with folder_in_memory() as folder:
        for suite, sources in SUITES.items():
            do("mmdebstrap", "--quiet", "--variant=apt", "--include=python3-venv", suite, f"{folder}/{suite}", *sources)
            always = folder / suite / "etc/apt/apt.conf.d/yes"
            always.write_text('APT::Get::Assume-Yes "true";\n')  # nobody is there to answer
        yield {suite: folder / suite for suite in SUITES}


@pytest.fixture
def root(request: pytest.FixtureRequest, debian: dict[str, Path]) -> Iterator[Path]:
    """Yield a root for one test alone: what is written in it is gone afterwards. Debian 11 unless it names another."""
    with overlay(debian[getattr(request, "param", "bullseye")]) as merged:
        yield merged


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Yield a folder on a tmpfs of its own."""
    folder = Path(tempfile.mkdtemp(prefix="portwait-release-"))
    folder.chmod(0o755)
    do("mount", "-t", "tmpfs", "-o", "mode=755", "portwait-release", str(folder))
    try:
        yield folder
    finally:
        do("umount", "--recursive", str(folder))
        folder.rmdir()


@contextlib.contextmanager
def overlay(lower: Path) -> Iterator[Path]:
    """Mount a layer in memory above a root file system, and the kernel's /proc in it."""
    with folder_in_memory() as folder:
        for name in ("upper", "work", "merged"):
            (folder / name).mkdir()
        options = f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"
        do("mount", "-t", "overlay", "-o", options, "portwait-release", str(folder / "merged"))
        (folder / "merged" / "proc").mkdir(exist_ok=True)
        do("mount", "-t", "proc", "proc", str(folder / "merged" / "proc"))
        yield folder / "merged"


def inside(root: Path, *words: str, **environment: str) -> Outcome:
    """Run a program in a root file system, in the network of the test."""
    fixed = {"PATH": PATH, "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    return run(["chroot", str(root), *words], env={**fixed, **environment})


def succeeds(root: Path, *words: str, **environment: str) -> str:
    """Run it; it has to end with 0."""
    done = inside(root, *words, **environment)
    assert done.status == 0, (words, done)
    return done.out


def typed(root: Path, line: str, **environment: str) -> str:
    """Run a line of docs/install.md as it stands, as root, beside the files of a release."""
    return succeeds(root, "sh", "-c", f"cd {FILES} && {line}", **environment)


def lines_of(section: str, release: Release) -> list[str]:
    """Read the commands of a section of docs/install.md, for this release; who runs them is root already."""
    page = (ROOT / "docs" / "install.md").read_text()
    body = page.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    version = release.deb.name.split("_")[1]
    code = "\n".join(re.findall(r"^```sh\n(.*?)^```$", body, re.MULTILINE | re.DOTALL))
    lines = [re.sub(r"\s+# .*", "", line).replace("VERSION", version) for line in code.splitlines()]
    assert lines, section
    return [line.replace("sudo ", "") for line in lines]


def files_of(root: Path) -> set[str]:
    """List the files and links in a root, package managers' own books and caches aside, and the release itself."""
    books = (
        *("proc", "var/log", "var/cache", "usr/lib/sysimage", "root/.rpmdb", "etc/dnf", "run/zypp", FILES.lstrip("/")),
        *(f"var/lib/{name}" for name in ("apt", "dpkg", "rpm", "dnf", "zypp")),
    )
    listed = do("find", str(root), "-xdev", "-mindepth", "1", "!", "-type", "d", "-printf", "%P\n").splitlines()
    return {name for name in listed if not name.startswith(books)}

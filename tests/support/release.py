"""A release of this checkout, which contrib/release/build.py builds once for all tests."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.packages import needs

ROOT = Path(__file__).resolve().parents[2]
MINUTES = 600.0  # seconds


class Release(NamedTuple):
    """The files of a release."""

    folder: Path
    wheel: Path
    sdist: Path
    tarball: Path
    deb: Path
    rpm: Path
    sbom: Path


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Build one from what is in this checkout, in a clean one."""
    for program, package in (("rpmbuild", "rpm"), ("lintian", "lintian")):
        needs(program, package)
    work = tmp_path_factory.mktemp("release")
    clean, folder = work / "checkout", work / "dist"
    git = ("git", "-c", "user.name=test", "-c", "user.email=test@example.com", "-C", str(clean))
    listed = do("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (clean / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clean / name)
    do(*git, "init", "--quiet")
    do(*git, "add", "--all")
    do(*git, "commit", "--quiet", "--message=All of it")
    python = sys.executable if sys.version_info >= (3, 10) else "/usr/bin/python3"
    told = do(python, str(clean / "contrib/release/build.py"), str(folder))
    assert sorted(map(Path, told.splitlines())) == sorted(folder.iterdir())
    names = ("*.whl", "portwait_guard-*.tar.gz", "*-linux-*.tar.gz", "*.deb", "*.rpm", "*.cdx.json")
    pieces = [file for name in names for file in folder.glob(name)]
    return Release(folder, *pieces)


def do(*words: str) -> str:
    """Run a program that has to succeed; what it prints."""
    done = subprocess.run(words, check=False, timeout=MINUTES, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout

"""Software from the distribution that a test needs: the list is tests/packages.txt."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "packages.txt"
ESSENTIAL = ("dpkg",)
"""What every Debian has."""
CACHE = Path(__file__).parents[2] / ".cache" / "packages"


@functools.cache
def listed() -> frozenset[str]:
    """Read the names in tests/packages.txt."""
    lines = (line.partition("#")[0].strip() for line in LIST.read_text().splitlines())
    return frozenset(filter(None, lines))


def needs(program: str, package: str) -> None:
    """Skip the test where a program or file is not installed; in CI, which installs the whole list, fail it.

    A package that is not on the list fails it everywhere: CI would lack it.
    """
    assert package in listed() or package in ESSENTIAL, f"list {package} in tests/packages.txt"
    if shutil.which(program) is None and not Path(program).exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{program} is missing: apt-get install {package}")


def file_of(package: str, path: str) -> Path:
    """Fetch one file of a package, whose daemons nobody wants here, into the cache; nothing is installed."""
    kept = CACHE / package / Path(path).name
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
            download = ("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package)
            subprocess.run(download, cwd=scratch, check=True)
            [archive] = Path(scratch).glob("*.deb")
            with subprocess.Popen(("dpkg-deb", "--fsys-tarfile", archive), stdout=subprocess.PIPE) as tar:
                subprocess.run(("tar", "-x", "-C", scratch, f".{path}"), stdin=tar.stdout, check=True)
            Path(scratch, path.lstrip("/")).rename(kept)  # whole or not at all
    return kept

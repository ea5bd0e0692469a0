"""Software from the distribution that a test needs: the list is tests/packages.txt."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

CACHE = Path(__file__).parents[2] / ".cache" / "packages"


def needs(program: str, package: str) -> None:
    """Skip the test where a program or file is not installed; in CI, which installs the whole list, fail it."""
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

"""Software from the distribution that a test needs: the list is tests/packages.txt."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def needs(program: str, package: str) -> None:
    """Skip the test where a program or file is not installed; in CI, which installs the whole list, fail it."""
    if shutil.which(program) is None and not Path(program).exists():
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"{program} is missing: apt-get install {package}")

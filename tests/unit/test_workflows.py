""".github/workflows: well formed, and nothing but the commands that a user types."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_FILES = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))
_PREPARES = re.compile(r"sudo apt-get|git config|gh release")
_each = pytest.mark.parametrize("file", _FILES, ids=lambda file: file.name)


@_each
def test_github_knows_every_field(file: Path) -> None:
    """GitHub's own schema for workflows."""
    words = ("-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows", str(file))
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@_each
def test_it_does_what_a_user_does(file: Path) -> None:
    """Each job prepares its machine, and then calls tests/run or the release command and nothing else."""
    workflow: dict[str, Any] = yaml.safe_load(file.read_text())
    for job in workflow["jobs"].values():
        commands = [step["run"] for step in job["steps"] if "run" in step and not _PREPARES.match(step["run"])]
        assert len(commands) == 1
        program = commands[0].removeprefix("python3 ").split()[0]
        assert program in ("tests/run", "contrib/release/build.py")
        assert (_ROOT / program).is_file()


def test_there_is_one_for_tests_and_one_for_a_release() -> None:
    """Or the tests above look at nothing."""
    assert [file.stem for file in _FILES] == ["ci", "release"]

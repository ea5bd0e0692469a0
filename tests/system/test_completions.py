"""The shells complete what portwait understands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.programs import portwait

_COMPLETIONS = Path(__file__).parents[2] / "contrib" / "completions"


@pytest.mark.parametrize(
    ("words", "offered", "missing"),
    [
        pytest.param(["portwait", "--ti"], "--timeout", "--hold", id="option"),
        pytest.param(["portwait", "ex"], "explain", "evict", id="verb"),
        pytest.param(["portwait", "30010", "--log-format", "j"], "json", "console", id="value"),
        pytest.param(["portwait", "30010", "--", "mkfif"], "mkfifo", "explain", id="command"),
    ],
)
def test_bash_completes(words: list[str], offered: str, missing: str) -> None:
    """Bash offers the options of the program's own help, its verbs, and behind `--` any command."""
    program = str(portwait()[0])
    script = (
        f"source {_COMPLETIONS / 'portwait.bash'}; COMP_WORDS=({' '.join([program, *words[1:]])}); "
        f'COMP_CWORD={len(words) - 1}; _portwait; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=20)
    assert offered in done.stdout.split()
    assert missing not in done.stdout.split()
    assert done.stderr == ""


@pytest.mark.parametrize(("shell", "file"), [("zsh", "_portwait"), ("fish", "portwait.fish")])
def test_other_shells_can_read_theirs(shell: str, file: str) -> None:
    """The files for zsh and fish are at least programs of those shells."""
    subprocess.run([shell, "-n", str(_COMPLETIONS / file)], check=True, timeout=20)

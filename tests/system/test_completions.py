"""The shells complete what portwait understands."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import DEADLINE, portwait

if TYPE_CHECKING:
    from collections.abc import Callable

_COMPLETIONS = Path(__file__).parents[2] / "contrib" / "completions"
_PROGRAM = str(portwait()[0])


CASES = [
    pytest.param(["--ti"], ["--timeout"], ["--hold"], id="option"),
    pytest.param(["ex"], ["explain"], ["evict"], id="verb"),
    pytest.param(["30010", "--log-format", "j"], ["json"], ["console"], id="value"),
    pytest.param(["--evict=c"], ["--evict=closing"], ["--evict=outbound"], id="kind"),
    pytest.param(["--evict=udp,o"], ["--evict=udp,outbound"], ["outbound"], id="kinds"),
    pytest.param(["--hold="], ["--hold=full"], ["full"], id="hold"),
    pytest.param(["--terminate=T"], ["--terminate=TERM"], [], id="signal"),
    pytest.param(["--evict-user", "ro"], ["root"], ["route", "rootd"], id="user"),
    pytest.param(["audit", "--gap", ""], ["30s"], ["redis"], id="gap"),
    pytest.param(["audit", "--rate", ""], [], ["redis"], id="rate"),
    pytest.param(["reserve", ""], [], ["redis", "explain"], id="reserve-takes-ports"),
    pytest.param(["release", "r"], [], ["redis"], id="release-takes-ports"),
    pytest.param(["audit", ""], [], ["redis"], id="audit-takes-ports"),
    pytest.param(["audit", "-"], ["--format", "--only", "--output"], ["--hold", "--evict"], id="options-of-audit"),
    pytest.param(["evict", "-"], ["--evict-unit", "--dry-run", "-q", "-4"], ["--timeout"], id="options-of-evict"),
    pytest.param(["-"], ["--hold", "--terminate", "-t", "-6"], ["--only", "--json"], id="options-of-the-guard"),
]


def bash(words: list[str]) -> str:
    """Complete as bash would, whose words end at each `=`, and whose replies come after the last one."""
    said = []
    for broken in (False, True):
        split = [part for word in words for part in (re.findall("=|[^=]+", word) if broken and word else [word])]
        script = (
            f"source {_COMPLETIONS / 'portwait.bash'}; COMP_WORDS=({shlex.join([_PROGRAM, *split])}); "
            f'COMP_CWORD={len(split)}; _portwait; printf "%s\\n" "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=DEADLINE)
        assert done.stderr == ""
        kept = words[-1].partition("=")[0] + "=" if broken and "=" in words[-1] else ""
        said.append(sorted(kept + reply for reply in done.stdout.split()))
    assert said[0] == said[1]
    return "\n".join(said[0])


def zsh(words: list[str]) -> str:
    """Complete as zsh would; its own functions are stood in for, the part that is kept is put before."""
    script = (
        f"words=({shlex.join([_PROGRAM, *words])}); CURRENT={len(words) + 1}; kept=; "
        "compset() { local word=$words[CURRENT] rest=${words[CURRENT]##${~2}}; "
        "[[ $rest == $word ]] || kept=${word%$rest}; }; "
        "compadd() { local -a some; [[ $1 == -- ]] && shift; [[ $1 == -a ]] && some=(${(P)2}) || some=($@); "
        'for one in $some; do [[ $kept$one == $words[CURRENT]* ]] && print -r -- "$kept$one"; done; true; }; '
        "_ports() { compadd redis }; _users() { compadd root daemon }; "
        f"complete() {{ source {_COMPLETIONS / '_portwait'} }}; complete"
    )
    done = subprocess.run(["zsh", "-fc", script], capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert done.stderr == ""
    return done.stdout


def fish(words: list[str]) -> str:
    """Complete as fish does."""
    script = f"source {_COMPLETIONS / 'portwait.fish'}; complete -C {shlex.quote(' '.join(['portwait', *words]))}"
    done = subprocess.run(["fish", "-c", script], capture_output=True, text=True, check=True, timeout=DEADLINE)
    assert done.stderr == ""
    return "\n".join(line.partition("\t")[0] for line in done.stdout.splitlines())


@pytest.mark.parametrize("shell", [bash, zsh, fish])
@pytest.mark.parametrize(("words", "offered", "missing"), CASES)
def test_a_shell_completes(
    shell: Callable[[list[str]], str], words: list[str], offered: list[str], missing: list[str]
) -> None:
    """Options, their values, verbs and services where each is taken, once each; where only ports are, nothing."""
    replies = shell(words).split()
    assert [word for word in offered if word not in replies] == []
    assert [word for word in missing if word in replies] == []
    assert len(replies) == len(set(replies))


@pytest.mark.parametrize("shell", [bash, fish])
def test_behind_two_dashes_any_command_is_completed(shell: Callable[[list[str]], str]) -> None:
    """As if portwait were not there."""
    replies = shell(["30010", "--", "mkfif"]).split()
    assert "mkfifo" in replies
    assert "explain" not in replies


@pytest.mark.parametrize(("shell", "file"), [("zsh", "_portwait"), ("fish", "portwait.fish")])
def test_other_shells_can_read_theirs(shell: str, file: str) -> None:
    """Each file is a program of its shell."""
    subprocess.run([shell, "-n", str(_COMPLETIONS / file)], check=True, timeout=DEADLINE)

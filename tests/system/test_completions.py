"""The shells complete what portwait understands."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.options import completion
from portwait.options.record import GUARD, VERBS
from portwait.options.table import rows_of
from tests.support.guarding import guard
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
    pytest.param(["--terminate=b"], ["--terminate=bound"], [], id="whom-to-signal"),
    pytest.param(["--signal", "T"], ["TERM"], ["INT"], id="signal"),
    pytest.param([""], [*VERBS], ["redis"], id="verbs-first"),
    *(pytest.param([verb], [verb], [], id=f"whole-{verb}") for verb in VERBS),
    pytest.param(["re"], ["redis", "reserve", "release"], ["explain"], id="services-once-a-letter-is-typed"),
    pytest.param(["30010", ""], [], ["redis", "explain"], id="no-services-before-a-letter"),
    pytest.param(["explain", "red"], ["redis"], [], id="services-of-a-verb"),
    pytest.param(["completion", ""], ["bash", "zsh", "fish"], ["redis"], id="shells"),
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
        "compadd() { local -a some; [[ $1 == -- ]] && shift; some=($@); "
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


@pytest.mark.parametrize("shell", [bash, zsh, fish])
@pytest.mark.parametrize("verb", [GUARD, *VERBS])
def test_a_shell_completes_every_option_of_every_verb(shell: Callable[[list[str]], str], verb: str) -> None:
    """And no other: the sets are those of the table."""
    flags = {flag for row in rows_of(verb) for flag in completion.flags_of(row)}
    words = [] if verb == GUARD else [verb]
    offered = {*shell([*words, "-"]).split(), *shell([*words, "--"]).split()} - {"--"}
    assert {word.rstrip("=") for word in offered} == flags  # fish offers `--hold=` beside `--hold`


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize("shell", [bash, zsh, fish])
def test_release_offers_what_is_reserved(shell: Callable[[list[str]], str]) -> None:
    """In the kernel's own spelling."""
    Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text("30010,30020-30029")
    assert shell(["release", ""]).split() == ["30010", "30020-30029"]


@pytest.mark.parametrize(
    ("shell", "file"), [("bash", "portwait.bash"), ("zsh", "_portwait"), ("fish", "portwait.fish")]
)
def test_portwait_prints_what_is_in_the_checkout(shell: str, file: str) -> None:
    """So that it can be installed without the checkout; `python tools/write_options.py` writes the files."""
    assert subprocess.check_output([_PROGRAM, "completion", shell], text=True) == (_COMPLETIONS / file).read_text()


@pytest.mark.parametrize("words", [[], ["csh"], ["bash", "zsh"]], ids=str)
def test_other_shells_are_an_error(words: list[str]) -> None:
    """In one line that names those there are."""
    done = guard("completion", *words)
    assert (done.status, done.out) == (125, "")
    assert "expected one of bash, zsh, fish" in done.err


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

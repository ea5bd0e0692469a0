"""From words and environment to options: every flag and its variable, and what the help says of them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait._version import __version__
from portwait.errors import UsageError
from portwait.options import parser, reader
from portwait.options.record import GUARD, Options
from portwait.options.table import EVICTED, ROWS, rows_of
from portwait.text import durations

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.options.row import Row

HELP = Path(__file__).with_name("golden_help.txt")

OPTIONS = {row.key: row for row in rows_of(GUARD) if row.key not in ("help", "version")}
FLAGS = [name for name in OPTIONS if isinstance(getattr(Options, name), bool)]
TYPED_ONLY = ("terminate", "signal", "kill_after")

VARIABLES: dict[str, tuple[str, object]] = {
    **{name: ("no" if getattr(Options, name) else "yes", not getattr(Options, name)) for name in FLAGS},
    "timeout": ("1m30s", 90.0),
    "hold": ("full", "full"),
    "family": ("6", 6),
    "log_format": ("json", "json"),
    "evict": ("time-wait", frozenset({"time-wait"})),
    "evict_user": ("app,www-data", ("app", "www-data")),
    "evict_unit": ("app.service", ("app.service",)),
}
"""What each option's variable may say, and what that means; an option without a line here fails its test."""

ANY_NAME = ("evict_user", "evict_unit")
"""Options for which every text is a name that somebody may have given."""

with_variable = pytest.mark.parametrize("name", [name for name in OPTIONS if name not in TYPED_ONLY])


def read(words: list[str], variables: dict[str, str] | None = None) -> Options:
    """Read the guard's words."""
    return reader.read(GUARD, words, variables=variables)


def variable(name: str) -> str:
    return f"PORTWAIT_{name.upper()}"


def test_nothing_said_means_the_defaults() -> None:
    """Neither words nor environment: the record as it is."""
    options = read([], {})
    assert vars(options) == {}
    assert (options.timeout, options.targets, options.hold) == (75.0, (), None)


@with_variable
def test_every_option_has_an_environment_variable(name: str) -> None:
    """--timeout is PORTWAIT_TIMEOUT; an empty variable says nothing."""
    text, value = VARIABLES[name]
    assert getattr(read([], {variable(name): text}), name) == value
    assert vars(read([], {variable(name): ""})) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in OPTIONS
        if name not in TYPED_ONLY
        for value in ("\x1b[31m", "nonsense!", " ", ",", "x" * 10_000)
        if name not in ANY_NAME or not value.strip(" ,")
    ],
    ids=lambda value: ascii(value)[:20],
)
def test_a_bad_value_names_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, main: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """One line, without control characters, that says which variable is meant; status 125, nothing started."""
    monkeypatch.setenv(variable(name), value)
    assert main("30010", "--", "false") == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"portwait: in the environment variable {variable(name)}: cannot read ")
    assert "expected" in err
    assert err[:-1].isprintable()
    assert err[-1] == "\n"
    assert len(err) < 400


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (("--", "false"), "8080;9090", "cannot read target '8080;9090': no tcp service is called '8080;9090'"),
        (("-t", "5", "--", "false"), "70000", "cannot read target '70000': a port is a number from 1 to 65535"),
        (("-v", "--", "false"), "8080 127.0.0.1", "the port is missing"),
        (("-6", "--", "false"), "127.0.0.1:80", "an IPv4 address does not go with -6"),
        ((), " , ", "cannot read ' , ': expected targets"),
        (("explain",), "\x1b[31m", "expected PORT"),
        (("evict", "--dry-run"), "70000", "a port is a number from 1 to 65535"),
    ],
)
def test_targets_that_cannot_be_read_name_their_variable(
    *,
    words: tuple[str, ...],
    text: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    main: Callable[..., int],
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Rule: PORTWAIT_TARGETS is named in what is wrong with it, as every other variable is."""
    monkeypatch.setenv("PORTWAIT_TARGETS", text)
    assert main(*words) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("portwait: in the environment variable PORTWAIT_TARGETS: ")
    assert said in err
    assert "--timeout" not in err
    assert err[:-1].isprintable()


@pytest.mark.parametrize("name", TYPED_ONLY)
def test_signals_have_no_variable(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """They are sent only where the command line itself asks for them, and who tries the variable is told."""
    assert vars(read([], {variable(name): "9"})) == {}
    assert capfd.readouterr().err == (
        f"portwait: the environment variable {variable(name)} has no effect: --{name.replace('_', '-')} has to stand "
        "on the command line\n"
    )


@pytest.mark.parametrize("name", ["PORTWAIT", "PORTWAIT_TARGETS", "PORTWAIT_PORT_80_TCP", "PORTWAIT_SERVICE_HOST", "X"])
def test_variables_that_are_not_options(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    """PORTWAIT_TARGETS is the guard's own, and Kubernetes describes a Service called portwait."""
    assert vars(read([], {name: "tcp://10.0.0.1:80"})) == {}
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PORTWAIT_TIMOUT", " (did you mean PORTWAIT_TIMEOUT?)"),
        ("PORTWAIT_X", ""),
        ("PORTWAIT_\x1b", ""),
    ],
)
def test_a_variable_that_is_misspelt_is_named(name: str, meant: str, capfd: pytest.CaptureFixture[str]) -> None:
    """In one line that stops nothing; -q does without it."""
    assert vars(read([], {name: "5"})) == {}
    out, err = capfd.readouterr()
    assert out == ""
    assert err[:-1].isprintable()
    assert err.endswith(f" is none of portwait's and has no effect{meant}\n")
    read(["-q"], {name: "5"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_wins_over_its_variable(name: str) -> None:
    """Both ways, so that nobody has to unset a variable."""
    flag = name.replace("_", "-")
    for text in ("yes", "no"):
        assert getattr(read([f"--{flag}"], {variable(name): text}), name) is True
        assert getattr(read([f"--no-{flag}"], {variable(name): text}), name) is False


@pytest.mark.parametrize(
    ("words", "name", "text", "value"),
    [
        (["--timeout", "5"], "timeout", "9", 5.0),
        (["-t5"], "timeout", "9", 5.0),
        (["--timeout=inf"], "timeout", "9", durations.INF),
        (["--hold"], "hold", "none", "default"),
        (["--hold=full"], "hold", "no", "full"),
        (["--no-hold"], "hold", "full", "none"),
        (["-4"], "family", "6", 4),
        (["-6"], "family", "4", 6),
        (["--log-format", "json"], "log_format", "logfmt", "json"),
        (["--no-evict"], "evict", "yes", frozenset()),
    ],
    ids=str,
)
def test_an_option_wins_over_its_variable(words: list[str], name: str, text: str, value: object) -> None:
    """The command line is nearer to who types it."""
    assert getattr(read(words, {variable(name): text}), name) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("YES", True), ("true", True), ("On", True), ("0", False), ("no", False), ("FALSE", False)],
)
def test_how_a_variable_says_yes_and_no(text: str, value: bool) -> None:
    """As people write it in unit files and compose files."""
    assert read([], {"PORTWAIT_ANYWAY": text}).anyway is value
    assert read([], {"PORTWAIT_HOLD": text}).hold == ("default" if value else "none")


@pytest.mark.parametrize(
    ("words", "targets", "said"),
    [
        (["--hold", "30010"], ("30010",), {"hold": "default"}),
        (["--hold=full", "30010"], ("30010",), {"hold": "full"}),
        (["30010", "--hold"], ("30010",), {"hold": "default"}),
        (["-t", "0", "30010"], ("30010",), {"timeout": 0.0}),
        (["30010", "-t", "0", "8080"], ("30010", "8080"), {"timeout": 0.0}),
        (["80", "-4", "443", "-v", "8080"], ("80", "443", "8080"), {"family": 4, "verbose": True}),
        (["-qv", "80"], ("80",), {"quiet": True, "verbose": True}),
        (["-4", "-6", "80"], ("80",), {"family": 6}),
        (["--anyway", "--no-anyway", "80"], ("80",), {"anyway": False}),
        (["-t1", "-t2", "80"], ("80",), {"timeout": 2.0}),
        (["-v"], (), {"verbose": True}),
        (["-"], ("-",), {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_are_options_and_targets(words: list[str], targets: tuple[str, ...], said: dict[str, object]) -> None:
    """In any order; a value that may be left out stands behind `=`, so a TARGET never becomes one."""
    options = read(words, {})
    assert options.targets == targets
    assert {name: value for name, value in vars(options).items() if name != "targets"} == said


@pytest.mark.parametrize("option", [row.flags[-1] for row in ROWS if row.bare])
def test_an_optional_value_takes_no_target(option: str) -> None:
    """Whatever option has a value that may be left out."""
    assert read([option, "30010"], {}).targets == ("30010",)


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["--nonsense=1", "30010"],
        ["-x"],
        ["-1"],
        ["--time", "5", "30010"],  # abbreviations would change their meaning with every new option
        ["-t"],
        ["30010", "--timeout"],
        ["-t", "-5"],
        ["-t", "soon"],
        ["--timeout="],
        ["--timeout=\x1b[31m"],
        ["--hold=nonsense"],
        ["--hold="],
        ["--no-hold=full"],
        ["--log-format", "xml"],
        ["--log-format=\x1b[31m"],
        ["--quiet=yes"],
        ["-\x1b[31m"],
        ["--\x1b[31m"],
        ["--\N{RIGHT-TO-LEFT OVERRIDE}"],
        ["--\udcff"],
        ["--" + "x" * 10_000],
        ["--evict="],
        ["--evict=hold"],
        ["--evict=outbound,"],
        ["--evict=outbound,\x1b"],
        ["--terminate="],
        ["--terminate=NONSENSE"],
        ["--terminate=TERM"],
        ["--terminate=unseen"],
        ["--terminate", "--signal=0"],
        ["--terminate", "--signal", "NONSENSE"],
        ["--terminate", "--signal=\x1b"],
        ["--terminate", "--kill-after=soon"],
        ["--signal=TERM"],  # of what nobody has asked for
        ["--kill-after", "5"],
        ["--terminate=\x1b"],
        ["--evict-user=app"],  # narrows what nobody has asked for
        ["--evict-unit=app.service", "30010"],
        ["--evict", "--evict-user=app,,www-data"],
    ],
    ids=lambda words: ascii(" ".join(words))[:30],
)
def test_bad_options_get_one_line(
    words: list[str], main: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """Status 125 and one line without control characters; nothing is started."""
    assert main(*words, "--", "false") == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("portwait: ")
    assert err[:-1].isprintable()
    assert err[-1] == "\n"
    assert len(err) < 600
    with pytest.raises(UsageError):
        read(words, {})


def test_the_help_is_part_of_the_interface(
    main: Callable[..., int], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asserted to the byte; where a change is meant: COLUMNS=80 portwait --help >tests/unit/golden_help.txt."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main("--help") == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out == HELP.read_text()


@pytest.mark.parametrize("opposite", ["--no-evict", "--no-reserve"])
def test_the_help_teaches_how_to_win_over_the_environment(opposite: str) -> None:
    """An option without a line of its own is named where the variables are."""
    assert f"{opposite} " in HELP.read_text().partition("environment\nvariable")[2]


def test_the_help_fits_a_terminal() -> None:
    """80 columns, for eyes and for mail."""
    assert [line for line in HELP.read_text().splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("row", OPTIONS.values(), ids=lambda row: row.flags[-1])
def test_every_option_is_in_the_help(row: Row) -> None:
    """With its own words, and its opposite too where that has words."""
    assert row.text
    listed = [*row.flags, *(row.other[:1] if row.other and row.other[2] else ())]
    assert [flag for flag in listed if not re.search(rf"^  .*(?<![\w-]){flag}\b", HELP.read_text(), re.MULTILINE)] == []


@pytest.mark.parametrize(
    ("columns", "terminal", "longest"),
    [("40", 200, 40), ("80", 200, 80), ("", 60, 60), ("", None, 80), ("nonsense", None, 80), ("nonsense", 60, 80)],
)
def test_the_options_follow_the_width(
    columns: str, terminal: int | None, longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """COLUMNS says it, else the terminal, else it is 80; what is laid out by hand is made for 80."""

    def size(*_: int) -> os.terminal_size:
        if terminal is None:
            raise OSError
        return os.terminal_size((terminal, 24))

    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", size)
    options = parser.parser().format_help().partition("\noptions:\n")[2].partition("\n\n")[0].splitlines()
    assert longest - 20 < max(len(line) for line in options) <= longest


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--terminate"], "terminate", frozenset(EVICTED)),
        (["--terminate"], "signal", signal.SIGTERM),
        (["--terminate"], "kill_after", durations.INF),
        (["--terminate=listener"], "terminate", frozenset({"listener"})),
        (["--terminate=bound,accepted"], "terminate", frozenset({"bound", "accepted"})),
        (["--terminate=udp"], "terminate", frozenset({*EVICTED, "udp"})),
        (["--terminate", "--signal=INT"], "signal", signal.SIGINT),
        (["--terminate", "--signal", "SIGHUP"], "signal", signal.SIGHUP),
        (["--terminate", "--signal=sigusr1"], "signal", signal.SIGUSR1),
        (["--terminate", "--signal=9"], "signal", signal.SIGKILL),
        (["--signal", "KILL", "--terminate"], "signal", signal.SIGKILL),
        (["--terminate", "--kill-after", "1m"], "kill_after", 60.0),
        (["--terminate", "--kill-after=0"], "kill_after", durations.INF),
        (["--evict"], "evict", frozenset(EVICTED)),
        (["--evict=closing"], "evict", frozenset({"closing"})),
        (["--evict=udp,outbound"], "evict", frozenset({"udp", "outbound"})),
        (["--evict=udp"], "evict", frozenset({*EVICTED, "udp"})),
        (["--evict=unseen,udp"], "evict", frozenset({*EVICTED, "udp", "unseen"})),
        (["--evict", "--evict-user=app, www-data"], "evict_user", ("app", "www-data")),
        (["--terminate", "--evict-unit=app@*"], "evict_unit", ("app@*",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_may_be_done_is_named(words: list[str], name: str, value: object) -> None:
    """Kinds and signals by their names; udp and unseen alone come on top of what a plain --evict may."""
    assert getattr(read(words, {}), name) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("yes", frozenset(EVICTED)), ("no", frozenset()), ("closing,udp", frozenset({"closing", "udp"}))],
)
def test_a_variable_that_evicts(text: str, value: frozenset[str]) -> None:
    """As yes, no or the kinds."""
    assert read([], {"PORTWAIT_EVICT": text}).evict == value


def test_a_verb_reads_the_variables_of_what_it_shares_and_no_others() -> None:
    """By the same names and readers; what a verb has no option for may say what it likes."""
    environment = {"PORTWAIT_FAMILY": "6", "PORTWAIT_DRY_RUN": "yes", "PORTWAIT_TIMEOUT": "nonsense"}
    for words, family in ([], 6), (["-4"], 4):
        assert vars(reader.read("explain", words, variables=environment)) == {"family": family}
    assert vars(reader.read("audit", [], variables=environment)) == {}
    with pytest.raises(UsageError, match="in the environment variable PORTWAIT_REUSEADDR: cannot read"):
        reader.read("explain", [], variables={"PORTWAIT_REUSEADDR": "?"})


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version(flag: str, main: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """To stdout, for a script to read."""
    assert main(flag) == 0
    assert capfd.readouterr() == (f"portwait {__version__}\n", "")

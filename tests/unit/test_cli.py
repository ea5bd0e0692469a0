"""From words to a verb and an exit status."""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import site
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple

import pytest

import portwait
from portwait import __main__, cli
from portwait.__main__ import WITHOUT_COMMAND
from portwait.commands import guard
from portwait.errors import (
    CommandNotExecutableError,
    CommandNotFoundError,
    PortwaitError,
    TablesError,
    UsageError,
    own_fault,
    reason,
)
from portwait.options.record import VERBS
from portwait.text.escape import escape
from tests.support.programs import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from portwait.options.record import Options


class Call(NamedTuple):
    """How the guard was called."""

    targets: tuple[str, ...]
    said: dict[str, object]
    command: list[str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Stand in for the guard, and remember."""
    found: list[Call] = []

    def run(options: Options, command: Sequence[str]) -> int:
        said = {name: value for name, value in vars(options).items() if name != "targets"}
        found.append(Call(options.targets, said, list(command)))
        return 77

    monkeypatch.setattr(guard, "run", run)
    return found


def verb(name: str, run: Callable[[list[str]], tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for a verb."""
    module = ModuleType(f"portwait.commands.{'reserve' if name == 'release' else name}")
    vars(module)["release" if name == "release" else "run"] = run
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Call((), {}, [])),
        (["30010"], Call(("30010",), {}, [])),
        (["30010", "--", "true"], Call(("30010",), {}, ["true"])),
        (["80", "443", "--", "nginx", "-g", "daemon off;"], Call(("80", "443"), {}, ["nginx", "-g", "daemon off;"])),
        (["--", "true"], Call((), {}, ["true"])),
        (["30010", "--", "env", "--", "-v", "--help"], Call(("30010",), {}, ["env", "--", "-v", "--help"])),
        (["30010", "--", "explain", "30010"], Call(("30010",), {}, ["explain", "30010"])),
        (["--", "explain"], Call((), {}, ["explain"])),
        (["-v", "30010", "--", "-v"], Call(("30010",), {"verbose": True}, ["-v"])),
        (["30010", "-t", "5", "--", ""], Call(("30010",), {"timeout": 5.0}, [""])),
        (["30010", "explain"], Call(("30010", "explain"), {}, [])),
        (["-q", "explain"], Call(("explain",), {"quiet": True}, [])),
        (["Explain"], Call(("Explain",), {}, [])),
        ([""], Call(("",), {}, [])),
        (["30010", "--", "\udcff\n\x1b"], Call(("30010",), {}, ["\udcff\n\x1b"])),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
)
def test_words_go_to_the_guard(words: list[str], expected: Call, calls: list[Call], main: Callable[..., int]) -> None:
    """Everything behind the first `--` is the command, untouched; its status is the guard's."""
    assert main(*words) == 77
    assert calls == [expected]


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["--dry-run", "evict", "1"], ": evict is a verb and comes first: portwait evict ..."),
        (["-q", "explain", "1"], ": explain is a verb and comes first: portwait explain ..."),
        (["1", "audit"], ": audit is a verb and comes first: portwait audit ..."),
        (["-t", "5", "1", "reserve", "--nonsense"], ": reserve is a verb and comes first: portwait reserve ..."),
        (["explian", "1"], ": did you mean portwait explain?"),
        (["explian", "--json", "1"], ": did you mean portwait explain?"),
        (["Evict", "1"], ": did you mean portwait evict?"),
        (["nonsense"], " (see portwait --help)"),
        (["70000"], " (see portwait --help)"),
        (["1", "sh"], ": a command stands behind --: portwait 1 -- sh"),
        (["1", "sh", "-m", "x"], ": a command stands behind --: portwait 1 -- sh ..."),
        (["-4", "1", "[::]:2", "/bin/sh", "x"], ": a command stands behind --: portwait -4 1 [::]:2 -- /bin/sh ..."),
        (["1", "nosuchcommand"], " (see portwait --help)"),
        (["sh"], " (see portwait --help)"),
        (["1", "sh", "--", "true"], " (see portwait --help)"),
        (["1", "nonsense\x1b" * 99], " (see portwait --help)"),
    ],
    ids=lambda value: ascii(" ".join(value))[:40] if isinstance(value, list) else "",
)
def test_wrong_words_get_their_cure(
    words: list[str], cure: str, main: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """What was meant, where it can be guessed, in the same line."""
    assert main(*words) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith(f"{cure}\n")
    assert err[:-1].isprintable()


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("words", [[], ["30010"], ["--json", "--", "30010", "-v"]], ids=" ".join)
def test_a_word_that_is_a_verb_is_the_verb(
    name: str,
    words: list[str],
    *,
    calls: list[Call],
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It gets all the other words; its text goes to stdout, its status is portwait's."""
    given: list[list[str]] = []

    def run(words: list[str]) -> tuple[int, str]:
        given.append(words)
        return 1, "a report\n"

    verb(name, run, monkeypatch)
    assert main(name, *words) == 1
    assert (given, calls) == ([words], [])
    assert capfd.readouterr() == ("a report\n", "")


def test_options_from_the_environment_reach_the_guard(
    calls: list[Call], main: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the command line has none."""
    monkeypatch.setenv("PORTWAIT_TIMEOUT", "5")
    main("30010")
    assert calls == [Call(("30010",), {"timeout": 5.0}, [])]


@pytest.mark.usefixtures("main")
def test_without_words_it_reads_the_process_s_own(calls: list[Call], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the script and `python -m portwait` call it."""
    monkeypatch.setattr(sys, "argv", ["portwait", "30010", "--", "true"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    assert cli.main() == __main__.start() == 77
    assert calls == [Call(("30010",), {}, ["true"])] * 2


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (PortwaitError("cannot do it"), 125),
        (UsageError("cannot do it"), 125),
        (TablesError("cannot do it"), 125),
        (CommandNotExecutableError("cannot do it"), 126),
        (CommandNotFoundError("cannot do it"), 127),
    ],
    ids=repr,
)
@pytest.mark.parametrize("words", [("30010", "--", "true"), ("explain", "30010")], ids=" ".join)
def test_an_error_is_words_and_a_status(
    error: PortwaitError,
    status: int,
    words: tuple[str, ...],
    *,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Said once, in one line on stderr, whoever raised it."""

    def fail(*_: object) -> tuple[int, str]:
        raise error

    monkeypatch.setattr(guard, "run", fail)
    verb("explain", fail, monkeypatch)
    assert main(*words) == status
    assert capfd.readouterr() == ("", "portwait: cannot do it\n")


WHY = (
    (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    (OSError(errno.ENFILE, "Too many open files in system", "/proc/1/fd"), "Too many open files in system: /proc/1/fd"),
    (OSError(errno.EIO, "Input/output error", b"/a\xff"), "Input/output error: /a\udcff"),
    (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
    (OSError("unknown error"), "unknown error"),
    (OSError(5, "I/O\nerror"), "I/O"),
    (MemoryError(), "not enough memory"),
    (
        ModuleNotFoundError("No module named 'glob'"),
        "No module named 'glob'; portwait's files, or Python's, are not all there or cannot be read",
    ),
    (
        AttributeError("module 'wait' has no attribute 'x'"),
        "module 'wait' has no attribute 'x'; portwait's files, or Python's, are not all there or cannot be read",
    ),
    (
        AttributeError("'Log' object has no attribute 'x'"),
        "AttributeError: 'Log' object has no attribute 'x'; this is a bug in portwait",
    ),
    (
        LookupError("unknown encoding: ascii"),
        "unknown encoding: ascii; portwait's files, or Python's, are not all there or cannot be read",
    ),
    (PortwaitError("it is Monday"), "it is Monday"),
    (KeyError("x"), "KeyError: 'x'; this is a bug in portwait"),
    (ValueError("\x1b[31m\nmore"), "ValueError: \x1b[31m; this is a bug in portwait"),
)


@pytest.mark.parametrize(("fault", "why"), WHY, ids=lambda value: repr(value) if isinstance(value, Exception) else "")
def test_only_what_nobody_expects_is_a_bug(
    fault: Exception,
    why: str,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """What the system refuses is told in its own words, by a verb (125) and by the guard, in one printable line."""

    def fail(_words: list[str]) -> tuple[int, str]:
        raise fault

    assert reason(fault) == why
    assert own_fault("hold the port", fault) == f"failed to hold the port: {why}; continuing without it"
    verb("explain", fail, monkeypatch)
    assert main("explain", "30010") == 125
    words = why if isinstance(fault, PortwaitError) else f"cannot explain: {escape(why)}"
    assert capfd.readouterr() == ("", f"portwait: {words}\n")
    assert words.isprintable()


REPORT = """
import sys, types
module = types.ModuleType("portwait.commands.explain")
module.run = lambda words: (1, eval(words[0]))
sys.modules[module.__name__] = module
from portwait.cli import main
sys.exit(main(["explain", sys.argv[1]]))
"""


def report(expression: str, encoding: str = "utf-8", **popen: object) -> subprocess.CompletedProcess[bytes]:
    """Let a verb report the text that an expression makes, in a process of its own."""
    return subprocess.run(  # type: ignore[call-overload, no-any-return]  # passes Popen's own keywords on
        [sys.executable, "-c", REPORT, expression],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
        timeout=DEADLINE,
        stderr=subprocess.PIPE,
        **popen,
    )


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "é…\\udcff\n".encode()), ("latin-1", b"\xe9\\u2026\\udcff\n"), ("ascii", b"\\xe9\\u2026\\udcff\n")],
)
def test_any_terminal_can_show_a_report(encoding: str, expected: bytes) -> None:
    """What an encoding does not have is written as an escape, and the status stays the verb's."""
    done = report(ascii("é…\udcff\n"), encoding, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (1, expected, b"")


@pytest.mark.parametrize("blocking", [True, False])
def test_a_long_report_is_whole(blocking: bool) -> None:
    """Longer than a pipe takes at once, and where somebody has set O_NONBLOCK on it."""
    unblock = None if blocking else lambda: os.set_blocking(1, False)
    done = report("('x' * 79 + '\\n') * 10_000", stdout=subprocess.PIPE, preexec_fn=unblock)
    assert (done.returncode, done.stdout) == (1, (b"x" * 79 + b"\n") * 10_000)


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    """`portwait explain 1-65535 | head` ends with the verb's own status, without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = report("'a report\\n' * 1000", stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_report_that_cannot_be_written_is_an_error() -> None:
    """A full disk is not `something is held`."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # a device
        done = report("'a report\\n'", stdout=full)
    assert done.returncode == 125
    assert done.stderr == b"portwait: cannot write to stdout: No space left on device\n"


@pytest.mark.parametrize("words", [["--version"], ["--help"], *([verb, "--help"] for verb in VERBS)], ids=" ".join)
def test_help_that_cannot_be_written_is_an_error(words: list[str]) -> None:
    """What argparse prints is a report like any other: a full disk is told, a reader who has seen enough is none."""
    argv = [sys.executable, "-m", "portwait", *words]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "wb") as full:  # noqa: PTH123  # a device
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, env=environment, timeout=DEADLINE, check=False)
    assert (done.returncode, done.stderr) == (125, b"portwait: cannot write to stdout: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            argv, stdout=writing, stderr=subprocess.PIPE, env=environment, timeout=DEADLINE, check=False
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.usefixtures("main")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (signal.default_int_handler, signal.SIG_DFL),
        (signal.SIG_IGN, signal.SIG_IGN),
        (signal.SIG_DFL, signal.SIG_DFL),
    ],
    ids=["Python's own", "ignored", "default"],
)
def test_ctrl_c_ends_it_by_the_signal(
    before: Callable[..., object] | signal.Handlers,
    after: object,
    calls: list[Call],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a traceback; what was ignored from the start stays ignored."""
    monkeypatch.setattr(sys, "argv", ["portwait", "30010"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    signal.signal(signal.SIGINT, before)
    __main__.start()
    assert calls
    assert signal.getsignal(signal.SIGINT) == after


ZIP = f"/usr/lib/python{sys.version_info[0]}{sys.version_info[1]}.zip"
FREE_THREADED = ZIP.replace(".zip", "t.zip")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (["/srv/app", ZIP, "/usr/lib/python3"], [ZIP, "/usr/lib/python3"]),
        (["", "/a", "/b", ZIP, "/usr/lib/python3"], [ZIP, "/usr/lib/python3"]),
        ([ZIP, "/usr/lib/python3", "/root/.local/site"], [ZIP, "/usr/lib/python3"]),
        ([ZIP, "/usr/lib/python3"], [ZIP, "/usr/lib/python3"]),
        ([f"/srv{ZIP}", "/b", ZIP, "/usr/lib/python3"], [ZIP, "/usr/lib/python3"]),
        (["/srv/app", FREE_THREADED, "/usr/lib/python3t"], [FREE_THREADED, "/usr/lib/python3t"]),
        (["/a", "/frozen"], ["/a", "/frozen"]),
        ([], []),
    ],
    ids=[
        "the script's folder",
        "PYTHONPATH",
        "the user's site-packages",
        "python -I",
        "an archive",
        "a free-threaded Python",
        "no such entry",
        "nothing",
    ],
)
def test_what_is_meant_for_the_service_is_taken_off(
    path: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PYTHONPATH, the script's folder and the user's packages go; the folder that portwait was loaded from stays."""
    monkeypatch.setattr(sys, "path", list(path))
    monkeypatch.setattr(site, "USER_SITE", "/root/.local/site")
    __main__._forget_the_services_modules()
    assert sys.path == [*expected, str(Path(portwait.__file__).parents[1])]


def test_the_last_resort_knows_every_verb() -> None:
    """The script and `__main__` each keep the verbs, for nothing of portwait may be there to ask."""
    script = (Path(__file__).parents[2] / "bin" / "portwait").read_text()
    listed = re.search(r"verbs = (\(.*\))", script)
    assert listed is not None
    assert ast.literal_eval(listed[1]) == WITHOUT_COMMAND
    assert set(WITHOUT_COMMAND) == set(VERBS)

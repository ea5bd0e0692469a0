"""Becoming the service: nothing can tell it from a direct start."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from tests.support.descriptors import sockets_of
from tests.support.guarding import NOT_EXECUTABLE, NOT_FOUND, STARTED, guard, run
from tests.support.programs import DEADLINE, Program, eventually, portwait, running
from tests.support.states import outbound_established, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.system.conftest import Tools

pytestmark = pytest.mark.usefixtures("net")

PORT = "30010"
PATH = b"PATH=/usr/local/bin:/usr/bin:/bin"
LIKE_A_PACKED_ONE = """
import signal, sys
for number in (signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_DFL)
from portwait.__main__ import start
sys.exit(start())
"""
Way = Literal["free", "options", "waited"]
State = dict[str, Any]


class Start(NamedTuple):
    """How a service is started: what execs it, and with which environment, entry by entry."""

    before: tuple[str, ...] = ()
    environment: tuple[bytes, ...] | None = (PATH, b"HOME=/root", b"LANG=C.UTF-8")
    """None: what the programs before it have made of theirs."""
    arguments: tuple[bytes, ...] = ()
    closed: str = ""
    """Of `0`, `1` and `2` those that are not open."""


def environment(*entries: bytes) -> Start:
    return Start(environment=(PATH, *entries))


def shell(script: str) -> Start:
    """Let a shell prepare something, and become the command."""
    return Start(("bash", "-c", f'{script}; exec "$@"', "bash"))


PLAIN = {
    "plain": Start(),
    "blocked-all": Start(("env", "--block-signal")),
    "blocked-stopping": Start(("env", "--block-signal=TERM,INT,HUP")),
    "blocked-and-pending": Start(("env", "--block-signal=USR1,RTMIN+3", "bash", "-c", 'kill -USR1 $$; exec "$@"', "-")),
    "ignored-hup": Start(("nohup",)),
    "ignored-as-in-background": Start(("env", "--ignore-signal=INT,QUIT")),
    "ignored-many": Start(("env", "--ignore-signal=CHLD,USR1,USR2,TERM,ALRM,TTIN,TTOU,TSTP,RTMIN+5")),
    "ignored-and-blocked": Start(("env", "--ignore-signal=HUP,CHLD", "--block-signal=HUP,WINCH")),
    "no-locale": environment(),
    "empty": Start(environment=()),
    "LANG=C": environment(b"LANG=C"),
    "LANG=POSIX": environment(b"LANG=POSIX"),
    "LANG=C.UTF-8": environment(b"LANG=C.UTF-8"),
    "LANG-unknown": environment(b"LANG=xx_YY.ISO-8859-1"),
    "LC_ALL=C": environment(b"LC_ALL=C"),
    "LC_ALL=POSIX": environment(b"LC_ALL=POSIX"),
    "LC_ALL=C.UTF-8": environment(b"LC_ALL=C.UTF-8"),
    "LC_ALL-empty": environment(b"LC_ALL="),
    "LC_CTYPE=C": environment(b"A=1", b"LC_CTYPE=C", b"B=2"),
    "LC_CTYPE=POSIX": environment(b"A=1", b"LC_CTYPE=POSIX", b"B=2"),
    "LC_CTYPE=C.UTF-8": environment(b"A=1", b"LC_CTYPE=C.UTF-8", b"B=2"),
    "LC_CTYPE=UTF-8": environment(b"LC_CTYPE=UTF-8"),
    "LC_CTYPE-empty": environment(b"A=1", b"LC_CTYPE=", b"B=2"),
    "LC_CTYPE-unknown": environment(b"LC_CTYPE=xx_YY"),
    "LC_CTYPE-twice": environment(b"LC_CTYPE=C", b"A=1", b"LC_CTYPE=POSIX"),
    "LC_CTYPE-no-value": environment(b"LC_CTYPE", b"A=1"),
    "coercion-off": environment(b"PYTHONCOERCECLOCALE=0"),
    "utf8-mode": environment(b"PYTHONUTF8=1"),
    "odd-names": environment(b"java.io.tmpdir=/x", b"a-b=1", b"with space=2", b"1=one", b"\xc3\xa9=e", b"-=x"),
    "odd-values": environment(
        b"EMPTY=", b"EQUALS==a=b=", b"LINES=a\nb\tc", b"BYTES=\xff\xfe\x80", b"LONG=" + b"x" * 9999
    ),
    "odd-entries": environment(b"no equals sign", b"=starts with it", b"", b"=", b"\xff"),
    "duplicates": environment(b"A=1", b"B=2", b"A=3", b"PATH=/nowhere"),
    "arguments": Start(
        arguments=(b"", b"--", b"-v", b"a b", b"\xff\xfe", "ä€".encode(), b"\n\x1b[31m", b"*", b"$HOME")
    ),
    "arguments-LC_ALL=C": Start((), (PATH, b"LC_ALL=C"), (b"\xff\xfe", "ä€".encode(), b"\x80")),
    "arguments-unknown-locale": Start((), (PATH, b"LC_ALL=xx_YY.ISO-8859-1"), (b"\xff\xfe", "ä€".encode(), b"\xe4")),
    "umask": shell("umask 027"),
    "working-directory": shell("cd /usr/share"),
    "removed-working-directory": shell("mkdir gone && cd gone && rmdir ../gone"),
    "limits": Start(("prlimit", "--core=0", "--nofile=512:600", "--stack=1048576", "--cpu=77:99")),
    "nice": Start(("nice", "-n", "7", "chrt", "--batch", "0")),
    "session": Start(("setsid",)),
    "personality": Start(("setarch", "-R")),
    "death-signal": Start(("setpriv", "--pdeathsig", "TERM")),
    "privileges": Start(("setpriv", "--bounding-set=-sys_boot", "--inh-caps=-all", "--no-new-privs")),
    "timer": Start(("perl", "-e", "alarm 999; exec @ARGV")),
    "descriptors": shell("exec 3</dev/null 4>>/dev/null 5<>/dev/zero 7</etc/passwd; read -u 7"),
    "high-descriptors": shell("exec 63</dev/null 99</dev/zero 100</etc/passwd 101</dev/zero 255<&0"),
    "stdin-closed": Start(closed="0"),
    "stdout-closed": Start(closed="1"),
    "stderr-closed": Start(closed="2"),
    "all-closed": Start(closed="012"),
}
FEW = ("plain", "blocked-all", "ignored-many", "no-locale", "LC_CTYPE=C", "odd-entries", "descriptors", "all-closed")


@pytest.mark.parametrize(
    ("way", "start"),
    [
        *(pytest.param("free", start, id=f"free-{name}") for name, start in PLAIN.items()),
        *(pytest.param(way, PLAIN[name], id=f"{way}-{name}") for way in ("options", "waited") for name in FEW),
    ],
)
def test_the_service_cannot_tell(way: Way, start: Start, tools: Tools, tmp_path: Path) -> None:
    """Its state as the kernel and the C library show it is that of a direct start, the hold aside."""
    direct = observed(start, (), tools, tmp_path)
    if way == "waited":
        with outbound_established(int(PORT)) as blocker:

            def let_go(program: Program) -> None:
                eventually(lambda: waits(program), "the wait")
                reset(blocker.sock)

            guarded = observed(start, portwait(PORT, "--"), tools, tmp_path, let_go)
    else:
        words = ("-v",) if way == "options" else ()
        guarded = observed(start, portwait(*words, PORT, "--"), tools, tmp_path)
    (hold,) = guarded["descriptors"].keys() - direct["descriptors"].keys()
    assert int(hold) >= 100
    assert guarded["descriptors"].pop(hold)[0].startswith("socket:")
    for key, value in direct.items():
        assert (key, guarded[key]) == (key, value)
    assert guarded == direct


@pytest.mark.parametrize(
    "prepare",
    [
        pytest.param(("bash", "-c", """trap "" PIPE; "$@"; exit $?""", "bash"), id="parent-ignores-sigpipe"),
        pytest.param(("bash", "-c", """"$@"; exit $?""", "bash"), id="plain-parent"),
        pytest.param(
            ("bash", "-c", """trap "" PIPE; export SYSTEMD_EXEC_PID=$$; exec "$@" """, "bash"), id="started-by-systemd"
        ),
        pytest.param(
            ("bash", "-c", """trap "" PIPE; exec "$@" """, "bash", "unshare", "--pid", "--fork"),
            id="the-proc-of-another-pid-namespace",
        ),
    ],
)
def test_signals_that_python_ignores(prepare: tuple[str, ...], tools: Tools, tmp_path: Path) -> None:
    """SIGPIPE and SIGXFSZ are what they were, as far as that can be known: see handoff.inherited_ignores."""
    start = Start(prepare, environment=None)
    direct = observed(start, (), tools, tmp_path)
    guarded = observed(start, portwait(PORT, "--"), tools, tmp_path)
    assert guarded["SigIgn"] == direct["SigIgn"]
    assert bool(int(direct["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1) == ("trap" in prepare[2])


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
@pytest.mark.parametrize(
    "prepare", ["exec 2> >(exec true); wait $!", "exec 2>errors; ulimit -f 0"], ids=["no reader", "no room"]
)
@pytest.mark.parametrize("start", [portwait(), [sys.executable, "-Ic", LIKE_A_PACKED_ONE]], ids=["installed", "packed"])
def test_nobody_takes_what_it_says(start: list[str | bytes], prepare: str, held: bool, tmp_path: Path) -> None:
    """Neither SIGPIPE nor SIGXFSZ keeps the service down, also where the interpreter ignores neither."""
    words = [*start, "--verbose", "--timeout", "0.1", "--anyway", PORT, "--", *STARTED]
    with outbound_established(int(PORT)) if held else contextlib.nullcontext():
        done = run(["bash", "-c", f'{prepare}; exec "$@"', "bash", *words], cwd=tmp_path)
    assert (done.status, done.out) == (0, "started\n")


def test_the_pid_stays() -> None:
    """A wrapper that stays, or forks, would break Type=notify, MAINPID and kill."""
    with running([*portwait(PORT, "--"), "sh", "-c", "echo $$ $PPID; read line"], stdin=subprocess.PIPE) as service:
        assert service.says(" ").split() == [str(service.pid), str(os.getpid())]


def test_every_exit_status_comes_through() -> None:
    """All 256, and death by a signal."""
    script = 'for n in $(seq $0); do "$@" sh -c "exit $n"; [ $? = $n ] || echo "$n became $?"; done; echo done'
    with (
        running(["sh", "-c", script, "0 2 255", *portwait(PORT, "--")]) as even,
        running(["sh", "-c", script, "1 2 255", *portwait(PORT, "--")]) as odd,
    ):
        ends = [(each.status(4 * DEADLINE), each.out) for each in (even, odd)]  # 128 starts each
        assert ends == [(0, ["done"])] * 2
    assert guard(PORT, "--", "sh", "-c", "kill -TERM $$").status == -signal.SIGTERM


class TestFailures:
    """A command that cannot be run: 126 and 127 as `env` says them."""

    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for name, mode, text in (
            ("script", 0o755, "#!/bin/sh\necho script $0 $1\n"),
            ("no-shebang", 0o755, "echo no shebang $0 $1 $#\n"),
            ("no-mode", 0o644, "#!/bin/sh\necho never\n"),
            ("bad-shebang", 0o755, "#!/proc/nonexistent/sh\n"),
            ("directory-shebang", 0o755, "#!/usr\n"),
            ("binary", 0o755, "\x7fELF\0\0 not really"),
            ("empty", 0o755, ""),
            ("first/tool", 0o644, "not executable"),
            ("second/tool", 0o755, "#!/bin/sh\necho second $0\n"),
            ("third/no-shebang-tool", 0o755, "echo third $#\n"),
            ("third/bad-shebang-tool", 0o755, "#!/proc/nonexistent/sh\n"),
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
            (tmp_path / name).chmod(mode)
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "dangling").symlink_to("nowhere")

    WITH_A_SLASH = (
        *(
            "./absent",
            "/absent/tool",
            "/etc/passwd/tool",
            "/",
            "./",
            "./first",
            "./script",
            "./no-shebang",
            "./no-mode",
        ),
        *("./bad-shebang", "./directory-shebang", "./binary", "./empty", "./loop", "./dangling", "./" + "x" * 300),
        "x/" * 3000,
    )
    BARE: tuple[str, ...] = ("absent", ".", "..", "first", "", "script", "tool", "no-shebang-tool", "bad-shebang-tool")
    BARE += ("x" * 300, "sh", "-x")
    PATHS = ("first:second:third:/usr/bin", "", None, ":/bin", "/absent:/etc/passwd")

    @pytest.mark.parametrize(
        ("command", "path"),
        [
            *(pytest.param(command, "/usr/bin", id=command[:20]) for command in WITH_A_SLASH),
            *(
                pytest.param(command, path, id=f"{command[:20]}-PATH={path}")
                for command, path in itertools.product(BARE, PATHS)
            ),
        ],
    )
    def test_like_env(self, command: str, path: str | None) -> None:
        """The same status, the same output of what runs after all, and one line for what does not."""
        given = {} if path is None else {"PATH": path}
        expected = run(["/usr/bin/env", "--", command, "argument"], env=given)
        seen = guard(PORT, "--", command, "argument", env=given)
        assert (seen.status, seen.out) == (expected.status, expected.out)
        if expected.status in (NOT_EXECUTABLE, NOT_FOUND) and expected.err.startswith("/usr/bin/env"):
            assert seen.err.startswith("portwait: cannot run ")
            assert seen.err.count("\n") == 1

    @pytest.mark.parametrize(
        ("command", "why"),
        {
            "absent": "'absent': no such command in PATH",
            "bad-shebang-tool": "'third/bad-shebang-tool': No such file or directory; the file is there, so its "
            "interpreter is not (see its first line)",
            "./bad-shebang": "'./bad-shebang': No such file or directory; the file is there, so its interpreter is not "
            "(see its first line)",
            "./dangling": "'./dangling': No such file or directory",
            "tool": "'tool': Permission denied",
        }.items(),
    )
    def test_why_not(self, command: str, why: str) -> None:
        """A file that is there is not called missing, nor a link that leads nowhere a file."""
        seen = guard(PORT, "--", command, env={"PATH": "first:third"})
        assert seen.err == f"portwait: cannot run {why}\n"


class TestHostileSurroundings:
    """What is meant for the service must not break portwait, and must reach the service untouched."""

    NAMES = ("socket", "typing", "argparse", "re", "json", "structlog", "psutil", "tenacity", "signal", "select")

    @pytest.fixture
    def trap(self, tmp_path: Path) -> Path:
        """Make a folder with modules that end whoever imports them."""
        for name in self.NAMES:
            (tmp_path / f"{name}.py").write_text(f"raise SystemExit('the hostile {name}.py was imported')\n")
        return tmp_path

    @pytest.mark.parametrize("words", [(), ("-v", "--timeout", "3")], ids=["free", "options"])
    def test_pythonpath(self, trap: Path, words: tuple[str, ...]) -> None:
        script = "import os; print(os.environ['PYTHONPATH'])"
        env = {**os.environ, "PYTHONPATH": str(trap)}
        seen = guard(*words, PORT, "--", sys.executable, "-S", "-c", script, env=env)
        assert (seen.status, seen.out) == (0, f"{trap}\n"), seen.err
        seen = guard(*words, PORT, "--", sys.executable, "-S", "-c", "import typing", env=env)
        assert (seen.status, seen.err.splitlines()[-1]) == (1, "the hostile typing.py was imported")

    @pytest.mark.parametrize("how", ["script", "module"] if sys.version_info >= (3, 11) else ["script"])
    def test_files_in_the_working_directory(self, trap: Path, how: str) -> None:
        """`python -m portwait` puts the working directory first; a held port makes it import everything.

        Before Python 3.11 the interpreter's own `-m` imports such files before any line of portwait.
        """
        start = portwait() if how == "script" else [sys.executable, "-m", "portwait"]
        with outbound_established(int(PORT)):
            seen = run([*start, "--timeout", "0", PORT, "--", *STARTED], cwd=trap)
            assert seen.status == 124
            assert "outbound connection" in seen.err
            assert "hostile" not in seen.err
            assert "cannot" not in seen.err.replace("netstat -l cannot", "")
        assert run([*start, PORT, "--", *STARTED], cwd=trap).started

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PYTHONWARNINGS", "error"),
            ("PYTHONDEVMODE", "1"),
            ("PYTHONOPTIMIZE", "2"),
            ("PYTHONFAULTHANDLER", "1"),
            ("PYTHONSAFEPATH", "1"),
        ],
    )
    def test_settings_of_an_interpreter(self, name: str, value: str) -> None:
        """They are the service's; portwait says what it says without them, and passes them on."""
        env = {**os.environ, name: value}
        with outbound_established(int(PORT)):
            seen = guard("--timeout", "0", PORT, env=env)
        assert seen.status == 124
        assert seen.err.startswith(f"portwait: {PORT}/tcp is held by an outbound connection")
        assert "Warning" not in seen.err
        assert guard(PORT, "--", "printenv", name, env=env).out == f"{value}\n"

    @pytest.mark.parametrize("words", [("--help",), ("--version",), ("explain", "--help"), ("-t", "1x", PORT)])
    def test_an_interpreter_that_stays(self, words: tuple[str, ...]) -> None:
        """Rule: PYTHONINSPECT changes nothing of what portwait prints, and adds no traceback."""
        env = {**os.environ, "PYTHONINSPECT": "1"}
        assert run([*portwait(), *words], env=env) == run([*portwait(), *words])

    def test_pythonhome(self, tmp_path: Path) -> None:
        """It kills any interpreter before its first line, unless the script says -I (as docs/faq.md shows)."""
        script = str(shutil.copy(str(portwait()[0]), tmp_path))
        env = {**os.environ, "PYTHONHOME": "/proc/nonexistent"}
        assert run([script, PORT, "--", "printenv", "PYTHONHOME"], env=env).status == 1
        subprocess.run(["sed", "-i", "1s|$| -I|", script], check=True)
        assert run([script, PORT, "--", "printenv", "PYTHONHOME"], env=env).out == "/proc/nonexistent\n"


# What the tests are made of


def observed(
    start: Start,
    through: Sequence[str | bytes],
    tools: Tools,
    folder: Path,
    meanwhile: Callable[[Program], None] = lambda _: None,
) -> State:
    """Start tools.state, directly or through portwait, and read what it has seen of itself; `meanwhile` is in between.

    Process numbers are replaced by what they mean, for each start has new ones.
    """
    entries, answer = folder / "environment", folder / "answer"
    entries.write_bytes(b"".join(entry + b"\0" for entry in start.environment or ()))
    answer.unlink(missing_ok=True)
    closing = "".join(f" {number}>&-" for number in start.closed)
    launch: tuple[str, ...] = () if start.environment is None else (tools.launch, str(entries))
    before = (*start.before, "bash", "-c", f'exec "$@"{closing}', "bash")
    with running(
        [*before, *launch, *through, tools.state, str(answer), *start.arguments],
        env={"PATH": os.defpath, "HOME": "/root"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    ) as program:
        meanwhile(program)
        assert program.status() == 0, program.describe()
    seen: State = json.loads(answer.read_text())
    names = {program.pid: "the one that was started", os.getpid(): "the test", seen["pid"]: "a child"}
    for key in ("pid", "ppid", "pgid", "sid"):
        seen[key] = names.get(seen[key], seen[key])
    return seen


def waits(program: Program) -> bool:
    """Whether portwait has got as far as its hold beside the blocker."""
    return any(held.port == int(PORT) for held in sockets_of(program.pid))

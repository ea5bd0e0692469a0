"""The service starts, whatever has happened to portwait's own files, its arguments' encoding and its surroundings."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import portwait as package
from tests.support.guarding import GAVE_UP, STARTED, guard, run
from tests.support.packages import needs
from tests.support.pipes import full_pipe
from tests.support.programs import DEADLINE
from tests.support.shown import SHOW, link_of, shown
from tests.support.states import listening, outbound_established
from tests.support.surroundings import NO_PROC
from tests.support.terminals import STOPPING_WRITERS, on_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.manager import Manager

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
FREE_PATH = """
import os, sys
from portwait import handoff
from portwait.__main__ import start
def become(command):
    print(*sorted(name for name in sys.modules if name.partition(".")[0] == "portwait"))
    sys.stdout.flush()
    os._exit(0)
handoff.become = become
sys.argv = ["portwait", "30010", "--", "true"]
start()
"""
BREAKS: dict[str, Callable[[Path], object]] = {
    "half written": lambda path: path.write_text("def"),
    "unreadable": lambda path: path.write_text("raise OSError(5, 'Input/output error')"),
    "gone": Path.unlink,
    "another version's": lambda path: path.write_text(""),
}
ENCODINGS = {
    "ja_JP.eucjp": "EUC-JP",
    "ko_KR.euckr": "EUC-KR",
    "zh_CN.gb18030": "GB18030",
    "zh_HK.big5hkscs": "BIG5-HKSCS",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Make an installation of portwait that may be broken, with a Python of its own; its script."""
    modules = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path)}))
    shutil.copytree(Path(package.__file__).parent, modules / "portwait", ignore=shutil.ignore_patterns("__pycache__"))
    (modules / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    python = tmp_path / "bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.symlink_to(os.path.realpath(sys.executable))
    (tmp_path / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    script = modules / "guard"
    source = (Path(__file__).parents[2] / "bin" / "portwait").read_text()
    script.write_text(source.replace("#!python", f"#!{python} -B", 1))
    script.chmod(0o755)
    return script


def sees_users(prefix: Path) -> None:
    """Let the Python of an installation look into the user's site-packages, as a system's does."""
    settings = prefix / "pyvenv.cfg"
    settings.write_text(f"{settings.read_text()}include-system-site-packages = true\n")


@pytest.mark.parametrize("how", BREAKS)
def test_a_module_that_cannot_be_imported(how: str, copy: Path) -> None:
    """For each module of the free path: one line, and the command runs."""
    names = run([sys.executable, "-c", FREE_PATH]).out.split()
    assert "portwait.bind.survey" in names
    for name in names:
        path = copy.parent.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        before = path.read_text()
        BREAKS[how](path)
        seen = run([str(copy), str(PORT), "--", *STARTED])
        path.write_text(before)
        assert seen.started, (name, seen)
        assert len(seen.err.splitlines()) <= 1, (name, seen)
        if how in ("half written", "unreadable"):
            assert "continuing without it" in seen.err, (name, seen)


def test_without_a_command_a_broken_portwait_is_an_error(copy: Path) -> None:
    """Nothing follows --, so there is nothing to start; nor behind a verb's."""
    (copy.parent / "portwait" / "cli.py").write_text("def")
    for words in ([str(PORT)], [str(PORT), "--"], ["pick", "1-2", "--", "echo", "{}"]):
        seen = run([str(copy), *words])
        assert (seen.status, seen.out) == (125, ""), words


@pytest.mark.parametrize("module", ["__init__.py", "__main__.py", "cli.py", "errors.py", "handoff.py"])
def test_a_broken_portwait_hands_on_signals_and_says_what_it_cannot_run(module: str, copy: Path) -> None:
    """Rule: the command ignores no signal that only Python ignores; one that cannot be run is 126 or 127, in words."""
    (copy.parent / "portwait" / module).write_text("def")
    argv = [str(copy), str(PORT), "--"]
    ignored = int(run([*argv, "grep", "SigIgn", "/proc/self/status"]).out.split()[1], 16)
    assert ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1) == 0
    for command, status in (("no-such-command", 127), ("/etc/passwd", 126)):
        seen = run([*argv, command])
        assert (seen.status, seen.out) == (status, "")
        assert f"portwait: cannot run {command!r}: " in seen.err.splitlines()[-1]
        assert "Traceback" not in seen.err


@pytest.mark.parametrize("module", ["__init__.py", "__main__.py", "cli.py", "handoff.py"])
@pytest.mark.parametrize("by_path", [True, False], ids=["by its path", "in PATH"])
def test_a_broken_portwait_runs_a_script_without_a_shebang(
    module: str, copy: Path, tmp_path: Path, *, by_path: bool
) -> None:
    """Rule: what execvp(3) gives to the shell is given to it, with its words as they are."""
    (copy.parent / "portwait" / module).write_text("def")
    script = tmp_path / "serve"
    script.write_text('printf "%s." started "$@"\n')
    script.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    words = [str(script) if by_path else "serve", "a b", "", "$HOME"]
    seen = run([str(copy), str(PORT), "--", *words], env=env)
    assert (seen.status, seen.out) == (0, "started.a b..$HOME.")


@pytest.mark.parametrize("module", ["__main__.py", "cli.py", "wait/outcome.py", "wait/signals.py"])
@pytest.mark.parametrize(
    ("words", "variable", "starts"),
    [
        (["--dry-run"], "", False),
        ([], "1", False),
        (["--no-dry-run", "--dry-run"], "0", False),
        (["--no-dry-run"], "1", True),
        ([], "0", True),
        ([], "Off", True),
    ],
)
def test_a_dry_run_starts_nothing(module: str, words: list[str], variable: str, starts: bool, copy: Path) -> None:
    """Rule: whatever cannot be loaded, --dry-run does not end in a start; the option wins over its variable."""
    (copy.parent / "portwait" / module).write_text("def")
    env = {**os.environ, "PORTWAIT_DRY_RUN": variable}
    assert ("started" in run([str(copy), *words, str(PORT), "--", *STARTED], env=env).out) == starts


@pytest.mark.parametrize("own", [("web", "db"), ("web",), ()], ids=["around it", "before it", "none"])
@pytest.mark.parametrize(
    "module", ["__init__", "__main__", "cli", "handoff", "systemd/listen_fds", "systemd/handover", "systemd/listen"]
)
def test_what_is_ours_in_systemds_store_stays_hidden(
    module: str, own: tuple[str, ...], copy: Path, manager: Manager
) -> None:
    """Rule: whatever cannot be loaded, the service sees its own sockets, in their order, and none of --fdstore's."""
    (copy.parent / "portwait" / f"{module}.py").write_text("def")
    with contextlib.ExitStack() as stack:
        sockets = [
            (name, stack.enter_context(socket.socket())) for name in (*own[:1], "portwait-tcp-1-v6only", *own[1:])
        ]
        mine = [link_of(sock.fileno()) for name, sock in sockets if name in own]
        argv = [str(copy), "--fdstore", str(PORT), "--", *SHOW]
        with manager.running(*argv, sockets=sockets, stdin=subprocess.PIPE) as program:
            seen = shown(program)
    assert (seen.names, seen.served) == ([*own], mine)
    assert sorted(seen.sockets.values()) == sorted(mine)
    assert "LISTEN_PID" in seen.variables or not own


WAITING = ("log", "text/stderr", "wait/loop", "wait/narrator", "wait/outcome", "wait/polling")


@pytest.mark.parametrize("module", [*WAITING, "wait/schedule", "wait/signals", "_linux/sockdiag"])
@pytest.mark.parametrize("words", [(), ("--listen",), ("--evict",)], ids=" ".join)
def test_what_the_kernel_calls_held_is_not_started(module: str, words: tuple[str, ...], copy: Path) -> None:
    """Rule: a module of the wait that cannot be loaded costs words, not the verdict; bind alone waits then."""
    (copy.parent / "portwait" / f"{module}.py").write_text("def")
    with listening(PORT):
        seen = run([str(copy), "-t", "0.2", *words, str(PORT), "--", *STARTED])
    assert (seen.status, seen.out) == (GAVE_UP, "")
    assert "Traceback" not in seen.err


@pytest.mark.parametrize("locale", ENCODINGS)
def test_every_byte_of_an_argument_arrives(locale: str, tmp_path: Path) -> None:
    """The C library and Python disagree about some encodings; the command gets the bytes that the kernel has."""
    needs("localedef", "locales")
    source = locale.partition(".")[0]
    made = run(["localedef", "-c", "-i", source, "-f", ENCODINGS[locale], str(tmp_path / locale)], timeout=4 * DEADLINE)
    assert (tmp_path / locale).is_dir(), made
    env = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": locale}
    words = [
        "gr\u00fc\u00df \u65e5\u672c".encode(),
        b"\xfe\x91",
        b"\x8f\xa2\xb7",
        b"\xa9\x5c",
        b"",
        b"plain",
        b"\x96\x35\xb6\x30",
    ]
    print_bytes = b"import os; print(open('/proc/self/cmdline', 'rb').read().split(b'\\0')[4:-1])"
    command = [os.fsencode(sys.executable), b"-IS", b"-c", print_bytes]
    assert guard(str(PORT), "--", *command, *words, env=env).out == f"{words}\n"


STRANGERS = {
    "a package": ("portwait/__init__.py", ""),
    "a package that exits": ("portwait/__init__.py", "raise SystemExit(2)"),
    "a module": ("portwait.py", "raise KeyboardInterrupt"),
    "a folder": ("portwait/notes.txt", ""),
    "its main module": ("portwait/__main__.py", "start = print"),
}
"""Programs of other people that are called portwait too."""


class TestWhatIsMeantForTheService:
    """Its modules are not portwait's, and it still gets its variables."""

    TRAPS = ("tornado", "rich", "better_exceptions", "greenlet", "psutil", "structlog", "tenacity", "socket", "select")

    @pytest.mark.parametrize("form", ["console", "json"])
    def test_pythonpath(self, form: str, tmp_path: Path) -> None:
        """Libraries of ours load others where they find them: nothing of the service's folder is executed."""
        for name in self.TRAPS:
            (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'a').write({name!r})")
        env = {**os.environ, "PYTHONPATH": str(tmp_path)}
        with outbound_established(PORT):
            seen = guard("--timeout", "1", "--log-format", form, str(PORT), "--", *STARTED, env=env, cwd=tmp_path)
        assert seen.status == GAVE_UP
        assert "failed" not in seen.err
        assert not (tmp_path / "sprung").exists()
        assert guard(str(PORT), "--", "printenv", "PYTHONPATH", env=env).out == f"{tmp_path}\n"

    @pytest.mark.parametrize(
        "where", ["PYTHONPATH", "the working directory", "the script's", "the user's", "an archive"]
    )
    @pytest.mark.parametrize("stranger", STRANGERS)
    def test_another_portwait(self, stranger: str, where: str, copy: Path, tmp_path: Path) -> None:
        """Rule: what is called portwait and is the service's does not take the place of portwait."""
        folder = tmp_path / "theirs"
        archive = folder / f"python{sys.version_info[0]}{sys.version_info[1]}.zip"  # a folder with the name of one
        users = tmp_path / "user" / copy.parent.relative_to(tmp_path)
        script = shutil.copy(copy, tmp_path / "bin") if where == "the script's" else copy
        places = {"the script's": tmp_path / "bin", "the user's": users, "an archive": archive}
        name, text = STRANGERS[stranger]
        file = places.get(where, folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        sees_users(tmp_path)
        paths = {"PYTHONPATH": str(folder), "the working directory": ":", "an archive": str(archive)}
        env = {**os.environ, "PYTHONUSERBASE": str(tmp_path / "user"), "PYTHONPATH": paths.get(where, "")}
        cwd = folder if where == "the working directory" else tmp_path
        seen = run([str(script), "-v", str(PORT), "--", *STARTED], env=env, cwd=cwd)
        assert seen.started
        assert f"{PORT}/tcp" in seen.err
        assert "failed" not in seen.err

    @pytest.mark.parametrize("stranger", STRANGERS)
    def test_another_portwait_for_a_free_threaded_python(self, stranger: str, copy: Path, tmp_path: Path) -> None:
        """Rule: likewise where the standard library's archive is called pythonXYt.zip."""
        name, text = STRANGERS[stranger]
        file = tmp_path / "theirs" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
        major, minor = sys.version_info[:2]
        renamed = f"[each.replace('{major}{minor}.zip', '{major}{minor}t.zip') for each in sys.path]"
        (copy.parent / "free_threaded.pth").write_text(f"import sys; sys.path[:] = {renamed}\n")
        script = shutil.copy(copy, tmp_path / "bin")  # as it is installed: with no portwait beside it
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "theirs")}
        seen = run([str(script), "-v", str(PORT), "--", *STARTED], env=env)
        assert seen.started
        assert f"{PORT}/tcp" in seen.err
        assert "failed" not in seen.err

    @pytest.mark.parametrize("how", ["pip install --target", "pip install --user"])
    def test_a_portwait_in_such_a_folder(self, how: str, copy: Path, tmp_path: Path) -> None:
        """Rule: where no portwait is elsewhere, the one of PYTHONPATH or of the user's site-packages is portwait."""
        folder = tmp_path / "user" / copy.parent.relative_to(tmp_path)
        folder.mkdir(parents=True)
        (copy.parent / "portwait").rename(folder / "portwait")
        (copy.parent / "libraries.pth").unlink()
        sees_users(tmp_path)
        variable = {"PYTHONUSERBASE": str(tmp_path / "user")}
        if how == "pip install --target":
            variable = {"PYTHONPATH": str(folder)}
        seen = run([str(copy), "-v", str(PORT), "--", *STARTED], env={**os.environ, **variable})
        assert seen.started
        assert f"{PORT}/tcp" in seen.err
        assert "failed to load" not in seen.err

    def test_a_strangers_portwait_and_none_of_ours(self, copy: Path, tmp_path: Path) -> None:
        """Rule: the service starts, whatever a program does that is called portwait too."""
        shutil.rmtree(copy.parent / "portwait")
        (copy.parent / "libraries.pth").unlink()
        (tmp_path / "portwait.py").write_text("raise SystemExit(2)")
        seen = run([str(copy), str(PORT), "--", *STARTED], env={**os.environ, "PYTHONPATH": str(tmp_path)})
        assert seen.started
        assert "failed to load: SystemExit: 2; continuing without it" in seen.err


class TestStderr:
    """Nothing that is at the other end keeps the service waiting."""

    def test_a_full_pipe_stays_blocking_for_all_who_share_it(self) -> None:
        """O_NONBLOCK would be everybody's: the others that write to it would lose their lines."""
        with full_pipe() as writing, outbound_established(PORT):
            assert guard("--timeout", "0.2", str(PORT), "--", *STARTED, stderr=writing).status == GAVE_UP
            assert os.get_blocking(writing)

    @pytest.mark.parametrize("module", ["__init__.py", "__main__.py", "cli.py", "handoff.py"])
    @pytest.mark.parametrize(("command", "ends"), [(STARTED, (0, "started\n")), (["no-such-command"], (127, ""))])
    def test_a_broken_portwait_waits_for_nobody_who_reads(
        self, module: str, command: Sequence[str], ends: tuple[int, str], copy: Path
    ) -> None:
        """Not to say that it cannot be loaded, nor that the command cannot be run."""
        (copy.parent / "portwait" / module).write_text("def")
        with full_pipe() as writing:
            assert run([str(copy), str(PORT), "--", *command], stderr=writing)[:2] == ends

    @pytest.mark.parametrize("module", ["__init__.py", "cli.py"])
    def test_a_broken_portwait_is_not_stopped_by_the_terminal(self, module: str, copy: Path) -> None:
        """It tells in the background too that it cannot be loaded, whatever `stty tostop` says."""
        (copy.parent / "portwait" / module).write_text("def")
        words = (str(PORT), "--", "true")
        with on_terminal(*words, before=STOPPING_WRITERS, program=str(copy)) as (shell, screen):
            assert shell.status() == 0
            assert any("continuing without it" in line for line in screen.lines())


def test_without_proc_the_service_does_not_see_lc_ctype() -> None:
    """Python adds LC_CTYPE where there is no locale, and without /proc that can still be told."""
    env = {"PATH": os.environ["PATH"], "HOME": "/"}
    bare = subprocess.run([*NO_PROC, "env"], env=env, check=True, capture_output=True, text=True).stdout
    assert guard(str(PORT), "--", "env", before=NO_PROC, env=env).out == bare

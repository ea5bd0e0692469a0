"""A free port costs next to nothing: what is not needed there is not imported."""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from tests.support.guarding import run
from tests.support.programs import portwait, running
from tests.support.states import outbound_established, reset
from tools.join_modules import MODULES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
OF_OTHERS = {"psutil", "structlog", "tenacity"}
HEAVY = {
    *(
        "argparse",
        "asyncio",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "inspect",
        "json",
        "logging",
        "pathlib",
    ),
    *("re", "select", "shutil", "signal", "socket", "struct", "subprocess", "tempfile", "threading", "typing"),
}
EXEC = """
import os, sys
before = set(sys.modules)
from portwait import handoff
from portwait.__main__ import start
def become(command):
    print(*command, "|", *sorted(set(sys.modules) - before))
    sys.stdout.flush()
    os._exit(0)
handoff.become = become
sys.argv = ["portwait", *sys.argv[1:]]
start()
"""
"""The guard in an interpreter that tells, at the moment of exec, what it has loaded by then."""


def telling(*words: str) -> list[str]:
    """Answer how to run it."""
    installed = [sysconfig.get_path("purelib"), *filter(None, sys.path)]
    path = f"import sys; sys.path[:0] = {installed!r}\n"
    return [sys.executable, "-IS", "-c", path + EXEC, *words]


def told(out: str) -> set[str]:
    """Read what it tells."""
    command, _, names = out.partition(" | ")
    assert command == "the command", out
    return set(names.split())


def loaded(*words: str, **environment: str) -> set[str]:
    """Name the modules that the guard loads on its way to exec."""
    return told(run(telling(*words), env={**os.environ, **environment}).out)


@pytest.mark.parametrize(
    "words", [(str(PORT),), ("127.0.0.1:30010", "[::1]:30011", "30012/udp", "30020-30030", "http")], ids=["one", "many"]
)
def test_a_free_port(words: tuple[str, ...]) -> None:
    """Nothing but modules of our own, and what is compiled into the interpreter or loaded by it anyway."""
    modules = loaded(*words, "--", "the", "command")
    assert modules & (OF_OTHERS | HEAVY) == set()
    assert modules & {"portwait.options.table", "portwait.options.reader", "portwait.systemd"} == set()
    foreign = {name for name in modules if name.partition(".")[0] not in {"portwait", *sys.builtin_module_names}}
    assert foreign <= {"__future__", "_socket"}


def test_what_is_joined_is_what_is_needed() -> None:
    """Without the joined module exactly those of its modules are loaded; with it, nothing but it and `__main__`."""
    words = telling(str(PORT), "--", "the", "command")
    words[words.index("-c") + 1] = (
        "import sys; sys.modules['portwait._free_path'] = None\n" + words[words.index("-c") + 1]
    )
    apart = {name for name in told(run(words).out) if name.startswith("portwait.")}
    assert apart == {"portwait.__main__", *(f"portwait.{name}" for name in MODULES["_free_path"])}
    joined = {name for name in loaded(str(PORT), "--", "the", "command") if name.startswith("portwait.")}
    assert joined == apart | {"portwait._free_path"}


def test_targets_from_the_environment() -> None:
    """An image that says ENTRYPOINT ["portwait", "--"] pays no more."""
    modules = loaded("--", "the", "command", PORTWAIT_TARGETS=str(PORT))
    assert modules & (OF_OTHERS | HEAVY) == set()


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (("--timeout", "3", "--no-hold"), {}),
        (("-t", "3", "--evict", "--reuseport", "-4", "--terminate=bound", "--signal=INT"), {}),
        (("--verbose", "--fdstore"), {}),
        ((), {"PORTWAIT_TIMEOUT": "2m", "PORTWAIT_EVICT": "yes"}),
    ],
    ids=["some", "many", "talking", "variables"],
)
def test_options_need_nothing_heavy(words: tuple[str, ...], environment: dict[str, str]) -> None:
    """Words that are spelt exactly, and variables, are read from the table without argparse."""
    modules = loaded(*words, str(PORT), "--", "the", "command", **environment)
    assert modules & (OF_OTHERS | HEAVY) == set()


def test_other_spellings_are_read_too() -> None:
    """By argparse, which is loaded then."""
    assert "argparse" in loaded("-t3", str(PORT), "--", "the", "command")


def test_a_held_port_loads_what_it_needs() -> None:
    """The check above can see them."""
    with outbound_established(PORT) as made, running(telling(str(PORT), "--", "the", "command")) as guard:
        guard.complains("waiting for")
        reset(made.sock)
        modules = told(guard.says(" | "))
    assert {"tenacity", "select"} <= modules


EXPLAIN = """
import sys
from portwait.__main__ import start
sys.argv = ["portwait", *sys.argv[1:]]
start()
print("|", *sys.modules)
"""


CLIENT = f"""
import signal, socket
server = socket.create_server(("127.0.0.1", 7000))
client = socket.create_connection(("127.0.0.1", 7000), source_address=("127.0.0.1", {PORT}))
print("ready", flush=True)
signal.pause()
"""


def explaining(tmp_path: Path, before: str = "") -> set[str]:
    """Name the modules that explaining a held port loads, in an interpreter that runs this before."""
    script = tmp_path / "client"
    script.write_text(CLIENT)
    installed = [sysconfig.get_path("purelib"), *filter(None, sys.path)]
    path = f"import sys; sys.path[:0] = {installed!r}\n"
    with running([sys.executable, "-IS", str(script)]) as client:
        client.says("ready")
        out = run([sys.executable, "-IS", "-c", path + before + EXPLAIN, "explain", str(PORT)]).out
    text, _, names = out.rpartition("| ")
    assert "is held by an outbound connection" in text
    return set(names.split())


def test_explaining_loads_nothing_heavy(tmp_path: Path) -> None:
    """A held port is explained without regular expressions, where the owner's command line can have no secret."""
    assert explaining(tmp_path) & ((OF_OTHERS | HEAVY) - {"struct"}) == set()


def test_explain_does_not_need_the_free_path_in_one_piece() -> None:
    """Who calls `portwait.cli.main`, or has loaded a module of it before, gets the same report."""
    call = "import sys, portwait._linux.procfs; from portwait.cli import main; sys.exit(main(sys.argv[1:]))"
    ended = run([sys.executable, "-Ic", call, "explain", str(PORT)])
    assert (ended.err, ended.status) == ("", 0)
    assert ended.out == run(portwait("explain", str(PORT))).out


def test_what_is_joined_for_explain_is_what_it_needs(tmp_path: Path) -> None:
    """Without the joined module exactly those of its modules are loaded."""
    before = "sys.modules['portwait._explain_path'] = None\n"
    loads = {name for name in explaining(tmp_path, before) if name.startswith("portwait.")}
    wanted = {f"portwait.{name}" for name in MODULES["_explain_path"]}
    assert (
        loads
        - {f"portwait.{name}" for name in MODULES["_free_path"]}
        - {*("portwait.__main__", "portwait._free_path", "portwait._explain_path")}
        == wanted
    )

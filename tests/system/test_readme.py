"""What README.md and README.zh-CN.md tell a newcomer to type does what they say."""

from __future__ import annotations

import ast
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import http
from tests.support.netns import forced_source_port, private_network
from tests.support.programs import portwait, running

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).parents[2]
_PORT = 30010
_CURE = "portwait evict 30010"
_ADDRESS = "https://github.com/portwait/portwait"
both = pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])


def _blocks(page: str, language: str = "sh") -> list[str]:
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", (_ROOT / page).read_text())


@pytest.fixture
def held(net: None) -> Iterator[None]:  # noqa: ARG001  # the order: inside the private network
    """Let the kernel give the port to a client."""
    with socket.create_server(("127.0.0.1", 7000)) as server, socket.socket() as client:
        with forced_source_port(_PORT):
            client.connect(server.getsockname())
        yield


def _sh(script: str, folder: Path, *prefix: str) -> None:
    """Run what is typed in a folder, with this checkout in the place of the project's address."""
    environment = {
        **os.environ,
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.{_ROOT}.insteadOf",
        "GIT_CONFIG_VALUE_0": _ADDRESS,
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }
    argv = [*prefix, "sh", "-ec", script]
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_pages_have_the_same_commands() -> None:
    """Whoever reads the one or the other types the same, comments in other languages aside."""
    chinese = _blocks("README.zh-CN.md")
    english = [block for block in _blocks("README.md") if "pytest" not in block]
    assert chinese == english
    assert _blocks("README.zh-CN.md", "dockerfile") == _blocks("README.md", "dockerfile")


def test_the_first_command_installs_and_shows_something(tmp_path: Path) -> None:
    """From a clone to a running server; the guard says that the port is free and what it starts."""
    [command] = [block for block in _blocks("README.md") if block.startswith("git clone ")]
    install, _, guard = command.strip().rpartition(" && ")
    _sh(install, tmp_path)
    unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with private_network(), running(["sh", "-c", f"exec {guard}"], unbuffered, cwd=tmp_path / "portwait") as run:
        run.complains(f"portwait: {_PORT}/tcp is free; starting python3")
        run.says(f"port {_PORT}")
        assert http(_PORT).startswith(b"HTTP/1.0 200")


_OVER = """
mount -t tmpfs none changes
for folder in opt usr/local; do
    upper=changes/$folder/upper work=changes/$folder/work
    mkdir -p $upper $work
    mount -t overlay -o lowerdir=/$folder,upperdir=$upper,workdir=$work none /$folder
done
cd portwait
"""
_FOUND = """
test "$(command -v portwait)" = /usr/local/bin/portwait
portwait --version
test "$(man -w portwait)" = /opt/portwait/share/man/man1/portwait.1
setpriv --reuid=65534 --regid=65534 --clear-groups portwait --version
"""


def test_the_installation_puts_the_command_and_the_page_in_place(tmp_path: Path) -> None:
    """The command is on PATH then, for every user, and man finds its page, also where root's umask is strict.

    Given again, they install again, also where the Python that made the first environment has gone. Nothing stays in
    /opt and /usr/local.
    """
    [lines] = [
        block for block in _blocks("README.md") if block.startswith("umask 022 && python3 -m venv --clear /opt/")
    ]
    _sh(f"git clone -q {_ADDRESS}; mkdir changes", tmp_path)
    path = "export PATH=/usr/local/bin:/usr/bin:/bin"
    gone = "ln -sf /nowhere/python3 /opt/portwait/bin/python3\nif portwait --version; then exit 1; fi\n"
    _sh(f"{path}{_OVER}umask 077\n{lines}{_FOUND}{gone}{lines}{_FOUND}", tmp_path, "unshare", "--mount")


@both
def test_any_free_port(page: str, net: None) -> None:  # noqa: ARG001
    """The server gets a port of the range, and answers there."""
    [command] = [block for block in _blocks(page) if block.startswith("portwait pick ")]
    with running(portwait(*command.split()[1:]), {**os.environ, "PYTHONUNBUFFERED": "1"}) as run:
        [port] = re.findall(r" port (1\d{4}) ", run.says(" port 1"))
        assert http(int(port)).startswith(b"HTTP/1.0 200")


@both
def test_the_cure_of_the_demonstration_works(page: str, tmp_path: Path) -> None:
    """The kernel picks the port for the client, the guard waits, and what it tells to type lets the service start."""
    [demonstration] = [block for block in _blocks(page) if block.startswith("sudo unshare ")]
    assert f"`{_CURE}`" in (_ROOT / page).read_text()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "portwait").symlink_to(portwait()[0])
    shell = ["sh", "-c", f"cd {tmp_path} && exec {demonstration.removeprefix('sudo ')}"]
    with running(shell, stdin=subprocess.PIPE) as program:
        program.complains("is held by an outbound connection: python3")
        program.complains(_CURE)
        program.complains("waiting for 30010/tcp")
        program.tell(_CURE)
        program.says("30010/tcp is free: 1 evicted")
        program.complains("; starting python3")
        program.tell("exit")
        assert program.status() == 0


@both
@pytest.mark.parametrize(("verb", "says"), [("explain", "held by an outbound connection"), ("audit", "30010")])
def test_who_only_wants_to_know_is_told(page: str, verb: str, says: str, held: None) -> None:  # noqa: ARG001
    """The commands for that name the port and end with 1, because something is wrong."""
    [command] = [block for block in _blocks(page) if block.startswith(f"portwait {verb}")]
    done = subprocess.run(
        portwait(*command.split()[1:], *(["30010"] if verb == "audit" else [])),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, says in done.stdout) == (1, True), done


@both
def test_the_cures_are_commands(page: str) -> None:
    """Each command in the table of cures is one that portwait understands."""
    cures = re.findall(r"^\| `(portwait [^`]+)` \|", (_ROOT / page).read_text(), re.MULTILINE)
    assert len(cures) == 4
    for cure in cures:
        words = cure.split()[1:]
        if words[0] == "reserve":
            continue  # tests/system/test_reserve.py; it would write to this machine
        done = subprocess.run(
            portwait(*words[:1], "--dry-run", *words[1:]), capture_output=True, text=True, check=False
        )
        assert "usage" not in done.stderr, done


def test_the_python_of_the_page_runs(held: None) -> None:  # noqa: ARG001
    """It prints the verdict and the connection, and gives up at its timeout."""
    [program] = _blocks("README.md", "python")
    ast.parse(program)
    program = program.replace("timeout=60", "timeout=0.1")
    told = subprocess.check_output([sys.executable, "-c", program + "print(survey)"], text=True).splitlines()
    assert told[0] == "held"
    assert told[1].startswith("outbound 127.0.0.1:30010 127.0.0.1:7000 ")
    assert told[2] == "None"


def test_explain_prints_what_the_page_on_json_lists(held: None) -> None:  # noqa: ARG001
    """docs/json.md names every key that a program meets, with its type."""
    done = subprocess.run(portwait("explain", "--json", str(_PORT)), capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    [target] = document["targets"]
    [blocker] = target["blockers"]
    for heading, value in {
        "`portwait explain --json`": document,
        "A target": target,
        "A blocker": blocker,
        "A process": blocker["owners"][0],
        "A remedy": target["remedies"][0],
    }.items():
        _compare(heading, value)


def test_evict_prints_what_the_page_on_json_lists(held: None) -> None:  # noqa: ARG001
    """A target's keys, and those of what was done about it."""
    words = portwait("evict", "--dry-run", "--json", str(_PORT))
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    [target] = json.loads(done.stdout)["targets"]
    own = set(_listed("`portwait evict --json`"))
    assert set(target) == {*_listed("A target"), *own}
    _compare("`portwait evict --json`", {key: value for key, value in target.items() if key in own})


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "list": (list,),
    "null": (type(None),),
}


def _listed(heading: str) -> dict[str, str]:
    """Read the keys of a table of docs/json.md, with their types."""
    _, _, section = (_ROOT / "docs" / "json.md").read_text().partition(f"# {heading}\n")
    return dict(re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section.partition("\n#")[0], re.MULTILINE))


def _compare(heading: str, value: dict[str, object]) -> None:
    listed = _listed(heading)
    assert set(value) == set(listed), heading
    for key, each in value.items():
        allowed = [kind for words in listed[key].split(" or ") for kind in _TYPES[words.split()[0]]]
        assert type(each) in allowed, f"{heading}: {key}"

"""Dockerfile.packed's folder, where there is no Python: it does what the installed portwait does."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portwait._linux import socket_owners
from tests.support.containers import BUSYBOX, HARDENED
from tests.support.guarding import run
from tests.support.images import DOCKER, ROOT
from tests.support.scripts import load
from tests.support.states import bound_only, listening, outbound_established, reset
from tools.join_modules import MODULES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from tests.support.containers import Engine
    from tests.support.guarding import Outcome
    from tests.support.images import Images

pytestmark = pytest.mark.world

PORT = 30010


@pytest.fixture(scope="module")
def folder(engine: Engine, images: Images) -> Path:
    """Show the folder out here, where it is read-only too."""
    return Path(engine.do("image", "mount", images.packed).strip()) / "opt" / "portwait"


@pytest.fixture(scope="module")
def packer() -> ModuleType:
    """Load contrib/docker/pack.py."""
    return load("contrib/docker/pack.py")


def test_every_promise_of_the_handoff(folder: Path) -> None:
    """The tests of the hand-off, of PID 1 and of --terminate (its Python has no pidfd), run with the folder instead.

    All but the one on PYTHONHOME, which shows what an interpreter makes of it; here there is none.
    """
    files = ("tests/system/test_handoff.py", "tests/world/test_pid_one.py", "tests/system/test_terminate.py")
    options = (
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
        "--deselect",
        f"{files[0]}::TestHostileSurroundings::test_pythonhome",
    )
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="portwait-packed.") as place:
        Path(place).chmod(0o755)  # other users run it too, and cannot reach a mounted image
        subprocess.run(["cp", "-a", str(folder), f"{place}/portwait"], check=True)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *files],
            cwd=ROOT,
            env={**os.environ, "PORTWAIT": f"{place}/portwait/portwait"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"\d\d\d passed, 1 deselected", done.stdout)


@pytest.mark.usefixtures("net")
def test_over_nothing_but_a_c_library(engine: Engine, images: Images, folder: Path) -> None:
    """No Python, no shell, no zlib; nowhere to write, no privilege: it waits, reports in full, and starts."""
    options = ("--network=host", *HARDENED, "--read-only-tmpfs=false", f"--volume={folder}:/opt/portwait:ro", *BUSYBOX)
    found = engine.run(
        *options, "--entrypoint=/busybox", images.bare, "find", "/usr", "/bin", "/lib", "-name", "*python*"
    )
    assert found == (0, "", "")
    words = (*options, "--entrypoint=/opt/portwait/portwait", images.bare)
    with outbound_established(PORT) as blocker:
        explained = engine.run(*words, "explain", "--json", str(PORT))
        assert explained.status == 1, explained
        assert json.loads(explained.out)["targets"][0]["blockers"][0]["local"] == blocker.local
        with engine.running(*words, "--log-format=json", str(PORT), "--", "/busybox", "echo", "started") as (guard, _):
            guard.complains('"event": "held"')
            guard.complains('"event": "waiting"')
            reset(blocker.sock)
            guard.says("started")
            assert guard.status() == 0


@pytest.mark.usefixtures("net")
@pytest.mark.parametrize(
    "words",
    [
        *(pytest.param((*verb, "--help"), id=f"{verb} --help") for verb in ((), ("explain",), ("evict",), ("audit",))),
        *(pytest.param((verb, "--help"), id=f"{verb} --help") for verb in ("reserve", "release")),
        pytest.param(("explain", "--json", "30010", "30011", "30012"), id="explain --json"),
        pytest.param(("explain", "30010", "30011", "30012"), id="explain"),
        pytest.param(("evict", "--dry-run", "30010", "30011", "30012"), id="evict"),
        pytest.param(("audit", "--json", "30000-30020"), id="audit --json"),
        pytest.param(("audit", "--format", "prometheus"), id="audit"),
        pytest.param(("--dry-run", "30010", "--", "true"), id="guard"),
        pytest.param(("--timeout=0", "--log-format=logfmt", "30010", "--", "true"), id="guard, logfmt"),
        pytest.param(("--no-such-option", "30010"), id="guard, wrong words"),
    ],
)
def test_it_says_what_the_installed_one_says(images: Images, folder: Path, words: tuple[str, ...]) -> None:
    """Everything is in the folder that a report needs, and every verb; only times differ."""
    with outbound_established(30010), listening(30011), bound_only(30012):
        for _ in range(5):
            before = are_many()
            installed = run([str(images.installed), *words])
            packed = run([str(folder / "portwait"), *words])
            if are_many() is before:
                break
    assert timeless(packed, str(folder / "portwait")) == timeless(installed, str(images.installed))


def are_many() -> bool:
    """Whether there are so many processes that the other end of a connection is not searched among all of them."""
    return len([*Path("/proc").glob("[0-9]*")]) > socket_owners._CHEAP


def timeless(done: Outcome, path: str) -> Outcome:
    """Take out of what was said all that differs: times, and the path in the commands to paste."""
    pattern = re.compile(
        r'\d{4}-\d\d-\d\dT[\d:.]+Z?|(?:running|idle) for [\dhms]+|"(?:idle|expires_in)": [\d.]+|' + re.escape(path)
    )
    return done._replace(out=pattern.sub("-", done.out), err=pattern.sub("-", done.err))


def test_every_module_is_in_it(folder: Path) -> None:
    """A verb is imported by name, when it is asked for: the packer would not find it by itself."""
    joined = {f"portwait/{name}" for name in MODULES}
    sources = joined | {str(file.relative_to(ROOT).with_suffix("")) for file in (ROOT / "portwait").rglob("*.py")}
    lib = folder / "lib"
    assert {str(file.relative_to(lib).with_suffix("")) for file in (lib / "portwait").rglob("*.pyc")} == sources


def test_it_is_found_by_a_link_and_along_path(folder: Path, tmp_path: Path) -> None:
    """As images have it in /usr/local/bin; not under another name in argv[0], which is how it finds its folder."""
    (tmp_path / "portwait").symlink_to(folder / "portwait")
    version = run([str(folder / "portwait"), "--version"])
    assert version.status == 0
    assert run([str(tmp_path / "portwait"), "--version"]) == version
    assert run(["portwait", "--version"], env={"PATH": f"/proc/nonexistent:{tmp_path}"}) == version


def test_it_says_which_c_library_it_needs(folder: Path, packer: ModuleType) -> None:
    """The newest symbol version that any of its binaries asks for, as objdump sees it."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    binaries = [file for file in files if file.read_bytes()[:4] == b"\x7fELF"]
    listed = subprocess.run(
        ["objdump", "--private-headers", *binaries], capture_output=True, text=True, check=True
    ).stdout
    newest = max(tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([\d.]+)", listed))
    assert packer.c_library(files) == "glibc {}.{} or newer".format(*newest[:2])


def test_it_goes_where_there_is_nothing_yet(tmp_path: Path) -> None:
    """A folder that exists is somebody's: nothing of it is changed."""
    (tmp_path / "mine").touch()
    done = run([sys.executable, str(DOCKER / "pack.py"), str(tmp_path)])
    assert done.status == 2
    assert "exists already" in done.err
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


@pytest.mark.usefixtures("net")
def test_its_size_and_start_time(images: Images, folder: Path, record_property: Callable[[str, Any], None]) -> None:
    """Measured and told, not judged: the goal for a free port is under 3 x the plain install."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
    ways = {"installed": images.installed, "packed": folder / "portwait"}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(15):
        for name, way in ways.items():
            began = time.perf_counter()
            subprocess.run([way, str(PORT), "--", "/bin/true"], check=True)
            took[name].append((time.perf_counter() - began) * 1000)
    medians = {name: statistics.median(each) for name, each in took.items()}
    for name, value in {"megabytes": size, **{f"milliseconds, {way}": ms for way, ms in medians.items()}}.items():
        record_property(name, value)
    print(f"{size:.0f} MB; a free port in {medians} ms: {medians['packed'] / medians['installed']:.2f} x")

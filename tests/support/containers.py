"""Containers by podman and runc, in a store of the tests' own: it neither sees nor leaves anything else's."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

from tests.support.guarding import Outcome, run
from tests.support.packages import needs
from tests.support.programs import DEADLINE, Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HARDENED = ("--user=65534:65534", "--cap-drop=all", "--security-opt=no-new-privileges", "--read-only")
BUSYBOX = ("--volume=/bin/busybox:/busybox:ro",)
"""Programs for a container that has none of its own; static, so nothing else is needed."""

BUILDING = 300.0  # seconds
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
lock_type = "file"
tmp_dir = "{folder}/tmp"
"""  # podman's defaults want a systemd, more descriptors than a test machine may hand out, and the machine's own state


class Engine:
    """A podman whose containers and images are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        configuration = folder / "containers.conf"
        configuration.write_text(_CONFIGURATION.format(folder=folder))
        self._argv = [
            *("env", f"CONTAINERS_CONF={configuration}", "podman", f"--root={folder / 'store'}"),
            *(f"--runroot={folder / 'run'}", "--storage-driver=overlay"),
        ]
        self._names = (f"test-{number}" for number in itertools.count())

    def do(self, *words: str | Path, deadline: float = DEADLINE, stdin: IO[bytes] | int | None = None) -> str:
        """Run a podman command to its end and answer what it prints; AssertionError where it fails."""
        argv = [*self._argv, *map(str, words)]
        done = subprocess.run(argv, check=False, timeout=deadline, capture_output=True, text=True, stdin=stdin)
        assert done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def pid(self, name: str) -> int:
        """Answer the PID, out here, of a container's PID 1, once there is one."""
        look = [*self._argv, "container", "inspect", "--format={{.State.Pid}}", name]
        return eventually(lambda: int(run(look).out.strip() or 0), f"the start of {name}")

    @contextlib.contextmanager
    def running(self, *words: str | Path) -> Iterator[tuple[Program, str]]:
        """`podman run` for the length of the body; yield its client, whose status is the container's, and its name."""
        name = next(self._names)
        program = Program([*self._argv, "run", f"--name={name}", *map(str, words)])
        try:
            yield program, name
        finally:
            self.do("rm", "--force", "--ignore", "--time=0", name)
            program.stop()

    def run(self, *words: str | Path) -> Outcome:
        """`podman run` to its end."""
        with self.running(*words) as (program, _):
            status = program.status()
            return Outcome(status, _text(program.out), _text(program.err))

    def exec(self, name: str, *words: str) -> Outcome:
        """Run a program in a container to its end."""
        return run([*self._argv, "exec", name, *words])

    def build(self, tag: str, file: Path, *words: str, context: Path) -> str:
        """Build a Dockerfile, without a network; answer the tag."""
        options = ("--isolation=oci", "--network=none", "--pull=never", f"--tag={tag}", f"--file={file}")
        self.do("build", *options, *words, context, deadline=BUILDING)
        return tag

    def import_(self, tag: str, root: Path, path: str) -> str:
        """Make an image of a root file system, with this PATH; answer the tag."""
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
            self.do("import", f"--change=ENV PATH={path}", "-", tag, stdin=tar.stdout, deadline=BUILDING)
        return tag

    def close(self) -> None:
        """Remove every container and mount."""
        self.do("rm", "--force", "--all", "--time=0")
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([one for one in mounts if one.startswith(str(self.folder))]):
            subprocess.run(["umount", mount], check=True)


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Start an engine of the tests' own, and take everything away in the end."""
    for program, package in (("podman", "podman"), ("runc", "runc"), ("catatonit", "catatonit")):
        needs(program, package)
    with tempfile.TemporaryDirectory(prefix="portwait-containers-") as folder:
        # in memory, for a disk that others use as well takes several times as long
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4g", "tmpfs", folder], check=True)
        made = Engine(Path(folder))
        try:
            yield made
        finally:
            made.close()

"""A machine whose PID 1 is a real systemd: this system's own files under an overlay, booted in a container.

It has its own network, processes and journal; what is written in it goes to memory and is gone with it. portwait is
installed there as an administrator would: a virtual environment of the system's Python in /opt/portwait, and a link in
/usr/local/bin.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import pytest

from tests.support.netns import forced_source_port, in_network_of
from tests.support.packages import needs
from tests.support.programs import DEADLINE, eventually, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.support.programs import Program

EXAMPLES = ("/usr/bin/java -jar /opt/app/app.jar", "/usr/bin/gunicorn app:wsgi")
"""What stands in the drop-ins for the service's own command."""
ROOT = Path(__file__).parents[2]
HELPERS = "/opt/helpers"
_LIBRARIES = ("psutil", "structlog", "tenacity")
_UNITS = "etc/systemd/system"
_NUMBERS = itertools.count()
"""One test may boot a second machine beside the first."""


class Entry(NamedTuple):
    """A line of the journal."""

    priority: int
    unit: str
    text: str


class Machine:
    """A booted system, asked and told from outside."""

    def __init__(self, root: Path, pid: int) -> None:
        self.root = root
        """Its / as seen from here."""
        self.pid = pid
        """Its PID 1, as seen from here."""

    def start(self, *argv: str) -> list[str]:
        """Answer the command line that runs a command in there."""
        return ["nsenter", "--target", str(self.pid), "--all", "--", *argv]

    def run(self, *argv: str, check: bool = True, **how: Any) -> subprocess.CompletedProcess[str]:
        """Run a command in there to its end."""
        how.setdefault("env", _ENVIRONMENT)
        how.setdefault("stdin", subprocess.DEVNULL)
        done = subprocess.run(
            self.start(*argv), check=False, timeout=4 * DEADLINE, text=True, capture_output=True, **how
        )
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def systemctl(self, *words: str, check: bool = True) -> str:
        """Run systemctl, and answer what it says."""
        return self.run("systemctl", *words, check=check).stdout.strip()

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Read properties of a unit."""
        text = self.systemctl("show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in text.splitlines())

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file in there."""
        file = self.root / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    @contextlib.contextmanager
    def units(self, files: Mapping[str, str]) -> Iterator[None]:
        """Install unit files and drop-ins by their paths below /etc/systemd/system, for the length of the body."""
        for name, text in files.items():
            self.write(f"{_UNITS}/{name}", text)
        self.systemctl("daemon-reload")
        try:
            yield
        finally:
            names = {name.partition("/")[0].removesuffix(".d") for name in files}
            started = [name for name in names if "@." not in name]
            if started:
                self.systemctl("kill", "--signal=KILL", *started, check=False)
                self.systemctl("stop", *started, check=False)
                self.systemctl("reset-failed", *started, check=False)
            for name in files:  # systemd forgets them at the next reload, which costs a tenth of a second
                (self.root / _UNITS / name).unlink()

    def cursor(self) -> str:
        """Answer where the journal ends now."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--lines=0", "--show-cursor").stdout.rpartition("-- cursor: ")[2].strip()

    def journal(self, unit: str, since: str) -> list[Entry]:
        """Read what a unit's own processes have said since then, in order."""
        self.run("journalctl", "--sync")
        said = self.run("journalctl", "--output=json", f"--after-cursor={since}").stdout
        return [  # chosen here: beside a match, --after-cursor= leaves out one entry too many
            Entry(int(entry["PRIORITY"]), entry["_SYSTEMD_UNIT"], entry["MESSAGE"])
            for entry in map(json.loads, said.splitlines())
            if entry.get("_SYSTEMD_UNIT") == unit
        ]

    @contextlib.contextmanager
    def transient(self, name: str, *argv: str, **properties: str) -> Iterator[None]:
        """Run a command as a unit that says when it is ready, for the length of the body."""
        options = [f"--property={key}={value}" for key, value in {"Type": "notify", **properties}.items()]
        self.run("systemd-run", "--quiet", "--collect", f"--unit={name}", *options, *argv)
        try:
            yield
        finally:
            self.systemctl("stop", name, check=False)
            eventually(lambda: self.show(name, "LoadState")["LoadState"] == "not-found", "systemd's forgetting it")

    @contextlib.contextmanager
    def blocked(self, port: int, kind: Literal["outbound", "listener"]) -> Iterator[None]:
        """Hold a port by a program of a unit of its own, blocker.service."""
        with contextlib.ExitStack() as stack:
            with self.network(), forced_source_port(port) if port >= 1024 else contextlib.nullcontext():
                # a TIME_WAIT of another test's service keeps connect() away from its port
                subprocess.run(
                    ["ss", "--kill", "--tcp", "state", "time-wait", f"sport = :{port}"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                helper = ("/usr/bin/python3", f"{HELPERS}/blocker.py", kind, str(port))
                stack.enter_context(self.transient("blocker", *helper))
            yield

    @contextlib.contextmanager
    def network(self) -> Iterator[None]:
        """Put this thread into the machine's network for the length of the body."""
        with in_network_of(self.pid):
            yield

    def ask(self, port: int, question: bytes = b"") -> bytes:
        """Ask a server on the machine's loopback; nothing where none listens."""
        try:
            with self.network(), socket.create_connection(("127.0.0.1", port), DEADLINE) as client:
                client.sendall(question)
                return client.recv(4096)  # closed from this end first: no TIME_WAIT there
        except ConnectionError:
            return b""


_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "SYSTEMD_PAGER": ""}


@contextlib.contextmanager
def machine(prepare: Callable[[Path], None] = lambda _: None) -> Iterator[Machine]:
    """Boot one for the length of the body; `prepare` changes the files below its / before that."""
    needs("systemd-nspawn", "systemd-container")
    needs("/lib/systemd/systemd", "systemd")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portwait-machine-", dir="/var/tmp")))
        root = stack.enter_context(_overlay(folder))
        install(root)
        prepare(root)
        yield stack.enter_context(booted(root))


@pytest.fixture(scope="session")
def host() -> Iterator[Machine]:
    """Boot one machine for all tests, with what contrib/systemd has for the early boot enabled."""
    with machine(_enable_at_boot) as made:
        yield made


HELD_AT_BOOT, RESERVED_AT_BOOT = 30020, "30022-30023"


def contrib(name: str) -> str:
    """Read a file of contrib/systemd."""
    return (ROOT / "contrib/systemd" / name).read_text()


def _enable_at_boot(root: Path) -> None:
    for name, instance in (("hold", HELD_AT_BOOT), ("reserve", RESERVED_AT_BOOT)):
        (root / _UNITS / f"portwait-{name}@.service").write_text(contrib(f"portwait-{name}@.service"))
        subprocess.run(["systemctl", "--quiet", f"--root={root}", "enable", f"portwait-{name}@{instance}"], check=True)


def install(root: Path) -> None:
    """Install the portwait under test below `root`, and the helper programs of the tests."""
    home = root / "opt/portwait"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", home], check=True)
    [packages] = home.glob("lib/python3*/site-packages")
    for name in ("portwait", *_LIBRARIES):
        shutil.copytree(_package(name), packages / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    script = home / "bin/portwait"
    script.write_text((ROOT / "bin/portwait").read_text().replace("#!python", "#!/opt/portwait/bin/python", 1))
    script.chmod(0o755)
    link = root / "usr/local/bin/portwait"
    link.unlink(missing_ok=True)
    link.symlink_to("/opt/portwait/bin/portwait")
    subprocess.run(["chroot", root, "/opt/portwait/bin/python", "-m", "compileall", "-q", "/opt/portwait"], check=True)
    shutil.copytree(ROOT / "tests/world/helpers", root / HELPERS.removeprefix("/"), dirs_exist_ok=True)


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@contextlib.contextmanager
def _overlay(folder: Path) -> Iterator[Path]:
    """Mount this system's / with a layer in memory above it."""
    layer, root = folder / "layer", folder / "root"
    layer.mkdir()
    root.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "portwait-tests", layer], check=True)
    try:
        (layer / "upper").mkdir()
        (layer / "work").mkdir()
        options = f"lowerdir=/,upperdir={layer}/upper,workdir={layer}/work"
        subprocess.run(["mount", "-t", "overlay", "-o", options, "portwait-tests", root], check=True)
        try:
            yield root
        finally:
            subprocess.run(["umount", "--recursive", root], check=True)
    finally:
        subprocess.run(["umount", layer], check=True)


@contextlib.contextmanager
def booted(root: Path, *options: str, target: str = "basic.target", **variables: str) -> Iterator[Machine]:
    """Boot a root file system by systemd-nspawn, with further options and variables for that program."""
    (root / "etc/machine-id").write_text("")
    name = f"portwait-{os.getpid()}-{next(_NUMBERS)}"
    argv = ["systemd-nspawn", f"--directory={root}", f"--machine={name}", "--boot", "--private-network"]
    argv += ["--register=no", "--keep-unit", "--console=pipe", *options, f"systemd.unit={target}"]
    environment = {**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", **variables}
    with _own_cgroups(name) as enter, running([*enter, *argv], environment) as container:
        made = Machine(root, _leader(container))
        eventually(lambda: made.systemctl("is-system-running", check=False) in ("running", "degraded"), "the boot")
        try:
            yield made
        finally:
            made.run("systemctl", "poweroff", check=False)
            container.status()


@contextlib.contextmanager
def _own_cgroups(name: str) -> Iterator[list[str]]:
    """Answer what starts a command in control groups of its own, for nspawn makes its own below those it is in."""
    folders = [hierarchy / name for hierarchy in _hierarchies()]
    for folder in folders:
        folder.mkdir()
    try:
        script = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done; shift; exec "$@"'
        yield ["sh", "-c", script, "enter", *map(str, folders), "--"]
    finally:
        for folder in folders:
            for path, _, _ in os.walk(folder, topdown=False):
                Path(path).rmdir()


def _hierarchies() -> Iterator[Path]:
    """Find the folders that systemd makes its control groups in: cgroup v2, and v1 where that is there too."""
    place = {line.split(":")[1]: line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, kind = (part.split() for part in line.split(" - "))
        if kind[0] == "cgroup2" or (kind[0] == "cgroup" and "name=systemd" in kind[2].split(",")):
            name = "" if kind[0] == "cgroup2" else "name=systemd"
            yield Path(mount[4], place[name].lstrip("/"))


def _leader(container: Program) -> int:
    """Find the container's PID 1, a child of the program that made it."""

    def find() -> int | None:
        assert container.process.poll() is None, container.describe()
        for child in _children(container.pid):
            with contextlib.suppress(FileNotFoundError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return child
        return None

    return eventually(find, "the container's PID 1") or 0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        return [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    return []

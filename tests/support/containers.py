"""Containers by podman and runc, on root file systems and images that are made here: no registry is asked.

The engine has a store of its own in a temporary folder, so that it neither sees nor leaves anything else's containers.
The images are built from contrib/docker as it is; only their base images come from here, through the files' own ARGs.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tests.support.packages import needs
from tests.support.programs import DEADLINE, Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "contrib" / "docker"
BUSYBOX = ("--volume=/bin/busybox:/busybox:ro",)
"""Programs for a container that has none of its own; static, so nothing else is needed."""

_DISTROLESS = ("libc6", "base-files", "netbase")
_BUILDING = 300.0  # seconds
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""  # podman's defaults want a systemd, and more descriptors than a test machine may hand out


class Engine:
    """A podman whose containers and images are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        configuration = folder / "containers.conf"
        configuration.write_text(_CONFIGURATION)
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

    def inspect(self, name: str) -> Any:
        """Answer what podman knows of a container."""
        return json.loads(self.do("container", "inspect", name))[0]

    def pid(self, name: str) -> int:
        """Answer the PID, out here, of a container's PID 1, once there is one."""
        return int(eventually(lambda: self.inspect(name)["State"]["Pid"], f"the start of {name}"))

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

    def run(self, *words: str | Path) -> Program:
        """`podman run` to its end."""
        with self.running(*words) as (program, _):
            program.status()
            return program

    def build(self, tag: str, file: Path, *words: str, context: Path = DOCKER) -> None:
        """Build a Dockerfile, without a network."""
        options = ("--isolation=oci", "--network=none", "--pull=never", f"--tag={tag}", f"--file={file}")
        self.do("build", *options, *words, context, deadline=_BUILDING)

    @contextlib.contextmanager
    def kube(self, pod: dict[str, Any]) -> Iterator[None]:
        """Let podman run a Pod as the kubelet would."""
        file = self.folder / "pod.json"
        file.write_text(json.dumps(pod))
        try:
            self.do("play", "kube", "--network=host", file)
            yield
        finally:
            self.do("play", "kube", "--down", file)

    def close(self) -> None:
        """Remove every container and mount."""
        self.do("rm", "--force", "--all", "--time=0")
        mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        for mount in reversed([one for one in mounts if one.startswith(f"{self.folder}/")]):
            subprocess.run(["umount", mount], check=True)


class Images:
    """The images of contrib/docker and what they stand on, each made when it is first asked for; answers its name."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder = engine.folder

    @functools.cached_property
    def portwait(self) -> str:
        """Dockerfile."""
        return self._build("portwait", "Dockerfile", *self._pip, f"BUILD={self._building}", f"BASE={self._python}")

    @functools.cached_property
    def packed(self) -> str:
        """Dockerfile.packed."""
        return self._build("portwait-packed", "Dockerfile.packed", *self._pip, f"BUILD={self._building}")

    @functools.cached_property
    def tini(self) -> str:
        """Dockerfile.tini."""
        return self._build("portwait-tini", "Dockerfile.tini", f"BASE={self.portwait}")

    @functools.cached_property
    def orders(self) -> str:
        """Dockerfile.java, over a JRE without a shell and without Python."""
        context = self._folder / "orders"
        context.mkdir()
        classes = self._folder / "classes"
        subprocess.run(["javac", "-d", classes, ROOT / "tests/world/java/HttpService.java"], check=True)
        subprocess.run(["jar", "cfe", context / "app.jar", "HttpService", "-C", classes, "."], check=True)
        bases = f"PACKED={self.packed}", f"BASE={self._java}"
        return self._build("orders", "Dockerfile.java", *bases, context=context)

    @functools.cached_property
    def bare(self) -> str:
        """Nothing but a C library, as a distroless image."""
        return self._import("bare", self._extract(*_DISTROLESS))

    @functools.cached_property
    def pause(self) -> str:
        """Kubernetes' container that does nothing but stay: podman has the same for its own pods."""
        context = self._folder / "pause"
        context.mkdir()
        shutil.copy("/usr/bin/catatonit", context / "pause")
        file = context / "Dockerfile"
        file.write_text('FROM scratch\nCOPY pause /\nENTRYPOINT ["/pause", "-P"]\n')
        self._engine.build("registry.k8s.io/pause:3.10", file, context=context)
        return "registry.k8s.io/pause:3.10"

    def _build(self, tag: str, file: str, *arguments: str, context: Path = DOCKER) -> str:
        """Build a file of contrib/docker, as it is."""
        volume = f"--volume={self._wheels}:/wheels:ro"
        self._engine.build(tag, DOCKER / file, volume, *(f"--build-arg={one}" for one in arguments), context=context)
        return tag

    @functools.cached_property
    def _pip(self) -> tuple[str, ...]:
        """Let pip install this checkout's portwait, from wheels alone."""
        wheel = next(self._wheels.glob("portwait-*.whl"))
        return f"PORTWAIT=/wheels/{wheel.name}", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"

    @functools.cached_property
    def _wheels(self) -> Path:
        """Everything that pip installs in a build, for the distribution's Python."""
        needs("/usr/share/python-wheels", "python3-venv")
        packer = next(line for line in (DOCKER / "pack.py").read_text().splitlines() if line.startswith("PACKER = "))
        python = self._folder / "venv" / "bin" / "python"
        subprocess.run(["/usr/bin/python3", "-m", "venv", python.parents[1]], check=True)
        wheels = self._folder / "wheels"
        pip = (python, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", f"--wheel-dir={wheels}")
        subprocess.run([*pip, ROOT, packer.split('"')[1]], check=True)
        return wheels

    @functools.cached_property
    def _python(self) -> str:
        return self._import("python", self._extract("python3", "dash", "coreutils", "tini"))

    @functools.cached_property
    def _building(self) -> str:
        return self._import("building", self._extract("python3-venv", "bash", "dash", "coreutils", "sed", "libc-bin"))

    @functools.cached_property
    def _java(self) -> str:
        needs("jlink", "openjdk-17-jdk-headless")
        folder = self._extract(*_DISTROLESS, "zlib1g", "libstdc++6")
        jre = ("--add-modules=jdk.httpserver", "--strip-debug", f"--output={folder / 'opt/java'}")
        subprocess.run(["jlink", *jre], check=True)
        return self._import("java", folder, path="/opt/java/bin")

    def _extract(self, *packages: str) -> Path:
        """Unpack packages of this machine's own distribution; nothing of them is run."""
        needs("mmdebstrap", "mmdebstrap")
        release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        options = ("--quiet", "--variant=extract", f"--include={','.join(packages)}")
        argv = ["mmdebstrap", *options, release["VERSION_CODENAME"], str(folder)]
        subprocess.run(argv, check=True, timeout=_BUILDING)
        (folder / "usr/local/bin").mkdir(parents=True, exist_ok=True)
        return folder

    def _import(self, name: str, folder: Path, path: str = "/usr/local/bin:/usr/bin:/bin") -> str:
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
            self._engine.do("import", f"--change=ENV PATH={path}", "-", name, stdin=tar.stdout, deadline=_BUILDING)
        return name


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Start an engine of the tests' own, and take everything away in the end."""
    for program, package in (("podman", "podman"), ("runc", "runc"), ("catatonit", "catatonit")):
        needs(program, package)
    with tempfile.TemporaryDirectory(prefix="portwait-containers-") as folder:
        made = Engine(Path(folder))
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """Answer the images, none of which has been built yet."""
    return Images(engine)

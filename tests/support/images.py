"""The images of contrib/docker, built from its files as they are; no registry is asked.

Only what they stand on comes from here, through the files' own ARGs: root file systems of this machine's own
distribution, whose packages are unpacked and never configured, and a wheel of this checkout.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.containers import BUILDING
from tests.support.packages import needs

if TYPE_CHECKING:
    from tests.support.containers import Engine

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "contrib" / "docker"
_PATH = "/usr/local/bin:/usr/bin:/bin"
_DISTROLESS = ("base-files", "libc6", "netbase")


class Images(NamedTuple):
    """The names of the images."""

    portwait: str
    """Dockerfile."""
    packed: str
    """Dockerfile.packed."""
    tini: str
    """Dockerfile.tini."""
    orders: str
    """Dockerfile.java, over `jre`."""
    jre: str
    """A JRE without a shell and without Python."""
    bare: str
    """Nothing but a C library."""
    pause: str
    """Kubernetes' container that does nothing but stay."""
    installed: Path
    """No image: the same wheel in a plain virtual environment out here."""


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    """Build them all; this needs the network, for packages and wheels."""
    for program, package in (("mmdebstrap", "mmdebstrap"), ("jlink", "openjdk-17-jdk-headless")):
        needs(program, package)
    folder = engine.folder
    collected = wheels(folder)
    pip = (f"--volume={collected}:/wheels:ro", "--build-arg=PIP_NO_INDEX=1", "--build-arg=PIP_FIND_LINKS=/wheels")
    with tempfile.TemporaryDirectory(dir=folder) as roots:
        python = engine.import_("python", _unpack(roots, "python3", "dash", "coreutils", "tini"), _PATH)
        with_python, with_java = base_roots(roots)
        base, jre = engine.import_("building", with_python, _PATH), engine.import_("java", with_java, "/opt/java/bin")
        bare = engine.import_("bare", _unpack(roots, *_DISTROLESS), "/")

    def build(tag: str, file: str, *words: str, context: Path = ROOT, **bases: str) -> str:
        arguments = (f"--build-arg={name}={image}" for name, image in bases.items())
        return engine.build(tag, DOCKER / file, *words, *arguments, context=context)

    portwait = build("localhost/portwait", "Dockerfile", *pip, BUILD=base, BASE=python)
    packed = build("localhost/portwait-packed", "Dockerfile.packed", *pip, BUILD=base)
    orders = build("localhost/orders", "Dockerfile.java", context=service(folder), BASE=jre)
    for image in (portwait, orders):  # as `docker push` to the registry that the Kubernetes files name
        engine.do("tag", image, registered(image))
    return Images(
        portwait=portwait,
        packed=packed,
        tini=build("localhost/portwait-tini", "Dockerfile.tini"),
        orders=orders,
        jre=jre,
        bare=bare,
        pause=_pause(engine),
        installed=_install(folder),
    )


def registered(image: str) -> str:
    """Answer the name that the Kubernetes files have for an image that was built here."""
    return image.replace("localhost/", "registry.example/")


def base_roots(roots: str) -> tuple[Path, Path]:
    """Make what images are built on: a root with Python and venv, and one with a JRE and no shell."""
    tools = ("python3-venv", "bash", "dash", "coreutils", "libc-bin", "sed", "tini")
    jre = _unpack(roots, *_DISTROLESS, "libstdc++6", "zlib1g")
    subprocess.run(["jlink", "--add-modules=jdk.httpserver", f"--output={jre / 'opt' / 'java'}"], check=True)
    return _unpack(roots, *tools), jre


def wheels(folder: Path) -> Path:
    """Collect all that pip installs in a build, for the distribution's own Python."""
    needs("/usr/share/python-wheels", "python3-venv")
    (packer,) = re.findall(r'^PACKER = "(.+)"$', (DOCKER / "pack.py").read_text(), re.MULTILINE)
    subprocess.run(["/usr/bin/python3", "-m", "venv", folder / "venv"], check=True)
    (builder,) = re.findall(r'^requires = \["(.+)"\]$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    _pip(folder, "wheel", f"--wheel-dir={folder / 'wheels'}", str(ROOT), packer, builder)
    return folder / "wheels"


def _install(folder: Path) -> Path:
    _pip(
        folder,
        "install",
        "--no-index",
        f"--find-links={folder / 'wheels'}",
        *(folder / "wheels").glob("portwait_guard-*.whl"),
    )
    return folder / "venv" / "bin" / "portwait"


def _pip(folder: Path, *words: str | Path) -> None:
    pip = (folder / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check")
    subprocess.run([*pip, *words], check=True)


def _unpack(roots: str, *packages: str) -> Path:
    """Unpack packages, and what they depend on, into a root file system."""
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if "=" in line)
    root = Path(tempfile.mkdtemp(dir=roots))
    options = ("--quiet", "--variant=extract", f"--include={','.join(packages)}")
    subprocess.run(["mmdebstrap", *options, release["VERSION_CODENAME"], root], check=True, timeout=BUILDING)
    (root / "usr" / "local" / "bin").mkdir(parents=True, exist_ok=True)
    return root


def service(folder: Path) -> Path:
    """Put app.jar, a service that takes its port as an argument, into a folder."""
    context, classes = folder / "orders", folder / "classes"
    context.mkdir()
    source = ROOT / "tests" / "world" / "java" / "HttpService.java"
    subprocess.run(["javac", "-d", classes, source], check=True)
    subprocess.run(["jar", "cfe", context / "app.jar", "HttpService", "-C", classes, "."], check=True)
    return context


def _pause(engine: Engine) -> str:
    """Build what podman uses for its own pods under Kubernetes' name."""
    context = engine.folder / "pause"
    context.mkdir()
    shutil.copy("/usr/bin/catatonit", context / "pause")
    file = context / "Dockerfile"
    file.write_text('FROM scratch\nCOPY pause /\nENTRYPOINT ["/pause", "-P"]\n')
    return engine.build("registry.k8s.io/pause:3.10", file, context=context)

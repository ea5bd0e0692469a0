"""A machine with a real Docker engine: Debian 13 with its docker.io and Compose, booted by systemd-nspawn.

Nothing is pulled. What the Dockerfiles of contrib/docker stand on is imported under the names that they use: root file
systems of this machine's distribution, with the wheels that pip would fetch.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.images import ROOT, base_roots, service, wheels
from tests.support.packages import needs
from tests.support.programs import eventually
from tests.support.systemd import HELPERS, Machine, booted

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGES = (
    *("systemd", "dbus", "docker.io", "docker-cli", "docker-compose", "containerd", "iptables"),
    *("iproute2", "netbase", "procps", "python3", "redis-server"),
)
_VARIABLES = {"SYSTEMD_SECCOMP": "0", "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
_MINUTES = 300.0  # seconds


class DockerHost(Machine):
    """The machine; docker is told from outside. The checkout is in /src, app.jar in /orders."""

    def docker(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a docker command to its end."""
        done = subprocess.run(
            self.start("docker", *words), check=False, timeout=_MINUTES, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])
        return done

    def typed(self, line: str) -> str:
        """Run a line as a user types it, in the checkout; answer what it prints. It has to succeed."""
        words = self.start("sh", "-c", f"cd /src && {line}")
        done = subprocess.run(words, check=False, timeout=_MINUTES, capture_output=True, text=True)
        assert done.returncode == 0, (line, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def inspect(self, name: str, what: str) -> str:
        """Ask about a container, by a template."""
        return self.docker("inspect", f"--format={{{{{what}}}}}", name).stdout.strip()


@pytest.fixture(scope="session")
def docker_host() -> Iterator[DockerHost]:
    """Make and boot it; this needs the network, for packages and wheels."""
    for program, package in (("mmdebstrap", "mmdebstrap"), ("systemd-nspawn", "systemd-container")):
        needs(program, package)
    folder = Path(tempfile.mkdtemp(prefix="portwait-docker-"))
    try:
        # in memory, because a disk that others use as well takes several times as long
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755,size=6g", "portwait-docker", folder], check=True)
        root = folder / "root"
        include = f"--include={','.join(PACKAGES)}"
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=apt", include, "trixie", root], check=True, timeout=_MINUTES
        )
        _prepare(folder, root)
        options = ("--capability=all", f"--bind={folder / 'docker'}:/var/lib/docker")
        (folder / "docker").mkdir()
        with booted(root, *options, target="docker.service", **_VARIABLES) as machine:
            host = DockerHost(machine.root, machine.pid)
            eventually(lambda: host.docker("info", check=False).returncode == 0, "the engine")
            for name in ("python:3.13", "python:3.13-slim", "eclipse-temurin:21-jre"):
                host.typed(
                    f"docker import {_change(name)} /images/{name.partition(':')[0]}.tar docker.io/library/{name}"
                )
            yield host
    finally:
        subprocess.run(["umount", "--recursive", folder], check=True)
        folder.rmdir()


def _prepare(folder: Path, root: Path) -> None:
    """Put into the root: the checkout, a service, the images to import, the tests' helper programs."""
    (root / "src").mkdir()
    copy = f"git ls-files --cached --others --exclude-standard -z | tar -c --null --files-from=- | tar -x -C {root}/src"
    subprocess.run(copy, shell=True, cwd=ROOT, check=True)  # noqa: S602  # nobody else's words are in it
    shutil.copytree(service(folder), root / "orders")
    shutil.copytree(ROOT / "tests/world/helpers", root / HELPERS.removeprefix("/"))
    collected = wheels(folder)
    (root / "images").mkdir()
    python, java = base_roots(str(folder))
    shutil.copytree(collected, python / "wheels")
    (python / "etc/pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    for name, tree in (("python", python), ("eclipse-temurin", java)):
        subprocess.run(["tar", "-C", tree, "-c", "-f", root / f"images/{name}.tar", "."], check=True)


def _change(name: str) -> str:
    path = "/opt/java/bin" if "temurin" in name else "/usr/local/bin:/usr/bin:/bin"
    return f"--change {shlex.quote(f'ENV PATH={path}')}"

"""What the tests with real software share: compiled services, Redis, a request."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.containers import engine  # noqa: F401  # a fixture
from tests.support.docker import docker_host  # noqa: F401  # likewise
from tests.support.images import images  # noqa: F401  # likewise
from tests.support.packages import needs
from tests.support.programs import running
from tests.support.release import release  # noqa: F401  # a fixture
from tests.support.roots import debian, root  # noqa: F401  # fixtures
from tests.support.systemd import host  # noqa: F401  # a fixture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Program

HERE = Path(__file__).parent
TOMCAT = "/usr/share/java/tomcat10-embed-core.jar"
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx64m")  # for a quick start on two cores


class Workshop:
    """Command lines of the services that need a compiler, which runs when the first of them is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def java(self, name: str, *arguments: str) -> list[str]:
        """Answer how to run a class of tests/world/java."""
        return ["java", *JVM, "-cp", self._classes, name, *arguments]

    def go(self, *arguments: str) -> list[str]:
        """Answer how to run helpers/serve.go."""
        return [self._go_server, *arguments]

    @functools.cached_property
    def _classes(self) -> str:
        needs("javac", "openjdk-17-jdk-headless")
        needs(TOMCAT, "libtomcat10-embed-java")
        sources = sorted(map(str, (HERE / "java").glob("*.java")))
        subprocess.run(["javac", "-d", self._folder, "-cp", TOMCAT, *sources], check=True)
        return f"{self._folder}:{TOMCAT}"

    @functools.cached_property
    def _go_server(self) -> str:
        needs("go", "golang-go")
        server = self._folder / "serve"
        # Without modules, so that nothing is looked up in the network.
        settings = {"GO111MODULE": "off", "GOCACHE": str(self._folder / "go"), "PATH": "/usr/bin:/bin"}
        subprocess.run(["go", "build", "-o", server, HERE / "helpers" / "serve.go"], check=True, env=settings)
        return str(server)


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Compile what has to be compiled, once."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def redis(net: None, tmp_path: Path) -> Iterator[Program]:  # noqa: ARG001  # the order: inside the private network
    """Start a Redis on 127.0.0.1:7000 of the private network."""
    needs("redis-server", "redis-server")
    options = {"port": "7000", "bind": "127.0.0.1", "dir": str(tmp_path), "save": "", "daemonize": "no"}
    argv = ["redis-server", *(word for key, value in options.items() for word in (f"--{key}", value))]
    with running(argv) as server:
        server.says("Ready to accept connections")
        yield server

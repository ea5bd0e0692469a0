"""contrib/docker to the letter, by a real Docker engine: the commands that its files give, and what they start."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.images import DOCKER
from tests.support.programs import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.docker import DockerHost

pytestmark = pytest.mark.world

PORT = 30010
GUARD = ("--network=host", "localhost/portwait")
FILES = ("Dockerfile", "Dockerfile.packed", "Dockerfile.java", "Dockerfile.tini")


@pytest.fixture(scope="module")
def engine(docker_host: DockerHost) -> DockerHost:
    """Build every image by the command in its file's head."""
    for name in FILES:
        lines = re.findall(r"^#\s+(docker build .*)$", (DOCKER / name).read_text(), re.MULTILINE)
        assert lines, name
        command = lines[-1].partition(" FOLDER")[0] + (" /orders" if " FOLDER" in lines[-1] else "")
        if name == "Dockerfile.tini":
            command = command.replace("localhost/orders", "localhost/tini")  # both call their result the service's name
        docker_host.typed(command)
    return docker_host


@pytest.fixture
def container(engine: DockerHost) -> Iterator[str]:
    """Name a container, which is gone after the test."""
    yield "guard"
    engine.docker("rm", "--force", "guard", check=False)


def logs(engine: DockerHost, name: str) -> str:
    """Read what a container has said."""
    done = engine.docker("logs", name)
    return done.stdout + done.stderr


def ended(engine: DockerHost, name: str) -> bool:
    """Say whether a container has ended, and will not be started again."""
    return engine.inspect(name, ".State.Status") == "exited"


def test_the_packed_image_has_the_folder_alone(engine: DockerHost) -> None:
    """FROM scratch: nothing but /opt/portwait, to COPY from."""
    listed = engine.typed(
        "docker create --name empty localhost/portwait-packed none >&2 && docker export empty | tar -t"
    )
    engine.docker("rm", "empty")
    made = {line.rstrip("/") for line in listed.splitlines()} - {"opt"}
    docker_makes = {".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "proc", "sys"}
    docker_makes |= {"etc", "etc/hostname", "etc/hosts", "etc/mtab", "etc/resolv.conf"}
    assert {line for line in made - docker_makes if not line.startswith("opt/portwait")} == set()
    assert "opt/portwait/portwait" in made


def test_docker_stop_ends_the_wait(engine: DockerHost, container: str) -> None:
    """On the host's network, behind a connection of the host: it waits, and SIGTERM ends it at once with 143."""
    with engine.blocked(PORT, "outbound"):
        engine.docker("run", "--detach", f"--name={container}", *GUARD, str(PORT), "--", "sleep", "600")
        eventually(lambda: "waiting for 30010/tcp" in logs(engine, container), "the wait")
        assert "is held by an outbound connection" in logs(engine, container)
        before = time.monotonic()
        engine.docker("stop", "--time=30", container)
        assert time.monotonic() - before < 15
    assert engine.inspect(container, ".State.ExitCode") == "143"


def test_it_becomes_the_service_under_an_init(engine: DockerHost, container: str) -> None:
    """`--init` is PID 1; when the connection ends, portwait's process is the service."""
    with engine.blocked(PORT, "outbound"):
        words = ("--detach", "--init", f"--name={container}", *GUARD, str(PORT), "--", "sleep", "600")
        engine.docker("run", *words)
        eventually(lambda: "waiting for 30010/tcp" in logs(engine, container), "the wait")
    eventually(lambda: "sleep 600" in engine.docker("top", container, "-o", "pid,args").stdout, "the service")
    engine.docker("stop", "--time=30", container)
    assert engine.inspect(container, ".State.ExitCode") == "143"


@pytest.mark.parametrize(
    ("words", "status"),
    [(("--timeout=0", str(PORT), "--", "true"), "124"), (("--no-such-option", str(PORT), "--", "true"), "125")],
    ids=["gave up", "called wrongly"],
)
def test_a_restart_policy_with_a_number_ends(
    engine: DockerHost, container: str, words: tuple[str, ...], status: str
) -> None:
    """`on-failure:5`, as compose.yaml has it: five more tries, then the status is there to be read."""
    with engine.blocked(PORT, "outbound"):
        engine.docker("run", "--detach", "--restart=on-failure:5", f"--name={container}", *GUARD, *words)
        eventually(lambda: ended(engine, container) and engine.inspect(container, ".RestartCount") == "5", "the end")
    assert engine.inspect(container, ".State.ExitCode") == status


@pytest.mark.parametrize(("period", "health"), [("5m", "starting"), ("0s", "unhealthy")])
def test_a_health_check_while_it_waits(engine: DockerHost, container: str, period: str, health: str) -> None:
    """Without a start period that is longer than the wait, a container that waits is called unhealthy."""
    check = ("--health-cmd=false", "--health-interval=300ms", "--health-retries=2", f"--health-start-period={period}")
    with engine.blocked(PORT, "outbound"):
        engine.docker("run", "--detach", *check, f"--name={container}", *GUARD, str(PORT), "--", "sleep", "600")
        eventually(lambda: int(engine.inspect(container, "len .State.Health.Log")) >= 3, "three checks")
        assert engine.inspect(container, ".State.Health.Status") == health


def test_compose(engine: DockerHost) -> None:
    """compose.yaml as it is: both services start, the first answers through the port that Docker publishes."""
    compose = "docker compose --file contrib/docker/compose.yaml"
    try:
        engine.typed(f"{compose} up --detach")
        ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/', timeout=5).read().decode())"
        eventually(lambda: "hello" in engine.run("python3", "-c", ask, check=False).stdout, "an answer")
        name = engine.typed(f"{compose} ps --quiet orders").strip()
        assert "8080 (1 port)" in engine.docker("exec", name, "/opt/portwait/portwait", "reserve").stdout
        held_by_docker_proxy(engine)
    finally:
        engine.typed(f"{compose} down --timeout 5")


def held_by_docker_proxy(engine: DockerHost) -> None:
    """Ask who has a port that Docker publishes: on the host that is docker-proxy, a listener."""
    words = (
        "--network=host",
        "--pid=host",
        "--user=0",
        "--cap-add=SYS_PTRACE",
        "localhost/portwait",
        "explain",
        "8080",
    )
    done = engine.docker("run", "--rm", *words, check=False)
    assert done.returncode == 1, done
    assert "docker-proxy" in done.stdout


def test_the_options_that_show_an_owner_on_the_host(engine: DockerHost) -> None:
    """As nobody on the host's network a process of the host is out of sight; the printed options show it.

    The machine is a container itself, so its network looks like that of another container: OTHER is the host here.
    """
    with engine.blocked(PORT, "outbound"):
        (hidden,) = explained(engine)
        [options] = [one["commands"][0] for one in hidden["remedies"] if one["code"] == "share-processes"]
        (shown,) = explained(engine, *options.replace("container:OTHER", "host").split())
    assert [one["owners"] for one in hidden["blockers"]] == [[]]
    assert [[owner["name"] for owner in one["owners"]] for one in shown["blockers"]] == [["python3"]]


def explained(engine: DockerHost, *options: str) -> list[dict[str, Any]]:
    """Explain the port from a container on the host's network; what is said of each target."""
    done = engine.docker("run", "--rm", *options, *GUARD, "explain", "--json", str(PORT), check=False)
    assert done.returncode == 1, done
    targets: list[dict[str, Any]] = json.loads(done.stdout)["targets"]
    return targets


def test_without_docker_proxy(engine: DockerHost, container: str) -> None:
    """`userland-proxy: false`: dockerd itself, or nobody, has the published port; portwait says what bind() says."""
    engine.write("/etc/docker/daemon.json", '{"userland-proxy": false}\n')
    engine.systemctl("restart", "docker")
    try:
        service = ("localhost/portwait", "8080", "--", "python3", "-m", "http.server", "8080")
        engine.docker("run", "--detach", f"--name={container}", "--publish=8080:8080", *service)
        ask = "import socket; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(('', 8080))"
        free = engine.run("python3", "-c", ask, check=False).returncode == 0
        done = engine.docker("run", "--rm", "--network=host", "localhost/portwait", "explain", "8080", check=False)
        assert done.returncode == (0 if free else 1), (free, done)
    finally:
        (engine.root / "etc/docker/daemon.json").unlink()
        engine.systemctl("restart", "docker")

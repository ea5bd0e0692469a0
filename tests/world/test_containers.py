"""In containers, with the images of contrib/docker: started by podman and runc, on root file systems made here.

The network namespace of the `net` fixture stands in for the host, so `--network=host` is never the real one.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support.asking import http
from tests.support.containers import BUSYBOX, HARDENED
from tests.support.images import DOCKER, ROOT, registered
from tests.support.manifests import composed, containers, services
from tests.support.netns import sysctl
from tests.support.programs import eventually
from tests.support.states import listening, outbound_established, reset, states_on

if TYPE_CHECKING:
    from tests.support.containers import Engine
    from tests.support.guarding import Outcome
    from tests.support.images import Images

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

PORT = 30010
HARDENED_WITHOUT_TMP = (*HARDENED, "--read-only-tmpfs=false")
TRAP = 'trap "echo bye; exit 7" TERM; echo started as $$; while :; do /busybox sleep 600 & wait $!; done'
SERVICE = ("/busybox", "sh", "-c", TRAP)
"""A service that has a handler for SIGTERM, as a PID 1 needs it."""
RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
HELLO = b"HTTP/1.1 200 OK\nhello from httpserver\n"


class Variant(NamedTuple):
    """How portwait came into the image."""

    image: str
    path: str
    """Where it is in there."""

    def words(self, *options: str) -> tuple[str, ...]:
        """Answer the words for `podman run` up to portwait's own."""
        return (*options, *BUSYBOX, f"--entrypoint={self.path}", self.image)


@pytest.fixture(params=["installed", "packed"])
def variant(request: pytest.FixtureRequest, images: Images) -> Variant:
    """Run the test with each image: the one with Python, and the folder in one without it."""
    if request.param == "installed":
        return Variant(images.portwait, "portwait")
    return Variant(images.orders, "/opt/portwait/portwait")


# PID 1 and its end


def test_sigterm_ends_the_wait_of_pid_one(engine: Engine, variant: Variant) -> None:
    """It cannot die by the signal, so its status says 128+15, at once, and `podman stop` does not have to kill."""
    words = variant.words("--network=host")
    with outbound_established(PORT), engine.running(*words, str(PORT), "--", *SERVICE) as (podman, name):
        podman.complains("outbound")
        engine.do("stop", "--time=20", name)
        assert podman.status() == 143
        assert podman.out == []


def test_after_the_wait_the_service_is_pid_one(engine: Engine, variant: Variant) -> None:
    """Nothing stays in between: the service gets SIGTERM itself, and its status is what `podman wait` says."""
    words = variant.words("--network=host")
    with engine.running(*words, str(PORT), "--", *SERVICE) as (podman, name):
        podman.says("started as 1")
        engine.do("kill", "--signal=TERM", name)
        assert podman.status() == 7
        assert engine.do("wait", name) == "7\n"
        assert podman.out[-1] == "bye"


def test_it_starts_when_the_blocker_ends(engine: Engine, variant: Variant) -> None:
    """The blocker is outside of the container, in the network that they share."""
    words = variant.words("--network=host")
    with outbound_established(PORT) as blocker, engine.running(*words, str(PORT), "--", *SERVICE) as (podman, _):
        podman.complains("outbound")
        podman.complains("waiting")
        reset(blocker.sock)
        podman.says("started as 1")


@pytest.mark.parametrize("free", [True, False], ids=["after the wait", "while waiting"])
def test_under_an_init(engine: Engine, variant: Variant, *, free: bool) -> None:
    """`--init` is PID 1 and passes the signal on; portwait, and then the service, is its child and ends as ever."""
    words = variant.words("--init", "--network=host")
    with outbound_established(PORT) as blocker, engine.running(*words, str(PORT), "--", *SERVICE) as (podman, name):
        podman.complains("waiting")
        if free:
            reset(blocker.sock)
            podman.says("started as")
        engine.do("kill", "--signal=TERM", name)
        assert podman.status() == (7 if free else 143)
        assert "started as 1" not in podman.out


# Its surroundings


def test_it_needs_no_privilege_and_nowhere_to_write(engine: Engine, variant: Variant) -> None:
    """A read-only root without a tmpfs, user 65534, no capability: it waits, reports, and starts the service."""
    words = variant.words(*HARDENED_WITHOUT_TMP, "--network=host")
    with outbound_established(PORT) as blocker, engine.running(*words, str(PORT), "--", *SERVICE) as (podman, _):
        podman.complains("is held by an outbound connection")
        podman.complains(f"{blocker.local} -> {blocker.remote} ESTABLISHED")
        reset(blocker.sock)
        podman.says("started as 1")


def test_without_a_network(engine: Engine, variant: Variant) -> None:
    """Its own loopback is enough, and where nothing is in the way it says nothing."""
    done = engine.run(*variant.words("--network=none", *HARDENED), str(PORT), "--", "/busybox", "echo", "started")
    assert done == (0, "started\n", "")


def test_the_environment_is_the_containers(engine: Engine, variant: Variant) -> None:
    """Not a variable more or less than without portwait, whatever is meant for the service."""
    theirs = (
        "PYTHONHOME=/proc/nonexistent",
        "PYTHONPATH=/proc/nonexistent",
        "LD_LIBRARY_PATH=/opt/lib",
        "LC_CTYPE=C",
        "A=",
    )
    options = ("--network=none", "--hostname=here", *(f"--env={one}" for one in theirs))
    bare = engine.run(*options, *BUSYBOX, "--entrypoint=/busybox", variant.image, "env")
    guarded = engine.run(*variant.words(*options), str(PORT), "--", "/busybox", "env")
    assert (guarded.status, guarded.err) == (0, "")
    assert sorted(guarded.out.splitlines()) == sorted(
        bare.out.splitlines()
    )  # podman has them in another order each time
    assert set(theirs) <= set(guarded.out.splitlines())


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ((str(PORT), "--", "/busybox", "sh", "-c", "exit 7"), 7),
        ((str(PORT), "--", "/busybox", "sh", "-c", "kill -9 $$"), 137),
        ((str(PORT), "--", "/proc/nonexistent"), 127),
        ((str(PORT), "--", "/etc"), 126),
        (("no such target", "--", "/busybox", "true"), 125),
        (("--timeout=0", "7001", "--", "/busybox", "true"), 124),
        ((str(PORT),), 0),
    ],
    ids=["the command's own", "killed", "not found", "not executable", "wrong words", "gave up", "no command"],
)
def test_the_status_reaches_podman_wait(engine: Engine, variant: Variant, words: tuple[str, ...], status: int) -> None:
    """Each of the exit statuses that portwait promises."""
    options = ("--init",) if status == 137 else ()  # the kernel spares PID 1 its own SIGKILL
    options = ("--network=host", *options)
    with outbound_established(7001), engine.running(*variant.words(*options), *words) as (podman, name):
        assert podman.status() == status, podman.describe()
        assert engine.do("wait", name) == f"{status}\n"


# A network that containers share


CLIENT = """\
import signal, socket
server = socket.create_server(("127.0.0.1", 7000))
client = socket.create_connection(("127.0.0.1", 7000))
print("ready", *client.getsockname(), flush=True)
signal.pause()
"""
SHARED = (f"--sysctl=net.ipv4.ip_local_port_range={PORT} {PORT}", "--network=none", "--entrypoint=python3")


def explained(done: Outcome) -> dict[str, Any]:
    """Read the one blocker of the one target of `explain --json`."""
    assert done.status == 1, done
    (target,) = json.loads(done.out)["targets"]
    (blocker,) = target["blockers"]
    return dict(blocker)


def test_a_blocker_in_another_container(engine: Engine, images: Images, variant: Variant) -> None:
    """Its PID is out of sight: the report says so, invents nobody, and still names both ends and the user."""
    with engine.running(*SHARED, "--user=65534", images.portwait, "-c", CLIENT) as (other, there):
        other.says(f"ready 127.0.0.1 {PORT}")
        shared = variant.words(f"--network=container:{there}")
        blocker = explained(engine.run(*shared, "explain", "--json", str(PORT)))
        assert (blocker["kind"], blocker["state"]) == ("outbound", "ESTABLISHED")
        assert (blocker["local"], blocker["remote"]) == (f"127.0.0.1:{PORT}", "127.0.0.1:7000")
        assert blocker["uid"] == 65534
        assert blocker["owners"] == []
        assert "another PID namespace" in blocker["unseen"]
        waiting = engine.run(*shared, "--timeout=0", str(PORT), "--", "/busybox", "true")
        assert waiting.status == 124
        assert f"127.0.0.1:{PORT} -> 127.0.0.1:7000 ESTABLISHED" in waiting.err
        assert "another PID namespace" in waiting.err


def test_a_shared_pid_namespace_shows_it(engine: Engine, images: Images) -> None:
    """What `--pid container:X`, shareProcessNamespace and hostPID are for."""
    with engine.running(*SHARED, "--user=0", images.portwait, "-c", CLIENT) as (other, there):
        other.says("ready")
        shared = (f"--network=container:{there}", f"--pid=container:{there}", "--user=0", images.portwait)
        blocker = explained(engine.run(*shared, "explain", "--json", str(PORT)))
        (owner,) = blocker["owners"]
        assert (owner["pid"], owner["name"]) == (1, "python3")
        assert blocker["unseen"] is None


def test_the_options_that_show_it_are_printed(engine: Engine, images: Images) -> None:
    """A container that shares the network and was started with them sees another user's process."""
    with engine.running(*SHARED, "--user=65534", images.portwait, "-c", CLIENT) as (other, there):
        other.says("ready")
        network = f"--network=container:{there}"
        done = engine.run(network, images.portwait, "explain", "--json", str(PORT))
        (target,) = json.loads(done.out)["targets"]
        found = {remedy["code"]: remedy["commands"] for remedy in target["remedies"]}
        [options] = found["share-processes"]
        shared = (network, *options.replace("OTHER", there).split(), images.portwait)
        (owner,) = explained(engine.run(*shared, "explain", "--json", str(PORT)))["owners"]
        assert (owner["pid"], owner["name"]) == (1, "python3")


# The sysctl


def test_the_sysctl_keeps_the_port_from_connect(engine: Engine, images: Images) -> None:
    """With no other port to give, the kernel gives none; portwait says that the port is reserved."""
    reserved = f"--sysctl=net.ipv4.ip_local_reserved_ports={PORT}"
    refused = engine.run(reserved, *SHARED, images.portwait, "-c", CLIENT)
    assert refused.status == 1
    assert "Cannot assign requested address" in refused.err
    done = engine.run(reserved, "--network=none", images.portwait, "explain", "--json", str(PORT))
    (target,) = json.loads(done.out)["targets"]
    assert (target["verdict"], target["reserved"]) == ("free", True)


def test_the_hosts_network_takes_no_sysctl(engine: Engine, images: Images) -> None:
    """What compose.yaml and the manifests say: there the cure belongs to the node."""
    done = engine.run("--sysctl=net.ipv4.ip_local_reserved_ports=1", "--network=host", images.portwait, "--help")
    assert done.status == 125
    assert "sysctl" in done.err


# The images


def test_nothing_of_the_building_is_left(engine: Engine, images: Images) -> None:
    """Neither pip, nor its caches, nor the stage's own packages; portwait's files are root's, the user is nobody."""
    look = "command -v pip gcc cc ld bash; ls -d /root/.cache; id -u; touch /opt/portwait/x"
    done = engine.run("--network=none", "--entrypoint=/bin/sh", images.portwait, "-c", look)
    assert done.out == "65534\n"
    listed = engine.run("--network=none", "--entrypoint=/bin/ls", images.portwait, "/opt/portwait/bin")
    assert "portwait" in listed.out
    assert "pip" not in listed.out


def test_the_interpreter_ignores_what_is_meant_for_the_service(engine: Engine, images: Images) -> None:
    """PYTHONHOME would end it before its first line, PYTHONWARNINGS and PYTHONVERBOSE would talk."""
    theirs = ("--env=PYTHONHOME=/proc/nonexistent", "--env=PYTHONVERBOSE=1", "--env=PYTHONINSPECT=1")
    done = engine.run("--network=none", *theirs, images.portwait, str(PORT))
    assert done == (0, "", "")


def test_the_image_beside_tini(engine: Engine, images: Images) -> None:
    """Dockerfile.tini: tini is PID 1 and passes SIGTERM on, PORTWAIT_TARGETS names the port, the service starts."""
    with outbound_established(8080) as blocker, engine.running("--network=host", images.tini) as (podman, name):
        podman.complains("8080/tcp is held by an outbound connection")
        assert Path(f"/proc/{engine.pid(name)}/comm").read_text() == "tini\n"
        reset(blocker.sock)
        eventually(lambda: "LISTEN" in states_on(8080), "the service")
        engine.do("kill", "--signal=TERM", name)
        assert podman.status() == 143


def test_the_java_image(engine: Engine, images: Images) -> None:
    """Dockerfile.java: no shell, no Python; the JVM is PID 1, answers, and ends by SIGTERM as it always does."""
    words = ("--network=host", *HARDENED, images.orders)
    with outbound_established(8080) as blocker, engine.running(*words) as (podman, name):
        podman.complains("8080/tcp is held by an outbound connection")
        reset(blocker.sock)
        podman.says("ready 8080")
        assert Path(f"/proc/{engine.pid(name)}/comm").read_text() == "java\n"
        assert http(8080) == HELLO
        engine.do("kill", "--signal=TERM", name)
        assert podman.status() == 143


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_lines_of_the_readme(engine: Engine, images: Images, page: str, tmp_path: Path) -> None:
    """Behind a service's own lines they make an image that waits, and becomes the service."""
    text = (ROOT / page).read_text()
    [lines] = re.findall(r"(?ms)^```dockerfile\n(.*?)^```", text)
    assert "docker build -t localhost/portwait-packed -f contrib/docker/Dockerfile.packed .\n" in text
    file = tmp_path / "Dockerfile"
    file.write_text(f"FROM {images.jre}\nCOPY app.jar /app/app.jar\n{lines}")
    image = engine.build("localhost/readme", file, context=engine.folder / "orders")
    with outbound_established(8080) as blocker, engine.running("--network=host", image) as (podman, _):
        podman.complains("8080/tcp is held by an outbound connection")
        reset(blocker.sock)
        podman.says("ready 8080")
        assert http(8080) == HELLO


def test_the_java_entrypoint(engine: Engine, images: Images) -> None:
    """entrypoint-java: JAVA_OPTS is split into words, SERVER_PORT is guarded, the service's arguments follow."""
    shell = ("--volume=/bin/busybox:/bin/sh:ro", f"--volume={DOCKER}/entrypoint-java:/entrypoint-java:ro")
    settings = (f"--env=SERVER_PORT={PORT}", "--env=JAVA_OPTS=-Xmx64m -XX:+UseSerialGC")
    words = ("--network=host", *shell, *settings, "--entrypoint=/entrypoint-java", images.orders, str(PORT))
    with outbound_established(PORT) as blocker, engine.running(*words) as (podman, name):
        podman.complains(f"{PORT}/tcp is held by an outbound connection")
        reset(blocker.sock)
        podman.says(f"ready {PORT}")
        command = Path(f"/proc/{engine.pid(name)}/cmdline").read_text().split("\0")[:-1]
        assert command == ["java", "-Xmx64m", "-XX:+UseSerialGC", "-jar", "/app/app.jar", str(PORT)]


# Compose and Kubernetes


def in_network(pid: int, *argv: str) -> str:
    """Run a program in a container's network; answer what it prints."""
    words = ("nsenter", f"--net=/proc/{pid}/ns/net", *argv)
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_the_compose_file(engine: Engine, images: Images) -> None:
    """Both services start as it says, in one network; the port is reserved there."""
    orders, metrics = services()["orders"], services()["metrics"]
    assert (orders["image"], metrics["image"]) == (images.orders, images.portwait)
    with engine.running(*composed(orders, "none")) as (first, name):
        first.says("ready 8080")
        assert metrics["network_mode"] == "service:orders"
        with engine.running(*composed(metrics, f"container:{name}")):
            pid = engine.pid(name)
            listening = ("ss", "--no-header", "--tcp", "--listening", "--numeric", "sport = :9404")
            eventually(lambda: in_network(pid, *listening), "the second service")
            assert in_network(pid, "cat", RESERVED) == "8080\n"


def test_the_deployment_on_the_nodes_network(engine: Engine, images: Images) -> None:
    """Its log says who is in the way, on the node; then the JVM is PID 1 and answers."""
    words = containers("deployment-hostnetwork")["orders"]
    assert registered(images.orders) in words
    with outbound_established(8080) as blocker, engine.running(*words) as (orders, name):
        orders.complains("8080/tcp is held by an outbound connection")
        reset(blocker.sock)
        orders.says("ready 8080")
        assert Path(f"/proc/{engine.pid(name)}/comm").read_text() == "java\n"
        assert http(8080) == HELLO


def test_the_deployment_with_an_init_container(engine: Engine, images: Images) -> None:
    """The init container succeeds when the port is free and not before; the service then starts without portwait."""
    (first, waits), (second, serves) = containers("deployment-init").items()
    assert (first, second) == ("portwait", "orders")
    assert registered(images.portwait) in waits
    with outbound_established(8080) as blocker, engine.running(*waits) as (guard, _):
        guard.complains("8080/tcp is held by an outbound connection")
        guard.complains("waiting")
        reset(blocker.sock)
        assert guard.status() == 0
    with engine.running(*serves) as (orders, _):
        orders.says("ready 8080")
        assert http(8080) == HELLO


def test_the_deployment_with_sysctls(engine: Engine, images: Images) -> None:
    """The pod's own network has the setting, and the service starts in it through the image's own ENTRYPOINT."""
    words = containers("deployment-sysctls")["orders"]
    assert registered(images.orders) in words
    with engine.running(*words) as (orders, name):
        orders.says("ready 8080")
        assert in_network(engine.pid(name), "cat", RESERVED) == "8080\n"


def test_the_daemonset_that_reserves(engine: Engine, images: Images) -> None:
    """The node has the range afterwards, and still what was reserved before; what stays in the pod does stay."""
    reserves, stays = containers("daemonset-reserve").values()
    assert registered(images.portwait) in reserves
    assert images.pause in stays
    sysctl("net.ipv4.ip_local_reserved_ports", "20000")
    done = engine.run(*reserves)
    assert done.status == 0, done
    assert sysctl("net.ipv4.ip_local_reserved_ports") == "20000,30000-32767"
    with engine.running(*stays) as (pause, name):
        eventually(lambda: Path(f"/proc/{engine.pid(name)}/comm").read_text() == "pause\n", "its exec")
        engine.do("stop", "--time=20", name)
        assert pause.status() == 0


def test_the_daemonset_that_audits(engine: Engine, images: Images, tmp_path: Path) -> None:
    """Its metrics are in the textfile collector's folder, in one file, whole; it names who listens; SIGTERM ends it."""
    words = containers("daemonset-audit", textfile=str(tmp_path))["audit"]
    assert registered(images.portwait) in words
    metrics = tmp_path / "portwait.prom"
    sysctl("net.ipv4.ip_local_port_range", "1024 65000")
    with listening(PORT), engine.running(*words) as (audit, name):
        eventually(metrics.exists, "the metrics")
        text = metrics.read_text()
        engine.do("stop", "--time=20", name)
        assert audit.status() == 0
        assert (audit.out, audit.err) == ([], [])
    assert [file.name for file in tmp_path.iterdir()] == [metrics.name]
    process = Path("/proc/self/comm").read_text().strip()
    assert f'portwait_port_at_risk{{port="{PORT}",protocol="tcp",process="{process}"}} 1\n' in text
    assert text.endswith("\n")

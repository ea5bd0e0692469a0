"""`portwait explain` on real software, and the whole text kept: units of a systemd, containers, Docker's proxy.

Those on the Tanuki wrapper are in test_wrapper.py. See tests.support.golden for how the texts are renewed.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portwait._linux import netns
from tests.support.golden import UNBROKEN, assert_golden, service
from tests.support.guarding import Outcome, run
from tests.support.netns import forced_source_port, in_network_of, sysctl
from tests.support.packages import file_of, needs
from tests.support.programs import portwait, running
from tests.support.surroundings import PLAIN_HOST, cgroup, in_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.containers import Engine
    from tests.support.images import Images
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
GOLDEN = Path(__file__).with_name("golden")


def explain(*words: str) -> Outcome:
    """Explain from out here."""
    return run([*PLAIN_HOST, *portwait("explain", *words)], env={**os.environ, **UNBROKEN})


@pytest.fixture(scope="session")
def proxy() -> str:
    """Fetch Docker's proxy, while the network is still this machine's."""
    return str(file_of("docker.io", "/usr/sbin/docker-proxy"))


@pytest.mark.parametrize(("name", "protocol"), [("docker-proxy-tcp", "tcp"), ("docker-proxy-udp", "udp")])
@pytest.mark.usefixtures("net")
def test_a_port_that_docker_publishes(proxy: str, name: str, protocol: str) -> None:
    """Its proxy is started as dockerd does it, which reads on descriptor 3 that it is ready."""
    host = ("-proto", protocol, "-host-ip", "127.0.0.1", "-host-port", str(PORT))
    container = ("-container-ip", "172.17.0.2", "-container-port", "80")

    words = ("sh", "-c", 'exec 3>&1; exec "$@"', "sh", proxy, *host, *container)
    with cgroup("proxy") as folder, running([*in_cgroup(folder), *words]) as program:
        program.says("0")
        assert_golden(GOLDEN / f"{name}.txt", functools.partial(explain, f"{PORT}/{protocol}"))


def in_machine(host: Machine, *words: str) -> Outcome:
    """Explain as root in there."""
    done = host.run(
        "env", *(f"{name}={value}" for name, value in UNBROKEN.items()), "portwait", "explain", *words, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def test_the_listener_of_a_unit(host: Machine) -> None:
    """Master and workers share nginx's socket: all are named, and the unit is what is stopped."""
    needs("/lib/systemd/system/nginx.service", "nginx-light")
    configuration = host.root / "etc/nginx/nginx.conf"
    host.write(
        "/etc/nginx/nginx.conf", configuration.read_text().replace("worker_processes auto", "worker_processes 2")
    )
    host.systemctl("start", "nginx.service")
    try:
        assert_golden(GOLDEN / "unit-nginx.txt", functools.partial(in_machine, host, "80"))
    finally:
        host.systemctl("stop", "nginx.service")


def test_the_listener_of_a_socket_unit(host: Machine) -> None:
    """It is PID 1's, and the command shown finds the unit."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n",
        "app.service": "[Service]\nExecStart=/usr/bin/sleep infinity\n",
    }
    with host.units(files):
        host.systemctl("start", "app.socket")
        look = functools.partial(in_machine, host, str(PORT))
        assert_golden(GOLDEN / "unit-socket.txt", look)
        find = look().out.splitlines()[-1].strip()
        assert "app.socket" in host.run("sh", "-c", find).stdout


def test_the_outbound_connection_of_a_unit(host: Machine) -> None:
    """Its service can be started later than the one that wants the port."""
    with host.blocked(PORT, "outbound"):
        assert_golden(GOLDEN / "unit-outbound.txt", functools.partial(in_machine, host, str(PORT)), service(7000))


CLIENT = """\
import socket, sys, time
open("/proc/self/comm", "w").write("client")
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client = socket.create_connection(server.getsockname())
accepted = server.accept()
print("ready", client.getsockname()[1], server.getsockname()[1], flush=True)
time.sleep(600)
"""


class Contained(NamedTuple):
    """A client in a container, and the port that the kernel gave it."""

    engine: Engine
    name: str
    port: int
    server: int
    """The port that it has connected to."""

    @property
    def id(self) -> str:
        """The container's, as people write it."""
        return self.engine.do("container", "inspect", "--format={{.Id}}", self.name)[:12]

    def explain(self, *options: str) -> Outcome:
        """Explain as root of the container."""
        return self.engine.exec(self.name, "env", "COLUMNS=2000", "portwait", "explain", *options, str(self.port))


@contextlib.contextmanager
def contained(engine: Engine, images: Images, *options: str, server: int = 7000) -> Iterator[Contained]:
    """Run a container with such a client for the length of the body."""
    words = ("--user=0", "--cgroupns=private", *options, "--entrypoint=python3", images.portwait, "-c", CLIENT)
    with engine.running(*words, str(server)) as (podman, name):
        yield Contained(engine, name, *(int(word) for word in podman.says("ready").split()[1:]))


@pytest.mark.usefixtures("net")
def test_a_client_in_a_container_seen_from_the_host(engine: Engine, images: Images) -> None:
    """By its cgroup; the engine's own command stops it."""
    with contextlib.ExitStack() as stack:
        with forced_source_port(PORT):
            client = stack.enter_context(contained(engine, images, "--network=host"))
        assert_golden(GOLDEN / "container-from-host.txt", functools.partial(explain, str(PORT)), {"ID": client.id})


def test_a_client_in_a_container_seen_from_inside(engine: Engine, images: Images) -> None:
    """Its settings cannot be written in there; the lines that start it otherwise are shown."""
    forced = f"--sysctl=net.ipv4.ip_local_port_range={PORT} {PORT}"
    with contained(engine, images, forced, "--network=none") as client:
        with in_network_of(engine.pid(client.name)):
            sysctl("net.ipv4.ip_local_port_range", "1024 65000")
        assert_golden(GOLDEN / "container-from-inside.txt", client.explain)


def test_a_client_in_a_container_on_the_hosts_network(engine: Engine, images: Images) -> None:
    """The machine's own, for no other can be told to be the host's; what is there is left alone."""
    if not netns.is_initial():
        pytest.skip("this is not the network namespace that the machine starts with")
    span = sysctl("net.ipv4.ip_local_port_range").replace("\t", "-")
    with contained(engine, images, "--network=host", server=0) as client:
        ends = {"127.0.0.1:SERVER": f"127.0.0.1:{client.server}", "LOW-HIGH": span}  # first: the others may be in them
        names = {**ends, "PORT": str(client.port), "NEXT": str(client.port + 1)}
        assert_golden(GOLDEN / "container-on-host-network.txt", client.explain, names)

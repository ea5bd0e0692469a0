"""What `explain` says of a client in a container, from the host and from inside; the reports are kept as text."""

from __future__ import annotations

import contextlib
import functools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portwait._linux import netns
from tests.support.golden import assert_golden, explain
from tests.support.netns import forced_source_port, in_network_of, sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.containers import Engine
    from tests.support.guarding import Outcome
    from tests.support.images import Images

pytestmark = pytest.mark.world

PORT = 30010
GOLDEN = Path(__file__).with_name("golden")


CLIENT = """\
import signal, socket, sys
open("/proc/self/comm", "w").write("client")
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client = socket.create_connection(server.getsockname())
accepted = server.accept()
print("ready", client.getsockname()[1], server.getsockname()[1], flush=True)
signal.pause()
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

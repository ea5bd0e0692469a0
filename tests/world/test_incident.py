"""The incident that the project started from, with the software that it happened to.

A pooled Redis client was given the service's port as its source port. It is no listener, and yet no service can bind.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.asking import http, talk
from tests.support.descriptors import sockets_of
from tests.support.netns import forced_source_port, sysctl
from tests.support.programs import portwait, running
from tests.support.states import states_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Program
    from tests.world.conftest import Workshop

pytestmark = pytest.mark.world

PORT = 30010
REDIS = 7000
ANSWERS = {
    "ChannelService": b"HTTP/1.0 200 OK\nhello from a channel\n",
    "HttpService": b"HTTP/1.1 200 OK\nhello from httpserver\n",
    "TomcatService": b"HTTP/1.1 200 \nhello from tomcat\n",
}
CLIENTS_AND_SERVICES = pytest.mark.parametrize(
    ("client", "service"),
    [
        ("python", "ChannelService"),
        ("python", "HttpService"),
        ("python", "TomcatService"),
        ("java", "ChannelService"),
    ],
    indirect=True,
)


@pytest.fixture
def client(request: pytest.FixtureRequest, redis: Program, workshop: Workshop) -> Iterator[Program]:
    """Start a client of Redis to which the kernel gives the port, and no other can."""
    assert redis.process.poll() is None
    where = ("127.0.0.1", str(REDIS))
    pooled = Path(__file__).parent / "helpers" / "pooled_client.py"
    clients = {"python": [sys.executable, str(pooled), *where], "java": workshop.java("PooledClient", *where)}
    with contextlib.ExitStack() as stack:
        with forced_source_port(PORT):
            program = stack.enter_context(running(clients[request.param], stdin=subprocess.PIPE))
            assert program.says("ready") == f"ready 127.0.0.1:{PORT} 127.0.0.1:{REDIS}"
        yield program


class Service(NamedTuple):
    """A Java service that wants the port."""

    argv: list[str]
    answer: bytes


@pytest.fixture
def service(request: pytest.FixtureRequest, workshop: Workshop, tmp_path: Path) -> Service:
    """Answer how the service of that name is started, and what it says to a request."""
    return Service(workshop.java(request.param, str(PORT), str(tmp_path)), ANSWERS[request.param])


@CLIENTS_AND_SERVICES
def test_a_bare_service_fails_although_nobody_listens(client: Program, service: Service) -> None:
    """It happens as reported: BindException, and the list of listeners has no such port."""
    assert sysctl("net.ipv4.ip_local_port_range").split() == ["1024", "65000"]
    with running(service.argv) as program:
        assert program.status() == 1
        assert "java.net.BindException: Address already in use" in "\n".join(program.err)
    assert listeners() == ""
    assert states_on(PORT) == ["ESTABLISHED"]
    assert asks_redis(client)


@pytest.mark.parametrize(
    ("client", "address"), [("python", "127.0.0.1"), ("java", "::ffff:127.0.0.1")], indirect=["client"]
)
def test_a_java_clients_connection_is_an_ipv6_socket_with_a_mapped_address(client: Program, address: str) -> None:
    """So both families' tables have to be read, whatever the connection looks like."""
    assert [held.address for held in sockets_of(client.pid)] == [address]


@CLIENTS_AND_SERVICES
def test_the_guard_gives_up_and_names_the_client(client: Program, service: Service) -> None:
    """Exit status 124, the service was not started, and the report says who it is; the client keeps its connection."""
    with running(portwait("--timeout", "0", str(PORT), "--", *service.argv)) as guard:
        assert guard.status() == 124
    report, comm = "\n".join(guard.err), Path(f"/proc/{client.pid}/comm").read_text().strip()
    assert f"{PORT}/tcp is held by an outbound connection: {comm} (pid {client.pid}, " in report
    assert f"127.0.0.1:{PORT} -> 127.0.0.1:{REDIS} ESTABLISHED" in report
    assert " ".join(map(str, client.argv[-3:])) in report, (
        "a long command line keeps its end: which program, which Redis"
    )
    assert guard.out == []
    assert asks_redis(client)


@pytest.mark.parametrize(
    ("client", "service", "how"),
    [
        ("python", "ChannelService", "reset"),
        ("python", "HttpService", "follow"),
        ("python", "TomcatService", "reset"),
        ("java", "ChannelService", "follow"),
    ],
    indirect=["client", "service"],
)
def test_when_the_client_lets_go_the_guard_becomes_the_service(client: Program, service: Service, how: str) -> None:
    """Same PID, and it answers; whether the client breaks the connection off or closes after Redis has."""
    with running(portwait(str(PORT), "--", *service.argv)) as guard:
        guard.complains("outbound")
        assert listeners() == ""
        if how == "follow":
            assert talk(REDIS, f"CLIENT KILL ADDR 127.0.0.1:{PORT}\r\nQUIT\r\n".encode()) == b":1\r\n+OK\r\n"
        client.tell(how)
        client.says("closed")
        assert guard.says("ready") == f"ready {PORT}"
        assert Path(f"/proc/{guard.pid}/exe").resolve().name == "java"
        assert [held.port for held in sockets_of(guard.pid) if held.listening] == [PORT]
        assert http(PORT) == service.answer


def asks_redis(client: Program) -> bool:
    """Let the client use its connection."""
    client.tell("ping")
    return client.says("answer") == "answer +PONG"


def listeners() -> str:
    """List what `netstat -ntl` would show of the port."""
    return subprocess.check_output(["ss", "-Hltn", f"sport = :{PORT}"], text=True)

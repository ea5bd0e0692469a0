"""The programs that filter by port, run by the kernel that they are written for."""

from __future__ import annotations

import select
import socket

import pytest

from portwait._linux.sockdiag import SockDiag
from tests.support.destroy_events import subscribed

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
NEIGHBOURS = (PORT - 1, PORT, PORT + 1, PORT + 2)


def ranges(count: int) -> list[tuple[int, int]]:
    """Name this number of separate ports, PORT among them, none of its neighbours."""
    others = [(port, port) for port in range(2, 65536, 4)]
    return sorted([(PORT, PORT), *others[: count - 1]])


@pytest.mark.parametrize("count", [pytest.param(1001, marks=pytest.mark.kernel), 1, 2, 100, 1000, 5000])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_dump_has_exactly_the_ports_asked_for(protocol: str, count: int) -> None:
    """Also where they are more than one request has room for."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    servers = [socket.socket(socket.AF_INET, kind) for _ in NEIGHBOURS]
    try:
        for server, port in zip(servers, NEIGHBOURS):
            server.bind(("127.0.0.1", port))
            if protocol == "tcp":
                server.listen()
        with SockDiag() as tables:
            assert [one.local_port for one in tables.sockets(protocol, ranges(count))] == [PORT]
            assert sorted(one.local_port for one in tables.sockets(protocol, [])) == list(NEIGHBOURS)
    finally:
        for server in servers:
            server.close()


@pytest.mark.parametrize("count", [pytest.param(100, marks=pytest.mark.kernel), 1, 2])
def test_events_are_of_the_ports_asked_for(count: int) -> None:
    """The close of a neighbour wakes nobody, that of the port itself does."""
    with (
        socket.create_server(("127.0.0.1", PORT + 1)) as neighbour,
        socket.create_server(("127.0.0.1", PORT)) as server,
        subscribed((PORT + 1, PORT + 1)) as witness,  # told last of those that are told of an event
        subscribed(*ranges(count)) as events,
    ):
        neighbour.close()
        assert [each.local_port for each in witness.next()] == [PORT + 1]
        assert select.select([events], [], [], 0)[0] == []
        server.close()
        assert [each.local_port for each in events.next()] == [PORT]


def test_more_ports_than_a_filter_can_tell_apart() -> None:
    """No event is lost; that others wake it too is the price."""
    with socket.create_server(("127.0.0.1", PORT)) as server, subscribed(*ranges(5000)) as events:
        server.close()
        assert [each.local_port for each in events.next()] == [PORT]

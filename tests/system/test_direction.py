"""Who called connect(): asked of the kernel's counts for random connections, compared with who really did."""

from __future__ import annotations

import contextlib
import ctypes
import random
import socket
import struct
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portwait.diagnosis import blockers, kinds, tables
from portwait.model.kind import Kind
from tests.support.netns import sysctl
from tests.support.programs import eventually
from tests.support.states import LOOPBACK, MAPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.model.sockets import KernelSocket

pytestmark = pytest.mark.usefixtures("net")

MPTCP = 262  # IPPROTO_MPTCP, linux/in.h; the socket module has no name for it
FAST_OPEN = 0x20000000  # MSG_FASTOPEN, linux/socket.h
ATTACH_FILTER = 26  # SO_ATTACH_FILTER, asm-generic/socket.h
KEEP_NONE = struct.pack("HBBI", 0x06, 0, 0, 0)  # a program of one instruction: BPF_RET | BPF_K, linux/bpf_common.h


class Pair(NamedTuple):
    """Two ends of a connection, and who they are."""

    client: socket.socket
    server: socket.socket

    def expected(self) -> dict[tuple[int, int], str]:
        """Say what each end is, by its ports."""
        here, there = self.client.getsockname()[1], self.server.getsockname()[1]
        return {(here, there): "outbound", (there, here): "accepted"}


def fill(sock: socket.socket, most: int) -> None:
    """Write, until so much is written or nothing more is taken."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while most > 0:
            most -= sock.send(bytes(min(most, 1 << 16)))
    sock.setblocking(True)


def hear_nothing(sock: socket.socket) -> None:
    """Have the kernel drop whatever comes for a socket: what is sent to it stays in flight."""
    keep_none = ctypes.create_string_buffer(KEEP_NONE, len(KEEP_NONE))
    sock.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(keep_none)))


@contextlib.contextmanager
def listener(address: str, protocol: int = 0) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, protocol) as server:
        server.bind((address, 0))
        server.listen()
        yield server


def connected(chance: random.Random, stack: contextlib.ExitStack) -> Pair:
    """Make a connection of a random kind."""
    address = chance.choice([LOOPBACK, "127.0.0.2", "::1", MAPPED])
    with listener(address.removeprefix("::ffff:")) as server:
        client = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, chance.random() < 0.3)
        if chance.random() < 0.3:
            client.bind((address, 0))
        to = (address, server.getsockname()[1])
        if chance.random() < 0.2 and address == LOOPBACK:
            client.sendto(b"early", FAST_OPEN, to)
        else:
            client.connect(to)
        return Pair(client, stack.enter_context(server.accept()[0]))


def talk(pair: Pair, chance: random.Random) -> None:
    """Have some traffic in both directions, read or not, until the windows are full perhaps; one side may end it."""
    ends = [pair.client, pair.server]
    for _ in range(chance.randrange(4)):
        sender, receiver = chance.sample(ends, 2)
        fill(sender, chance.choice([1, 100, 10_000, 100_000, 20_000_000]))
        if chance.random() < 0.5:
            receiver.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while receiver.recv(1 << 16):
                    pass
            receiver.setblocking(True)
    if chance.random() < 0.3:
        chance.choice(ends).shutdown(socket.SHUT_WR)


def directions() -> dict[tuple[int, int], tuple[str, str]]:
    """Ask for the direction of every connection that has one: its kind and evidence, by its ports."""
    opened, lost = tables.open_tables()
    assert lost is None
    with opened:
        sockets = opened.sockets("tcp", [])
        return {
            (which.local_port, which.remote_port): (kind.name, kind.evidence)
            for kind, which in blockers._classify(opened, sockets)
            if which.state in ("ESTABLISHED", "CLOSE_WAIT")
        }


@pytest.mark.parametrize("count", [pytest.param(60, marks=pytest.mark.kernel), 1000])
def test_random_connections(count: int) -> None:
    """Of all families, with and without traffic in flight, half closed or not: each end is right, and proved."""
    sysctl("net.ipv4.tcp_fastopen", "3")
    chance = random.Random(30010)  # noqa: S311  # the same ones in every run
    with contextlib.ExitStack() as stack:
        pairs = [connected(chance, stack) for _ in range(count)]
        for pair in pairs:
            talk(pair, chance)
        expected = {ends: kind for pair in pairs for ends, kind in pair.expected().items()}
        found = directions()
    assert len(found) > count  # whoever has ended its half is in FIN_WAIT2, where direction is not the question
    assert {ends: kind for ends, (kind, _) in found.items()} == {ends: expected[ends] for ends in found}
    assert {evidence for _, evidence in found.values()} <= {"syn-count", "peer"}


@pytest.mark.kernel
def test_multipath_connections() -> None:
    """A subflow of MPTCP is an end like any other."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(listener(LOOPBACK, MPTCP))
        except OSError:
            pytest.skip("this kernel has no MPTCP")
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, MPTCP))
        client.connect(server.getsockname())
        accepted = stack.enter_context(server.accept()[0])
        for one, other in ((client, accepted), (accepted, client)):
            one.sendall(bytes(5000))
            other.recv(5000, socket.MSG_WAITALL)
        found = {ends: kind for ends, (kind, _) in directions().items()}
        assert found == Pair(client, accepted).expected()


@pytest.mark.kernel
def test_data_that_nobody_acknowledges() -> None:
    """Where none of it is acknowledged, on both ends, the counts stand still, and are read with what is in flight."""
    with contextlib.ExitStack() as stack:
        pair = connected(random.Random(2), stack)  # noqa: S311  # likewise
        for one in pair:
            hear_nothing(one)
        for one in pair:
            one.sendall(b"never acknowledged")
        found = in_flight()
        assert [kind.name for kind, _ in found] == ["unknown", "unknown"]
        assert {ends: kind for ends, (kind, _) in directions().items()} == pair.expected()


def in_flight() -> list[tuple[Kind, KernelSocket]]:
    """Look once at the ends that have unacknowledged data."""
    opened, _ = tables.open_tables()
    with opened:
        found = [(kinds.classify(which), which) for which in opened.sockets("tcp", [])]
    return [(kind, which) for kind, which in found if which.info is not None and which.info.unacked]


@pytest.mark.kernel
def test_what_the_other_end_tells() -> None:
    """While one end's data is in flight, the other's counts have been acknowledged and say who is who."""
    with contextlib.ExitStack() as stack:
        pair = connected(random.Random(2), stack)  # noqa: S311  # likewise
        hear_nothing(pair.server)
        pair.client.sendall(b"never acknowledged")
        opened, _ = tables.open_tables()
        with opened:
            ((_, which),) = eventually(in_flight, "data in flight")
            other = opened.other_end(which)
            assert other is not None
            assert (other.local_port, other.remote_port) == (which.remote_port, which.local_port)
            assert kinds.by_peer(other) == Kind("outbound", "peer")

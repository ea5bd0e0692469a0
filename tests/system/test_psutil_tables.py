"""The socket tables through psutil, for systems without netlink."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from portwait._linux import net_tables
from portwait._psutil.tables import PsutilTables
from portwait.diagnosis import tables
from portwait.diagnosis.blockers import diagnose
from portwait.model.targets import parse, plain
from tests.support.states import LOOPBACK, listening, outbound_established

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.model.sockets import KernelSocket

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010


def test_the_tables_are_read_once_for_all_blockers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Psutil reads a table whole, and looks into every process: once for a diagnosis, however many blockers it has."""
    monkeypatch.setattr(tables, "open_tables", lambda _: (PsutilTables(), "no netlink"))
    read: list[str] = []
    original = psutil.net_connections

    def counted(kind: str) -> Any:
        read.append(kind)
        return original(kind)

    monkeypatch.setattr(psutil, "net_connections", counted)
    targets = parse([str(PORT), f"{PORT + 1}", f"{PORT}/udp"])
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(outbound_established(PORT))
        stack.enter_context(listening(PORT + 1, address=LOOPBACK))
        diagnosis = diagnose(targets)
    assert [len(diagnosis.blockers[target]) for target in targets] == [20, 1, 0]
    assert sorted(read) == ["tcp", "udp"]


@pytest.mark.parametrize("client", [LOOPBACK, f"::ffff:{LOOPBACK}"])
@pytest.mark.parametrize("read", [None, net_tables.read], ids=["psutil", "proc"])
def test_the_other_end_of_a_mapped_address(client: str, read: Callable[[str], tuple[KernelSocket, ...]] | None) -> None:
    """A Java client's IPv4 connection is an IPv6 socket, and its server's an IPv4 one."""
    with outbound_established(PORT, address=client):
        opened = PsutilTables(read)
        (sock,) = opened.sockets("tcp", [(PORT, PORT)])
        peer = opened.other_end(sock)
        assert peer is not None
        assert (peer.remote_port, plain(peer.remote_address)) == (PORT, LOOPBACK)
        assert opened.other_end(peer) == sock

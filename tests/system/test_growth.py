"""The work grows in proportion to the number of targets, and not with its square."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from portwait._psutil.tables import PsutilTables
from portwait.bind.survey import Survey
from portwait.commands import evict, explain
from portwait.diagnosis import evictable, kinds, owners
from portwait.eviction.clear import Removal
from portwait.eviction.terminate import Termination
from portwait.model.sockets import KernelSocket
from portwait.model.targets import parse
from portwait.model.verdict import Verdict
from portwait.options.table import EVICTED
from portwait.reports import choice
from portwait.wait.inspection import Inspection
from tests.support.states import LOOPBACK, WILDCARD, accepted, outbound_established, outbound_time_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

pytestmark = pytest.mark.usefixtures("net")

FIRST = 20000
HELD = (20001, 20333, 20666, 20999)


def seconds(work: Callable[[str], Any], word: str) -> float:
    """Answer the processor time that it takes, the least of three."""
    took = []
    for _ in range(3):
        began = time.process_time()
        work(word)
        took.append(time.process_time() - began)
    return min(took)


def guards_evict(word: str) -> None:
    inspection = Inspection(Survey(parse([word])))
    inspection.probe()
    inspection.inspect()
    Removal(evictable.select(("time-wait",)), lambda _action: None, dry_run=True).through(inspection, lambda: None)


VERBS: dict[str, Callable[[str], Any]] = {
    "explain": lambda word: explain.run([word]),
    "evict": lambda word: evict.run(["--dry-run", "--quiet", word]),
    "evict --json": lambda word: evict.run(["--dry-run", "--quiet", "--json", word]),
    "the guard's --evict": guards_evict,
}


@pytest.mark.parametrize("verb", VERBS)
def test_ten_times_the_targets_are_ten_times_the_work(verb: str) -> None:
    """With the same few ports held among them; a square would be a hundred times."""
    with contextlib.ExitStack() as stack:
        for port in HELD[:2]:
            stack.enter_context(outbound_established(port))
        for port in HELD[2:]:
            stack.enter_context(outbound_time_wait(port, address=LOOPBACK))
        few = seconds(VERBS[verb], f"{FIRST}-{FIRST + 999}")
        many = seconds(VERBS[verb], f"{FIRST}-{FIRST + 9999}")
    assert many < 25 * few


@contextlib.contextmanager
def accepted_leftovers(port: int, count: int) -> Iterator[None]:
    """Many connections of a server without SO_REUSEADDR that has stopped listening."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind((LOOPBACK, port))
        server.listen(16)
        for _ in range(count):
            stack.enter_context(socket.create_connection((LOOPBACK, port)))
            stack.enter_context(server.accept()[0])
        server.close()
        yield


def test_ten_times_the_refused_connections_are_ten_times_the_work() -> None:
    """Neither --evict nor --terminate may touch them, and the guard asks again at each look."""
    took = []
    for port, count in ((FIRST, 200), (FIRST + 1, 2000)):
        with accepted_leftovers(port, count):
            inspection = Inspection(Survey(parse([f"{LOOPBACK}:{port}"])))
            inspection.probe()
            assert not inspection.inspect()
            removal = Removal(evictable.select(EVICTED), lambda _action: None, Termination())
            removal.through(inspection, lambda: None)  # the first time it remembers them
            took.append(seconds(lambda _: removal.through(inspection, lambda: None), ""))  # noqa: B023  # at once
    assert took[1] < 25 * took[0]


def clients_of_one_server(count: int) -> tuple[KernelSocket, ...]:
    """Make both ends of so many connections to one local server, as the text tables show them."""
    here = KernelSocket(socket.AF_INET, "tcp", "ESTABLISHED", None, LOOPBACK, 0, LOOPBACK, 0, 0, 0, 0, 1)
    ends = [(FIRST + number, 7000) for number in range(count)]
    return tuple(
        here._replace(local_port=local, remote_port=remote)
        for client, server in ends
        for local, remote in ((client, server), (server, client))
    )


def test_without_netlink_ten_times_the_blockers_are_ten_times_the_work() -> None:
    """Each blocker's port and other end are looked up, and not searched for in the whole table."""

    def look_up(word: str) -> None:
        sockets = clients_of_one_server(int(word))
        tables = PsutilTables(lambda _protocol: sockets)
        for sock in sockets[::2]:
            assert tables.sockets("tcp", [(sock.local_port, sock.local_port)]) == (sock,)
            peer = tables.other_end(sock)
            assert peer is not None
            assert (peer.local_port, peer.remote_port) == (7000, sock.local_port)

    assert seconds(look_up, "2000") < 25 * seconds(look_up, "200")


def test_the_connections_of_a_listener_are_not_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the listener that is in the way: whose its thousands of connections are is not asked."""
    asked: list[str] = []
    find = owners.find

    def noted(sockets: Sequence[KernelSocket], peers: Sequence[KernelSocket] = ()) -> owners.Owners:
        asked.extend(sock.state for sock in (*sockets, *peers))
        return find(sockets, peers)

    monkeypatch.setattr(owners, "find", noted)
    with accepted(FIRST, address=LOOPBACK):
        for words in ([f"{FIRST}"], ["--json", f"{FIRST}"]):
            status, _ = explain.run(words)
            assert status == 1
        assert "held by listeners" in choice.taken(f"{FIRST}", {parse([f"{FIRST}"])[0]: Verdict("held")}, 1)
    assert asked == ["LISTEN"] * 3


def test_who_listens_is_found_at_once_among_many_listeners() -> None:
    """A server can listen with a socket for each of its workers (SO_REUSEPORT)."""
    listener = KernelSocket(socket.AF_INET, "tcp", "LISTEN", None, WILDCARD, FIRST, WILDCARD, 0, 0, 0, 0, 1)
    connection = listener._replace(state="ESTABLISHED", local_address=LOOPBACK, remote_address=LOOPBACK)

    def judge(word: str) -> None:
        here = kinds.by_port([listener] * int(word))
        for _ in range(5000):
            assert kinds.has_listener(connection, here)

    assert seconds(judge, "100") < 5 * seconds(judge, "1")

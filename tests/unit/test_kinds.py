"""What a socket is, by which evidence: a table, and the properties that hold for all."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.bind import hold
from portwait.diagnosis import kinds
from portwait.model.kind import Kind
from portwait.model.sockets import KernelSocket, TcpInfo
from tests.support.states import WILDCARD

ESTABLISHED = KernelSocket(
    family=socket.AF_INET,
    protocol="tcp",
    state="ESTABLISHED",
    expires=None,
    local_address="10.0.0.1",
    local_port=30010,
    remote_address="10.0.0.2",
    remote_port=7000,
    interface=0,
    cookie=1,
    uid=0,
    inode=5,
)


def info(control: int | None, *, unacked: int = 0, not_sent: int | None = 0) -> TcpInfo:
    return TcpInfo(unacked, 0, 0, control, not_sent)


def tcp(state: str = "ESTABLISHED", control: int | None = None, **how: Any) -> KernelSocket:
    known = None if control is None else info(control)
    return ESTABLISHED._replace(**{"state": state, "info": known, **how})


def listener(address: str, port: int) -> KernelSocket:
    return tcp("LISTEN", local_address=address, local_port=port, remote_address=WILDCARD, remote_port=0)


def in_flight(control: int, queue: int, not_sent: int = 0) -> KernelSocket:
    """Have this number of bytes queued, of which some were sent: these are missing in the count."""
    return tcp(info=info(control - (queue - not_sent), unacked=1, not_sent=not_sent), send_queue=queue)


@pytest.mark.parametrize(
    ("which", "kind"),
    [
        (tcp("LISTEN"), Kind("listener", "state")),
        (tcp("TIME_WAIT", inode=0), Kind("time-wait", "state")),
        *[(tcp(state, 1), Kind("closing", "state")) for state in ("FIN_WAIT1", "FIN_WAIT2", "CLOSING", "LAST_ACK")],
        (tcp("SYN_SENT"), Kind("outbound", "state")),
        (tcp("SYN_RECV", inode=0), Kind("accepted", "state")),
        (tcp("SYN_RECV"), Kind("unknown", "none")),
        (tcp(control=1), Kind("outbound", "syn-count")),
        (tcp(control=0), Kind("accepted", "syn-count")),
        (tcp(control=0, inode=0), Kind("accepted", "syn-count")),
        (tcp("CLOSE_WAIT", 1), Kind("outbound", "syn-count")),
        (tcp("CLOSE_WAIT", 0), Kind("accepted", "syn-count")),
        (tcp(control=2), Kind("unknown", "none")),
        (tcp(control=-7), Kind("unknown", "none")),
        (tcp(), Kind("unknown", "none")),
        (tcp(info=info(None)), Kind("unknown", "none")),
        (tcp(info=info(1, unacked=1)), Kind("unknown", "none")),
        (in_flight(1, 500), Kind("unknown", "none")),
        (tcp(remote_address="10.0.0.1", remote_port=30010, control=1), Kind("self-connect", "ends")),
        (tcp("CLOSE", remote_port=0), Kind("bound", "state")),
        (tcp("CLOSE", local_address="::", traffic_class=hold.MARK), Kind("hold", "mark")),
        (tcp("CLOSE", local_address=WILDCARD, traffic_class=hold.MARK), Kind("hold", "mark")),
        (tcp("CLOSE", local_address=hold.LAST, traffic_class=hold.MARK), Kind("hold", "mark")),
        (tcp("CLOSE", local_address="10.0.0.1", traffic_class=hold.MARK), Kind("bound", "state")),
        (tcp("CLOSE", local_address="::", traffic_class=0), Kind("bound", "state")),
        (tcp("CLOSE", protocol="udp"), Kind("bound", "state")),
        (tcp("ESTABLISHED", protocol="udp"), Kind("outbound", "state")),
    ],
)
def test_what_one_look_shows(which: KernelSocket, kind: Kind) -> None:
    """By its state, its ends, its mark, or by whose SYN was acknowledged; else unknown."""
    assert kinds.classify(which) == kind


@pytest.mark.parametrize(
    ("before", "now", "kind"),
    [
        (in_flight(1, 500), in_flight(1, 500), Kind("outbound", "syn-count")),
        (in_flight(0, 500), in_flight(0, 500), Kind("accepted", "syn-count")),
        (in_flight(1, 900, 400), in_flight(1, 900, 400), Kind("outbound", "syn-count")),
        (in_flight(1, 500), tcp(control=1), Kind("outbound", "syn-count")),
        (in_flight(1, 500), in_flight(1, 700), Kind("unknown", "none")),
        (tcp(), in_flight(1, 500), Kind("unknown", "none")),
        (
            tcp(info=info(-500, unacked=1, not_sent=None)),
            tcp(info=info(-500, unacked=1, not_sent=None)),
            Kind("unknown", "none"),
        ),
        (tcp(info=info(None, unacked=1)), tcp(info=info(None, unacked=1)), Kind("unknown", "none")),
        (in_flight(3, 500), in_flight(3, 500), Kind("unknown", "none")),
    ],
    ids=[
        *("client", "server", "with more queued", "acknowledged since", "still moving", "nothing known before"),
        *("old kernel", "no count", "nonsense"),
    ],
)
def test_what_a_second_look_shows(before: KernelSocket, now: KernelSocket, kind: Kind) -> None:
    """Data in flight is counted once it stands still: the two numbers are read one after the other."""
    assert kinds.classify(now, before) == kind


@pytest.mark.parametrize(
    ("peer", "kind"),
    [
        (tcp(control=0), Kind("outbound", "peer")),
        (tcp(control=1), Kind("accepted", "peer")),
        (tcp("CLOSE_WAIT", 0), Kind("outbound", "peer")),
        (in_flight(1, 500), Kind("unknown", "none")),
        (tcp("FIN_WAIT2", 2), Kind("unknown", "none")),
        (tcp(remote_address="10.0.0.1", remote_port=30010), Kind("unknown", "none")),
    ],
)
def test_what_the_other_end_shows(peer: KernelSocket, kind: Kind) -> None:
    """Whoever faces one that accepted has called connect(), and the other way round."""
    assert kinds.by_peer(peer) == kind


LOCAL = tcp(remote_address="127.0.0.1", local_address="127.0.0.1")


@pytest.mark.parametrize(
    ("which", "listeners", "kind"),
    [
        (tcp(), [listener("10.0.0.1", 30010)], Kind("accepted", "listener")),
        (tcp(), [listener(WILDCARD, 30010)], Kind("accepted", "listener")),
        (tcp(), [listener("::", 30010)], Kind("accepted", "listener")),
        (tcp(), [listener("10.0.0.9", 30010)], Kind("unknown", "none")),
        (tcp(), [listener(WILDCARD, 7000)], Kind("unknown", "none")),
        (tcp(), [listener("10.0.0.2", 7000)], Kind("outbound", "remote-listener")),
        (LOCAL, [listener(WILDCARD, 7000)], Kind("outbound", "remote-listener")),
        (tcp(remote_address="127.0.0.9"), [listener(WILDCARD, 7000)], Kind("outbound", "remote-listener")),
        (tcp(local_address="::1", remote_address="::1"), [listener("::", 7000)], Kind("outbound", "remote-listener")),
        (tcp(remote_address="::ffff:10.0.0.1"), [listener(WILDCARD, 7000)], Kind("outbound", "remote-listener")),
        (LOCAL, [listener(WILDCARD, 7000), listener(WILDCARD, 30010)], Kind("unknown", "none")),
        (LOCAL, [], Kind("unknown", "none")),
    ],
)
def test_who_listens_is_the_next_best_evidence(which: KernelSocket, listeners: list[KernelSocket], kind: Kind) -> None:
    """Only where one end alone has a listener, and the other end's counts only on this host."""
    assert kinds.by_listener(which, kinds.by_port(listeners)) == kind
    assert not kind.proved


OUTBOUND, COUNTED = Kind("outbound", "state"), Kind("outbound", "syn-count")
HERE = listener("10.0.0.1", 30010)


@pytest.mark.parametrize(
    ("kind", "sock", "listeners", "result"),
    [
        (COUNTED, tcp(control=1), [HERE], Kind("unknown", "beside-listener")),
        (COUNTED, tcp(control=1), [listener("::", 30010)], Kind("unknown", "beside-listener")),
        (Kind("outbound", "peer"), tcp(), [HERE], Kind("unknown", "beside-listener")),
        (COUNTED, tcp(control=1), [], COUNTED),
        (COUNTED, tcp(control=1), [listener("10.0.0.9", 30010)], COUNTED),
        (COUNTED, tcp(control=1), [listener("10.0.0.2", 7000)], COUNTED),
        (COUNTED, tcp(control=1), [HERE._replace(interface=3)], COUNTED),
        (COUNTED, tcp(control=1, interface=3), [HERE], Kind("unknown", "beside-listener")),
        (OUTBOUND, tcp("SYN_SENT"), [HERE], OUTBOUND),
        (OUTBOUND, tcp(protocol="udp"), [HERE], OUTBOUND),
        (Kind("accepted", "syn-count"), tcp(control=0), [HERE], Kind("accepted", "syn-count")),
        (Kind("closing", "state"), tcp("FIN_WAIT2", 2), [HERE], Kind("closing", "beside-listener")),
        (Kind("closing", "state"), tcp("FIN_WAIT2", 2, inode=0), [HERE], Kind("closing", "state")),
        (Kind("self-connect", "ends"), tcp(control=1), [HERE], Kind("self-connect", "ends")),
    ],
)
def test_beside_a_listener_nothing_is_proved_outbound(
    kind: Kind, sock: KernelSocket, listeners: list[KernelSocket], result: Kind
) -> None:
    """At its own address, port and interface; a count can be that of another life (TCP_REPAIR)."""
    grouped = kinds.by_port(listeners)
    assert kinds.doubted(kind, sock, grouped) == result
    if result.evidence == "beside-listener":
        entry = (result, sock)
        both = [(Kind("listener", "state"), listeners[0]), entry]
        assert kinds.in_the_way(both, reuseaddr=True, held=True) == both[:1]
        assert kinds.in_the_way(both, reuseaddr=False, held=True) == both


@pytest.mark.parametrize(
    ("address", "v6only", "hidden"),
    [
        (WILDCARD, None, {"127.0.0.1", "::ffff:127.0.0.1"}),
        ("::", False, {"127.0.0.1", "::ffff:127.0.0.1", "::1"}),
        ("::", True, {"::1"}),
        ("127.0.0.1", None, {"127.0.0.1", "::ffff:127.0.0.1"}),
        ("127.0.0.2", None, set()),
        ("::1", False, {"::1"}),
    ],
    ids=["ipv4", "dual-stack", "ipv6", "one address", "another address", "one ipv6 address"],
)
def test_what_a_listener_hides(address: str, *, v6only: bool | None, hidden: set[str]) -> None:
    """Its own connections and leftovers; those of an address that it does not listen at are in the way themselves."""
    server = listener(address, 30010)._replace(v6only=v6only)
    for name in ("accepted", "time-wait", "closing", "outbound"):
        for theirs in ("127.0.0.1", "::ffff:127.0.0.1", "::1"):
            both = [(Kind("listener", "state"), server), (Kind(name, "state"), tcp(local_address=theirs))]
            shown = kinds.in_the_way(both, reuseaddr=True, held=True)
            assert shown == (both[:1] if theirs in hidden and name != "outbound" else both)


def test_a_hold_is_in_nobodys_way_unless_bind_says_so() -> None:
    """It has SO_REUSEADDR; what has its mark, and is in the way of a service that has that too, is no hold."""
    marked = (Kind("hold", "mark"), tcp("CLOSE", local_address="::", remote_port=0))
    assert kinds.in_the_way([marked], reuseaddr=True, held=False) == []
    assert kinds.in_the_way([marked], reuseaddr=True, held=True) == [(Kind("bound", "state"), marked[1])]
    assert kinds.in_the_way([marked], reuseaddr=False, held=True) == [marked]
    client = (COUNTED, tcp(control=1))
    assert kinds.in_the_way([marked, client], reuseaddr=True, held=True) == [client]
    udp = (Kind("hold", "mark"), marked[1]._replace(protocol="udp"))
    assert kinds.in_the_way([udp], reuseaddr=True, held=True) == [udp]


@given(some.integers(-(2**63), 2**64), some.integers(0, 5), some.integers(0, 2**32 - 1), some.integers(0, 2**32 - 1))
def test_a_direction_is_proved_or_unknown(control: int, unacked: int, not_sent: int, queue: int) -> None:
    """One look never guesses."""
    which = tcp(info=info(control, unacked=unacked, not_sent=not_sent), send_queue=queue)
    for kind in (kinds.classify(which), kinds.classify(which, which)):
        assert kind.proved or kind == Kind("unknown", "none")
    if unacked == 0:
        assert (kinds.classify(which).name == "unknown") == (control not in (0, 1))

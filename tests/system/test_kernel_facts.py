"""The facts of the kernel on which the code relies, shown with plain sockets and none of our own code.

Where one of these fails, a design decision has lost its ground: change the design, not the test.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import states
from tests.support.blockers import BLOCKERS
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE, eventually
from tests.support.states import LOOPBACK, MAPPED, WILDCARD, bound_only, listening, outbound_established, service_bind

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.support.blockers import Maker

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("net")]

PORT = 30010
OK, IN_USE, NO_PORT_LEFT = "ok", "EADDRINUSE", "EADDRNOTAVAIL"


class Hold(NamedTuple):
    """A kind of hold: bound, never listening, with SO_REUSEADDR and SO_REUSEPORT."""

    address: str
    v6only: bool = False

    def stands(self) -> AbstractContextManager[states.Bound]:
        return bound_only(PORT, address=self.address, v6only=self.v6only, reuseaddr=True, reuseport=True)


V6ONLY, DUAL_STACK, IPV4 = Hold("::", v6only=True), Hold("::"), Hold("127.255.255.254")
every_hold = pytest.mark.parametrize("hold", [V6ONLY, DUAL_STACK, IPV4], ids=["v6only", "dual-stack", "ipv4"])


def answer(maker: Maker, **how: Any) -> str:
    """Make a state on PORT and undo it: `ok`, or the name of the errno that the kernel had for it."""
    try:
        with maker(PORT, **how):
            return OK
    except OSError as error:
        return errno.errorcode[error.errno or 0]


client = partial(answer, outbound_established)
udp_client = partial(answer, states.udp_connected)
server = partial(answer, states.accepted)  # binds, listens, and accepts a client


class TestStates:
    """The makers make what they say, by the word of `ss`, and leave nothing on the port."""

    @pytest.mark.parametrize("address", [LOOPBACK, "::1", MAPPED], ids=["ipv4", "ipv6", "mapped"])
    @pytest.mark.parametrize(
        ("there", "state"),
        [
            ("established", "ESTAB"),
            ("close-wait", "CLOSE-WAIT"),
            ("time-wait", "TIME-WAIT"),
            ("fin-wait2", "FIN-WAIT-2"),
            ("fin-wait2-orphan", "FIN-WAIT-2"),
            ("fin-wait1-orphan", "FIN-WAIT-1"),
            ("closing-orphan", "CLOSING"),
            ("last-ack-orphan", "LAST-ACK"),
            ("syn-sent", "SYN-SENT"),
            ("self-connect", "ESTAB"),
            ("leftover", "ESTAB"),
            ("server-time-wait", "TIME-WAIT"),
            ("udp-connected", "ESTAB"),
        ],
    )
    def test_ss_agrees(self, there: str, state: str, address: str) -> None:
        with BLOCKERS[there](PORT, address=address) as made:
            shown = subprocess.check_output(["ss", "-Htuanp", f"sport = :{PORT}"], text=True).split()
            owned = made.sock.fileno() != -1
        assert [shown[1], *shown[4:6]] == [state, made.local, made.remote]
        assert (f"pid={os.getpid()}," in shown[-1]) == owned
        left = ["TIME_WAIT"] if state == "TIME-WAIT" else []
        eventually(lambda: states.states_on(PORT) == left, "the reset of the others")  # on a loaded machine not at once

    def test_each_end_of_a_shared_port_differs(self) -> None:
        with states.shared_local_port(PORT, 5) as shared:
            assert {made.local for made in shared} == {f"{LOOPBACK}:{PORT}"}
            assert len({made.remote for made in shared}) == 5
            assert states.states_on(PORT) == ["ESTABLISHED"] * 5


class TestBind:
    """What bind() says depends on what is there, and on SO_REUSEADDR of both sides."""

    @pytest.mark.parametrize("address", [WILDCARD, "::"], ids=["ipv4", "dual-stack"])
    @pytest.mark.parametrize(
        ("there", "plain", "reuseaddr"),
        [
            ("established", IN_USE, IN_USE),
            ("established-reuseaddr", IN_USE, OK),
            ("established-mapped", IN_USE, IN_USE),
            ("established-ipv6", IN_USE, IN_USE),
            ("established-bound-first", IN_USE, IN_USE),
            ("close-wait", IN_USE, IN_USE),
            ("time-wait", IN_USE, IN_USE),
            ("fin-wait2", IN_USE, IN_USE),
            ("fin-wait2-orphan", IN_USE, IN_USE),
            ("fin-wait1-orphan", IN_USE, IN_USE),
            ("closing-orphan", IN_USE, IN_USE),
            ("last-ack-orphan", IN_USE, IN_USE),
            ("syn-sent", IN_USE, IN_USE),
            ("self-connect", IN_USE, IN_USE),
            ("server-time-wait", IN_USE, OK),
            ("leftover", IN_USE, OK),
            ("leftover-plain", IN_USE, IN_USE),
            ("bound", IN_USE, IN_USE),
            ("bound-reuseaddr", IN_USE, OK),
            ("listener", IN_USE, IN_USE),
        ],
    )
    def test_against_what_is_there(self, there: str, plain: str, reuseaddr: str, address: str) -> None:
        with BLOCKERS[there](PORT):
            assert service_bind(PORT, address) == plain
            assert service_bind(PORT, address, reuseaddr=True) == reuseaddr

    @pytest.mark.parametrize(
        ("of", "address", "v6only", "said"),
        [
            (LOOPBACK, LOOPBACK, False, IN_USE),
            (LOOPBACK, "127.0.0.2", False, OK),
            (LOOPBACK, "::1", False, OK),
            (LOOPBACK, "::", True, OK),
            (MAPPED, LOOPBACK, False, IN_USE),
            (MAPPED, "127.0.0.2", False, OK),
            (MAPPED, "::", True, OK),
            ("::1", WILDCARD, False, IN_USE),
            ("::1", LOOPBACK, False, OK),
            ("::1", "::", True, IN_USE),
        ],
    )
    def test_addresses_count(self, of: str, address: str, v6only: bool, said: str) -> None:
        """Another address, or the other family alone, is free; but a connection of ::1 blocks 0.0.0.0."""
        with outbound_established(PORT, address=of):
            assert service_bind(PORT, address, v6only=v6only) == said

    def test_all_that_share_a_port_block(self) -> None:
        """The port is free when the last of several connections has gone, and not before."""
        with states.shared_local_port(PORT, 3) as shared:
            for made in shared:
                assert service_bind(PORT, reuseaddr=True) == IN_USE
                states.reset(made.sock)
            assert service_bind(PORT) == OK

    def test_self_connect(self) -> None:
        """A client of a dead local port can be given that port, and then is its own server."""
        with states.self_connected(PORT) as made:
            assert made.local == made.remote
            made.sock.sendall(b"echo")
            assert made.sock.recv(4) == b"echo"

    def test_udp_client_blocks_udp(self) -> None:
        with states.udp_connected(PORT):
            for address in WILDCARD, "::", LOOPBACK:
                assert service_bind(PORT, address, udp=True) == IN_USE
                assert service_bind(PORT, address, udp=True, reuseaddr=True) == IN_USE
            assert service_bind(PORT, "127.0.0.2", udp=True) == OK

    def test_tcp_and_udp_do_not_meet(self) -> None:
        with states.udp_connected(PORT):
            assert service_bind(PORT) == OK
        with outbound_established(PORT):
            assert service_bind(PORT, udp=True) == OK

    @pytest.mark.parametrize("ports", ["32768 60999", "1024 65000", "1025 65001"])
    def test_parity(self, ports: str) -> None:
        """connect() picks ports of the parity of the range's low end, bind(0) those of the other one."""
        low = int(ports.partition(" ")[0])
        sysctl("net.ipv4.ip_local_port_range", ports)
        with listening(7000, address=LOOPBACK):
            for _ in range(100):
                with socket.create_connection((LOOPBACK, 7000)) as picked, socket.create_server((LOOPBACK, 0)) as bound:
                    assert picked.getsockname()[1] % 2 == low % 2
                    assert bound.getsockname()[1] % 2 != low % 2


class TestHold:
    """What a bound socket that never listens keeps away, and what it lets through."""

    @every_hold
    @pytest.mark.parametrize("address", [LOOPBACK, "::1", MAPPED], ids=["ipv4", "ipv6", "mapped"])
    def test_connect_never_gets_the_port(self, hold: Hold, address: str) -> None:
        """Any bound socket on a port makes connect() skip it, whatever the family."""
        assert client(address=address) == OK
        with hold.stands():
            assert client(address=address) == NO_PORT_LEFT
        assert client(address=address) == OK

    @pytest.mark.parametrize(
        ("hold", "address", "said"),
        [(V6ONLY, LOOPBACK, OK), (V6ONLY, "::1", IN_USE), (DUAL_STACK, LOOPBACK, IN_USE), (DUAL_STACK, "::1", IN_USE)],
    )
    def test_bind_first_clients(self, hold: Hold, address: str, said: str) -> None:
        """A client that calls bind(address, 0) before connect() passes the V6ONLY hold on IPv4, and no other."""
        with hold.stands():
            assert client(address=address, by="bind") == said

    @pytest.mark.parametrize(
        ("hold", "address", "plain"),
        [
            (V6ONLY, WILDCARD, OK),
            (V6ONLY, LOOPBACK, OK),
            (V6ONLY, "::", IN_USE),
            (V6ONLY, "::1", IN_USE),
            (DUAL_STACK, WILDCARD, IN_USE),
            (DUAL_STACK, LOOPBACK, IN_USE),
            (DUAL_STACK, "::", IN_USE),
            (DUAL_STACK, "::1", IN_USE),
            (IPV4, WILDCARD, IN_USE),
            (IPV4, LOOPBACK, OK),
            (IPV4, "::", IN_USE),
            (IPV4, "::1", OK),
        ],
    )
    def test_services(self, hold: Hold, address: str, plain: str) -> None:
        """With SO_REUSEADDR every service listens and is reached; without it, only where the hold does not conflict."""
        with hold.stands():
            assert server(address=address, reuseaddr=False) == plain
            assert server(address=address, reuseaddr=True) == OK

    def test_reuseport_services(self) -> None:
        """A service with SO_REUSEPORT alone binds over a hold of its own user, not over another user's."""
        with V6ONLY.stands():
            assert service_bind(PORT, "::", reuseport=True) == OK
            os.seteuid(65534)
            try:
                assert service_bind(PORT, "::", reuseport=True) == IN_USE
                assert service_bind(PORT, "::", reuseaddr=True) == OK
            finally:
                os.seteuid(0)

    def test_a_number_passes(self) -> None:
        """A hold stops the kernel's own choice, not a client that asks for the port by number."""
        with V6ONLY.stands():
            assert client(by="number") == OK
        with DUAL_STACK.stands():
            assert client(by="number") == IN_USE
            assert client(by="number", reuseaddr=True) == OK

    def test_two_holds_one_listener(self) -> None:
        """Two guards can hold one port, and both services bind; the second listen() fails."""
        with (
            V6ONLY.stands(),
            V6ONLY.stands(),
            bound_only(PORT, address="::", reuseaddr=True) as first,
            bound_only(PORT, address="::", reuseaddr=True) as second,
        ):
            first.sock.listen()
            with pytest.raises(OSError, match=os.strerror(errno.EADDRINUSE)):
                second.sock.listen()

    def test_where_ipv6_is_disabled_by_sysctl(self) -> None:
        """Such a host still lets `[::]` V6ONLY be bound, and it still keeps connect() away."""
        sysctl("net.ipv6.conf.all.disable_ipv6", "1")
        with V6ONLY.stands():
            assert client() == NO_PORT_LEFT


class TestHoldBesideBlockers:
    """The hold can stand before the blocker has gone."""

    @pytest.mark.parametrize(
        ("there", "v6only", "ipv4"),
        [
            ("established", OK, OK),
            ("established-mapped", OK, OK),
            ("time-wait", OK, OK),
            ("fin-wait2-orphan", OK, OK),
            ("syn-sent", OK, OK),
            ("self-connect", OK, OK),
            ("bound", OK, OK),
            ("established-ipv6", IN_USE, OK),
            ("time-wait-ipv6", IN_USE, OK),
            ("listener", OK, IN_USE),
            ("listener-dual-stack", IN_USE, IN_USE),
        ],
    )
    def test_where_it_stands(self, there: str, v6only: str, ipv4: str) -> None:
        """`[::]` V6ONLY stands over IPv4, 127.255.255.254 over other addresses, neither over a dual-stack listener."""
        how = {"reuseaddr": True, "reuseport": True}
        with BLOCKERS[there](PORT):
            assert answer(bound_only, address=V6ONLY.address, v6only=True, **how) == v6only
            assert answer(bound_only, address=IPV4.address, **how) == ipv4

    def test_it_would_fail_an_ipv4_listeners_dual_stack_restart(self) -> None:
        """So it must not be taken beside a listener that lets it: that owner may come back without SO_REUSEADDR."""
        with listening(PORT), V6ONLY.stands():
            pass
        with V6ONLY.stands():
            assert server(address="::", reuseaddr=False) == IN_USE

    @pytest.mark.parametrize(("hold", "address"), [(V6ONLY, LOOPBACK), (V6ONLY, MAPPED), (IPV4, "::1")])
    def test_nobody_joins_and_nobody_follows(self, hold: Hold, address: str) -> None:
        """Before it a second connection could share the port; after it none can, nor take it when the first ends."""
        with outbound_established(PORT, address=address) as blocker:
            assert client(address=address) == OK
            with hold.stands():
                assert client(address=address) == NO_PORT_LEFT
                states.reset(blocker.sock)
                assert client(address=address) == NO_PORT_LEFT
                assert server(address="::") == OK

    def test_the_better_hold_can_follow(self) -> None:
        """Over an IPv6 blocker 127.255.255.254 waits; `[::]` V6ONLY joins it when the blocker has gone."""
        with outbound_established(PORT, address="::1") as blocker, IPV4.stands() as first:
            states.reset(blocker.sock)
            with V6ONLY.stands():
                first.sock.close()
                assert client() == client(address="::1") == NO_PORT_LEFT

    @every_hold
    @pytest.mark.parametrize("address", [WILDCARD, "::"], ids=["ipv4", "dual-stack"])
    def test_probe_and_hold_overlap(self, hold: Hold, address: str) -> None:
        """A probe with SO_REUSEADDR can stay until the hold stands, and can be asked again while it does."""
        with bound_only(PORT, address=address, reuseaddr=True) as probe:
            assert client() == NO_PORT_LEFT
            with hold.stands():
                probe.sock.close()
                assert client() == NO_PORT_LEFT
                assert service_bind(PORT, address, reuseaddr=True) == OK

    def test_plain_probe_and_hold(self) -> None:
        """A probe without SO_REUSEADDR goes with the V6ONLY hold on IPv4 only."""
        with V6ONLY.stands():
            assert service_bind(PORT, WILDCARD) == OK
            assert service_bind(PORT, "::") == IN_USE


class TestUdp:
    """UDP is different: a bound socket receives."""

    def test_v6only_does_not_keep_ipv4_away(self) -> None:
        """The kernel's choice for UDP compares addresses."""
        with states.udp_bound(PORT, address="::", v6only=True, reuseaddr=True):
            assert udp_client() == OK

    @pytest.mark.parametrize("address", [LOOPBACK, "::1", MAPPED], ids=["ipv4", "ipv6", "mapped"])
    def test_the_full_hold_keeps_both_families_away(self, address: str) -> None:
        with states.udp_bound(PORT, address=IPV4.address, reuseaddr=True):
            assert udp_client(address=address) != OK

    def test_the_full_hold_and_the_service(self) -> None:
        """A wildcard service needs SO_REUSEADDR over it, and then receives all that is meant for it."""
        with states.udp_bound(PORT, address=IPV4.address, reuseaddr=True) as hold:
            assert service_bind(PORT, udp=True) == IN_USE
            with states.udp_bound(PORT, address=WILDCARD, reuseaddr=True) as service:
                assert shares(service, hold, of=20) == (20, 0)

    def test_reuseport_hold_would_take_datagrams(self) -> None:
        """So a UDP hold must not have SO_REUSEPORT: the kernel spreads the datagrams over the group."""
        with (
            states.udp_bound(PORT, address=WILDCARD, reuseport=True) as hold,
            states.udp_bound(PORT, address=WILDCARD, reuseport=True) as service,
        ):
            assert shares(service, hold, of=100)[1] > 0

    def test_reuseaddr_probe_would_take_datagrams(self) -> None:
        """So a UDP probe must not set SO_REUSEADDR: beside a live server that has it, the last one bound gets all."""
        with (
            states.udp_bound(PORT, address=WILDCARD, reuseaddr=True) as service,
            states.udp_bound(PORT, address=WILDCARD, reuseaddr=True) as probe,
        ):
            assert shares(service, probe, of=100) == (0, 100)
            probe.sock.close()
            assert service_bind(PORT, udp=True) == IN_USE


def shares(one: states.Bound, other: states.Bound, *, of: int) -> tuple[int, int]:
    """Send datagrams to PORT, each from a socket of its own, and count how many each of two sockets receives."""
    for _ in range(of):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"?", (LOOPBACK, PORT))
    counts = {one.sock: 0, other.sock: 0}
    for _ in range(of):
        ready = select.select(list(counts), [], [], DEADLINE)[0]
        assert ready, "a datagram was lost"
        ready[0].recv(1)
        counts[ready[0]] += 1
    return counts[one.sock], counts[other.sock]

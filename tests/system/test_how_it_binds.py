"""Services that bind in their own way: SO_REUSEPORT, IP_FREEBIND, to a device."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait import parse, probe
from portwait.bind.probe import bind
from tests.support.guarding import GAVE_UP, STARTED, guard
from tests.support.programs import running
from tests.support.states import outbound_established

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
NOBODY = 65534
V4, V6 = "0.0.0.0", "::"  # noqa: S104  # inside a private network


@contextlib.contextmanager
def bound(
    address: str, *, udp: bool = False, reuseport: bool = False, v6only: bool = True, device: str = "", uid: int = 0
) -> Iterator[socket.socket]:
    """Bind PORT and, for TCP, listen; a socket belongs to the user who made it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    os.seteuid(uid)
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    finally:
        os.seteuid(0)
    with sock:
        if reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        if device:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        sock.bind((address, PORT))
        if not udp:
            sock.listen()
        yield sock


PROBES = """
import select, sys
from portwait import parse, probe
(target,) = parse(sys.argv[1:2], reuseport=sys.argv[2] == "reuseport")
probed = 0
while not select.select([0], [], [], 0)[0]:
    probe(target)
    probed += 1
    if probed == 4_000:
        print("probed", flush=True)
"""


def verdict(word: str, *, reuseport: bool = True) -> str:
    """Ask bind() about one target of a service that sets SO_REUSEPORT."""
    (target,) = parse([word], reuseport=reuseport)
    return probe(target).state


class TestReuseport:
    @pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
    def test_a_new_process_starts_beside_the_old_one(self, udp: bool) -> None:
        """With --reuseport; without it the port is held."""
        word = f"{PORT}/udp" if udp else str(PORT)
        with bound(V4, udp=udp, reuseport=True):
            assert guard("--reuseport", "-t0", word, "--", *STARTED).started
            assert guard("-t0", word, "--", *STARTED).status == GAVE_UP
            done = guard("-t0", word, env={**os.environ, "PORTWAIT_REUSEPORT": "1"})
            assert (done.status, done.err) == (0, "")

    @pytest.mark.parametrize(
        ("there", "word", "state"),
        [
            ([(V4, True, 0)], "30010", "free"),
            ([(V4, False, 0)], "30010", "held"),
            ([(V4, True, NOBODY)], "30010", "held"),
            ([(V6, True, 0)], "30010", "free"),
            ([(V6, False, 0)], "30010", "held"),
            ([(V4, True, 0), (V6, False, 0)], "30010", "held"),
            ([(V6, True, 0), (V4, False, 0)], "30010", "held"),
            ([(V4, True, 0), (V6, True, 0)], "30010", "free"),
            ([(V4, False, 0)], "[::1]:30010", "free"),
            ([("127.0.0.1", True, 0)], "30010", "free"),
            ([("127.0.0.1", False, 0)], "30010", "held"),
            ([("127.0.0.1", True, 0)], "127.0.0.1:30010", "free"),
            ([("127.0.0.1", False, 0)], "127.0.0.1:30010", "held"),
            ([("127.0.0.1", True, NOBODY)], "127.0.0.1:30010", "held"),
            ([(V4, True, 0)], "127.0.0.1:30010", "free"),
            ([(V4, False, 0)], "127.0.0.1:30010", "held"),
            ([("127.0.0.1", True, 0), ("127.0.0.2", False, 0)], "127.0.0.1:30010", "free"),
            ([("127.0.0.1", True, 0), ("127.0.0.2", False, 0)], "30010", "held"),
            ([("127.0.0.1", False, 0), ("127.0.0.2", True, 0)], "127.0.0.1:30010", "held"),
            ([("127.0.0.1", True, NOBODY), ("127.0.0.2", False, 0)], "127.0.0.1:30010", "held"),
            ([("127.0.0.1", True, 0), ("127.0.0.2", True, NOBODY)], "127.0.0.1:30010", "free"),
            ([("::1", True, 0)], "[::1]:30010", "free"),
            ([("::1", False, 0)], "[::1]:30010", "held"),
            ([], "30010", "free"),
        ],
        ids=str,
    )
    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_what_it_may_join(self, there: list[tuple[str, bool, int]], word: str, state: str, protocol: str) -> None:
        """Sockets of the same user that set SO_REUSEPORT too; `there` is address, SO_REUSEPORT and user of each."""
        with contextlib.ExitStack() as stack:
            for address, reuseport, uid in there:
                stack.enter_context(bound(address, udp=protocol == "udp", reuseport=reuseport, uid=uid))
            assert verdict(f"{word}/{protocol}") == state

    @pytest.mark.parametrize("word", ["30010/udp", "0.0.0.0:30010/udp", "127.0.0.1:30010/udp"])
    def test_two_udp_sockets_and_what_the_kernel_says(self, word: str) -> None:
        """The kernel stops at the first socket that may be joined, so their order counts; a probe says what it says."""
        sockets = [*itertools.product((V4, V6, "127.0.0.1", "127.0.0.2", "::1"), (True, False), (0, NOBODY))]
        (target,) = parse([word], reuseport=True)
        tried = 0
        for pair in itertools.product(sockets, repeat=2):
            with contextlib.ExitStack() as stack:
                try:
                    for address, reuseport, uid in pair:
                        stack.enter_context(bound(address, udp=True, reuseport=reuseport, uid=uid))
                except OSError:  # these two cannot stand beside each other
                    continue
                said = probe(target).state
                try:
                    bind(target, reuseaddr=True, joins=True).close()
                except OSError:
                    assert said == "held", pair
                else:
                    assert said == "free", pair
                tried += 1
        assert tried > 100

    @pytest.mark.parametrize(("reuseport", "state"), [(False, "held"), (True, "free")])
    @pytest.mark.parametrize("protocol", ["tcp", "udp"])
    def test_what_is_bound_to_an_interface(self, protocol: str, reuseport: bool, state: str) -> None:
        """It is in the way of a service that is bound to none, as any other."""
        with bound("127.0.0.1", udp=protocol == "udp", reuseport=reuseport, device="lo"):
            assert verdict(f"127.0.0.1:{PORT}/{protocol}") == state

    @pytest.mark.parametrize(
        ("server", "to", "word"),
        [
            (V4, "127.0.0.1", "30010/udp"),
            ("127.0.0.1", "127.0.0.1", "30010/udp"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1:30010/udp"),
            (V4, "127.0.0.1", "127.0.0.1:30010/udp"),
            (V6, "::1", "30010/udp"),
            ("::1", "::1", "[::1]:30010/udp"),
            (V6, "::1", "[::1]:30010/udp"),
        ],
    )
    @pytest.mark.parametrize("reuseport", [False, True])
    def test_a_udp_probe_takes_no_datagrams(self, server: str, to: str, word: str, reuseport: bool) -> None:
        """A live server gets all of them, however often the port is probed meanwhile."""
        argv = [sys.executable, "-c", PROBES, word, "reuseport" if reuseport else ""]
        sent = 0
        with bound(server, udp=True, reuseport=True) as sock, socket.socket(sock.family, socket.SOCK_DGRAM) as client:
            sock.settimeout(5)
            with running(argv, stdin=subprocess.PIPE) as probes:
                while sent < 1000 or "probed" not in probes.out:
                    client.sendto(b"%d" % sent, (to, PORT))
                    assert sock.recv(99) == b"%d" % sent
                    assert probes.process.poll() is None, probes.describe()
                    sent += 1
                probes.tell("enough")
                assert probes.status() == 0, probes.describe()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
def test_a_socket_that_is_passed_on_joins(protocol: str, beside: bool) -> None:
    """It is the service's, so it receives beside the old one, and lets the next one join."""
    program = (
        "import os, socket; s = socket.socket(fileno=3); "
        "print(os.environ['LISTEN_FDS'], s.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))"
    )
    words = ("--listen", "--reuseport", "-t0", f"{PORT}/{protocol}", "--", sys.executable, "-c", program)
    with contextlib.ExitStack() as stack:
        if beside:
            stack.enter_context(bound(V4, udp=protocol == "udp", reuseport=True))
        assert guard(*words).out == "1 1\n"


@pytest.mark.parametrize("option", ["--reuseport", "--freebind"])
def test_printed_commands_have_the_option(option: str) -> None:
    """What is pasted asks about the same bind."""
    with outbound_established(PORT):
        done = guard("explain", option, "--json", str(PORT))
    (target,) = json.loads(done.out)["targets"]
    commands = [command for remedy in target["remedies"] for command in remedy["commands"]]
    evicts = [command for command in commands if "portwait evict" in command]
    assert evicts
    assert all(f" {option} " in command for command in evicts)


def test_without_a_command_nobody_blames_the_service() -> None:
    """Nothing is held there, and -v does not speak of it."""
    done = guard("-v", f"{PORT}/udp", str(PORT + 1))
    assert (done.status, done.err.count("\n")) == (0, 1)
    assert "hold" not in done.err


class TestFreebind:
    @pytest.mark.parametrize("word", ["10.99.0.1:30010", "[2001:db8::1]:30010", "10.99.0.1:30010/udp"])
    def test_an_address_that_is_not_here(self, word: str) -> None:
        """It does not keep such a service from starting, and only such a service."""
        assert guard("--freebind", "-t0", word, "--", *STARTED).started
        done = guard("-t0", "--log-format=json", word, "--", *STARTED)
        assert done.status == GAVE_UP
        assert "unavailable" in done.err

    def test_the_port_can_still_be_held(self) -> None:
        """By whoever has it on all addresses."""
        with bound(V4):
            assert guard("--freebind", "-t0", "10.99.0.1:30010").status == GAVE_UP


class TestDevice:
    @pytest.fixture(autouse=True)
    def _devices(self, net: None) -> None:  # noqa: ARG002  # in the network that it makes
        subprocess.run(["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"], check=True)

    @pytest.mark.parametrize("udp", [False, True], ids=["tcp", "udp"])
    @pytest.mark.parametrize(
        ("device", "word", "state"),
        [
            ("d0", "0.0.0.0%d0:30010", "held"),
            ("d0", "0.0.0.0%d1:30010", "free"),
            ("d0", "*%d0:30010", "held"),
            ("d0", "*%d1:30010", "free"),
            ("d0", "30010", "held"),
            ("", "*%d0:30010", "held"),
            ("d0", "*%d9:30010", "unavailable"),
        ],
    )
    def test_sockets_of_another_device_are_not_in_the_way(self, device: str, word: str, state: str, udp: bool) -> None:
        """Two DHCP servers, one for each link; the kernel compares the devices."""
        with bound(V4, udp=udp, device=device):
            (target,) = parse([f"{word}/udp" if udp else word])
            assert probe(target).state == state

    @pytest.mark.parametrize("hold", ["--hold", "--no-hold"])
    @pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM"])
    def test_the_service_starts_beside_the_other_one(self, kind: str, hold: str) -> None:
        """And beside the hold."""
        service = (
            f"import socket; s = socket.socket(socket.AF_INET, socket.{kind}); "
            "s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'd1'); s.bind(('0.0.0.0', 30010)); "
            "print('started')"
        )
        word = "0.0.0.0%d1:30010" + ("/udp" if kind == "SOCK_DGRAM" else "")
        with bound(V4, udp=kind == "SOCK_DGRAM", device="d0"):
            done = guard("-t0", hold, word, "--", sys.executable, "-c", service)
        assert done.started, done.err

    def test_explain_names_what_is_on_the_device_alone(self) -> None:
        """A socket on another device is no blocker."""
        with bound(V4, device="d0"):
            done = guard("explain", "--json", "*%d0:30010", "*%d1:30010")
        (held, free) = json.loads(done.out)["targets"]
        assert (held["verdict"], [blocker["device"] for blocker in held["blockers"]]) == ("held", ["d0"])
        assert (free["verdict"], free["blockers"]) == ("free", [])

    def test_a_device_that_is_missing_is_named(self) -> None:
        """It is the device that is not on this host."""
        done = guard("-t0", "*%d9:30010")
        assert done.status == GAVE_UP
        assert "the interface d9 is not on this host (ENODEV)" in done.err

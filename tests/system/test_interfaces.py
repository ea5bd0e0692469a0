"""Sockets that are bound to an interface: by SO_BINDTODEVICE, or by a link-local address."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from portwait._linux import links as rtnetlink
from portwait._linux.sockdiag import SockDiag
from portwait.bind import probe
from portwait.bind.choice import choose
from portwait.bind.hold import Hold
from portwait.diagnosis.interfaces import number_of
from portwait.diagnosis.overlap import overlaps, share_interface
from portwait.host import addresses
from portwait.model.case import AddressState
from portwait.model.targets import parse
from tests.support.guarding import STARTED, run, target_of
from tests.support.netns import forced_source_port
from tests.support.programs import DEADLINE, eventually, portwait
from tests.support.states import connects, reset, states_on

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
REMOTE = 7000


@pytest.fixture
def links(net: None) -> None:
    """Make two links, v0 and v1; on each we are fe80::1, and fe80::2 at its other end."""
    del net
    for name in ("v0", "v1"):
        far = f"{name}far"
        subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", far], check=True)
        for end, address in ((name, "fe80::1/64"), (far, "fe80::2/64")):
            subprocess.run(["ip", "link", "set", end, "addrgenmode", "none"], check=True)
            subprocess.run(["ip", "link", "set", end, "up"], check=True)
            subprocess.run(["ip", "-6", "address", "add", address, "dev", end, "nodad"], check=True)
    for name in ("v0", "v1"):
        eventually(lambda name=name: _binds(f"fe80::1%{name}"), f"fe80::1 on {name}")  # type: ignore[misc]  # a default argument


def _binds(address: str) -> bool:
    with socket.socket(socket.AF_INET6) as sock:
        try:
            sock.bind(socket.getaddrinfo(address, PORT, type=socket.SOCK_STREAM)[0][4])
        except OSError:
            return False
    return True


@contextlib.contextmanager
def outbound_over(name: str) -> Iterator[socket.socket]:
    """Connect from PORT to the other end of a link; the kernel chooses the port."""
    remote = socket.getaddrinfo(f"fe80::2%{name}", REMOTE, type=socket.SOCK_STREAM)[0][4]
    there = socket.getaddrinfo(f"fe80::2%{name}far", REMOTE, type=socket.SOCK_STREAM)[0][4]
    with socket.socket(socket.AF_INET6) as server, socket.socket(socket.AF_INET6) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(there)
        server.listen()
        client.settimeout(DEADLINE)
        with forced_source_port(PORT):
            client.connect(remote)
        accepted, _ = server.accept()
        try:
            yield client
        finally:
            reset(accepted)
            reset(client)


def blockers(*words: str) -> list[dict[str, Any]]:
    """Ask explain for the blockers of one target."""
    done = run([*portwait("explain", "--json", *words)])
    (target,) = json.loads(done.out)["targets"]
    return list(target["blockers"])


@pytest.mark.usefixtures("links")
class TestLinkLocal:
    def test_evict_destroys_only_what_is_on_this_link(self) -> None:
        """The same address on two links is two addresses: the connection of the other link lives."""
        with outbound_over("v0") as first, outbound_over("v1") as second:
            assert states_on(PORT) == ["ESTABLISHED", "ESTABLISHED"]
            done = run(portwait("evict", "--json", f"[fe80::1%v0]:{PORT}"))
            assert done.status == 0, done.err
            (target,) = json.loads(done.out)["targets"]
            assert [each["local"] for each in target["evicted"]] == [f"[fe80::1%v0]:{PORT}"]
            assert states_on(PORT) == ["ESTABLISHED"]
            with pytest.raises(ConnectionAbortedError):
                first.recv(1)
            second.send(b"x")

    def test_explain_names_the_link(self) -> None:
        """Both ends of such a connection carry it, and JSON has it as the device."""
        with outbound_over("v0"), outbound_over("v1"):
            for name in ("v0", "v1"):
                (blocker,) = blockers(f"[fe80::1%{name}]:{PORT}")
                assert (blocker["local"], blocker["remote"], blocker["device"]) == (
                    f"[fe80::1%{name}]:{PORT}",
                    f"[fe80::2%{name}]:{REMOTE}",
                    name,
                )
            assert {blocker["device"] for blocker in blockers(str(PORT))} == {"v0", "v1"}
            text = run(portwait("explain", str(PORT))).out
            assert f"[fe80::1%v0]:{PORT} -> [fe80::2%v0]:{REMOTE}" in text
            assert f"[fe80::1%v1]:{PORT} -> [fe80::2%v1]:{REMOTE}" in text

    def test_the_guard_waits_for_the_link_it_wants(self) -> None:
        """What is on the other link keeps nobody waiting."""
        with outbound_over("v1"):
            assert run(portwait("-t0", f"[fe80::1%v0]:{PORT}")).status == 0
            assert run(portwait("-t0", f"[fe80::1%v1]:{PORT}")).status == 124


def test_control_characters_in_a_name_are_escaped() -> None:
    """Whoever may make an interface, in a container say, chooses its name: it moves nobody's cursor."""
    name = "e\x1b[31m"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", "far"], check=True)
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())
        server.bind(("0.0.0.0", PORT))  # noqa: S104  # in a private namespace
        server.listen()
        (blocker,) = blockers(str(PORT))
        assert (blocker["local"], blocker["device"]) == (f"0.0.0.0%e\\x1b[31m:{PORT}", "e\\x1b[31m")
        assert rf"0.0.0.0%e\x1b[31m:{PORT} LISTEN" in run(portwait("explain", str(PORT))).out


DEVICES = ("", "v0", "v1", "lo")


@pytest.mark.kernel
@pytest.mark.usefixtures("links")
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
def test_the_rule_is_the_kernels(kind: socket.SocketKind) -> None:
    """Beside a socket of one device, or of none, each other socket's bind fails as the rule says."""
    for theirs in DEVICES:
        with socket.socket(socket.AF_INET, kind) as other:
            _to_device(other, theirs)
            other.bind(("0.0.0.0", PORT))  # noqa: S104  # in a private namespace
            if kind == socket.SOCK_STREAM:
                other.listen()
            with SockDiag() as tables:
                (sock,) = tables.sockets("tcp" if kind == socket.SOCK_STREAM else "udp", [(PORT, PORT)])
            assert sock.interface == _number(theirs)
            for ours in DEVICES:
                with socket.socket(socket.AF_INET, kind) as mine:
                    _to_device(mine, ours)
                    try:
                        mine.bind(("0.0.0.0", PORT))  # noqa: S104  # likewise
                        held = False
                    except OSError:
                        held = True
                assert held == share_interface(_number(ours), sock.interface), f"{ours or 'none'} beside {theirs}"


@pytest.mark.kernel
@pytest.mark.usefixtures("links")
def test_a_link_local_bind_fails_where_the_rule_says_so() -> None:
    """With the zone that the target names."""
    for name in ("v0", "v1"):
        with socket.socket(socket.AF_INET6) as other:
            other.bind(socket.getaddrinfo(f"fe80::1%{name}", PORT, type=socket.SOCK_STREAM)[0][4])
            other.listen()
            with SockDiag() as tables:
                (sock,) = tables.sockets("tcp", [(PORT, PORT)])
            for target in parse([f"[fe80::1%v0]:{PORT}", f"[fe80::1%v1]:{PORT}", f"[::]:{PORT}"]):
                held = probe.probe(target, reuseaddr=False).state == "held"
                assert overlaps(target, sock, number_of(target)) == held


@pytest.mark.usefixtures("links")
def test_a_listener_of_a_device_is_named_with_it() -> None:
    """As ss writes it, and systemd-resolved's 127.0.0.53%lo is known."""
    with socket.socket() as server:
        _to_device(server, "lo")
        server.bind(("127.0.0.53", PORT))
        server.listen()
        (blocker,) = blockers(str(PORT))
        assert (blocker["local"], blocker["device"]) == (f"127.0.0.53%lo:{PORT}", "lo")
        assert f"127.0.0.53%lo:{PORT} LISTEN" in run(portwait("explain", str(PORT))).out


def _to_device(sock: socket.socket, name: str) -> None:
    if name:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name.encode())


def _number(name: str) -> int:
    return socket.if_nametoindex(name) if name else 0


def device_of(one: Hold) -> str:
    """Name the device that a hold's socket is bound to."""
    (number,) = one.descriptors
    with socket.socket(fileno=os.dup(number)) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0").decode()


@pytest.mark.usefixtures("links")
class TestHold:
    """The hold of a target with a device is on that device."""

    def test_it_is_in_nobodys_way_on_another_link(self) -> None:
        """Not of an IPv6 service without SO_REUSEADDR either; and no connect() is given the port."""
        one = Hold(target_of(f"*%v0:{PORT}"))
        with socket.socket(socket.AF_INET6) as other:
            assert one.take()
            assert not connects(PORT)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"v1")
            other.bind(("::", PORT))
            other.listen()
        one.drop()

    def test_until_the_link_is_there_it_is_on_none(self) -> None:
        """So that the port is kept from the beginning of the wait."""
        one = Hold(target_of(f"*%v9:{PORT}"))
        assert one.take()
        assert device_of(one) == ""
        assert not connects(PORT)
        assert one.take()
        subprocess.run(["ip", "link", "add", "v9", "type", "veth", "peer", "name", "v9far"], check=True)
        assert one.take()
        assert (device_of(one), one.form) == ("v9", "v6only")
        one.drop()

    def test_one_that_comes_back_is_exchanged_where_it_is_on_another_link(self) -> None:
        """The store of systemd names a hold by its port alone."""
        first, second = Hold(target_of(f"*%v0:{PORT}")), Hold(target_of(f"*%v1:{PORT}"))
        assert first.take()
        with socket.socket(fileno=os.dup(first.descriptors[0])) as stored:
            first.drop()
            assert second.adopt(stored, "v6only")
            assert second.take()
            assert device_of(second) == "v1"
            second.drop()

    def test_explain_names_it(self) -> None:
        """To whoever asks about that device, and about all."""
        one = Hold(target_of(f"*%v0:{PORT}"))
        assert one.take()
        for word, count in ((f"*%v0:{PORT}", 1), (str(PORT), 1), (f"*%v1:{PORT}", 0)):
            (told,) = json.loads(run(portwait("explain", "--json", word)).out)["targets"]
            assert (word, told["verdict"], len(told["holds"])) == (word, "free", count)
        one.drop()


@pytest.fixture
def vrf(net: None) -> None:
    """Make a VRF, red, with a link of its own that has 192.0.2.1; nobody answers there."""
    del net
    done = subprocess.run(["ip", "link", "add", "red", "type", "vrf", "table", "10"], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"this kernel has no VRF: {done.stderr.decode()}")
    subprocess.run(["ip", "link", "add", "red0", "type", "dummy"], check=True)
    subprocess.run(["ip", "link", "set", "red0", "master", "red"], check=True)
    for link in ("red", "red0"):
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
    subprocess.run(["ip", "address", "add", "192.0.2.1/24", "dev", "red0"], check=True)


def in_vrf() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"red")
    return sock


@pytest.mark.kernel
@pytest.mark.usefixtures("vrf")
class TestVrf:
    """A service of the default VRF does not meet sockets of another one (tcp_l3mdev_accept is 0)."""

    def test_a_listener_there_is_in_nobodys_way_here(self) -> None:
        """By bind and by the tables; for a service of that VRF it is."""
        with in_vrf() as server, socket.socket() as here:
            server.bind(("", PORT))
            server.listen()
            here.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            here.bind(("", PORT))
            here.close()
            assert run(portwait("--timeout", "0", str(PORT), "--", *STARTED)).started
            assert verdicts(str(PORT)) == ["free"]
            assert set(verdicts("30000-30100")) == {"free"}
            assert verdicts(f"*%red:{PORT}") == ["held"]

    def test_what_connects_there_is_not_evicted_from_here(self) -> None:
        """A connection that nobody answers, SYN_SENT."""
        with in_vrf() as client:
            client.setblocking(False)  # the socket's own yes and no
            with forced_source_port(PORT):
                client.connect_ex(("192.0.2.2", REMOTE))
            assert states_on(PORT) == ["SYN_SENT"]
            assert run(portwait("evict", str(PORT))).status == 0
            assert run(portwait("--evict", "--timeout", "0", str(PORT), "--", *STARTED)).started
            assert states_on(PORT) == ["SYN_SENT"]

    def test_a_hold_keeps_the_port_there(self) -> None:
        """The kernel keeps the ports of each VRF apart, so a hold that is in none would keep nobody away."""
        one = Hold(target_of(f"*%red:{PORT}"))
        assert one.take()
        with in_vrf() as client, in_vrf() as service:
            client.setblocking(False)  # the socket's own yes and no
            with forced_source_port(PORT):
                assert client.connect_ex(("192.0.2.2", REMOTE)) == errno.EADDRNOTAVAIL
                one.drop()
                assert client.connect_ex(("192.0.2.2", REMOTE)) == errno.EINPROGRESS
            client.close()
            assert one.take()
            service.bind(("", PORT))
            service.listen()
        one.drop()

    def test_a_pick_keeps_the_port_there(self) -> None:
        """From connect() and from the next pick, beside the service."""
        targets = [target_of(f"*%red:{number}") for number in (PORT, PORT + 1)]
        first = choose(targets)
        assert [claim.port for claim in first.claims] == [PORT]
        first.claims[0].make_inheritable()
        with in_vrf() as client, in_vrf() as service:
            client.setblocking(False)
            with forced_source_port(PORT):
                assert client.connect_ex(("192.0.2.2", REMOTE)) == errno.EADDRNOTAVAIL
            service.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            service.bind(("", PORT))
            second = choose(targets)
            assert [claim.port for claim in second.claims] == [PORT + 1]
            second.drop()
            service.listen()
        first.drop()


def test_a_vrf_whose_name_is_no_utf8(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any bytes can be an interface's name; an address that is not here is looked for in it all the same."""
    monkeypatch.setattr(rtnetlink, "vrfs", lambda: [os.fsdecode(b"vrf\xff")])
    assert addresses.why_unavailable("192.0.2.9") == AddressState("absent")


@pytest.mark.usefixtures("links")
def test_vrfs_are_those_of_this_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the kernel is asked about this network; /sys shows the one that it was mounted in (nsenter --net)."""
    assert rtnetlink.vrfs() == []
    monkeypatch.setattr(rtnetlink, "parse", lambda data: rtnetlink._LINK.unpack_from(data, 16)[2])  # each is one
    assert rtnetlink.vrfs() == ["lo", "v0", "v0far", "v1", "v1far"]


def verdicts(*words: str) -> list[str]:
    return [target["verdict"] for target in json.loads(run(portwait("explain", "--json", *words)).out)["targets"]]

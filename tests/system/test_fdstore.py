"""--fdstore: the hold outlives the service's restarts in systemd's descriptor store, and the service never sees it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import sockets_of
from tests.support.guarding import STARTED, WRONG, events, guard
from tests.support.programs import DEADLINE, portwait, running
from tests.support.shown import SHOW, Shown, link_of, shown
from tests.support.states import accepted, connects, listening, outbound_established, states_on
from tests.support.without import NO_IPV6, without

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.manager import Manager

pytestmark = pytest.mark.usefixtures("net")

PORT, OTHER = 30010, 30012
NAME, OTHER_NAME = f"portwait-tcp-{PORT}-v6only", f"portwait-tcp-{OTHER}-v6only"


def start(
    manager: Manager,
    *words: str,
    sockets: Sequence[tuple[str, socket.socket]] = (),
    command: Sequence[str] = SHOW,
    before: Sequence[str] = (),
) -> Shown:
    """Start the service once, see what it was given, and let it end; it does what portwait does in silence."""
    argv = [*before, *portwait(*words, "--", *command)]
    with manager.running(*argv, sockets=sockets, stdin=subprocess.PIPE) as program:
        seen = shown(program)
        program.tell("end")
        assert program.status() == 0
        assert program.err == []
    return seen


def stored(manager: Manager, name: str = NAME) -> str:
    """Name the one stored socket of this name as /proc does."""
    manager.settled()
    [one] = [one for one in manager.store if one.name == name]
    return link_of(one.descriptor)


def test_the_hold_outlives_the_service(manager: Manager) -> None:
    """Between two runs nobody can be given the port; the same without it is given away."""
    start(manager, str(PORT))
    assert connects(PORT)
    start(manager, "--fdstore", str(PORT))
    assert not connects(PORT)


def test_the_stored_hold_comes_back_and_is_stored_once(manager: Manager) -> None:
    """Every start has the same socket, and the service none of LISTEN_*."""
    first = start(manager, "--fdstore", str(PORT))
    kept = stored(manager)
    for _ in range(3):
        again = start(manager, "--fdstore", str(PORT))
        assert again.held == first.held == [kept]
        assert set(again.sockets.values()) == {kept}
        assert again.variables == first.variables == {}
        assert manager.names == [NAME]
    assert manager.told.count("FDSTORE=1") == 2, "one to ask for room, one for the hold"


def test_it_never_says_that_the_service_is_ready(manager: Manager) -> None:
    """Nor anything else than what the store is told."""
    start(manager, "--fdstore", str(PORT))
    start(manager, "--fdstore", str(PORT))
    assert {line.partition("=")[0] for line in manager.told} == {
        *("FDSTORE", "FDNAME", "FDPOLL", "FDSTOREREMOVE", "BARRIER"),
    }


def test_the_services_own_sockets_are_renumbered(manager: Manager) -> None:
    """Whatever comes in between ours, in its order and with its names; our variables' names are nowhere."""
    with listening(7001) as web, socket.socket(socket.AF_UNIX) as control:
        own = [("web", web.sock), ("control", control)]
        start(manager, "--fdstore", str(PORT), str(OTHER), sockets=own)
        manager.store.insert(1, manager.store[0]._replace(name="its-own", descriptor=os.dup(control.fileno())))
        seen = start(manager, "--fdstore", str(PORT), str(OTHER), sockets=own)
        assert manager.names == ["its-own", NAME, OTHER_NAME]
        assert seen.names == ["web", "control", "its-own"]
        assert seen.served == [link_of(sock.fileno()) for sock in (web.sock, control, control)]
        assert seen.variables["LISTEN_PID"] == str(seen.pid)
        assert sorted(seen.held) == sorted([stored(manager), stored(manager, OTHER_NAME)])
        assert len(seen.sockets) == 5


def test_several_ports_come_back_each_to_its_own(manager: Manager) -> None:
    """And a port that is new is stored beside them."""
    start(manager, "--fdstore", str(PORT))
    before = stored(manager)
    start(manager, "--fdstore", str(PORT), str(OTHER))
    assert (manager.names, stored(manager)) == ([NAME, OTHER_NAME], before)
    seen = start(manager, "--fdstore", str(OTHER), str(PORT))
    assert sorted(seen.held) == sorted([before, stored(manager, OTHER_NAME)])


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ([str(PORT)], [str(OTHER)], [OTHER_NAME]),
        ([str(PORT)], ["--hold=full", str(PORT)], [f"portwait-tcp-{PORT}-dual"]),
        (["--hold=full", str(PORT)], [str(PORT)], [NAME]),
        (["--hold=full", f"{PORT}/udp"], [f"{PORT}/udp"], []),
        (["--listen", str(PORT)], [str(PORT)], [NAME]),
        ([str(PORT)], ["--listen", str(PORT)], [f"portwait-tcp-{PORT}-listen"]),
    ],
    ids=["another port", "more hold", "less hold", "none any more", "no longer listening", "now listening"],
)
def test_what_is_no_longer_wanted_leaves_the_store(
    manager: Manager, first: list[str], second: list[str], names: list[str]
) -> None:
    """The unit's file was edited between two starts; the new start is not in its own way."""
    start(manager, "--fdstore", *first)
    assert len(manager.names) == 1
    start(manager, "--fdstore", "--timeout", "0", *second)
    assert manager.names == names


def test_without_the_option_the_store_is_cleared_and_hidden_all_the_same(manager: Manager) -> None:
    """Somebody took --fdstore out of the unit and left FileDescriptorStoreMax= in; a service may serve what it sees."""
    start(manager, "--fdstore", str(PORT))
    seen = start(manager, str(PORT))
    assert seen.variables == {}
    assert manager.names == []


def test_a_udp_hold_is_not_taken_for_the_services_socket(manager: Manager) -> None:
    """It is a datagram socket on the port, as one that systemd passes would be; nor does it stop the next start."""
    for _ in range(3):
        seen = start(manager, "--fdstore", "--hold=full", f"{PORT}/udp")
        assert seen.held == [stored(manager, f"portwait-udp-{PORT}-udp")]
        assert seen.variables == {}


def test_clients_queue_through_a_restart(manager: Manager) -> None:
    """With --listen it is the listening socket that is kept: who connects between two runs is answered by the next."""
    options = ("--fdstore", "--listen", str(PORT))
    start(manager, *options)
    kept = stored(manager, f"portwait-tcp-{PORT}-listen")
    with socket.create_connection(("127.0.0.1", PORT), DEADLINE) as client:
        seen = start(manager, *options)
        assert (seen.served, seen.names, seen.held) == ([kept], [str(PORT)], [])
        with socket.socket(fileno=os.dup(manager.store[0].descriptor)) as server, server.accept()[0] as late:
            late.sendall(b"late")
        assert client.recv(4) == b"late"


def test_two_listeners_of_one_port_are_not_confused(manager: Manager) -> None:
    """They have one name in the store, for it cannot hold a colon; their addresses tell."""
    words = ("--fdstore", "--listen", f"127.0.0.1:{PORT}", f"127.0.0.2:{PORT}")
    first = start(manager, *words)
    again = start(manager, *words)
    swapped = start(manager, *words[:2], words[3], words[2])
    assert first.served == again.served == swapped.served[::-1]
    assert len(set(first.served)) == 2


_LOOPBACK, _OTHER_LOOPBACK = f"127.0.0.1:{PORT}", f"127.0.0.2:{PORT}"


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ([str(PORT)], [_LOOPBACK], ["127.0.0.1"]),
        ([_LOOPBACK], [str(PORT)], ["::"]),
        (["-6", str(PORT)], [str(PORT)], ["::"]),
        ([str(PORT)], ["-6", str(PORT)], ["::"]),
        ([f"0.0.0.0:{PORT}"], [str(PORT)], ["::"]),
        ([str(PORT)], [f"*%lo:{PORT}"], ["::"]),
        ([f"*%lo:{PORT}"], [str(PORT)], ["::"]),
        ([str(PORT)], ["--reuseport", str(PORT)], ["::"]),
        ([f"{PORT}/udp"], [f"{_LOOPBACK}/udp"], ["127.0.0.1"]),
        ([_LOOPBACK], [_OTHER_LOOPBACK], ["127.0.0.2"]),
        ([_LOOPBACK, _OTHER_LOOPBACK], [_LOOPBACK], ["127.0.0.1"]),
        ([_LOOPBACK], [_LOOPBACK, _OTHER_LOOPBACK], ["127.0.0.1", "127.0.0.2"]),
    ],
    ids=" ".join,
)
def test_a_listener_of_another_target_is_not_taken_for_this_ones(
    manager: Manager, first: list[str], second: list[str], ends: list[str]
) -> None:
    """Another target on the port, as the unit was edited: what is served is what it says now, and no more is stored."""
    start(manager, "--fdstore", "--listen", "--timeout", "0", *first)
    seen = start(manager, "--fdstore", "--listen", "--timeout", "0", *second)
    manager.settled()
    kept = [socket.socket(fileno=os.dup(one.descriptor)) for one in manager.store]
    with contextlib.ExitStack() as stack:
        for sock in kept:
            stack.enter_context(sock)
        assert sorted(sock.getsockname()[0] for sock in kept) == sorted(ends)
        assert {link_of(sock.fileno()) for sock in kept} == {*seen.served}
        assert {is_dual(sock) for sock in kept if sock.family == socket.AF_INET6} <= {"-6" not in second}
        device = b"lo" if "%lo" in second[-1] else b""
        assert {sock.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16).rstrip(b"\0") for sock in kept} == {
            device
        }
        reuseport = {sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) != 0 for sock in kept}
        assert reuseport == {"--reuseport" in second}


def is_dual(sock: socket.socket) -> bool:
    """Whether an IPv6 socket serves IPv4 too."""
    return sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 0


@pytest.mark.parametrize(
    ("words", "address"),
    [([str(PORT)], "::"), (["-4", str(PORT)], "0.0.0.0"), ([f"[::1]:{PORT}"], "::1"), ([f"*%lo:{PORT}"], "::")],  # noqa: S104  # in a private network
    ids=["both families", "IPv4", "one address", "a device"],
)
def test_a_listener_of_the_same_target_is(manager: Manager, words: list[str], address: str) -> None:
    """However it binds, clients queue through the restart."""
    options = ("--fdstore", "--listen", *words)
    first = start(manager, *options)
    assert start(manager, *options).served == first.served
    with socket.socket(fileno=os.dup(manager.store[0].descriptor)) as sock:
        assert sock.getsockname()[0] == address


def test_without_ipv6_too(manager: Manager) -> None:
    """There a target without an address is 0.0.0.0, and its listener is the next start's."""
    first, again = (start(manager, "--fdstore", "--listen", str(PORT), before=without(NO_IPV6)) for _ in range(2))
    assert first.served == again.served
    manager.settled()
    [one] = manager.store
    with socket.socket(fileno=os.dup(one.descriptor)) as sock:
        assert (sock.family, sock.getsockname()[1]) == (socket.AF_INET, PORT)


@pytest.mark.parametrize(
    ("room", "ports", "needed"), [(0, [PORT], 1), (1, [PORT, OTHER], 2)], ids=["no store", "too small a store"]
)
def test_a_store_without_room_is_said_with_the_lines_to_add(
    manager: Manager, room: int, ports: list[int], needed: int
) -> None:
    """In one event; the service starts all the same, and sees nothing of it."""
    manager.room = room
    words = ["--fdstore", "--log-format", "json", *map(str, ports)]
    with manager.running(*portwait(*words, "--", *SHOW), stdin=subprocess.PIPE) as program:
        assert shown(program).variables == {}
        [event] = events("\n".join(program.err))
    assert (event["event"], event["level"]) == ("fdstore", "warning")
    assert event["lines"] == ["[Service]", f"FileDescriptorStoreMax={needed}", "NotifyAccess=exec"]
    assert len(manager.names) == room


def test_what_is_no_socket_of_ours_is_hidden_all_the_same(manager: Manager) -> None:
    """Whoever gave it our name: it is not adopted, and the service does not see it."""
    with socket.socket(socket.AF_UNIX) as stranger:
        seen = start(manager, str(PORT), sockets=[(NAME, stranger)])
    assert (seen.names, len(seen.held), len(seen.sockets)) == ([], 1, 1)


@pytest.mark.parametrize("part", ["Handover.survey", "Handover.__init__", "fdstore.remove"])
def test_a_bug_with_them_keeps_no_service_down(manager: Manager, part: str) -> None:
    """It is confessed in one line; the service starts with its own sockets and without ours, its port held."""
    bug = f"""
import sys
from portwait.__main__ import start
from portwait.systemd import handover
def fail(*_, **__): raise RuntimeError("a bug")
handover.{part} = fail
sys.argv = ["portwait", *sys.argv[1:]]
start()
"""
    with listening(7001) as web, listening(7002) as old:
        sockets = [("web", web.sock), (NAME, old.sock)]
        argv = [sys.executable, "-Ic", bug, str(PORT), "--", *SHOW]
        with manager.running(*argv, sockets=sockets, stdin=subprocess.PIPE) as program:
            seen = shown(program)
            assert (seen.names, seen.served) == (["web"], [link_of(web.sock.fileno())])
            assert len(seen.held) == 1
            assert len(seen.sockets) == 2
            assert [line for line in program.err if "a bug" in line] == program.err


def test_without_systemd_it_says_so_and_starts() -> None:
    """Started by hand, say: no NOTIFY_SOCKET."""
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    outcome = guard("--fdstore", str(PORT), "--", *STARTED, env=environment)
    assert outcome.started
    assert "NOTIFY_SOCKET is not set" in outcome.err
    assert "  FileDescriptorStoreMax=1\n" in outcome.err


@pytest.mark.parametrize(
    "words",
    [["--fdstore", str(PORT)], ["--fdstore", "--no-hold", str(PORT), "--", "true"]],
    ids=["no command", "no hold"],
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    """Nobody could hide the descriptor from the service; nothing to keep."""
    outcome = guard(*words)
    assert outcome.status == WRONG
    assert outcome.err.startswith("portwait: cannot use --fdstore with")


def test_a_rehearsal_leaves_the_store_as_it_is(manager: Manager) -> None:
    """--dry-run: not even what is no longer wanted is taken out."""
    start(manager, "--fdstore", str(PORT))
    with manager.running(*portwait("--fdstore", "--dry-run", str(OTHER), "--", *SHOW)) as program:
        assert program.status() == 0
    assert manager.names == [NAME]


def test_the_hold_comes_back_before_the_wait(manager: Manager) -> None:
    """So that while one outbound connection is in the way no other joins it."""
    start(manager, "--fdstore", str(PORT))
    kept = stored(manager)
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT, by="number", reuseaddr=True):
            argv = portwait("--fdstore", "--no-reuseaddr", "-4", str(PORT), "--", *SHOW)
            program = stack.enter_context(manager.running(*argv, stdin=subprocess.PIPE))
            program.complains("waiting")
            assert [held.v6only for held in sockets_of(program.pid) if held.port == PORT] == [True]
        assert len(shown(program).held) == 1
        assert stored(manager) == kept


def test_while_it_waits_the_manager_is_told(manager: Manager) -> None:
    """For what, and that the start needs time; at the end that is taken back."""
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            program = stack.enter_context(manager.running(*portwait(str(PORT), "--", *SHOW), stdin=subprocess.PIPE))
            program.complains("waiting")
            manager.settled()
            status, more = (line for line in manager.told if line != "BARRIER=1")
            assert status.startswith(f"STATUS=waiting: {PORT}/tcp is held by an outbound connection")
            assert more == "EXTEND_TIMEOUT_USEC=90000000"
        shown(program)
    manager.settled()
    told = [line for line in manager.told if line != "BARRIER=1"]
    assert told[-2:] == ["STATUS=", "EXTEND_TIMEOUT_USEC=90000000"]
    assert not [line for line in told if line.startswith("READY")]


def test_giving_up_is_told_too(manager: Manager) -> None:
    """`systemctl status` then still says why the unit failed."""
    with (
        accepted(PORT),
        manager.running(*portwait("--timeout", "3s", str(PORT), "--", *SHOW)) as program,
    ):
        assert program.status() == 124
        manager.settled()
        assert [line for line in manager.told if line.startswith("STATUS=gave up waiting: 30010/tcp is held")]


def test_a_free_port_is_not_worth_a_datagram(manager: Manager) -> None:
    """Nothing is told where nothing is waited for."""
    start(manager, str(PORT))
    manager.settled()
    assert [line for line in manager.told if line != "BARRIER=1"] == []


def test_a_dead_manager_is_not_waited_for(tmp_path: Path) -> None:
    """NOTIFY_SOCKET names a socket that nobody reads: the start is delayed by a second at the most, and not lost."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "deaf")}
        with running(portwait("--fdstore", str(PORT), "--", *STARTED), environment) as program:
            assert program.status() == 0
            assert program.out == ["started"]
    assert states_on(PORT) == []

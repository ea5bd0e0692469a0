"""--listen: portwait binds and listens, the service takes the socket over by the systemd protocol."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.descriptors import sockets_of
from tests.support.guarding import STARTED, WRONG, guard
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE, eventually, portwait, running
from tests.support.shown import SHOW, link_of, shown
from tests.support.states import WILDCARD, listening, outbound_established, service_bind, states_on
from tests.support.surroundings import lacking

if TYPE_CHECKING:
    from tests.support.manager import Manager

pytestmark = pytest.mark.usefixtures("net")

PORT, OTHER = 30010, 30012
SLOW_SERVICE = """
import os, socket, sys
sys.stdin.readline()
assert os.environ["LISTEN_PID"] == str(os.getpid())
server = socket.socket(fileno=3)
client, _ = server.accept()
client.sendall(b"hello " + client.recv(100))
"""


def test_a_client_queues_while_the_service_starts() -> None:
    """It connects before the service has even begun, and gets its answer later."""
    argv = portwait("--listen", str(PORT), "--", sys.executable, "-ISc", SLOW_SERVICE)
    with running(argv, stdin=subprocess.PIPE) as program:
        eventually(lambda: "LISTEN" in states_on(PORT), "portwait's listening")
        with socket.create_connection(("127.0.0.1", PORT), DEADLINE) as client:
            client.sendall(b"early bird")
            program.tell("go")
            assert client.recv(100) == b"hello early bird"
        assert program.status() == 0


def test_the_service_is_told_by_the_protocol() -> None:
    """From descriptor 3 on, in the targets' order, named by the words of the command line, for this PID."""
    sysctl("net.ipv4.ip_unprivileged_port_start", "0")
    argv = portwait("--listen", "127.0.0.1:http", str(PORT), f"{OTHER}/udp", "--", *SHOW)
    with running(argv, stdin=subprocess.PIPE) as program:
        seen = shown(program)
        assert seen.pid == program.pid == int(seen.variables["LISTEN_PID"])
        assert seen.names == ["http", str(PORT), f"{OTHER}/udp"]
        assert None not in seen.served
        found = {held.number: held for held in sockets_of(program.pid)}
        assert sorted(found) == [3, 4, 5], "and no hold, for whoever listens needs none"
        assert [(found[number].port, found[number].listening) for number in (3, 4, 5)] == [
            (80, True),
            (PORT, True),
            (OTHER, False),
        ]


@pytest.mark.parametrize(
    "words",
    [
        [str(PORT)],
        ["-4", str(PORT)],
        ["-6", str(PORT)],
        [f"{PORT}/udp"],
        ["-4", f"{PORT}/udp"],
        [f"127.0.0.1:{PORT}/udp", f"{OTHER}/udp", str(OTHER)],
    ],
    ids=" ".join,
)
def test_its_own_full_hold_is_not_in_its_way(words: list[str]) -> None:
    """Between the look and the listening no hold of ours keeps our own socket from being bound."""
    done = guard("--timeout", "0", "--listen", "--hold=full", *words, "--", *STARTED)
    assert (done.status, done.err) == (0, "")


@pytest.mark.parametrize(
    ("words", "address", "v6only"),
    [
        ([str(PORT)], "::", False),
        (["-4", str(PORT)], WILDCARD, False),
        (["-6", str(PORT)], "::", True),
        ([f"127.0.0.1:{PORT}"], "127.0.0.1", False),
        ([f"[::1]:{PORT}"], "::1", True),
    ],
    ids=["dual stack", "IPv4 only", "IPv6 only", "an IPv4 address", "an IPv6 address"],
)
def test_the_socket_is_the_one_that_the_target_says(words: list[str], address: str, v6only: bool) -> None:
    """The address, the family, and SO_REUSEADDR as a service would set it."""
    with running(portwait("--listen", *words, "--", *SHOW), stdin=subprocess.PIPE) as program:
        shown(program)
        [held] = sockets_of(program.pid)
        assert (held.address, held.port, held.listening, held.reuseaddr) == (address, PORT, True, True)
        assert ":" not in address or held.v6only == v6only


def test_it_waits_and_then_listens() -> None:
    """An outbound connection is in the way first; nobody is queued for a service that may never start."""
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            program = stack.enter_context(
                running(portwait("--listen", str(PORT), str(OTHER), "--", *SHOW), stdin=subprocess.PIPE)
            )
            program.complains("waiting")
            assert states_on(OTHER) == []
        assert shown(program).names == [str(PORT), str(OTHER)]
        assert "LISTEN" in states_on(PORT)


def test_what_systemd_passed_stays_first(manager: Manager) -> None:
    """Its sockets keep their numbers and names, whatever they are; a target among them is not bound again."""
    with listening(PORT) as web, socket.socket(socket.AF_UNIX) as control:
        own = [("web", web.sock), ("control", control)]
        argv = portwait("--listen", str(PORT), str(OTHER), "--", *SHOW)
        with manager.running(*argv, sockets=own, stdin=subprocess.PIPE) as program:
            seen = shown(program)
            assert seen.names == ["web", "control", str(OTHER)]
            assert seen.served[:2] == [link_of(web.sock.fileno()), link_of(control.fileno())]
            assert {held.port for held in sockets_of(program.pid)} == {PORT, OTHER}


def test_a_port_that_binding_is_denied_for_is_left_to_the_service() -> None:
    """What portwait cannot do keeps no service down, and the ports that it can have it passes on."""
    denied = lacking("net_bind_service")
    with running([*denied, *portwait("--listen", "80", str(PORT), "--", *SHOW)], stdin=subprocess.PIPE) as program:
        assert shown(program).names == [str(PORT)]


def test_where_somebody_listens_it_gives_up_as_ever() -> None:
    """A listener with SO_REUSEADDR shares the bind with nobody's listen()."""
    with listening(PORT, reuseaddr=True):
        outcome = guard("--listen", "--timeout", "0", str(PORT), "--", *STARTED)
    assert (outcome.status, outcome.started) == (124, False)


def test_a_rehearsal_listens_on_nothing() -> None:
    """--dry-run says it and leaves the port alone."""
    outcome = guard("--listen", "--dry-run", str(PORT), "--", *STARTED)
    assert (outcome.status, outcome.started) == (0, False)
    assert "would listen on 30010/tcp" in outcome.err
    assert "would hold" not in outcome.err, "the socket that is passed on is enough"
    assert service_bind(PORT) == "ok"


@pytest.mark.parametrize(
    "words",
    [["--listen", str(PORT)], ["--listen", "30000-30064", "--", "true"]],
    ids=["no command", "more ports than are held"],
)
def test_what_makes_no_sense_is_refused(words: list[str]) -> None:
    """With the status for a wrong call, and before anything happens."""
    before = sysctl("net.ipv4.ip_local_reserved_ports")
    outcome = guard("--reserve", *words)
    assert outcome.status == WRONG
    assert outcome.err.startswith("portwait: cannot use --listen ")
    assert sysctl("net.ipv4.ip_local_reserved_ports") == before


def test_the_environment_can_ask_for_it() -> None:
    """PORTWAIT_LISTEN does the same; --no-listen wins over it."""
    environment = {**os.environ, "PORTWAIT_LISTEN": "yes"}
    for flags, names in (([], [str(PORT)]), (["--no-listen"], [])):
        with running(portwait(*flags, str(PORT), "--", *SHOW), environment, stdin=subprocess.PIPE) as program:
            assert shown(program).names == names


def test_a_command_that_is_not_there_frees_the_port() -> None:
    """Status 127, and who has queued is turned away."""
    assert guard("--listen", str(PORT), "--", "/proc/nonexistent").status == 127
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", PORT)) == errno.ECONNREFUSED

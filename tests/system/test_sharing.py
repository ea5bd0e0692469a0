"""What shares the port with the service is neither destroyed nor signalled: it is not what is in the way."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait import parse
from portwait._linux import socket_flags
from portwait._linux.socket_flags import Flags
from portwait.api import blockers
from portwait.bind.probe import probe
from portwait.bind.survey import Survey
from portwait.diagnosis.evictable import Selection
from portwait.eviction.clear import Removal
from portwait.eviction.sharing import share
from portwait.eviction.terminate import Termination
from portwait.wait.inspection import Inspection
from tests.support.blockers import needs_bound_only
from tests.support.clients import REMOTE, pooled_client
from tests.support.guarding import STARTED, guard, run
from tests.support.netns import forced_source_port
from tests.support.programs import portwait, running
from tests.support.states import LOOPBACK, listening, shared_local_port, states_on
from tests.support.without import without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.eviction.actions import Action
    from tests.support.programs import Program

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
OTHER = REMOTE - 1  # so that its connections stand first in a list
CONNECTED = f"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))  # no TIME_WAIT
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.connect(("{LOOPBACK}", {OTHER}))
"""
LISTENING = f"""
import socket
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("127.0.0.2", {PORT}))
s.listen()
"""

READS = """
import sys
from portwait._linux import socket_flags
pid, inode = map(int, sys.argv[1:])
(flags,) = socket_flags.read({pid: [inode]}).values()
print(flags.reuseaddr, flags.reuseport)
"""


def flags_of(inode: int) -> Flags:
    """Let another process read the flags of a socket of this one, which has threads in a run of the tests."""
    said = subprocess.check_output([sys.executable, "-c", READS, str(os.getpid()), str(inode)], text=True)
    return Flags(*(word == "True" for word in said.split()))


@contextlib.contextmanager
def beside(code: str) -> Iterator[Program]:
    """Have another process open a socket on the port, beside a connection that is there."""
    with listening(OTHER, address=LOOPBACK), contextlib.ExitStack() as stack:
        with forced_source_port(PORT):
            argv = [sys.executable, "-ISc", f"{code}\nprint('ready', flush=True); input()"]
            program = stack.enter_context(running(argv, stdin=subprocess.PIPE))
            program.says("ready")
        yield program


@pytest.mark.parametrize(
    ("code", "options", "shares"),
    [
        pytest.param(CONNECTED, (), True, id="reuseaddr"),
        pytest.param(CONNECTED, ("--no-reuseaddr",), False, id="service-without-reuseaddr"),
        pytest.param(LISTENING, ("--reuseport",), True, id="reuseport"),
        pytest.param(LISTENING, ("--terminate=outbound,listener",), False, id="service-without-reuseport"),
    ],
)
def test_only_owners_of_what_is_in_the_way_are_signalled(code: str, options: tuple[str, ...], shares: bool) -> None:
    """Bind fails by one of the two connections, and a signal to the other one's owner frees nothing."""
    with pooled_client(PORT) as client, beside(code) as other:
        done = guard("--terminate", *options, "--log-format=json", str(PORT), "--", *STARTED)
        assert done.started, done.err
        told = {event["owners"][0]["pid"] for event in done.events if event["event"] == "signalled"}
        assert told == ({client.pid} if shares else {client.pid, other.pid})
        assert client.status() == -signal.SIGTERM
        assert other.process.poll() is None if shares else other.status() == -signal.SIGTERM


def test_only_what_is_in_the_way_is_evicted() -> None:
    """The other connection goes on, although it stands first in the list."""
    with pooled_client(PORT) as client, beside(CONNECTED):
        assert run(portwait("evict", str(PORT))).status == 0
        client.says("ECONNABORTED")
        assert states_on(PORT, OTHER) == ["ESTABLISHED"]


@pytest.mark.parametrize("answer", ["EPERM", "KILL"])
def test_where_the_flags_cannot_be_read_both_are_evicted(answer: str) -> None:
    """SystemCallFilter=@system-service ends who asks for them; portwait goes on, and the port becomes free."""
    with pooled_client(PORT) as client, beside(CONNECTED):
        done = run([*without(f"pidfd_getfd={answer}"), *portwait("evict", str(PORT))])
        assert done.status == 0, done.err
        client.says("ECONNABORTED")
        assert states_on(PORT, OTHER) == []


def test_where_all_share_the_port_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then none of them is what makes bind fail, which older kernels do not show; the refusal says so."""
    monkeypatch.setattr(
        socket_flags,
        "read",
        lambda asked: {inode: Flags(True, False) for inodes in asked.values() for inode in inodes},
    )
    with shared_local_port(PORT, 2):
        inspection = Inspection(Survey(parse([str(PORT)])))
        inspection.probe()
        inspection.inspect()
        actions: list[Action] = []
        Removal(Selection(), actions.append, Termination()).through(inspection, lambda: None)
        told = [(action.event, action.refusal and action.refusal.code) for action in actions]
        assert told == [*[("not-evicted", "shares-port")] * 2, ("not-signalled", "shares-port")]
        assert states_on(PORT) == ["ESTABLISHED"] * 2


@pytest.mark.kernel
@pytest.mark.parametrize("state", ["CLOSE", "LISTEN", "ESTABLISHED"])
def test_the_rule_is_the_kernels(state: str) -> None:
    """For each way in which the two can set the flags: what shares the port does not make bind fail, all else does."""
    if state == "CLOSE":
        needs_bound_only()
    for reuseaddr, reuseport, theirs_addr, theirs_port in itertools.product((False, True), repeat=4):
        (target,) = parse([f"0.0.0.0:{PORT}"], reuseport=reuseport)
        flags = Flags(theirs_addr, theirs_port)
        with socket.socket() as sock, listening(REMOTE, address=LOOPBACK):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, *bytes(3), 0, *bytes(3)]))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, theirs_addr)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, theirs_port)
            if state == "ESTABLISHED":
                with forced_source_port(PORT):
                    sock.connect((LOOPBACK, REMOTE))
            else:
                sock.bind((LOOPBACK, PORT))
            if state == "LISTEN":
                sock.listen()
            (blocker,) = [each for each in blockers(target, reuseaddr=False) if each.socket.local_port == PORT]
            assert blocker.socket.state == state
            assert flags_of(blocker.socket.inode) == flags
            free = probe(target, reuseaddr=reuseaddr).state == "free"
            assert share(blocker, flags, reuseaddr=reuseaddr, reuseport=reuseport) == free, (
                reuseaddr,
                reuseport,
                flags,
            )

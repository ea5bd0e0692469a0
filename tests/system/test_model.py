"""A model of one port, driven by hypothesis beside the real kernel and the real guard: what may be is all that is."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.guarding import GAVE_UP, guard, run
from tests.support.netns import forced_source_port, private_network, sysctl
from tests.support.programs import Program, eventually, portwait, running
from tests.support.states import reset, states_on

PORT = 30010
SERVER_PORT = 7001
SERVICE = (sys.executable, "-IS", str(Path(__file__).parent / "helpers" / "slow_service.py"), str(PORT))
RESERVED = "net.ipv4.ip_local_reserved_ports"


class Client(NamedTuple):
    """A connection from the port."""

    sock: socket.socket
    peer: socket.socket
    by_number: bool = False
    """Whether it asked for this port, or was given it."""

    def reset(self) -> None:
        """End both ends."""
        for sock in (self.sock, self.peer):
            reset(sock)


class Port(RuleBasedStateMachine):
    """Clients that are given the port or ask for it, another server, a reservation, a guard whose service wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(private_network())
        self.server = self.stack.enter_context(socket.create_server(("0.0.0.0", SERVER_PORT)))  # noqa: S104  # in a private network
        self.destinations = (f"127.0.{number // 250}.{number % 250 + 1}" for number in itertools.count())
        self.clients: list[Client] = []
        self.remains: list[bool] = []
        """TIME_WAITs of clients that closed first: whether they had bound the port by number."""
        self.listener: socket.socket | None = None
        self.reserved = False
        self.guard: Program | None = None
        self.state = "none"
        """Of the guard: none, waiting, started (its service has not bound yet), listening."""
        self.of_guard = contextlib.ExitStack()

    @property
    def free(self) -> bool:
        """Whether a service with SO_REUSEADDR can listen on the port, by the model."""
        return not self.clients and not self.remains and self.listener is None and self.state != "listening"

    @property
    def bound(self) -> bool:
        """Whether connect() is kept away: by a listener, a service, the guard's hold, or who bound it by number."""
        by_number = any(client.by_number for client in self.clients) or any(self.remains)
        return self.listener is not None or self.state != "none" or by_number

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.of_guard.close()
        for client in self.clients:
            client.reset()
        if self.listener is not None:
            self.listener.close()
        self.stack.close()

    # What others do

    @rule()
    def connect(self) -> None:
        """Give a client the port, to a server of its own: it gets it exactly when nothing is bound there or reserved.

        So a second client can join a first one, but for the hold of a guard that waits.
        """
        client = socket.socket()
        try:
            with forced_source_port(PORT):
                client.connect((next(self.destinations), SERVER_PORT))
        except OSError as error:
            client.close()
            assert error.errno == errno.EADDRNOTAVAIL  # noqa: PT017  # it need not be raised
            assert self.bound or self.reserved
        else:
            peer, _ = self.server.accept()
            assert not self.bound
            assert not self.reserved
            self.clients.append(Client(client, peer))

    @rule()
    def retake(self) -> None:
        """Bind the port by its number, as a client: it gets it exactly when nobody has it, whoever holds it."""
        client = socket.socket()
        expected = self.free
        try:
            client.bind(("", PORT))
        except OSError as error:
            client.close()
            assert error.errno == errno.EADDRINUSE  # noqa: PT017  # likewise
            assert not expected
        else:
            assert expected
            client.connect((next(self.destinations), SERVER_PORT))
            peer, _ = self.server.accept()
            self.clients.append(Client(client, peer, by_number=True))

    @precondition(lambda self: self.clients)
    @rule(by=st.sampled_from(["client", "server"]), choice=st.integers(0, 9))
    def end_a_connection(self, by: str, choice: int) -> None:
        """Reset it from either end: at the server's reset the client keeps its descriptor, and the port is free."""
        client = self.clients.pop(choice % len(self.clients))
        reset(client.sock if by == "client" else client.peer)
        if by == "server":
            client.sock.settimeout(10)
            with contextlib.suppress(ConnectionError):
                client.sock.recv(1)
        client.reset()

    @precondition(lambda self: self.clients)
    @rule(first=st.sampled_from(["client", "server"]), choice=st.integers(0, 9))
    def close(self, first: str, choice: int) -> None:
        """Close both ends: where the client is first a TIME_WAIT keeps the port, else it is free at once."""
        client = self.clients.pop(choice % len(self.clients))
        if first == "client":
            client.sock.close()
            client.peer.close()
            self.remains.append(client.by_number)
        else:
            client.peer.close()
            client.sock.settimeout(10)
            assert client.sock.recv(1) == b""
            client.sock.close()
        left = len(self.remains)
        eventually(lambda: states_on(PORT, SERVER_PORT) == ["ESTABLISHED"] * len(self.clients) + ["TIME_WAIT"] * left)

    @precondition(lambda self: self.state in ("none", "waiting") and not any(one.by_number for one in self.clients))
    @rule()
    def evict(self) -> None:
        """Destroy what may be evicted, all but a listener; of a client that bound by number its socket would stay."""
        done = run(portwait("evict", str(PORT)))
        assert done.status == (0 if self.listener is None else 1), done
        for client in self.clients:
            client.reset()
        self.clients, self.remains = [], []

    @precondition(lambda self: self.listener is None)
    @rule()
    def listen(self) -> None:
        """Another server gets the port exactly when nobody has it; the guard's hold does not stop a bind by number."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        expected = self.free
        try:
            sock.bind(("", PORT))
            sock.listen()
        except OSError as error:
            sock.close()
            assert error.errno == errno.EADDRINUSE  # noqa: PT017  # likewise
            assert not expected
        else:
            self.listener = sock
            assert expected

    @precondition(lambda self: self.listener is not None)
    @rule()
    def end_the_listener(self) -> None:
        assert self.listener is not None
        self.listener.close()
        self.listener = None

    @rule(yes=st.booleans())
    def reserve(self, *, yes: bool) -> None:
        sysctl(RESERVED, f"{PORT}\n" if yes else "\n")
        self.reserved = yes

    # What the guard does

    @precondition(lambda self: self.state == "none")
    @rule()
    def start_the_guard(self) -> None:
        """Start it: it starts its service at once, or says that it waits."""
        argv = [*portwait("--timeout", "60", str(PORT), "--"), *SERVICE]
        self.guard = self.of_guard.enter_context(running(argv, stdin=subprocess.PIPE))
        if self.free:
            self.guard.says("started")
            self.state = "started"
        else:
            self.guard.complains("waiting for")
            self.state = "waiting"

    @precondition(lambda self: self.state == "none")
    @rule()
    def look_once(self) -> None:
        """--timeout 0: the status is the model's word."""
        seen = guard("--timeout", "0", str(PORT))
        assert seen.status == (0 if self.free else GAVE_UP), seen.err

    @precondition(lambda self: self.state == "none" and not self.free)
    @rule()
    def time_out(self) -> None:
        """Let it come to its deadline: it gives up, and starts nothing."""
        seen = guard("--timeout", "200ms", str(PORT), "--", "echo", "started")
        assert (seen.status, seen.out) == (GAVE_UP, "")

    @precondition(lambda self: self.state == "waiting")
    @rule(number=st.sampled_from([signal.SIGTERM, signal.SIGINT, signal.SIGHUP]))
    def stop_the_wait(self, number: int) -> None:
        """Send it a signal: it ends by that, and its hold with it."""
        assert self.guard is not None
        self.guard.signal(number)
        assert self.guard.status() == -number
        self.end_the_service()

    @precondition(lambda self: self.state == "started")
    @rule()
    def bind_the_service(self) -> None:
        """Nothing can have stepped in by connect(); only a server that binds the port by its number can have it."""
        assert self.guard is not None
        expected = "listening" if self.free else "EADDRINUSE"
        self.guard.tell("bind")
        self.guard.says(expected)
        if expected == "listening":
            self.state = "listening"
        else:
            self.end_the_service()

    @precondition(lambda self: self.state in ("started", "listening"))
    @rule()
    def end_the_service(self) -> None:
        self.of_guard.close()
        self.of_guard = contextlib.ExitStack()
        self.guard, self.state = None, "none"

    @invariant()
    def the_guard_starts_when_the_port_is_free(self) -> None:
        """And not before."""
        if self.state == "waiting":
            assert self.guard is not None
            if self.free:
                self.guard.says("started")
                self.state = "started"
            else:
                assert self.guard.out == []
                assert self.guard.process.poll() is None


TestPort = Port.TestCase
TestPort.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "25")),
    stateful_step_count=14,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
)
"""A hundred examples take a minute and a half."""

"""A model of one port, driven by hypothesis beside the real kernel and the real guard: what may be is all that is."""

from __future__ import annotations

import contextlib
import errno
import itertools
import signal
import socket
import subprocess
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.guarding import GAVE_UP, guard
from tests.support.netns import forced_source_port, private_network, sysctl
from tests.support.programs import Program, portwait, running
from tests.support.states import reset

PORT = 30010
SERVER_PORT = 7001
SERVICE = (sys.executable, "-IS", str(Path(__file__).parent / "helpers" / "slow_service.py"), str(PORT))
RESERVED = "net.ipv4.ip_local_reserved_ports"


class Port(RuleBasedStateMachine):
    """Clients that are given the port, another server, its reservation, and a guard whose service wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(private_network())
        self.server = self.stack.enter_context(socket.create_server(("0.0.0.0", SERVER_PORT)))  # noqa: S104  # in a private network
        self.destinations = (f"127.0.{number // 250}.{number % 250 + 1}" for number in itertools.count())
        self.clients: list[tuple[socket.socket, socket.socket]] = []
        self.listener: socket.socket | None = None
        self.reserved = False
        self.guard: Program | None = None
        self.state = "none"
        """Of the guard: none, waiting, started (its service has not bound yet), listening."""
        self.of_guard = contextlib.ExitStack()

    @property
    def free(self) -> bool:
        """Whether a service with SO_REUSEADDR can listen on the port, by the model."""
        return not self.clients and self.listener is None and self.state != "listening"

    @property
    def bound(self) -> bool:
        """Whether a socket is bound there that keeps connect() away: a listener, a service, or the guard's hold."""
        return self.listener is not None or self.state != "none"

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.of_guard.close()
        for pair in self.clients:
            for sock in pair:
                reset(sock)
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
            self.clients.append((client, peer))
            assert not self.bound
            assert not self.reserved

    @precondition(lambda self: self.clients)
    @rule(by=st.sampled_from(["client", "server"]), choice=st.integers(0, 9))
    def end_a_connection(self, by: str, choice: int) -> None:
        """Reset it from either end: at the server's reset the client keeps its descriptor, and the port is free."""
        client, peer = self.clients.pop(choice % len(self.clients))
        reset(client if by == "client" else peer)
        if by == "server":
            client.settimeout(10)
            with contextlib.suppress(ConnectionError):
                client.recv(1)
        for sock in (client, peer):
            reset(sock)

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
    max_examples=25, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck), database=None
)

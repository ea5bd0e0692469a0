"""The hold against clients that connect without pause, and against one that binds the port by number."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import states
from tests.support.programs import Program, eventually, running
from tests.support.slow_services import PORT, guarded, holds_of, slow_service
from tests.support.states import LOOPBACK, WILDCARD, reset

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

ODD_PORT = 30011  # bind(0) tries it before the even ones
HELPERS = Path(__file__).parent / "helpers"


class TestStorm:
    """Clients that connect without pause in a range of 16 ports."""

    @pytest.mark.parametrize("address", [LOOPBACK, "::1"], ids=["ipv4-blocker", "ipv6-blocker"])
    def test_never_gets_the_port(self, address: str) -> None:
        """Neither during the wait, nor when the blocker ends, nor until the service has bound."""
        with storm(PORT) as clients, guarded(PORT, blocker=address) as (service, blocker):
            hits(clients, "before")
            assert hits(clients, "waiting") == 0
            reset(blocker.sock)
            service.says("started")
            assert hits(clients, "taken over") == 0
            assert hits(clients, "starting") == 0
            service.tell("bind")
            service.says("listening")
            assert hits(clients, "serving") == 0

    def test_without_the_hold_it_does(self) -> None:
        with storm(PORT) as clients, guarded(PORT, "--no-hold") as (service, blocker):
            hits(clients, "before")
            assert hits(clients, "waiting") > 0, "another connection can join the blocker on its port"
            reset(blocker.sock)
            service.says("started")
            hits(clients, "taken over")
            assert hits(clients, "starting") > 0

    @pytest.mark.parametrize(
        ("option", "lost"),
        [pytest.param("--hold", True, id="default"), pytest.param("--hold=full", False, id="full")],
    )
    def test_known_loss_on_ipv4(self, option: str, lost: bool) -> None:
        """Clients that call bind(address, 0) first pass the default hold; the full one shuts them out too."""
        with storm(ODD_PORT, "bind") as clients, slow_service(ODD_PORT, option) as service:
            service.says("started")
            hits(clients, "the start")
            assert (hits(clients, "starting") > 0) == lost
            if not lost:
                service.tell("bind")
                service.says("listening")


class TestByNumber:
    """A client that binds the port by number, and again within a millisecond: no default hold keeps it away."""

    @pytest.mark.parametrize("option", ["--reuseaddr", "--hold=full"])
    def test_a_full_hold_keeps_it_away(self, option: str) -> None:
        """It is the service's where the service is known to set SO_REUSEADDR, and nothing has to be said."""
        with by_number(PORT) as client, slow_service(PORT, "--evict", option) as service:
            service.says("started")
            client.says("refused")
            assert holds_of(service.pid) == ["[::]"]
            service.tell("bind")
            service.says("listening")
            assert [line for line in service.err if "lost again" in line] == []

    @pytest.mark.parametrize("span", ["1024 65000", "40000 50000"], ids=["in-the-range", "outside"])
    def test_without_a_word_from_the_user(self, span: str) -> None:
        """A full hold stands until the start, so that the start comes; then the default one, and one line tells it."""
        with by_number(PORT, slowly=True) as client, slow_service(PORT, "--evict", span=span) as service:
            service.complains("evicted")
            if span == "1024 65000":  # only what the evicted connection leaves bound tells how it was bound
                service.complains("bound the port by number")
            eventually(lambda: holds_of(service.pid) == ["[::]"], "the full hold")
            client.tell("close")
            service.says("started")
            line = service.complains(f"{PORT}/tcp may be lost again before")
            assert "--hold=full" in line
            assert holds_of(service.pid) == ["[::] 6"]
            eventually(lambda: client.out.count("connected") > 1, "its next connection")
            service.tell("bind")
            service.says("EADDRINUSE")

    def test_a_socket_that_is_passed_on_is_not_lost(self) -> None:
        """With --listen portwait has bound the port itself: there is no hold, and no word that one is missing."""
        words = ("--evict", "--listen", "-v")
        with by_number(PORT, slowly=True) as client, slow_service(PORT, *words, span="40000 50000") as service:
            service.complains("waiting for")
            client.tell("close")
            service.says("started")
            assert [line for line in service.err if "lost again" in line or "hold on" in line] == []

    def test_without_reuseaddr(self) -> None:
        """No hold can help then, and no such hold is advised."""
        with by_number(PORT, slowly=True) as client:
            words = ("--evict", "--no-reuseaddr", "-4")
            with slow_service(PORT, *words, service=(WILDCARD, "plain"), span="1024 65000") as service:
                service.complains("bound the port by number")
                client.tell("close")
                service.says("started")
                line = service.complains("may be lost again before")
                assert "--hold=full" not in line

    def test_one_address_leaves_the_others_alone(self) -> None:
        """A full hold is on all addresses: another program starts on its own one while portwait waits for this one."""
        words = ("--evict", "--reuseaddr")
        with by_number(PORT, slowly=True), slow_service(f"127.0.0.1:{PORT}", *words) as service:
            service.complains("waiting for")
            with states.bound_only(PORT, address="127.0.0.2"):
                assert holds_of(service.pid) == ["[::] 6"]


@contextlib.contextmanager
def storm(port: int, how: str = "connect") -> Iterator[Program]:
    """Connect without pause in a range of 16 ports, from the test's own network."""
    with running([sys.executable, "-IS", str(HELPERS / "storm.py"), str(port), how], stdin=subprocess.PIPE) as clients:
        clients.says("storming")
        yield clients


def hits(clients: Program, phase: str) -> int:
    """End a phase of a storm: how often it got the port in at least 1,000 attempts."""
    clients.tell(phase)
    return int(clients.says(f"{phase} ").split()[-1])


@contextlib.contextmanager
def by_number(port: int, *, slowly: bool = False) -> Iterator[Program]:
    """Start by_number.py; slowly, it keeps an aborted connection's socket until it is told to close it."""
    words = [str(port), *(["slowly"] if slowly else [])]
    with running([sys.executable, "-IS", str(HELPERS / "by_number.py"), *words], stdin=subprocess.PIPE) as client:
        client.says("connected")
        yield client

"""The guard's parts as other programs use them."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import portwait
from portwait.wait import schedule
from tests.support.guarding import run
from tests.support.netns import forced_source_port
from tests.support.states import (
    bound_only,
    listening,
    outbound_established,
    outbound_time_wait,
    service_bind,
    shared_local_port,
    udp_connected,
)
from tests.support.surroundings import lacking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from portwait import Target

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010


def target(word: str = str(PORT)) -> Target:
    (only,) = portwait.parse([word])
    return only


@pytest.fixture(autouse=True)
def _no_descriptor_is_left() -> Iterator[None]:
    """Whatever a caller does, nothing stays open behind its back."""
    before = sorted(Path("/proc/self/fd").iterdir())
    yield
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def _connect_gets(port: int) -> str:
    """Let the kernel choose this source port or none: what a client is told."""
    with socket.create_server(("127.0.0.1", 7999)) as server, socket.socket() as client, forced_source_port(port):
        try:
            client.connect(server.getsockname())
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        server.accept()[0].close()
        return str(client.getsockname()[1])


def test_what_the_docstring_says() -> None:
    """Read a target, ask for it, wait for it, hold it."""
    one = target()
    assert portwait.probe(one).state == "free"
    assert portwait.blockers(one) == ()
    survey = portwait.wait_until_free(one, timeout=5)
    assert survey is not None
    assert [hold.form for hold in survey.holds] == ["v6only"]
    for hold in survey.holds:
        hold.drop()
    hold = portwait.Hold(one)
    assert hold.take()
    assert _connect_gets(PORT) == "EADDRNOTAVAIL"
    hold.drop()
    assert _connect_gets(PORT) == str(PORT)


def test_probe_is_the_kernels_word() -> None:
    """Held, with the error's name; immutable."""
    with outbound_established(PORT):
        verdict = portwait.probe(target())
        assert (verdict.state, verdict.errno_name, verdict.by) == ("held", "EADDRINUSE", "bind")
        assert service_bind(PORT, reuseaddr=True) == "EADDRINUSE"
    assert portwait.probe(target()) == portwait.Verdict("free")
    assert portwait.probe(target("192.0.2.1:30010")).state == "unavailable"


def test_probe_takes_the_services_flags() -> None:
    """What a service without SO_REUSEADDR meets is not in the way of one with it."""
    with bound_only(PORT, address="127.0.0.1", reuseaddr=True):
        assert portwait.probe(target()).state == "free"
        assert portwait.probe(target(), reuseaddr=False).state == "held"


def test_blockers_are_all_of_them() -> None:
    """Each socket with its kind, both ends and its owners."""
    with shared_local_port(PORT, 3) as made:
        found = portwait.blockers(target())
        assert sorted(one.remote or "" for one in found) == sorted(one.remote for one in made)
        for one in found:
            assert isinstance(one, portwait.Blocker)
            assert (one.kind.name, one.local) == ("outbound", f"127.0.0.1:{PORT}")
            assert [owner.pid for owner in one.owners] == [os.getpid()]
            assert all(isinstance(owner, portwait.Owner) for owner in one.owners)
    assert portwait.blockers(target()) == ()


def test_blockers_of_udp() -> None:
    """UDP is another protocol, on the same port."""
    with udp_connected(PORT) as made:
        (one,) = portwait.blockers(target(f"{PORT}/udp"))
        assert (one.local, one.remote) == (made.local, made.remote)
        assert portwait.blockers(target()) == ()


def test_waiting_ends_when_the_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client lets go between two looks, and the wait ends with the port held for its caller."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(outbound_established(PORT))
        _at_the_first_pause(monkeypatch, stack.close)
        survey = portwait.wait_until_free(target(), timeout=30)
    assert survey is not None
    assert survey.verdicts == {target(): portwait.Verdict("free")}
    assert _connect_gets(PORT) == "EADDRNOTAVAIL"
    _drop(survey.holds)


def test_the_hold_stands_before_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waits for one connection no other one can join."""
    told: list[str] = []
    with outbound_established(PORT):
        _at_the_first_pause(monkeypatch, lambda: told.append(_connect_gets(PORT)))
        assert portwait.wait_until_free(target(), timeout=0.2) is None
    assert told == ["EADDRNOTAVAIL"]


def test_no_hold_stands_beside_a_listener(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fail that server's own restart."""
    told: list[str] = []
    with listening(PORT, address="127.0.0.1") as server:

        def restart() -> None:
            server.sock.close()
            told.append(service_bind(PORT, "::"))

        _at_the_first_pause(monkeypatch, restart)
        survey = portwait.wait_until_free(target(), timeout=30)
    assert told == ["ok"]
    assert survey is not None
    _drop(survey.holds)


def test_waiting_gives_up() -> None:
    """None, and nothing stays behind: not even the hold of a target that was free."""
    with outbound_established(PORT):
        assert portwait.wait_until_free(target(), target("30011"), timeout=0.2) is None
    assert service_bind(PORT, "::") == service_bind(PORT + 1, "::") == "ok"


def test_nan_is_no_timeout() -> None:
    """Rule: it is an error at once, where it would be a wait without end."""
    with listening(PORT):
        with pytest.raises(portwait.UsageError, match="cannot wait for NaN seconds"):
            portwait.wait_until_free(target(), timeout=math.nan)
        with pytest.raises(portwait.UsageError, match="cannot wait for NaN seconds"):
            portwait.pick(str(PORT), timeout=math.nan)


def test_its_own_full_hold_would_be_in_its_way() -> None:
    """Rule: as on the command line, no full hold for a service without SO_REUSEADDR; the wait for it would not end."""
    with outbound_established(PORT), pytest.raises(portwait.UsageError, match="cannot bind beside a full hold"):
        portwait.wait_until_free(target(), timeout=0, mode="full", reuseaddr=False)
    with pytest.raises(portwait.UsageError, match="cannot bind beside a full hold"):
        portwait.pick(str(PORT), mode="full", reuseaddr=False)


def test_waiting_without_a_hold() -> None:
    """Who only wants to know holds nothing."""
    survey = portwait.wait_until_free(target(), timeout=0, mode="none")
    assert survey is not None
    assert [hold.form for hold in survey.holds] == [None]


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
def test_many_targets_are_read_from_the_tables(held: bool) -> None:
    """More than 64 are not bound one by one; what the tables show counts."""
    many = portwait.parse(["30000-30100"])
    with outbound_time_wait(PORT) if held else contextlib.nullcontext():
        survey = portwait.wait_until_free(*many, timeout=0)
        assert (survey is None) is held
        if survey is not None:
            assert {verdict.state for verdict in survey.verdicts.values()} <= {"free", "unknown"}


def test_where_bind_is_denied_the_tables_decide() -> None:
    """A port below 1024 that a listener holds is not free because nobody may ask."""
    waits = "portwait.wait_until_free(one, timeout=0) is not None"
    with listening(80):
        assert _without_rights("portwait.probe(one).state") == "denied"
        assert _without_rights(waits) == "False"
    assert _without_rights("portwait.probe(one).state") == "denied"
    assert _without_rights(waits) == "True"


def test_an_interrupted_wait_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the caller's program comes out, and the holds are gone."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with outbound_established(PORT):
        _at_the_first_pause(monkeypatch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            portwait.wait_until_free(target(), target("30011"), timeout=30)
    assert service_bind(PORT + 1, "::") == "ok"


def test_errors_are_a_small_tree() -> None:
    """One class catches all; a wrong word is one of them."""
    with pytest.raises(portwait.PortwaitError):
        portwait.parse(["70000"])
    assert issubclass(portwait.UsageError, portwait.PortwaitError)
    assert issubclass(portwait.TablesError, portwait.PortwaitError)


def _at_the_first_pause(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something while it waits, once it has looked."""
    pause, acts = schedule.pause, [act]

    def paused(now: float, deadline: float, expected: float, every: float) -> float:
        if acts:
            acts.pop()()
        return pause(now, deadline, expected, every)

    monkeypatch.setattr(schedule, "pause", paused)


def _drop(holds: list[portwait.Hold]) -> None:
    for hold in holds:
        hold.drop()


def _without_rights(expression: str) -> str:
    """Ask in a program that may not bind port 80, root or not."""
    program = f"import portwait; one, = portwait.parse(['80']); print({expression})"
    rights = lacking("net_bind_service")
    seen = run([*rights, sys.executable, "-c", program])
    assert seen.err == ""
    return seen.out.strip()

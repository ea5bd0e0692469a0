"""Waiting: what wakes it, when it gives up, and what it takes over."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest

from portwait import parse, wait_until_free
from portwait.bind.survey import Survey
from portwait.log import Log
from portwait.model.verdict import Verdict
from portwait.wait import channel
from portwait.wait.loop import WaitLoop
from portwait.wait.narrator import Narrator
from tests.support import states
from tests.support.blockers import BLOCKERS, makers
from tests.support.descriptors import sockets_of
from tests.support.destroy_events import cookie_of, subscribed
from tests.support.guarding import GAVE_UP, STARTED, changed, events, guard, in_order, run, slow_tables, waiting
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE, eventually, portwait, running
from tests.support.shown import link_of
from tests.support.states import LOOPBACK, outbound_established, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010
SLEEPLESS = tuple(changed("from portwait.wait import polling, schedule; polling.POLL = schedule.LOOK = 3600"))
"""The guard without its slow poll, so that only an event or a timer can wake it."""


def close(made: Any) -> None:
    """End a connection at once: with RST, or as it is where there is nobody to tell."""
    reset(made.sock) if made.sock.type == socket.SOCK_STREAM else made.sock.close()


def peer_resets(made: states.Connection) -> None:
    """Let the other end reset the connection; the descriptor on the port stays open."""
    reset(made.peer)


def destroyed(made: states.Connection) -> None:  # noqa: ARG001  # the same signature as the others
    """Destroy the connection as `ss -K` does; the descriptor on the port stays open."""
    run(["ss", "-K", f"sport = :{PORT}"])


WITH_EVENT: dict[str, Callable[[Any], None]] = {
    "established": close,
    "established-ipv6": close,
    "established-mapped": close,
    "established-bound-first": close,
    "close-wait": lambda made: made.sock.close(),
    "syn-sent": lambda made: made.sock.close(),
    "self-connect": close,
    "listener": lambda made: made.sock.close(),
    "udp-connected": close,
    "udp-connected-ipv6": close,
    "udp-bound": close,
}
"""How each of BLOCKERS is closed."""
WITHOUT_EVENT = {"reset-by-peer": peer_resets, "ss-K": destroyed}
"""How an established connection ends while its descriptor on the port stays open."""


class TestEvents:
    """The kernel's word that a socket was destroyed."""

    @kernel
    @pytest.mark.parametrize(("there", "end"), WITH_EVENT.items(), ids=WITH_EVENT)
    def test_a_close_is_announced(self, there: str, end: Callable[[Any], None]) -> None:
        with BLOCKERS[there](PORT) as made, subscribed((PORT, PORT)) as listening:
            end(made)
            assert select.select([listening], [], [], DEADLINE)[0], "no event"

    @kernel
    @pytest.mark.parametrize("end", WITHOUT_EVENT.values(), ids=WITHOUT_EVENT)
    def test_these_are_not(self, end: Callable[[Any], None]) -> None:
        """The port becomes free while the descriptor stays open; the next close that is announced is another one's."""
        with outbound_established(PORT) as made, subscribed((PORT, PORT)) as listening:
            end(made)
            eventually(lambda: states.service_bind(PORT, reuseaddr=True) == "ok", "the free port")
            with outbound_established(PORT) as marker:
                cookie = cookie_of(marker.sock)
                reset(marker.sock)
            assert cookie_of(made.sock) not in [event.cookie for event in listening.until(cookie)]

    @kernel
    def test_only_of_the_ports_that_are_asked_for(self) -> None:
        """Other people's closes, and one's own failed probes, wake nobody."""
        with subscribed((PORT, PORT)) as listening, outbound_established(PORT) as made:
            for _ in range(20):
                assert states.service_bind(PORT) == "EADDRINUSE"
            for port in (PORT - 1, PORT + 1, 8000):
                with outbound_established(port) as other:
                    reset(other.sock)
            cookie = cookie_of(made.sock)
            reset(made.sock)
            assert [event.cookie for event in listening.until(cookie)] == [cookie]

    @kernel
    def test_other_ports_can_be_asked_for(self) -> None:
        with subscribed((PORT + 1, PORT + 1)) as listening, outbound_established(PORT) as made:
            listening.watch([(PORT, PORT)])
            reset(made.sock)
            assert select.select([listening], [], [], DEADLINE)[0], "no event"


class TestWaking:
    """The service starts when the port becomes free, however that happens."""

    @pytest.mark.parametrize("there", ["established", "established-ipv6", "close-wait", "listener"])
    def test_by_an_event(self, there: str) -> None:
        """With no poll under it the close alone wakes it."""
        with BLOCKERS[there](PORT) as made, waiting(str(PORT), "--", *STARTED, start=SLEEPLESS) as guarded:
            WITH_EVENT[there](made)
            guarded.says("started")
            assert guarded.status() == 0

    @pytest.mark.parametrize("there", makers("udp-connected", "udp-bound"))
    def test_by_an_event_of_udp(self, there: Maker) -> None:
        with there(PORT) as made, waiting(f"{PORT}/udp", "--", *STARTED, start=SLEEPLESS) as guarded:
            made.sock.close()
            guarded.says("started")

    @pytest.mark.parametrize("end", WITHOUT_EVENT.values(), ids=WITHOUT_EVENT)
    def test_by_the_poll(self, end: Callable[[Any], None]) -> None:
        """No event comes, and the descriptor on the port stays open."""
        with outbound_established(PORT) as made, waiting(str(PORT), "--", *STARTED) as guarded:
            end(made)
            guarded.says("started")
            assert made.sock.fileno() != -1

    def test_by_a_timer(self) -> None:
        """An orphaned FIN_WAIT2 has the same kind of timer as a TIME_WAIT, and no event at its end."""
        sysctl("net.ipv4.tcp_fin_timeout", "30")  # a busy host needs some of it to start the guard
        with states.fin_wait2_orphan(PORT), waiting(str(PORT), "--", *STARTED, start=SLEEPLESS, form="json") as guarded:
            guarded.says("started")
            guarded.status()
        said = in_order(events("\n".join(guarded.err)))
        assert [event["event"] for event in said if event["event"] != "still-waiting"] == ["held", "waiting", "free"]
        assert said[0]["blockers"][0]["state"] == "FIN_WAIT2"
        assert 0 < said[0]["blockers"][0]["expires_in"] <= 31

    def test_an_address_that_comes_up(self) -> None:
        """Neither free nor held: the interface may still get it."""
        with waiting("192.0.2.7:30010", "--", *STARTED) as guarded:
            assert "unavailable" in guarded.complains("192.0.2.7")
            run(["ip", "address", "add", "192.0.2.7/32", "dev", "lo"])
            guarded.says("started")

    @pytest.mark.parametrize(
        ("held", "is_kept"),
        [
            ((outbound_established,), True),
            ((states.listening,), False),
            ((states.listening, outbound_established), False),
        ],
        ids=["a client", "a server", "one of each"],
    )
    def test_says_what_keeps_new_connections_away(self, held: tuple[Maker, ...], is_kept: bool) -> None:
        """Only where a hold stands on each port that is waited for; the one on a free port says nothing of these."""
        with contextlib.ExitStack() as stack:
            for port, make in enumerate(held, PORT):
                stack.enter_context(make(port))
            wanted = (str(port) for port in range(PORT, PORT + len(held) + 1))
            guarded = stack.enter_context(waiting(*wanted, "--", *STARTED))
            assert ("no new connection" in guarded.complains("waiting for")) is is_kept

    def test_several_targets(self) -> None:
        """All of them have to be free at once; only those that are not are waited for."""
        with (
            outbound_established(PORT) as first,
            outbound_established(30020) as second,
            waiting(str(PORT), "30020", "30030", "--", *STARTED) as guarded,
        ):
            assert "30030" not in guarded.complains("waiting for")
            reset(second.sock)
            seen = guard("--timeout", "0", "--log-format", "json", str(PORT), "30020", "--", *STARTED)
            assert (seen.status, seen.out) == (GAVE_UP, "")
            assert seen.event("held")["target"] == str(PORT)
            assert guarded.process.poll() is None
            reset(first.sock)
            guarded.says("started")

    def test_in_python(self) -> None:
        """The API waits in the same way, without a word, and answers with the holds; it leaves nothing behind."""
        targets = parse([str(PORT), "30020"])
        with outbound_established(PORT):
            assert wait_until_free(*targets, timeout=0.2) is None
            assert [held for held in sockets_of(os.getpid()) if held.port == 30020] == []
        survey = wait_until_free(*targets, timeout=DEADLINE)
        assert survey is not None
        assert [one.form for one in survey.holds] == ["v6only", "v6only"]
        for one in survey.holds:
            one.drop()


class TestGivingUp:
    """The deadline is a moment, not a number of tries."""

    def test_events_do_not_move_it(self) -> None:
        """Sockets that come and go on the port wake the guard again and again, and it ends all the same."""
        with (
            outbound_established(PORT),
            running(portwait("--timeout", "1", str(PORT), "--", *STARTED)) as guarded,
            socket.create_server((LOOPBACK, 7100)) as server,
        ):
            came = 0
            while guarded.process.poll() is None:  # somebody who binds the port of another address by number
                with socket.socket() as other:
                    try:
                        other.bind(("127.0.0.2", PORT))
                    except OSError as error:
                        assert error.errno == errno.EADDRINUSE  # noqa: PT017  # a hold that is tried stands in the way
                        continue
                    other.connect((LOOPBACK, 7100))
                    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                server.accept()[0].close()
                came += 1
            assert came > 0
            assert guarded.status() == GAVE_UP
            assert guarded.out == []

    @pytest.mark.parametrize("timeout", ["0", "100ms"])
    def test_nothing_is_started(self, timeout: str) -> None:
        with outbound_established(PORT):
            seen = guard("--timeout", timeout, str(PORT), "--", *STARTED)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert "gave up" in seen.err
        assert "nothing was started" in seen.err

    @pytest.mark.parametrize(
        "how", [{"words": ("--anyway",)}, {"env": {"PORTWAIT_ANYWAY": "1"}}], ids=["flag", "variable"]
    )
    def test_anyway(self, how: dict[str, Any]) -> None:
        """The command runs all the same, its status comes through, and the line says so."""
        env = {**os.environ, **how.get("env", {})}
        with outbound_established(PORT):
            seen = guard("--timeout", "0.1", *how.get("words", ()), str(PORT), "--", "sh", "-c", "exit 7", env=env)
        assert seen.status == 7
        assert "starting all the same" in seen.err

    def test_the_environment_gives_the_deadline(self) -> None:
        with outbound_established(PORT):
            assert guard(str(PORT), env={**os.environ, "PORTWAIT_TIMEOUT": "100ms"}).status == GAVE_UP

    def test_without_a_command(self) -> None:
        """As ExecStartPre=: it only waits, and holds nothing."""
        assert guard(str(PORT)) == (0, "", "")
        with outbound_established(PORT) as blocker, waiting(str(PORT)) as guarded:
            assert [held for held in sockets_of(guarded.pid) if held.port] == []
            reset(blocker.sock)
            assert guarded.status() == 0


def test_a_deadline_that_has_passed_when_the_wait_is_announced(capfd: pytest.CaptureFixture[str]) -> None:
    """Rule: on a busy machine naming may take longer than there was to wait; no negative time is said."""
    survey, now = Survey(parse(["30010"])), time.monotonic()
    WaitLoop(survey, Log(), now - 2, now - 1, None)._say_waiting()
    assert "for at most 0ms" in capfd.readouterr().err


@pytest.mark.parametrize("targets", [("30000-30099",), ("30010-30012",)], ids=["tables decide", "bind decides"])
def test_news_while_the_narrator_is_busy(targets: tuple[str, ...]) -> None:
    """Rule: an event that comes while the tables are read keeps nobody from hearing what they say."""
    with contextlib.ExitStack() as stack:
        with outbound_established(PORT):
            # longer than the second from one look at the tables to the next
            argv = changed(slow_tables(1.5), *targets, "--", *STARTED)
            guarded = stack.enter_context(running(argv))
            guarded.complains("waiting for")
        guarded.says("started")


@pytest.mark.parametrize("narrator", [None, "lost", "busy"])
def test_a_pause_is_a_pause(narrator: str | None) -> None:
    """Rule: where the tables decide, news does not make the guard spin while nobody can be asked about them."""
    wide = Survey(parse(["30000-30099"]))
    ours, its = channel.pair()
    asked = None if narrator is None else Narrator(ours, 0, Log(), acts=False, was_pending=False)
    if asked is not None:
        asked.lost, asked.busy = narrator == "lost", narrator == "busy"
    wide.learn({wide.targets[10]: Verdict("held", 98, "tables")}, ())
    wide.probe()
    now = time.monotonic()
    WaitLoop(wide, Log(), now - 2, now + 60, asked)._pause(0.1)
    assert time.monotonic() - now >= 0.1
    its.close()
    ours.close()


class TestPassedIn:
    """A socket for the target that systemd has passed in: the port is the service's already."""

    SCRIPT = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 3<&$0'
    SHOW = ("sh", "-c", "echo $LISTEN_FDS $LISTEN_PID $$; readlink /proc/self/fd/3")

    def test_it_goes_on_at_once(self) -> None:
        """Its own listener is not in its way; everything is passed through."""
        with states.listening(PORT) as made:
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number), *portwait("--timeout", "0", str(PORT), "--", *self.SHOW)]
            with running(argv, pass_fds=[number]) as service:
                assert service.status() == 0, service.describe()
                assert service.out == [f"1 {service.pid} {service.pid}", link_of(number)]
                assert service.err == []

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (["-v", str(PORT)], [f"{PORT}/tcp was passed in (LISTEN_FDS); starting true"]),
            (
                ["-v", "--no-hold", str(PORT), str(PORT + 1)],
                [f"{PORT + 1}/tcp is free and {PORT}/tcp was passed in (LISTEN_FDS); starting true"],
            ),
            (["-v", "--listen", str(PORT)], [f"{PORT}/tcp was passed in (LISTEN_FDS); starting true"]),
            *(
                (
                    ["--dry-run", *more, str(PORT)],
                    [*first, f"dry run: {PORT}/tcp was passed in (LISTEN_FDS)", "dry run: would become true"],
                )
                for more, first in (
                    ([], []),
                    (["--listen"], []),
                    (["--fdstore"], []),
                    (["--reserve"], [f"dry run: would reserve {PORT}/tcp first"]),
                )
            ),
        ],
    )
    def test_it_is_named_as_what_it_is(self, options: list[str], said: list[str]) -> None:
        """Nothing was asked of its port, and nothing is held, listened on or stored for it: nobody claims that."""
        with states.listening(PORT) as made:
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number), *portwait(*options, "--", "true")]
            done = run(argv, pass_fds=[number])
        assert done.err.splitlines() == [f"portwait: {line}" for line in said]

    def test_its_event_names_it(self) -> None:
        """The field `target` is a target, whatever the words are."""
        with states.listening(PORT) as made:
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number)]
            done = run([*argv, *portwait("-v", "--log-format", "json", str(PORT), "--", "true")], pass_fds=[number])
        assert json.loads(done.err)["target"] == str(PORT)

    def test_another_port_is_waited_for(self) -> None:
        with states.listening(PORT + 1) as made, outbound_established(PORT):
            number = made.sock.fileno()
            argv = ["bash", "-c", self.SCRIPT, str(number), *portwait("--timeout", "0", str(PORT), "--", *self.SHOW)]
            assert run(argv, pass_fds=[number]).status == GAVE_UP

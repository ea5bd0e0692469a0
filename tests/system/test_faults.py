"""With something missing or broken the guard degrades and says so.

It never starts the service over a port that the kernel has just called held, and never keeps it down for a fault of
its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import states
from tests.support.descriptors import sockets_of
from tests.support.destroy_events import subscribed
from tests.support.guarding import GAVE_UP, STARTED, Outcome, changed, guard, run
from tests.support.netns import sysctl
from tests.support.packages import needs
from tests.support.programs import DEADLINE, portwait, running
from tests.support.states import (
    LOOPBACK,
    accepted_leftover,
    accepted_time_wait,
    listening,
    outbound_established,
    reset,
    service_bind,
)
from tests.support.surroundings import AS_NOBODY, HIDDEN_PROCESSES, NO_PROC
from tests.support.without import NO_IPV6, NO_NETLINK, without

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

    Maker = Callable[..., AbstractContextManager[Any]]

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010
SURROUNDINGS = {
    "no-netlink": tuple(without(NO_NETLINK)),
    "no-netlink-nobody": (*without(NO_NETLINK), *AS_NOBODY),
    "no-netlink-no-ipv6": tuple(without(NO_NETLINK, NO_IPV6)),
    "no-proc": NO_PROC,
    "no-proc-no-netlink": (*NO_PROC, *without(NO_NETLINK)),
    "hidepid": (*HIDDEN_PROCESSES, *AS_NOBODY),
    "nobody": AS_NOBODY,
    "no-environment": ("env", "-i"),
}
each_surroundings = pytest.mark.parametrize("before", SURROUNDINGS.values(), ids=SURROUNDINGS)


class TestSurroundings:
    """Machines, units and containers that withhold something."""

    @each_surroundings
    def test_a_free_port(self, before: tuple[str, ...]) -> None:
        """The service starts, without a word, for bind alone decides."""
        seen = guard(str(PORT), "--", *STARTED, before=before)
        assert (seen.status, seen.out, seen.err) == (0, "started\n", "")

    @each_surroundings
    def test_a_held_port(self, before: tuple[str, ...]) -> None:
        """No culprit is made up, what cannot be seen is said, and the wait ends with the hold when the port is free."""
        with outbound_established(PORT) as blocker:
            words = ("--log-format", "json", str(PORT), "--", "sh", "-c", "echo started; read line")
            with running([*before, *portwait(*words)], stdin=-1) as guarded:
                guarded.complains('"waiting"')
                guarded.complains('"held"')  # where the diagnosis takes long, it is said after the wait
                assert guarded.out == []
                said = Outcome(0, "", "\n".join(guarded.err))
                reset(blocker.sock)
                guarded.says("started")
                expected = [] if NO_IPV6 in before else [("::", PORT)]
                assert [(held.address, held.port) for held in sockets_of(guarded.pid)] == expected
        assert said.event("held")["errno"] == "EADDRINUSE"
        owners = [owner["pid"] for one in said.event("held")["blockers"] for owner in one["owners"]]
        if owners != [os.getpid()]:
            assert owners == []
            assert re.search(r"not visible|cannot see|cannot be (read|seen)|may not be looked into", said.err), said.err

    def test_what_is_lost_without_netlink(self) -> None:
        """One line says it once, and the owner is named through psutil."""
        with outbound_established(PORT):
            seen = guard("--timeout", "0", str(PORT), before=SURROUNDINGS["no-netlink"])
        assert seen.status == GAVE_UP
        (line,) = [line for line in seen.err.splitlines() if "RestrictAddressFamilies" in line]
        assert "only bound" in line
        assert f"pid {os.getpid()}" in seen.err

    @pytest.mark.parametrize("surroundings", ["no-netlink", "no-netlink-nobody"])
    def test_a_time_wait_without_netlink(self, surroundings: str) -> None:
        """No process owns it, and nobody is sent to look for one; the report has how long it lasts, and its remedy."""
        with states.outbound_time_wait(PORT):
            done = run([*SURROUNDINGS[surroundings], *portwait("explain", str(PORT))])
        assert done.status == 1
        assert "is held by a connection in TIME_WAIT: no process owns it, it ends by itself in " in done.out
        assert "not visible" not in done.out
        assert "Wait " in done.out
        assert f"portwait reserve {PORT}" in done.out

    def test_a_bound_socket_without_netlink(self) -> None:
        """What no other table shows is not made up."""
        with states.bound_only(PORT):
            seen = guard("--timeout", "0", str(PORT), before=SURROUNDINGS["no-netlink"])
        assert seen.status == GAVE_UP
        assert "held by something that the socket tables do not show" in seen.err

    def test_another_users_socket(self) -> None:
        """The owner's user is known, the owner is not; the line names the cure."""
        with outbound_established(PORT):
            seen = guard("--timeout", "0", "--log-format", "json", str(PORT), before=AS_NOBODY)
        (blocker,) = seen.event("held")["blockers"]
        assert (blocker["kind"], blocker["user"], blocker["owners"]) == ("outbound", "root", [])
        assert "root" in blocker["unseen"]

    def test_ones_own_socket(self) -> None:
        """An unprivileged user sees the owners that are his own."""
        script = f"import socket; s = socket.create_server(('127.0.0.1', {PORT})); print('ready', flush=True); input()"
        with running([*AS_NOBODY, sys.executable, "-IS", "-c", script], stdin=-1) as server:
            server.says("ready")
            seen = guard("--timeout", "0", "--log-format", "json", str(PORT), before=AS_NOBODY)
        (blocker,) = seen.event("held")["blockers"]
        assert [owner["pid"] for owner in blocker["owners"]] == [server.pid]
        assert blocker["kind"] == "listener"


class TestDenied:
    """A port that only root may bind: the tables decide where the kernel says EACCES."""

    def test_free(self) -> None:
        """It goes on, for the service may have a right that the guard has not, and says so in one line."""
        seen = guard("80", "--", *STARTED, before=AS_NOBODY)
        assert seen.started
        assert "denied" in seen.err
        assert seen.err.endswith(". More: portwait explain 80\n")
        assert len(seen.err.splitlines()) == 1

    @pytest.mark.parametrize("there", [listening, outbound_established])
    def test_held(self, there: Maker) -> None:
        with there(PORT):
            sysctl("net.ipv4.ip_local_port_range", "40000 50000")  # may not reach below the other
            sysctl("net.ipv4.ip_unprivileged_port_start", str(PORT + 1))
            seen = guard("--timeout", "0", "--log-format", "json", str(PORT), "--", *STARTED, before=AS_NOBODY)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert [seen.event("held")[key] for key in ("verdict", "errno", "by")] == ["held", "EACCES", "tables"]

    @pytest.mark.parametrize("leftover", [accepted_leftover, accepted_time_wait])
    def test_what_the_service_itself_has_left(self, leftover: Maker) -> None:
        """A restart is not kept waiting for it: bind would succeed, and the tables do not tell otherwise."""
        with leftover(80):
            assert service_bind(80, reuseaddr=True) == "ok"
            assert guard("--timeout", "0", "80", "--", *STARTED, before=AS_NOBODY).started
            assert guard("--timeout", "0", "--no-reuseaddr", "80", "--", *STARTED, before=AS_NOBODY).status == GAVE_UP

    def test_it_becomes_free(self) -> None:
        """The tables are asked again."""
        with contextlib.ExitStack() as stack:
            with listening(80):
                guarded = stack.enter_context(running([*AS_NOBODY, *portwait("80", "--", *STARTED)]))
                guarded.complains("waiting for")
            guarded.says("started")

    def test_nobody_can_say(self) -> None:
        """Neither bind nor a table: it goes on, and says so."""
        before = (*NO_PROC, *without(NO_NETLINK), *AS_NOBODY)
        with listening(80):
            seen = guard("80", "--", *STARTED, before=before)
        assert seen.started
        assert "denied" in seen.err

    def test_evict_claims_nothing(self) -> None:
        """What nobody can say is no success: the verb fails."""
        done = run([*NO_PROC, *without(NO_NETLINK), *AS_NOBODY, *portwait("evict", "80")])
        assert (done.status, done.out) == (125, "")
        assert "cannot tell what is in the way of 80/tcp: " in done.err

    def test_the_namespaces_own_limit(self) -> None:
        """Where low ports are everybody's, bind decides."""
        sysctl("net.ipv4.ip_unprivileged_port_start", "80")
        assert guard("80", "--", *STARTED, before=AS_NOBODY) == (0, "started\n", "")
        with listening(80):
            seen = guard("--timeout", "0", "--log-format", "json", "80", "--", *STARTED, before=AS_NOBODY)
        assert [seen.event("held")[key] for key in ("verdict", "errno", "by")] == ["held", "EADDRINUSE", "bind"]


class TestTooWide:
    """Of more than 64 ports the tables say which are free; bind is asked about the others."""

    SPAN = "30000-30099"

    def test_free(self) -> None:
        assert guard(self.SPAN, "--", *STARTED).started

    def test_held(self) -> None:
        with outbound_established(PORT):
            seen = guard("--timeout", "0", "--log-format", "json", self.SPAN, "--", *STARTED)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert [seen.event("held")[key] for key in ("port", "by")] == [PORT, "bind"]

    def test_it_becomes_free(self) -> None:
        with contextlib.ExitStack() as stack:
            with outbound_established(PORT):
                guarded = stack.enter_context(running(portwait(self.SPAN, "--", *STARTED)))
                guarded.complains("waiting for")
            guarded.says("started")

    def test_no_table(self) -> None:
        """Where they cannot be read either, nothing keeps the service down."""
        before = (*NO_PROC, *without(NO_NETLINK))
        with outbound_established(PORT):
            seen = guard(self.SPAN, "--", *STARTED, before=before)
        assert seen.started
        assert "cannot" in seen.err


class TestFaultyCalls:
    """System calls that fail, from some call on, by strace's hand."""

    @pytest.mark.parametrize(
        ("call", "fault"),
        [
            ("bind", "ENOBUFS"),
            ("bind", "ENOMEM"),
            ("socket", "EMFILE"),
            ("socket", "ENFILE"),
            ("socket", "ENOBUFS"),
            ("setsockopt", "ENOPROTOOPT"),
            ("dup2", "EMFILE"),
            ("dup3", "EMFILE"),
        ],
    )
    def test_a_free_port(self, call: str, fault: str) -> None:
        """What the kernel refuses to say, or to hold, keeps no service down; what goes wrong is said."""
        seen = faulty(call, fault, str(PORT), "--", *STARTED)
        assert seen.started
        if call in ("bind", "socket"):
            assert fault in seen.err

    @pytest.mark.parametrize(
        ("call", "fault"),
        [
            ("bind:when=2+", "ENOBUFS"),
            ("bind:when=3+", "EACCES"),
            ("socket:when=2+", "EMFILE"),
            ("socket:when=3+", "ENOBUFS"),
            ("socket:when=4+", "ENFILE"),
            ("setsockopt:when=3+", "ENOMEM"),
            ("sendto:when=1+", "ENOBUFS"),
            ("recvfrom:when=1+", "ENOBUFS"),
            ("recvfrom:when=2+", "ENOMEM"),
            ("poll:when=2+", "ENOMEM"),
            ("readlink:when=40+", "EACCES"),
        ],
    )
    def test_a_held_port(self, call: str, fault: str) -> None:
        """The kernel has said that it is held: no fault of a later call takes that back."""
        with outbound_established(PORT):
            seen = faulty(call, fault, "--timeout", "0.2", str(PORT), "--", *STARTED)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert "Traceback" not in seen.err

    @pytest.mark.parametrize("most", [5, 6, 7, 8, 12, 16])
    def test_few_descriptors(self, most: int) -> None:
        """RLIMIT_NOFILE, from what Python needs: over a free port all starts, over a held one none that could ask."""
        before = ("prlimit", f"--nofile={most}")
        assert guard(str(PORT), "--", *STARTED, before=before).started
        with outbound_established(PORT):
            seen = guard("--timeout", "0.2", str(PORT), "--", *STARTED, before=before)
        assert (seen.status, seen.out) == (GAVE_UP, "")

    @kernel
    def test_more_events_than_fit(self) -> None:
        """ENOBUFS on the subscription means: look again; afterwards it works as before."""
        with subscribed((PORT, PORT)) as listening_for, socket.create_server((LOOPBACK, 7000)) as server:
            overflow(server)
            with pytest.raises(OSError, match=os.strerror(errno.ENOBUFS)):
                listening_for.read_all()
            listening_for.drain()
            with outbound_established(PORT) as made:
                reset(made.sock)
            assert select.select([listening_for], [], [], DEADLINE)[0], "no event"

    def test_more_events_than_fit_while_it_waits(self) -> None:
        with (
            outbound_established(PORT) as blocker,
            running(portwait(str(PORT), "--", *STARTED)) as guarded,
            socket.create_server((LOOPBACK, 7100)) as server,
        ):
            guarded.complains("waiting for")
            guarded.signal(signal.SIGSTOP)
            overflow(server)
            guarded.signal(signal.SIGCONT)
            assert guarded.process.poll() is None
            reset(blocker.sock)
            guarded.says("started")


class TestBugs:
    """A part of the guard that raises what nobody thought of, and libraries that are not there."""

    PARTS = (
        *("bind.hold.bind", "bind.hold.make_all_inheritable", "systemd.listen_fds.passed_in"),  # on the free path
        *(
            "systemd.notify.Progress",
            "wait.inspection.diagnose",
            "reports.target.full",
            "reports.document.of_case",
            "log.Log",
            "wait.loop.WaitLoop",
            "wait.narrator.start",
            "wait.narration.narrate",
            "wait.narration.port_settings",
            "wait.channel.pair",
        ),
        *("wait.outcome.conclude", "wait.schedule.until", "wait.loop._subscribe", "text.durations.show"),
    )

    @pytest.mark.parametrize("part", [*PARTS, "bind.survey.attempt"])
    def test_a_free_port(self, part: str) -> None:
        """With -v every part is asked, without it the first ones."""
        assert broken(part, "-v", str(PORT), "--", *STARTED).started
        if part in self.PARTS[:3]:
            assert broken(part, str(PORT), "--", *STARTED).started

    @pytest.mark.parametrize("part", PARTS)
    def test_a_held_port(self, part: str) -> None:
        with outbound_established(PORT):
            seen = broken(part, "--timeout", "0.2", str(PORT), "--", *STARTED)
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert "Traceback" not in seen.err
        assert "gave up" in seen.err

    @pytest.mark.parametrize("part", ["wait.inspection.diagnose", "wait.schedule.until", "reports.target.full"])
    def test_the_wait_goes_on(self, part: str) -> None:
        """By bind alone."""
        with contextlib.ExitStack() as stack:
            with outbound_established(PORT):
                guarded = stack.enter_context(running(breaking(part, str(PORT), "--", *STARTED)))
                guarded.complains("a bug")
            guarded.says("started")

    @pytest.mark.parametrize(
        ("missing", "words", "needed"),
        [
            pytest.param(["psutil"], (), False, id="psutil"),
            pytest.param(["structlog"], (), False, id="structlog"),
            pytest.param(["structlog"], ("--log-format", "json"), True, id="structlog-json"),
            pytest.param(["tenacity"], (), True, id="tenacity"),
            pytest.param(["psutil", "tenacity", "structlog"], ("--log-format", "json"), True, id="all"),
        ],
    )
    def test_libraries_that_are_missing(self, missing: list[str], words: tuple[str, ...], needed: bool) -> None:
        """It waits by bind alone where it must, and says so in one line."""
        argv = changed(f"import sys; sys.modules.update(dict.fromkeys({missing!r}))", *words, str(PORT), "--", *STARTED)
        assert run(argv).started
        with contextlib.ExitStack() as stack:
            with outbound_established(PORT):
                guarded = stack.enter_context(running(argv))
                guarded.complains("continuing without it" if needed else "waiting for")
                assert guarded.out == []
            guarded.says("started")
            assert guarded.status() == 0
            assert "Traceback" not in "".join(guarded.err)


class TestJson:
    """With --log-format json every line is an object, whatever goes wrong."""

    def test_what_stops_it(self) -> None:
        """A wrong word, a command that is not there, the deadline of a wait by bind alone."""
        (failed,) = guard("--log-format", "json", "-t", "abc", str(PORT)).events
        assert (failed["event"], failed["status"]) == ("failed", 125)
        (failed,) = guard("--log-format=json", str(PORT), "--", "/no-such-command").events
        assert (failed["event"], failed["status"]) == ("failed", 127)

    def test_a_fault_of_its_own(self) -> None:
        with outbound_established(PORT):
            seen = broken("wait.loop.WaitLoop", "--log-format", "json", "--timeout", "0.2", str(PORT))
        assert [event["event"] for event in seen.events] == ["failed", "gave-up"]
        assert "continuing without it" in seen.events[0]["text"]


# What the tests are made of


def faulty(call: str, fault: str, *words: str) -> Outcome:
    """Run portwait with a system call that fails, always or from the N-th time on: `bind:when=2+`."""
    needs("strace", "strace")
    name = call.partition(":")[0]
    how = call if ":" in call else f"{call}:when=1+"
    inject = how.replace(":", f":error={fault}:", 1)
    options = ("-f", "-qq", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={inject}")
    return guard(*words, before=("strace", *options, "--seccomp-bpf"))


def breaking(part: str, *words: str) -> list[str]:
    """Answer how to run the guard with a function of its own that raises."""
    module, _, name = part.rpartition(".")
    bug = "import sys\ndef fail(*_, **__): raise RuntimeError('a bug')"
    return changed(f"{bug}\nimport portwait.{module} as broken\nbroken.{name}\nbroken.{name} = fail", *words)


def broken(part: str, *words: str) -> Outcome:
    return run(breaking(part, *words))


def overflow(server: socket.socket) -> None:
    """Close connections on PORT, of an address that is in nobody's way, until a subscriber has lost an event."""
    while not any(int(line.split()[8]) for line in Path("/proc/thread-self/net/netlink").read_text().splitlines()[1:]):
        with socket.create_connection(server.getsockname(), source_address=("127.0.0.2", PORT)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.accept()[0].close()

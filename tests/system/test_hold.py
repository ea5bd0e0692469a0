"""The hold keeps the port from everybody's connect(), and fails no service that would have started without it."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portwait import Hold
from portwait.bind.survey import Survey
from tests.support import states
from tests.support.descriptors import Held, sockets_of
from tests.support.guarding import STARTED, guard, run, target_of
from tests.support.netns import sysctl
from tests.support.packages import needs
from tests.support.programs import Program, eventually, portwait, running
from tests.support.states import LOOPBACK, MAPPED, WILDCARD, connects, listening, outbound_established, reset
from tests.support.without import NO_IPV6, without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.bind.hold import Mode

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010  # even, as the range's low end: connect() tries it before the odd ones
ODD_PORT = 30011  # bind(0) tries it before the even ones
HELPERS = Path(__file__).parent / "helpers"
SLOW_SERVICE = (sys.executable, "-IS", str(HELPERS / "slow_service.py"))
LAST = "127.255.255.254"


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


class Service(NamedTuple):
    """How a service binds."""

    address: str
    reuseaddr: bool = True
    reuseport: bool = False
    v6only: bool = False
    udp: bool = False


PLAIN = {"reuseaddr": False}
ONLY_REUSEPORT = {"reuseaddr": False, "reuseport": True}
ANY_IPV6 = Service("::", v6only=True)
ANY_IPV6_PLAIN = ANY_IPV6._replace(reuseaddr=False)
FORMS = [
    ("30010", "[::] 6", [Service("::"), Service("::", reuseport=True), Service("::", **ONLY_REUSEPORT)]),
    ("30010", "[::] 6", [Service(WILDCARD, **PLAIN), Service(LOOPBACK, **PLAIN), Service(WILDCARD), Service("::1")]),
    ("30010 plain", None, [Service("::", **PLAIN), Service(WILDCARD, **PLAIN)]),
    ("-4 30010", "[::] 6", [Service(WILDCARD), Service(WILDCARD, **PLAIN), Service(WILDCARD, **ONLY_REUSEPORT)]),
    ("-4 30010 plain", "[::] 6", [Service(WILDCARD, **PLAIN)]),
    ("0.0.0.0:30010", "[::] 6", [Service(WILDCARD), Service(WILDCARD, **PLAIN)]),
    ("127.0.0.1:30010", "[::] 6", [Service(LOOPBACK), Service(LOOPBACK, **PLAIN), Service(MAPPED, **PLAIN)]),
    ("[::ffff:127.0.0.1]:30010", "[::] 6", [Service(MAPPED), Service(MAPPED, **PLAIN)]),
    (f"{LAST}:30010", "[::] 6", [Service(LAST), Service(LAST, **PLAIN)]),
    ("-6 30010", LAST, [ANY_IPV6, ANY_IPV6_PLAIN, Service("::")]),
    ("-6 30010 plain", LAST, [ANY_IPV6_PLAIN]),
    ("[::1]:30010", LAST, [Service("::1"), Service("::1", **PLAIN), Service("::1", **ONLY_REUSEPORT)]),
    ("[::1]:30010 plain", LAST, [Service("::1", **PLAIN)]),
    ("[::]:30010", "[::] 6", [Service("::"), Service("::", **ONLY_REUSEPORT)]),
    ("30010/udp", None, [Service("::", udp=True, **PLAIN), Service(WILDCARD, udp=True, **PLAIN)]),
]
FULL = [
    ("30010", "[::]", [Service("::"), Service(WILDCARD), Service(LOOPBACK), Service("::1")]),
    ("-4 30010", "[::]", [Service(WILDCARD)]),
    ("-6 30010", "[::]", [ANY_IPV6]),
    ("30010/udp", LAST, [Service(WILDCARD, udp=True), Service("::", udp=True), Service(LOOPBACK, udp=True)]),
]


class TestForms:
    """Which socket holds a target, on the real kernel."""

    @kernel
    @pytest.mark.parametrize(
        ("mode", "words", "form", "services"),
        [
            *(pytest.param("default", *row, id=f"{row[0]}-{index}") for index, row in enumerate(FORMS)),
            *(pytest.param("full", *row, id=f"{row[0]}-full") for row in FULL),
        ],
    )
    def test_no_service_is_failed_by_it(
        self, mode: Mode, words: str, form: str | None, services: list[Service]
    ) -> None:
        """Every service of the kind that the target describes binds and listens; nobody's connect() gets the port."""
        one = hold_of(words, mode)
        assert one.take() == one.ready == one.possible == (form is not None)
        with contextlib.ExitStack() as stack:
            stack.callback(one.drop)
            assert holds_of(os.getpid()) == ([] if form is None else [form])
            for service in services:
                assert (service, starts(service)) == (service, "ok")
            if form is not None:
                udp = services[0].udp
                for address in LOOPBACK, "::1", MAPPED:
                    assert not connects(PORT, address, udp=udp), address

    @kernel
    def test_the_full_hold_shuts_out_plain_services(self) -> None:
        """Its price; DESIGN's other exception, IPv6 services without SO_REUSEADDR, is the default hold's."""
        full = hold_of("30010", "full")
        assert full.take()
        assert starts(Service(WILDCARD, **PLAIN)) == starts(Service("::", **PLAIN)) == "EADDRINUSE"
        full.drop()
        default = hold_of("30010")
        assert default.take()
        assert starts(Service("::", **PLAIN)) == "EADDRINUSE"
        default.drop()

    @kernel
    def test_interim(self) -> None:
        """Over an IPv6 blocker 127.255.255.254 stands for the wait; `[::]` V6ONLY takes its place, without a gap."""
        one = hold_of("30010")
        with outbound_established(PORT, address="::1") as blocker:
            assert one.take()
            assert (one.form, one.ready) == ("last", False)
            assert not connects(PORT)
            reset(blocker.sock)
            assert one.take()
            assert (one.form, one.ready) == ("v6only", True)
            assert holds_of(os.getpid()) == ["[::] 6"]
        one.drop()

    @kernel
    def test_it_stands_before_the_wait(self) -> None:
        """A look at a held port leaves its hold standing beside the blocker, and nobody can join that."""
        with outbound_established(PORT):
            assert connects(PORT)
            survey = Survey([target_of("30010")], mode="default")
            survey.served = ()
            assert not survey.probe()
            assert not connects(PORT)
            survey.holds[0].drop()

    @kernel
    @pytest.mark.parametrize("address", [WILDCARD, "::", LOOPBACK, "::1"])
    def test_never_beside_a_live_listener(self, address: str) -> None:
        """A listener keeps connect() away by itself, and a hold would fail its restart; one that stood is let go."""
        survey = Survey([target_of("30010")], mode="default")
        with outbound_established(PORT):
            survey.served = ()
            assert not survey.probe()
            assert survey.holds[0].form == "v6only"
        with listening(PORT, address=address):
            survey.served = frozenset([PORT])
            assert not survey.probe()
            assert [held for held in sockets_of(os.getpid()) if held.port == PORT and not held.listening] == []


class TestAcrossExec:
    """What the service finds among its descriptors."""

    def test_descriptor(self) -> None:
        """One bound socket that does not listen, with a number out of the way of scripts and of select()."""
        with slow_service(PORT) as service:
            service.says("started")
            (held,) = sockets_of(service.pid)
            assert name_of(held) == "[::] 6"
            assert 100 <= held.number < 1024
            assert not held.listening
            assert held.reuseaddr

    def test_a_number_that_is_taken(self, tmp_path: Path) -> None:
        """Descriptors that were passed to the service stay what they are."""
        script = 'exec 100<"$0" 101<"$0"; exec "$@"'
        (tmp_path / "taken").write_text("")
        words = ["bash", "-c", script, str(tmp_path / "taken"), *portwait(str(PORT), "--", *SLOW_SERVICE, str(PORT))]
        with running(words, stdin=subprocess.PIPE) as service:
            service.says("started")
            assert [held.number for held in sockets_of(service.pid)] == [102]
            for number in 100, 101:
                assert Path(f"/proc/{service.pid}/fd/{number}").readlink() == tmp_path / "taken"

    def test_after_the_wait(self) -> None:
        """The hold that stood during the wait is the one that the service gets."""
        with guarded(PORT) as (service, blocker):
            eventually(lambda: holds_of(service.pid) == ["[::] 6"], "the hold")
            reset(blocker.sock)
            service.says("started")
            (held,) = sockets_of(service.pid)
            assert (name_of(held), held.number >= 100) == ("[::] 6", True)

    def test_over_an_ipv6_blocker(self) -> None:
        """The interim hold is for the wait only."""
        with guarded(PORT, blocker="::1") as (service, blocker):
            assert holds_of(service.pid) == [LAST]
            reset(blocker.sock)
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]

    def test_full_over_a_blocker(self) -> None:
        """A lesser hold stands at once; the full one follows as soon as the kernel allows it, at the latest at the end.

        The kernel lets it bind beside that blocker as soon as a socket of the same user with SO_REUSEPORT is on the
        port (FASTREUSEPORT_STRICT in net/ipv4/inet_connection_sock.c), and the lesser hold is one.
        """
        with guarded(PORT, "--hold=full") as (service, blocker):
            eventually(lambda: holds_of(service.pid) == ["[::]"], "the full hold")
            reset(blocker.sock)
            service.says("started")
            assert holds_of(service.pid) == ["[::]"]

    def test_beside_a_listener(self) -> None:
        """Nothing while it lives, the hold when it has gone."""
        with contextlib.ExitStack() as stack:
            with listening(PORT):
                service = stack.enter_context(slow_service(PORT))
                service.complains("waiting for")
                assert holds_of(service.pid) == []
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]

    @pytest.mark.parametrize("words", [("--no-hold",), ("--no-reuseaddr",), ("--hold=none",)])
    def test_none(self, words: tuple[str, ...]) -> None:
        with slow_service(PORT, *words) as service:
            service.says("started")
            assert holds_of(service.pid) == []

    def test_udp_has_none(self) -> None:
        """Of two targets the one that can be held is; -v says why the other one is not."""
        with slow_service(PORT, "-v", f"{PORT}/udp") as service:
            service.says("started")
            assert holds_of(service.pid) == ["[::] 6"]
            assert "none" in service.complains(f"hold on {PORT}/udp")

    def test_full_for_udp(self) -> None:
        """127.255.255.254, and over it a service with SO_REUSEADDR; the guard's own probe does not stumble over it."""
        words = ("--hold=full", f"127.0.0.1:{PORT}/udp", f"{PORT}/udp")
        with running([*portwait(*words, "--", *SLOW_SERVICE, str(PORT))], stdin=subprocess.PIPE) as service:
            service.says("started")
            assert set(holds_of(service.pid)) == {LAST}
            assert service.err == []

    def test_several(self) -> None:
        words = ("30020", "127.0.0.1:30030", "[::1]:30040")
        with slow_service(PORT, *words) as service:
            service.says("started")
            names = {(name_of(held), held.port) for held in sockets_of(service.pid)}
            assert names == {("[::] 6", PORT), ("[::] 6", 30020), ("[::] 6", 30030), (LAST, 30040)}

    def test_all_or_none(self) -> None:
        """With room for one of two descriptors there is neither; the service starts, and one line says why."""
        low = ("prlimit", "--nofile=101")
        with slow_service(PORT, before=low) as service:
            service.says("started")
            assert [held.number for held in sockets_of(service.pid)] == [100]
        with slow_service(PORT, "30020", before=low) as service:
            service.says("started")
            assert holds_of(service.pid) == []
            assert "RLIMIT_NOFILE" in service.complains("failed to hold the port")
            assert len(service.err) == 1

    @pytest.mark.parametrize(("span", "count"), [("30010-30073", 64), ("30010-30074", 0)])
    def test_at_most_64(self, span: str, count: int) -> None:
        """A wider range is for reserving."""
        with slow_service(PORT, span, before=("prlimit", "--nofile=256")) as service:
            service.says("started")
            assert len(sockets_of(service.pid)) == count

    @pytest.mark.parametrize(
        ("words", "said"), [((), False), (("-v",), True), (("--hold",), True), (("--dry-run",), True)], ids=str
    )
    def test_what_is_said_of_more(self, words: tuple[str, ...], said: bool) -> None:
        """A hold that was asked for by name is not left out without a word, and none is promised."""
        seen = guard(*words, "30010-30074", "--", "true")
        assert seen.status == 0
        assert ("30010-30074: nothing is held, because at most 64 ports are" in seen.err) == said
        assert "would hold" not in seen.err


class TestOneFamily:
    """`git daemon` binds both families without SO_REUSEADDR, and takes it lightly where one of them fails."""

    WORDS = ("--verbose", "--log-destination=stderr", "--export-all", f"--port={PORT}")

    @pytest.mark.parametrize("words", [(), ("--no-reuseaddr",), ("--no-hold",)], ids=str)
    def test_explain_tells_it(self, words: tuple[str, ...], tmp_path: Path) -> None:
        """Beside the default hold it serves IPv4 alone: explain says why, and what it advises makes it serve both."""
        needs("git", "git")
        program = f"{run(['git', '--exec-path']).out.strip()}/git-daemon"  # git itself forks
        argv = portwait("-v", *words, str(PORT), "--", program, *self.WORDS, f"--base-path={tmp_path}")
        with running(argv) as daemon:
            daemon.complains("Ready to rumble")
            listeners = {held.address for held in sockets_of(daemon.pid) if held.listening}
            (line,) = [one for one in daemon.err if "hold on" in one] or [""]
            explained = run(portwait("explain", str(PORT))).out
        if words:
            assert listeners == {WILDCARD, "::"}
            assert "It serves" not in explained
            return
        assert listeners == {WILDCARD}
        assert "on [::] or [::1] that does not set SO_REUSEADDR cannot start beside it" in line
        assert "It serves IPv4 only, and it has portwait's hold at [::]:30010." in explained
        assert "start it with portwait --no-reuseaddr." in explained

    def test_a_hold_for_ipv6_alone(self) -> None:
        """The other way round; and not a word where both families are served, or one address."""
        with slow_service(PORT, "-6", service=("::1",)) as service:
            service.says("started")
            service.tell("bind")
            service.says("listening")
            assert "It serves IPv6 only" not in run(portwait("explain", str(PORT))).out, "it was to bind one address"
        with slow_service(PORT) as service:
            service.says("started")
            service.tell("bind")
            service.says("listening")
            assert "It serves" not in run(portwait("explain", str(PORT))).out


LISTS = ("sh", "-c", "ls /proc/self/fd | tr '\\n' ' '")
"""Says which descriptors it has."""
START = ("--start", "--name", "none", "--startas", "/bin/sh", "--")


class TestCommandsThatClose:
    """Some programs close all descriptors when they start: the hold is gone before the service has bound its port."""

    @pytest.mark.parametrize(
        ("command", "package"),
        [
            (("sudo", *LISTS), "sudo"),
            (("daemon", "--", *LISTS), "daemon"),
            (
                (
                    "start-stop-daemon",
                    "--start",
                    "--background",
                    "--name",
                    "none",
                    "--startas",
                    "/bin/sh",
                    "--",
                    *LISTS[1:],
                ),
                "dpkg",
            ),
        ],
        ids=lambda value: value[0] if isinstance(value, tuple) else "",
    )
    def test_it_is_said(self, command: tuple[str, ...], package: str, tmp_path: Path) -> None:
        """For those that really close it, in one line with the cures; a port without a hold needs none."""
        needs(command[0], package)
        seen = tmp_path / "seen"
        command = (*command[:-1], f"{command[-1]} >{seen}")
        done = guard(str(PORT), "--", *command)
        assert done.status == 0
        eventually(seen.exists, "the service")
        numbers = [int(word) for word in eventually(seen.read_text, "its descriptors").split()]
        assert [number for number in numbers if number >= 100] == []
        (line,) = done.err.splitlines()
        assert line.startswith(f"portwait: {command[0]} closes the hold when it starts")
        assert f"portwait reserve {PORT}" in line
        assert guard("--no-hold", str(PORT), "--", *command).err == ""

    def test_the_cures_are_for_these_targets(self) -> None:
        """What portwait is to be given behind sudo is what it was given before it."""
        done = guard("--hold=full", f"{LOOPBACK}:{PORT}/udp", str(PORT + 1), "--", "sudo", "--version")
        (line,) = [line for line in done.err.splitlines() if "portwait" in line]
        assert f"sudo [OPTION...] portwait {LOOPBACK}:{PORT}/udp {PORT + 1} -- COMMAND" in line
        assert f"portwait reserve {PORT}-{PORT + 1}" in line

    @pytest.mark.parametrize(
        "command",
        [
            ("runuser", "-u", "root", "--", *LISTS),
            ("su", "-s", "/bin/sh", "root", *LISTS[1:]),
            ("setpriv", "--reuid", "0", *LISTS),
            ("setsid", "--wait", *LISTS),
            ("nohup", *LISTS),
            ("daemon", "--foreground", "--", *LISTS),
            ("start-stop-daemon", *START, *LISTS[1:]),
        ],
        ids=lambda command: command[0],
    )
    def test_others_keep_it(self, command: tuple[str, ...]) -> None:
        """And not a word is said."""
        done = guard(str(PORT), "--", *command)
        assert [number for number in done.out.split() if int(number) >= 100] != []
        assert "portwait" not in done.err

    def test_behind_sudo(self) -> None:
        """The advised order keeps it."""
        needs("sudo", "sudo")
        done = run(["sudo", *portwait(str(PORT), "--", *LISTS)])
        assert [number for number in done.out.split() if int(number) >= 100] != []


class TestWithoutIPv6:
    """A kernel that knows no IPv6, as far as a program can tell: socket(AF_INET6) says EAFNOSUPPORT."""

    HIDDEN = tuple(without(NO_IPV6))

    def test_any_address_is_0_0_0_0(self) -> None:
        """No hold without harm exists at exec, and -v says so; plain services start."""
        with slow_service(PORT, "-v", before=self.HIDDEN, service=(WILDCARD, "plain")) as service:
            service.says("started")
            assert holds_of(service.pid) == []
            assert "none" in service.complains(f"hold on {PORT}/tcp")
            service.tell("bind")
            service.says("listening")

    def test_one_address_has_a_hold(self) -> None:
        with slow_service(f"127.0.0.1:{PORT}", before=self.HIDDEN, service=(LOOPBACK, "plain")) as service:
            service.says("started")
            assert holds_of(service.pid) == [LAST]
            service.tell("bind")
            service.says("listening")

    def test_the_wait_has_one(self) -> None:
        """127.255.255.254 stands beside the blocker, so nobody joins it; it is gone at exec."""
        with guarded(PORT, before=self.HIDDEN, service=(WILDCARD, "plain")) as (service, blocker):
            assert holds_of(service.pid) == [LAST]
            assert not connects(PORT)
            reset(blocker.sock)
            service.says("started")
            assert holds_of(service.pid) == []
            service.tell("bind")
            service.says("listening")

    def test_a_plain_probe_does_not_meet_the_hold(self) -> None:
        """A service without SO_REUSEADDR has no hold in the wait, because the guard would wait for itself."""
        words = ("-4", "--no-reuseaddr")
        with guarded(PORT, *words, before=self.HIDDEN, service=(WILDCARD, "plain")) as (service, blocker):
            reset(blocker.sock)
            service.says("started")
            service.tell("bind")
            service.says("listening")

    def test_full(self) -> None:
        with slow_service(PORT, "--hold=full", before=self.HIDDEN, service=(WILDCARD,)) as service:
            service.says("started")
            assert holds_of(service.pid) == [WILDCARD]
            service.tell("bind")
            service.says("listening")

    def test_ipv6_alone_is_unavailable(self) -> None:
        seen = guard("-6", "--timeout", "0", str(PORT), "--", *STARTED, before=self.HIDDEN)
        assert (seen.status, seen.out) == (124, "")
        assert "unavailable" in seen.err


# What the tests are made of


def hold_of(words: str, mode: Mode = "default") -> Hold:
    """Plan a hold; `plain` behind the target is for services without SO_REUSEADDR."""
    return Hold(target_of(words.removesuffix(" plain")), mode, reuseaddr=not words.endswith(" plain"))


def starts(service: Service) -> str:
    """Bind and listen as a service; `ok`, or the name of the errno."""
    try:
        maker = states.udp_bound if service.udp else states.bound_only
        with maker(PORT, **{key: value for key, value in service._asdict().items() if key != "udp"}) as made:
            if not service.udp:
                made.sock.listen()
            return "ok"
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def holds_of(pid: int) -> list[str]:
    """Name the bound sockets of a process; a probe that fails is never bound."""
    return [name_of(held) for held in sockets_of(pid) if held.port == PORT]


def name_of(held: Held) -> str:
    """Name the form of a hold: the address, with 6 where it is for IPv6 alone."""
    return f"[{held.address}]{' 6' if held.v6only else ''}" if ":" in held.address else held.address


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


@contextlib.contextmanager
def slow_service(
    port: int | str,
    *words: str,
    before: tuple[str, ...] = (),
    service: tuple[str, ...] = (),
    span: str = "30010 30025",
) -> Iterator[Program]:
    """Start slow_service.py through portwait; `before` is what execs portwait, `service` how it binds."""
    number = str(port).rpartition(":")[2]
    argv = [*before, *portwait(*words, str(port), "--", *SLOW_SERVICE, number, *service)]
    sysctl("net.ipv4.ip_local_port_range", span)
    with running(argv, stdin=subprocess.PIPE) as program:
        yield program


@contextlib.contextmanager
def guarded(
    port: int, *words: str, blocker: str = LOOPBACK, before: tuple[str, ...] = (), service: tuple[str, ...] = ()
) -> Iterator[tuple[Program, states.Connection]]:
    """Start it while an outbound connection is in the way, and go on when it waits."""
    with (
        outbound_established(port, address=blocker) as made,
        slow_service(port, *words, before=before, service=service) as program,
    ):
        program.complains("waiting for")
        yield program, made


def test_plain_targets_of_one_port_do_not_meet_their_own_holds() -> None:
    """With --no-reuseaddr a probe of one target would meet the hold of the other, and the service would never start."""
    words = ("--no-reuseaddr", "--timeout", "20", str(PORT), f"127.0.0.1:{PORT}", "--", *STARTED)
    with outbound_established(PORT, address="127.0.0.2") as blocker, running(portwait(*words)) as guarded:
        guarded.complains("waiting")
        reset(blocker.sock)
        guarded.says("started")
        assert guarded.status() == 0

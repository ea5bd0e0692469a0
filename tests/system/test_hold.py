"""The hold keeps the port from everybody's connect(), and fails no service that would have started without it."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, NamedTuple

import pytest

from portwait import Hold
from portwait.bind.survey import Survey
from tests.support import states
from tests.support.descriptors import sockets_of
from tests.support.guarding import STARTED, guard, run, target_of
from tests.support.packages import needs
from tests.support.programs import portwait, running
from tests.support.slow_services import LAST, PORT, guarded, holds_of, slow_service
from tests.support.states import LOOPBACK, MAPPED, WILDCARD, connects, listening, outbound_established, reset
from tests.support.without import NO_IPV6, without

if TYPE_CHECKING:
    from pathlib import Path

    from portwait.bind.hold import Mode

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel


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

    def test_ipv6_alone_starts(self) -> None:
        """/proc tells that this kernel has IPv6, so it is a filter that forbids it: the guard cannot judge."""
        seen = guard("-6", "--timeout", "0", str(PORT), "--", *STARTED, before=self.HIDDEN)
        assert (seen.status, seen.out) == (0, "started\n")
        assert "no socket of its address family may be made here" in seen.err


def test_plain_targets_of_one_port_do_not_meet_their_own_holds() -> None:
    """With --no-reuseaddr a probe of one target would meet the hold of the other, and the service would never start."""
    words = ("--no-reuseaddr", "--timeout", "20", str(PORT), f"127.0.0.1:{PORT}", "--", *STARTED)
    with outbound_established(PORT, address="127.0.0.2") as blocker, running(portwait(*words)) as guarded:
        guarded.complains("waiting")
        reset(blocker.sock)
        guarded.says("started")
        assert guarded.status() == 0


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

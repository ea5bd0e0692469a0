"""Each socket that can be in the way, made for real: it blocks, and it is named rightly."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait import Target, blockers, parse, probe
from portwait.bind import hold
from tests.support import states
from tests.support.blockers import BLOCKERS, makers, needs_bound_only
from tests.support.guarding import GAVE_UP, STARTED, guard, run, target_of
from tests.support.programs import portwait
from tests.support.states import LOOPBACK, MAPPED, outbound_established
from tests.support.without import without

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010
TIMER = 60  # seconds of a TIME_WAIT


class Case(NamedTuple):
    """What the report has to call a blocker on PORT, and the words of the option and target that meet it."""

    kind: str
    state: str
    says: str
    """The words of the report's first line that name it."""
    words: tuple[str, ...] = (str(PORT),)
    owned: bool = True
    sockets: int = 1

    @property
    def target(self) -> Target:
        return parse(self.words[-1:])[0]

    @property
    def reuseaddr(self) -> bool:
        return "--no-reuseaddr" not in self.words


PLAIN, UDP = ("--no-reuseaddr", str(PORT)), (f"{PORT}/udp",)
OUT, OUTS = "an outbound connection", "3 outbound connections"
CLOSES, WAITS = "a connection that is closing", "a connection in TIME_WAIT"
CASES = {  # by their names in BLOCKERS
    "established": Case("outbound", "ESTABLISHED", OUT),
    "established-ipv6": Case("outbound", "ESTABLISHED", OUT),
    "established-mapped": Case("outbound", "ESTABLISHED", OUT),
    "established-bound-first": Case("outbound", "ESTABLISHED", OUT),
    "shared": Case("outbound", "ESTABLISHED", OUTS, sockets=3),
    "syn-sent": Case("outbound", "SYN_SENT", OUT),
    "close-wait": Case("outbound", "CLOSE_WAIT", OUT),
    "fin-wait2": Case("closing", "FIN_WAIT2", CLOSES),
    "fin-wait2-orphan": Case("closing", "FIN_WAIT2", CLOSES, owned=False),
    "fin-wait1-orphan": Case("closing", "FIN_WAIT1", CLOSES, owned=False),
    "closing-orphan": Case("closing", "CLOSING", CLOSES, owned=False),
    "last-ack-orphan": Case("closing", "LAST_ACK", CLOSES, owned=False),
    "time-wait": Case("time-wait", "TIME_WAIT", WAITS, owned=False),
    "self-connect": Case("self-connect", "ESTABLISHED", "a connection to itself"),
    "bound": Case("bound", "CLOSE", "a socket that is only bound"),
    "listener": Case("listener", "LISTEN", "a listener"),
    "listener-with-connections": Case("listener", "LISTEN", "a listener"),
    "leftover-plain": Case("accepted", "ESTABLISHED", "an accepted connection whose listener is gone"),
    "server-time-wait": Case("time-wait", "TIME_WAIT", WAITS, PLAIN, owned=False),
    "udp-connected": Case("outbound", "ESTABLISHED", OUT, UDP),
    "udp-connected-mapped": Case("outbound", "ESTABLISHED", OUT, UDP),
    "udp-bound": Case("bound", "CLOSE", "a bound UDP socket", UDP),
}
each_case = pytest.mark.parametrize(("there", "case"), CASES.items(), ids=CASES)


@kernel
@each_case
def test_it_blocks_and_has_a_name(there: str, case: Case) -> None:
    """Bind says held; the tables show each socket that is in the way, its kind, both ends, its owners and its timer."""
    began = time.monotonic()
    with BLOCKERS[there](PORT) as made:
        if case.kind == "bound" and case.target.protocol == "tcp":
            needs_bound_only()
        assert probe(case.target, reuseaddr=case.reuseaddr).state == "held"
        found = blockers(case.target, reuseaddr=case.reuseaddr)
        elapsed = time.monotonic() - began
        assert [one.kind.name for one in found] == [case.kind] * case.sockets
        assert [one.socket.state for one in found] == [case.state] * case.sockets
        assert {(one.local, one.remote or "-") for one in found} == ends_of(made)
        for one in found:
            assert [owner.pid for owner in one.owners] == ([os.getpid()] if case.owned else [])
            assert states.is_complete(one.unseen)
            if one.expires_in is not None or case.state == "TIME_WAIT":
                assert one.expires_in is not None
                assert TIMER - elapsed - 1 < one.expires_in < TIMER + 0.1


@each_case
def test_the_guard_gives_up_and_says_why(there: str, case: Case) -> None:
    """The line names the kind and its owner; JSON names each blocker as `ss` sees it. Nothing is started."""
    with BLOCKERS[there](PORT):
        began = time.monotonic()
        seen = guard("--timeout", "0", "--log-format", "json", *case.words, "--", *STARTED)
        shown = ss(case.target)
        between = time.monotonic() - began
    assert (seen.status, seen.out) == (GAVE_UP, "")
    assert [event["event"] for event in seen.events] == ["held", "gave-up"]
    report = seen.events[0]
    headline, *details = report["text"].splitlines()
    assert headline.startswith(f"{case.target} is held by {case.says}: ")
    assert ("no process owns it" in headline) != case.owned
    assert (f"(pid {os.getpid()}, user root)" in headline) == case.owned
    assert {key: report[key] for key in ("verdict", "errno", "by", "port", "protocol")} == {
        "verdict": "held",
        "errno": "EADDRINUSE",
        "by": "bind",
        "port": PORT,
        "protocol": case.target.protocol,
    }
    assert len(report["blockers"]) == case.sockets
    for blocker in report["blockers"]:
        assert (blocker["kind"], blocker["state"]) == (case.kind, case.state)
        assert (blocker["uid"], blocker["user"]) == ((0, "root") if case.owned else (None, None))
        assert any(blocker["local"] in line for line in details)
        other = shown.pop(blocker["cookie"], None)
        if other is None and blocker["kind"] == "bound":
            continue  # this ss does not ask for sockets that are only bound
        assert other is not None
        assert (blocker["local"], blocker["remote"] or "-") == (other.local, other.remote)
        assert (blocker["inode"], {owner["pid"] for owner in blocker["owners"]}) == (other.inode, other.pids)
        assert (blocker["expires_in"] is not None) == (other.timer is not None)
        if other.timer is not None:
            assert -1 <= blocker["expires_in"] - other.timer <= between + 1  # ss asks later, and rounds
    if case.kind != "listener":
        assert shown == {}, "ss sees more than portwait"


@pytest.mark.parametrize("words", [("--log-format", "console"), ("--log-format", "logfmt"), ()])
def test_the_time_that_is_left_is_said(words: tuple[str, ...]) -> None:
    """Whoever waits for a TIME_WAIT wants to know how long; no process is blamed for it."""
    began = time.monotonic()
    with states.outbound_time_wait(PORT):
        seen = guard("--timeout", "0", *words, str(PORT))
    elapsed = time.monotonic() - began
    assert seen.status == GAVE_UP
    said = re.search(r"ends by itself in (?:1m|(\d+)s)\b", seen.err)
    assert said is not None, seen.err
    assert TIMER - elapsed - 1 < int(said[1] or TIMER) <= TIMER
    assert "pid" not in seen.err


@kernel
@pytest.mark.parametrize("there", makers("established-reuseaddr", "leftover", "server-time-wait", "bound-reuseaddr"))
def test_so_reuseaddr_decides(there: Maker) -> None:
    """What has SO_REUSEADDR itself is in the way of a service without it, and of no other."""
    target = Target(str(PORT), PORT)
    with there(PORT):
        assert probe(target).state == "free"
        assert probe(target, reuseaddr=False).state == "held"


@kernel
def test_a_listener_at_another_address_does_not_hide_a_leftover() -> None:
    """What is left of a client's connection is in the way by itself, and stays so after the listener has gone."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(states.listening(PORT, address="127.0.0.2"))
        stack.enter_context(states.outbound_time_wait(PORT, by="number"))
        target = target_of(str(PORT))
        assert [blocker.kind.name for blocker in blockers(target)] == ["listener", "time-wait"]
        server.sock.close()
        assert probe(target).state == "held"
        assert [blocker.kind.name for blocker in blockers(target)] == ["time-wait"]


@kernel
@pytest.mark.parametrize("address", [states.WILDCARD, "127.255.255.254", "::"])
def test_who_bears_the_mark_of_a_hold_and_is_none_is_named(address: str) -> None:
    """A hold has SO_REUSEADDR and fails no bind that has it: what does is not hidden by a mark that anybody can set."""
    needs_bound_only()
    level, option = (socket.IPPROTO_IPV6, socket.IPV6_TCLASS) if ":" in address else (socket.SOL_IP, socket.IP_TOS)
    with states.bound_only(PORT, address=address) as bound:
        bound.sock.setsockopt(level, option, hold.MARK)
        (told,) = json.loads(run(portwait("explain", "--json", str(PORT))).out)["targets"]
        (blocker,) = told["blockers"]
        assert (blocker["kind"], blocker["local"]) == ("bound", bound.local)
        assert [owner["pid"] for owner in blocker["owners"]] == [os.getpid()]


@kernel
def test_a_hold_is_named_as_what_it_is_beside_another_blocker_and_by_the_tables() -> None:
    """Bind has then failed by that one, or has not been asked: nobody who runs under a hold is blamed for it."""
    needs_bound_only()
    with contextlib.closing(hold.bind(PORT, "last")), outbound_established(PORT, by="number"):
        (told,) = json.loads(run(portwait("explain", "--json", str(PORT))).out)["targets"]
        assert [blocker["kind"] for blocker in told["blockers"]] == ["outbound"]
    with contextlib.closing(hold.bind(PORT, "last")):
        assert blockers(target_of(str(PORT))) == ()


class TestVerdicts:
    """The five answers of bind."""

    @kernel
    def test_free(self) -> None:
        assert ask(str(PORT)) == ("free", None)

    @kernel
    @pytest.mark.parametrize("words", [str(PORT), f"{LOOPBACK}:{PORT}"])
    def test_held(self, words: str) -> None:
        with outbound_established(PORT):
            assert ask(words) == ("held", "EADDRINUSE")

    @kernel
    @pytest.mark.parametrize("words", ["80", "127.0.0.1:80", "[::1]:80", "80/udp"])
    def test_denied(self, words: str) -> None:
        """A port below 1024 is root's, whether something is on it or not."""
        with contextlib.ExitStack() as stack:
            os.seteuid(65534)
            stack.callback(os.seteuid, 0)
            assert ask(words) == ("denied", "EACCES")

    @kernel
    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ("192.0.2.1:30010", "EADDRNOTAVAIL"),
            ("192.0.2.1:30010/udp", "EADDRNOTAVAIL"),
            ("[2001:db8::1]:30010", "EADDRNOTAVAIL"),
            ("[fe80::1%absent0]:30010", "ENODEV"),
            ("[fe80::1%4711]:30010", "ENODEV"),
        ],
    )
    def test_unavailable(self, words: str, why: str) -> None:
        """The address is not on this host: it may still come up."""
        assert ask(words) == ("unavailable", why)

    @kernel
    def test_unknown(self) -> None:
        """A link-local address without its zone is nonsense to bind, and no reason to keep a service down."""
        assert ask(f"[fe80::1]:{PORT}") == ("unknown", "EINVAL")

    def test_unknown_starts_the_service(self) -> None:
        seen = guard(f"[fe80::1]:{PORT}", "--", *STARTED)
        assert seen.started
        assert "EINVAL" in seen.err

    @pytest.mark.parametrize("words", [str(PORT), f"127.0.0.1:{PORT}", f"[::1]:{PORT}"])
    def test_a_filter_on_families_starts_the_service(self, words: str) -> None:
        """RestrictAddressFamilies=AF_UNIX is no word on the address: the service may be given its sockets."""
        before = without("socket:2=EAFNOSUPPORT", "socket:10=EAFNOSUPPORT")
        seen = run([*before, *portwait(), "--timeout", "0", words, "--", *STARTED])
        assert seen.started
        assert "no socket of its address family may be made here (EAFNOSUPPORT;" in seen.err

    @pytest.mark.parametrize("words", [str(PORT), f"127.0.0.1:{PORT}"])
    def test_a_filter_on_families_leaves_the_verdict_to_the_tables(self, words: str) -> None:
        """Held is held, whoever may not ask bind()."""
        before = without("socket:2=EAFNOSUPPORT", "socket:10=EAFNOSUPPORT")
        with outbound_established(PORT):
            seen = run([*before, *portwait(), "--timeout", "0", words, "--", *STARTED])
        assert seen.status == GAVE_UP
        assert "so the socket tables decide" in seen.err


class TestAddresses:
    """A socket on the port that would not make this bind fail is not a blocker."""

    @kernel
    @pytest.mark.parametrize(
        ("there", "free", "held"),
        [
            pytest.param(
                LOOPBACK,
                ["127.0.0.2:30010", "[::1]:30010", "-6 30010", "[::ffff:127.0.0.2]:30010", "30011", "30010/udp"],
                ["30010", "*:30010", "127.0.0.1:30010", "[::]:30010", "-4 30010", "[::ffff:127.0.0.1]:30010"],
                id="ipv4",
            ),
            pytest.param(
                "::1",
                ["127.0.0.1:30010", "-4 127.0.0.1:30010", "[::ffff:127.0.0.1]:30010", "30010/udp"],
                ["30010", "[::]:30010", "-6 30010", "-6 [::1]:30010", "[::1]:30010", "0.0.0.0:30010", "-4 30010"],
                id="ipv6",
            ),
            pytest.param(
                MAPPED,
                ["127.0.0.2:30010", "[::1]:30010", "-6 30010"],
                ["30010", "127.0.0.1:30010", "0.0.0.0:30010", "-4 30010", "[::ffff:127.0.0.1]:30010"],
                id="mapped",
            ),
        ],
    )
    def test_which_targets_meet(self, there: str, free: list[str], held: list[str]) -> None:
        with outbound_established(PORT, address=there):
            assert [words for words in free if ask(words)[0] != "free"] == []
            assert [words for words in held if ask(words)[0] != "held"] == []
            for words in held:
                assert [one.kind.name for one in blockers(target_of(words))] == ["outbound"], words
            for words in free:
                assert blockers(target_of(words)) == (), words

    def test_the_family_is_an_option(self) -> None:
        """-6 asks for IPv6 alone, so an IPv4 connection is not in its way."""
        with outbound_established(PORT):
            assert guard("-6", str(PORT), "--", *STARTED).started
            assert guard("-4", "--timeout", "0", str(PORT), "--", *STARTED).status == GAVE_UP


# What the tests are made of


def ask(words: str) -> tuple[str, str | None]:
    verdict = probe(target_of(words))
    return verdict.state, verdict.errno_name


def ends_of(made: Any) -> set[tuple[str, str]]:
    """Both ends of what a maker made, as the report writes them."""
    if isinstance(made, (states.Bound, states.Connection)):
        remote = getattr(made, "remote", "-")
        return {(unmapped(made.local), unmapped(remote))}
    if isinstance(made[0], states.Bound):  # a server, and what it has accepted
        return ends_of(made[0])
    return set().union(*map(ends_of, made))


def unmapped(end: str) -> str:
    return re.sub(r"^\[::ffff:([\d.]+)\]", r"\1", end)


class Shown(NamedTuple):
    """A socket as `ss` shows it."""

    local: str
    remote: str
    pids: set[int]
    inode: int
    timer: float | None


def ss(target: Target) -> dict[int, Shown]:
    """Ask ss for the sockets on the target's port, by their cookies."""
    transport = "-u" if target.protocol == "udp" else "-t"
    return dict(read_ss(run(["ss", "-HanpieoO", transport, f"sport = :{target.port}"]).out.splitlines()))


def read_ss(lines: list[str]) -> Iterator[tuple[int, Shown]]:
    for line in lines:
        _, _, _, local, remote, *_ = line.split()
        cookie, inode = re.search(r"\bsk:([0-9a-f]+)", line), re.search(r"\bino:(\d+)", line)
        timer = re.search(r"timer:\(timewait,(?:(\d+)min)?(?:([\d.]+)sec)?", line)
        assert cookie is not None
        yield (
            int(cookie[1], 16),
            Shown(
                unmapped(local),
                "-" if remote.endswith(":*") else unmapped(remote),
                set(map(int, re.findall(r"pid=(\d+)", line))),
                int(inode[1]) if inode else 0,
                None if timer is None else int(timer[1] or 0) * 60 + float(timer[2] or 0),
            ),
        )

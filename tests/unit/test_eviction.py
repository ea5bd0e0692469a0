"""What may be evicted, whose owner may be signalled, and what is said of the rest: pure rules, in tables."""

from __future__ import annotations

import errno
import os
import signal
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.diagnosis import evictable
from portwait.diagnosis.evictable import Refusal, Selection, names_needed, refusal, select
from portwait.errors import TablesError
from portwait.eviction import actions, clear, evict, terminate
from portwait.eviction.actions import Action
from portwait.eviction.clear import Removal
from portwait.eviction.terminate import Relations
from portwait.model.blocker import Blocker
from portwait.model.kind import Kind
from portwait.model.owner import Owner
from portwait.model.sockets import KernelSocket, TcpInfo
from portwait.model.targets import Target
from portwait.options.table import EVICTABLE, EVICTED, TERMINABLE
from portwait.options.values import READERS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

CLIENT = Owner(100, "java", ("java",), "app", 1.0, unit="orders.service", birth=7)
OTHER = Owner(200, "curl", ("curl",), "www-data", 2.0, unit="session-1.scope", birth=8)
STRAY = CLIENT._replace(unit=None)
EVERYTHING = Selection(frozenset(EVICTABLE))


def blocker(
    kind: str,
    state: str = "ESTABLISHED",
    evidence: Any = "state",
    *,
    protocol: str = "tcp",
    owners: Iterable[Owner] = (CLIENT,),
    inode: int = 5,
    cookie: int = 9,
    remote_port: int = 7000,
    acked: int | None = None,
) -> Blocker:
    """Build one as a diagnosis would."""
    info = None if acked is None else TcpInfo(unacked=0, last_data_sent=0, last_data_received=0, acked_control=acked)
    which = KernelSocket(
        family=socket.AF_INET,
        protocol=protocol,
        state=state,
        expires=None,
        local_address="127.0.0.1",
        local_port=30010,
        remote_address="127.0.0.1",
        remote_port=remote_port,
        interface=0,
        cookie=cookie,
        uid=0,
        inode=inode,
        info=info,
    )
    name: Any = kind
    return Blocker(Kind(name, evidence), which, None, tuple(owners), None, None, None, evictable=False, unseen=None)


LIVE = blocker("outbound", evidence="syn-count", acked=1)
SYN_SENT = blocker("outbound", "SYN_SENT")
ITSELF = blocker("self-connect", evidence="ends")
ACCEPTED = blocker("accepted", evidence="syn-count", acked=0)
UNKNOWN = blocker("unknown", evidence="none")
INFERRED = blocker("outbound", evidence="remote-listener")
TIME_WAIT = blocker("time-wait", "TIME_WAIT", inode=0, owners=())
ORPHAN = blocker("closing", "FIN_WAIT1", inode=0, owners=())
CLOSED_BY_CLIENT = blocker("closing", "FIN_WAIT2", acked=2)
CLOSED_BY_SERVER = blocker("closing", "FIN_WAIT2", acked=1)
CLOSING = blocker("closing", "FIN_WAIT1", acked=1)
BESIDE_LISTENER = blocker("unknown", evidence="beside-listener", acked=1)
CLOSING_BESIDE_LISTENER = blocker("closing", "FIN_WAIT2", "beside-listener", acked=2)
LISTENER = blocker("listener", "LISTEN", remote_port=0)
UDP_CLIENT = blocker("outbound", protocol="udp")
UDP_SERVER = blocker("bound", "CLOSE", protocol="udp", remote_port=0)
BOUND = blocker("bound", "CLOSE", remote_port=0)
KEPT = blocker("bound", "CLOSE", remote_port=7000)
HOLD = blocker("hold", "CLOSE", "mark", remote_port=0)
MULTIPATH = LIVE._replace(socket=LIVE.socket._replace(mptcp=True))
MULTIPATH_REST = TIME_WAIT._replace(socket=TIME_WAIT.socket._replace(mptcp=True))
UNSEEN = blocker("outbound", evidence="syn-count", acked=1, owners=())
WITHOUT_COOKIE = blocker("outbound", evidence="syn-count", cookie=0)


@pytest.mark.parametrize(
    ("which", "code", "names"),
    [
        pytest.param(LIVE, None, {"outbound"}, id="outbound"),
        pytest.param(SYN_SENT, None, {"outbound"}, id="syn-sent"),
        pytest.param(ITSELF, None, {"self-connect"}, id="self-connect"),
        pytest.param(TIME_WAIT, None, {"time-wait"}, id="time-wait"),
        pytest.param(ORPHAN, None, {"closing"}, id="orphan"),
        pytest.param(CLOSED_BY_CLIENT, None, {"closing"}, id="closed-by-client"),
        pytest.param(CLOSED_BY_SERVER, "accepted", {"closing", "accepted"}, id="closed-by-server"),
        pytest.param(CLOSING, "unproved", {"closing", "unknown"}, id="closing-owned"),
        pytest.param(ACCEPTED, "accepted", {"accepted"}, id="accepted"),
        pytest.param(UNKNOWN, "unproved", {"unknown"}, id="unknown"),
        pytest.param(INFERRED, "unproved", {"unknown"}, id="inferred"),
        pytest.param(BESIDE_LISTENER, "unproved", {"unknown"}, id="beside-listener"),
        pytest.param(CLOSING_BESIDE_LISTENER, "unproved", {"closing", "unknown"}, id="closing-beside-listener"),
        pytest.param(MULTIPATH, "mptcp", {"outbound", "mptcp"}, id="multipath"),
        pytest.param(MULTIPATH_REST, None, {"time-wait"}, id="multipath-rest"),
        pytest.param(UDP_CLIENT, "udp", {"outbound", "udp"}, id="udp"),
        pytest.param(UNSEEN, "unseen", {"outbound", "unseen"}, id="unseen"),
        pytest.param(UNSEEN._replace(inherited=True), None, {"outbound"}, id="inherited"),
    ],
)
def test_what_has_to_be_named(which: Blocker, code: str | None, names: set[str]) -> None:
    """A plain --evict takes what harms nobody; the rest is refused, each for its own reason, until it is named."""
    refused = refusal(which, Selection())
    assert (refused and refused.code) == code
    assert evictable.by_default(which) == (code is None)
    assert names_needed(which) == names
    assert refusal(which, Selection(frozenset(names))) is None
    for name in names:
        assert refusal(which, Selection(frozenset(EVICTABLE) - {name})) is not None, "each of them has to be named"
    if refused is not None:
        assert f"--evict={','.join(name for name in EVICTABLE if name in {*EVICTED, *names})}" in refused.cure
        assert not refused.general


def test_a_doubt_passes_unless_somebody_listens_there() -> None:
    """Data in flight hides for a moment who called connect(); a listener of its address and port hides it always."""
    for which, passes in ((UNKNOWN, True), (INFERRED, True), (CLOSING, True), (BESIDE_LISTENER, False)):
        refused = refusal(which, Selection())
        assert refused is not None
        assert (refused.passing, "stop that listener" in refused.cure) == (passes, not passes)
    refused = refusal(ACCEPTED, Selection())
    assert refused is not None
    assert not refused.passing


@pytest.mark.parametrize(
    ("which", "code"),
    [
        pytest.param(LISTENER, "listener", id="listener"),
        pytest.param(BOUND, "bound-only", id="bound"),
        pytest.param(UDP_SERVER, "bound-only", id="udp-server"),
        pytest.param(KEPT, "kept", id="kept"),
        pytest.param(HOLD, "hold", id="hold"),
        pytest.param(WITHOUT_COOKIE, "no-netlink", id="no-cookie"),
    ],
)
def test_what_no_name_helps(which: Blocker, code: str) -> None:
    """The kernel takes no port away from a socket that is only bound, and nothing is destroyed but by its cookie."""
    refused = refusal(which, EVERYTHING)
    assert refused is not None
    assert refused.code == code
    assert refused.general == (code == "no-netlink")
    assert "--evict" not in refused.cure


def test_narrowing() -> None:
    """A list of kinds takes the place of the default one."""
    only_leftovers = Selection(frozenset(["time-wait"]))
    assert refusal(TIME_WAIT, only_leftovers) is None
    refused = refusal(LIVE, only_leftovers)
    assert refused is not None
    assert refused.code == "not-named"
    assert "--evict=outbound,time-wait" in refused.cure


@pytest.mark.parametrize(
    ("selection", "which", "allowed"),
    [
        pytest.param(select(EVICTED, users=["app"]), LIVE, True, id="user"),
        pytest.param(select(EVICTED, users=["root", "app"]), LIVE, True, id="one-of-two"),
        pytest.param(select(EVICTED, users=["root"]), LIVE, False, id="other-user"),
        pytest.param(select(EVICTED, units=["orders.service"]), LIVE, True, id="unit"),
        pytest.param(select(EVICTED, units=["orders@*", "ord*.service"]), LIVE, True, id="pattern"),
        pytest.param(select(EVICTED, units=["orders"]), LIVE, False, id="no-such-unit"),
        pytest.param(select(EVICTED, ["app"], ["cron.service"]), LIVE, False, id="both-have-to-fit"),
        pytest.param(select(EVICTED, ["app"]), LIVE._replace(owners=(CLIENT, OTHER)), False, id="every-owner"),
        pytest.param(select(EVICTABLE, ["app"]), UNSEEN, False, id="unseen"),
        pytest.param(select(EVICTED, ["app"]), TIME_WAIT, True, id="nobody-owns-it"),
        pytest.param(
            select(EVICTED, units=["a*"]), LIVE._replace(owners=(CLIENT._replace(unit=None),)), False, id="none"
        ),
    ],
)
def test_only_expected_owners(selection: Selection, which: Blocker, allowed: bool) -> None:
    """With owners named, every process that has the socket is one of them; what nobody owns is nobody's to lose."""
    refused = refusal(which, selection)
    assert (refused and refused.code) == (None if allowed else "not-selected")


def test_a_user_by_number() -> None:
    assert select(EVICTED, ["0", "app"]).users == ("root", "app")


KINDS = [LIVE, SYN_SENT, ITSELF, ACCEPTED, UNKNOWN, INFERRED, TIME_WAIT, ORPHAN, CLOSED_BY_SERVER, CLOSING, LISTENER]
KINDS += [UDP_CLIENT, UDP_SERVER, BOUND, KEPT, HOLD, UNSEEN, WITHOUT_COOKIE]


@given(
    some.sampled_from(KINDS),
    some.sampled_from(
        ["state", "ends", "syn-count", "peer", "listener", "remote-listener", "beside-listener", "mark", "none"]
    ),
    some.sampled_from(["tcp", "udp"]),
    some.sampled_from([0, 5]),
    some.booleans(),
    some.sampled_from([None, 0, 1, 2]),
)
def test_the_default_harms_nobody_else(  # noqa: PLR0917  # hypothesis passes what it draws by position
    which: Blocker, evidence: Any, protocol: str, inode: int, owned: bool, acked: int | None
) -> None:
    """Whatever else is true of it: a client that is proved and seen, or a leftover that no process owns; never UDP."""
    info = None if acked is None else TcpInfo(0, 0, 0, acked)
    inode = 0 if which.kind.name == "time-wait" else inode  # no process can have one open, so it has no inode
    which = which._replace(
        kind=which.kind._replace(evidence=evidence),
        socket=which.socket._replace(protocol=protocol, inode=inode, info=info),
        owners=(CLIENT,) if owned and inode else (),
    )
    if not evictable.by_default(which):
        return
    assert protocol == "tcp"
    assert which.socket.cookie
    if which.kind.name in ("time-wait", "closing") and not inode:
        return
    assert which.owners or not inode
    assert which.kind.proved or which.kind.name == "self-connect" or acked == 2
    assert which.kind.name in ("outbound", "self-connect") or (which.socket.state, acked) == ("FIN_WAIT2", 2)


class FakeDoor:
    """A kernel that gives these error numbers."""

    def __init__(self, number: int = 0, *, any_socket: int = 0, now: KernelSocket | None = LIVE.socket) -> None:
        self.number, self.any_socket, self.now = number, any_socket, now
        self.destroyed: list[KernelSocket] = []

    def __enter__(self) -> FakeDoor:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        pass

    def again(self, which: KernelSocket) -> KernelSocket | None:
        return which if self.now is LIVE.socket else self.now

    def destroy(self, which: KernelSocket) -> int:
        self.destroyed.append(which)
        return self.number

    def may_destroy(self) -> int:
        return self.any_socket


class ForgetfulDoor(FakeDoor):
    """A kernel that destroys, or not, and whose answer is lost."""

    def __init__(self, *, does: bool) -> None:
        super().__init__()
        self.does = does

    def destroy(self, which: KernelSocket) -> int:
        super().destroy(which)
        self.now = None if self.does else self.now
        raise TablesError("netlink failed: No buffer space available")


def test_an_answer_that_is_lost() -> None:
    """Rule: what is gone after we asked for it was evicted, answer or not; what is still there is an error."""
    assert evict.evict(ForgetfulDoor(does=True), LIVE) == "evicted"
    with pytest.raises(TablesError):
        evict.evict(ForgetfulDoor(does=False), LIVE)


@pytest.mark.parametrize(
    ("door", "which", "outcome"),
    [
        pytest.param(FakeDoor(), LIVE, "evicted", id="done"),
        pytest.param(FakeDoor(errno.ENOENT), LIVE, "gone", id="gone"),
        pytest.param(FakeDoor(errno.ESTALE), LIVE, "gone", id="other-cookie"),
        pytest.param(FakeDoor(errno.EPERM, any_socket=errno.EPERM), LIVE, "not-permitted", id="not-permitted"),
        pytest.param(FakeDoor(errno.EOPNOTSUPP, any_socket=errno.EOPNOTSUPP), LIVE, "unsupported", id="no-destroy"),
        pytest.param(FakeDoor(errno.EOPNOTSUPP), TIME_WAIT, "state-unsupported", id="no-time-wait"),
        pytest.param(FakeDoor(), TIME_WAIT, "state-unsupported", id="nothing-done"),
        pytest.param(FakeDoor(errno.EINVAL), LIVE, "failed", id="anything-else"),
    ],
)
def test_what_the_kernel_answers(door: FakeDoor, which: Blocker, outcome: str) -> None:
    """Each answer is told apart; a kernel without SOCK_DESTROY, and one before 6.1 for TIME_WAIT, are Linux 5.10's."""
    result = evict.evict(door, which)
    assert (result.code if isinstance(result, Refusal) else result) == outcome
    assert door.destroyed == [which.socket]


class SilentDoor(FakeDoor):
    """A kernel that answers to nothing but the first question: whether the socket is still there."""

    def again(self, which: KernelSocket) -> KernelSocket | None:
        if self.destroyed:
            raise TablesError("netlink failed: Cannot allocate memory")
        return which


class Looks:
    """As an inspection: remembers how often it looked."""

    def __init__(self, which: Blocker) -> None:
        target = Target("30010", 30010)
        self.survey = SimpleNamespace(
            held=(target,), reuseaddr=True, wide=False, verdicts={target: SimpleNamespace(state="held")}
        )
        self.diagnosis = SimpleNamespace(blockers={target: (which,)})
        self.count = 0

    def inspect(self) -> bool:
        self.count += 1
        return False


@pytest.mark.parametrize(
    ("door", "which", "looks"),
    [
        pytest.param(SilentDoor(), TIME_WAIT, 1, id="done-perhaps"),
        pytest.param(ForgetfulDoor(does=False), LIVE, 1, id="not-done-perhaps"),
        pytest.param(FakeDoor(errno.EINVAL), LIVE, 1, id="another-error"),
        pytest.param(FakeDoor(errno.EPERM, any_socket=errno.EPERM), LIVE, 0, id="not-permitted"),
        pytest.param(FakeDoor(errno.EOPNOTSUPP), TIME_WAIT, 0, id="no-time-wait"),
    ],
)
def test_a_lost_answer_is_looked_into(
    monkeypatch: pytest.MonkeyPatch, door: FakeDoor, which: Blocker, looks: int
) -> None:
    """Rule: where the kernel may have destroyed it all the same, bind is asked again; a plain no needs no look."""
    monkeypatch.setattr(clear, "_door", lambda: door)
    said: list[Action] = []
    inspection = Looks(which)
    Removal(EVERYTHING, said.append).through(inspection, lambda: None)  # type: ignore[arg-type]  # a stand-in
    assert inspection.count == looks
    assert [action.event for action in said] == ["not-evicted"]


@pytest.mark.parametrize("now", [None, LISTENER.socket], ids=["gone", "now-a-listener"])
def test_what_is_no_longer_what_was_seen_is_left_alone(now: KernelSocket | None) -> None:
    door = FakeDoor(now=now)
    assert evict.evict(door, LIVE) == "gone"
    assert door.destroyed == []


@pytest.mark.parametrize("number", [0, errno.EPERM, errno.EOPNOTSUPP])
def test_a_rehearsal_destroys_nothing(number: int) -> None:
    """And says what the kernel would, in the same words."""
    door = FakeDoor(number, any_socket=number)
    rehearsed = evict.rehearse(door, LIVE)
    assert door.destroyed == []
    assert (rehearsed or "evicted") == evict.evict(door, LIVE)


US = Relations(50, frozenset({40, 30}))
ALL = frozenset(TERMINABLE)
DEFAULT = frozenset(EVICTED)
ANYBODY = Selection(frozenset())


def owned_by(which: Blocker, *pids: int) -> Blocker:
    return which._replace(owners=tuple(CLIENT._replace(pid=pid) for pid in pids))


def foreign(which: Blocker) -> Blocker:
    return which._replace(owners=tuple(owner._replace(foreign_pid=True) for owner in which.owners))


def of_user(which: Blocker, uid: int) -> Blocker:
    return which._replace(owners=(CLIENT._replace(uid=uid),))


OF_A_USER = LIVE._replace(socket=LIVE.socket._replace(uid=33))


@pytest.mark.parametrize(
    ("which", "among", "kinds", "selection", "code"),
    [
        pytest.param(LIVE, (), DEFAULT, ANYBODY, None, id="client"),
        pytest.param(SYN_SENT, (), DEFAULT, ANYBODY, None, id="syn-sent"),
        pytest.param(ITSELF, (), DEFAULT, ANYBODY, None, id="self-connect"),
        pytest.param(CLOSED_BY_CLIENT, (), DEFAULT, ANYBODY, None, id="closed-by-client"),
        pytest.param(KEPT, (), DEFAULT, ANYBODY, None, id="kept"),
        pytest.param(MULTIPATH, (), DEFAULT, ANYBODY, None, id="multipath"),
        pytest.param(LIVE, (), frozenset(["time-wait"]), ANYBODY, "not-named", id="not-named"),
        pytest.param(ACCEPTED, (), DEFAULT, ANYBODY, "accepted", id="leftover-of-a-server"),
        pytest.param(ACCEPTED, (), frozenset(["accepted"]), ANYBODY, None, id="leftover-named"),
        pytest.param(CLOSED_BY_SERVER, (), DEFAULT, ANYBODY, "accepted", id="closed-by-server"),
        pytest.param(UNKNOWN, (), DEFAULT, ANYBODY, "unproved", id="unknown"),
        pytest.param(UNKNOWN, (), ALL, ANYBODY, None, id="unknown-named"),
        pytest.param(BOUND, (), DEFAULT, ANYBODY, "not-named", id="bound"),
        pytest.param(BOUND, (), frozenset(["bound"]), ANYBODY, None, id="bound-named"),
        pytest.param(LIVE, (), DEFAULT, select([], users=["app"]), None, id="expected"),
        pytest.param(LIVE, (), DEFAULT, select([], users=["root"]), "not-selected", id="not-expected"),
        pytest.param(of_user(LIVE, 0), (), DEFAULT, ANYBODY, None, id="the-sockets-user"),
        pytest.param(of_user(LIVE, 33), (), DEFAULT, ANYBODY, "other-user", id="another-user"),
        pytest.param(of_user(OF_A_USER, 0), (), DEFAULT, ANYBODY, "other-user", id="root-with-a-users-socket"),
        pytest.param(of_user(LIVE, -1), (), DEFAULT, ANYBODY, None, id="a-user-that-is-not-known"),
        pytest.param(of_user(LIVE, 33), (), ALL, select([], users=["app"]), None, id="another-user-named"),
        pytest.param(of_user(LIVE, 33), (), ALL, select([], units=["orders.*"]), None, id="another-users-unit-named"),
        pytest.param(owned_by(LIVE, 1), (), ALL, ANYBODY, "init", id="init"),
        pytest.param(owned_by(LIVE, 50), (), ALL, ANYBODY, "self", id="self"),
        pytest.param(foreign(owned_by(LIVE, 50)), (), ALL, ANYBODY, "pid-namespace", id="our-number-in-another-proc"),
        pytest.param(foreign(owned_by(LIVE, 1)), (), ALL, ANYBODY, "pid-namespace", id="init-of-another-proc"),
        pytest.param(foreign(LIVE), (), DEFAULT, ANYBODY, "pid-namespace", id="another-proc"),
        pytest.param(owned_by(LIVE, 40), (), ALL, ANYBODY, "ancestor", id="parent"),
        pytest.param(owned_by(LIVE, 30), (), ALL, ANYBODY, "ancestor", id="grandparent"),
        pytest.param(owned_by(LIVE, 100, 30), (), ALL, ANYBODY, "ancestor", id="shared-with-an-ancestor"),
        pytest.param(LISTENER, (LISTENER,), DEFAULT, ANYBODY, "listener", id="listener"),
        pytest.param(LIVE, (LISTENER,), DEFAULT, ANYBODY, "listener", id="a-client-that-listens-too"),
        pytest.param(ACCEPTED, (LISTENER,), frozenset(["accepted"]), ANYBODY, "listener", id="a-listeners-connection"),
        pytest.param(LISTENER, (LISTENER,), frozenset(["listener"]), ANYBODY, None, id="listener-named"),
        pytest.param(UDP_CLIENT, (), DEFAULT, ANYBODY, "udp", id="udp"),
        pytest.param(UDP_SERVER, (), frozenset(["udp", "bound"]), ANYBODY, None, id="udp-named"),
        pytest.param(HOLD, (), ALL, ANYBODY, "hold", id="hold"),
        pytest.param(UNSEEN, (), ALL, ANYBODY, "unseen", id="unseen"),
        pytest.param(UNSEEN._replace(inherited=True), (), ALL, ANYBODY, "self", id="inherited"),
        pytest.param(LIVE._replace(inherited=True), (), ALL, ANYBODY, "self", id="inherited-and-shared"),
    ],
)
def test_whose_owner_may_be_signalled(
    which: Blocker, among: tuple[Blocker, ...], kinds: frozenset[str], selection: Selection, code: str | None
) -> None:
    """All owners or none, by the blocker's kind, of the socket's own user, and none of those that must survive."""
    refused = terminate.refusal(which, terminate.listening(among or (which,)), kinds, selection, US)
    assert (refused and refused.code) == code
    option = refused and (refused.option or refused.cure[refused.cure.rfind("--terminate=") :])
    if option and option.startswith("--terminate="):
        names = option.partition("=")[2].split(",")
        serving = terminate.listening(among or (which,))
        named: Any = READERS["terminate"](",".join(names))
        assert terminate.refusal(which, serving, named, selection, US) is None, "it helps"
        for name in names if len(names) > 1 else ():
            fewer: Any = READERS["terminate"](",".join(other for other in names if other != name))
            assert terminate.refusal(which, serving, fewer, selection, US) is not None, "and is the shortest that does"
        assert "time-wait" not in names, "no process owns that"


def test_the_option_that_would_have_all_signalled() -> None:
    """It has the names of whatever is in the way: with those of one blocker alone the others would stay."""
    blockers = (BOUND, ACCEPTED)
    beside = terminate.names_of_all(blockers, terminate.listening(blockers))
    for blocker in blockers:
        refused = terminate.refusal(blocker, frozenset(), DEFAULT, ANYBODY, US, beside)
        assert refused is not None
        assert refused.cure.endswith("--terminate=accepted,bound")


def test_relations_are_all_up_to_the_first_process() -> None:
    us = terminate.relations()
    assert us.pid == os.getpid()
    assert os.getppid() in us.ancestors
    assert us.pid not in us.ancestors


def test_unknown_relations_are_not_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: where /proc lists no process, nobody's ancestors are known, and nobody is signalled."""
    monkeypatch.setattr("psutil._LOWEST_PID", None, raising=False)
    monkeypatch.setattr("psutil.pids", list)
    with pytest.raises(OSError, match="/proc"):
        terminate.relations()


def test_signals_have_names() -> None:
    """A real-time signal has only its number."""
    assert [terminate.name(number) for number in (15, 9, 40)] == ["SIGTERM", "SIGKILL", "signal 40"]


def test_what_is_so_for_every_socket_is_news_once() -> None:
    """All else is, each time."""
    done = Action("evicted", Target("30010", 30010), LIVE)
    own = done._replace(event="not-evicted", refusal=Refusal("kept", "it is so", "do this"))
    general = done._replace(event="not-evicted", refusal=Refusal("not-permitted", "it is so", "do this", general=True))
    other = general._replace(refusal=Refusal("unsupported", "it is so", "do this", general=True))
    is_news = actions.news()
    assert [is_news(each) for each in (general, own, general, done, other, own, done, other)] == [
        *(True, True, False, True, True, True, True, False),
    ]


@pytest.mark.parametrize(("reuseaddr", "flags"), [(True, ""), (False, "--no-reuseaddr ")])
def test_a_command_in_a_refusal_asks_as_it_was_asked(reuseaddr: bool, flags: str) -> None:
    """Rule: what is pasted is the same question, with the option that was lacking."""
    refused = Refusal("listener", "it listens on the port", "name it", option="--terminate=listener")
    action = Action("not-evicted", Target("30010", 30010), LIVE, refused, reuseaddr=reuseaddr)
    assert str(action).endswith(f"; name it: portwait --terminate=listener {flags}30010")


def test_every_action_is_said_with_its_identity() -> None:
    """For people in one line, for programs with cookie, inode, PID and start."""
    target = Target("30010", 30010)
    refused = Refusal("code", "it is so", "do this")
    what = "127.0.0.1:30010 -> 127.0.0.1:7000 ESTABLISHED"
    who = "java (pid 100, orders.service, user app)"
    action = Action("evicted", target, LIVE)
    term = action._replace(owner=CLIENT, signal=terminate.name(signal.SIGTERM))
    assert [
        str(action),
        str(action._replace(event="would-evict")),
        str(action._replace(event="not-evicted", refusal=refused)),
        str(term._replace(event="signalled")),
        str(term._replace(event="would-signal")),
        str(action._replace(event="not-signalled", refusal=refused)),
        str(action._replace(blocker=KEPT, event="not-evicted", refusal=refused)),
        str(action._replace(blocker=TIME_WAIT)),
    ] == [
        f"evicted {what} of {who}",
        f"dry run: would evict {what} of {who}",
        f"cannot evict {what} of {who}: it is so; do this",
        f"sent SIGTERM to {who}, which has {what} open",
        f"dry run: would send SIGTERM to {who}, which has {what} open",
        f"cannot signal the owner of {what} of {who}: it is so; do this",
        f"cannot evict 127.0.0.1:30010 bound of {who}: it is so; do this",
        "evicted 127.0.0.1:30010 -> 127.0.0.1:7000 TIME_WAIT",
    ]
    fields = term._replace(refusal=refused).fields()
    assert (
        fields
        | {
            "target": "30010",
            "cookie": 9,
            "inode": 5,
            "processes": "100@1970-01-01T00:00:01Z",
            "signal": "SIGTERM",
            "code": "code",
            "why": "it is so",
            "cure": "do this",
        }
        == fields
    )


@pytest.mark.parametrize(
    ("unseen", "why", "cure"),
    [
        ("hidden; run as root", "hidden", "run as root"),
        (None, "owner not visible", "look as root on the host"),
    ],
)
def test_the_cure_for_an_owner_that_is_not_seen(unseen: str | None, why: str, cure: str) -> None:
    """What shows it comes first and once; naming it helps only who may destroy connections."""
    refused = evictable.refusal(UNSEEN._replace(unseen=unseen), Selection())
    assert refused is not None
    assert (refused.code, refused.why) == ("unseen", why)
    assert refused.cure.startswith(f"{cure}, or name it (with CAP_NET_ADMIN): --evict=")


def test_a_user_can_be_a_number() -> None:
    """A name where the user has one; what is no number of a user names nobody."""
    assert select(["outbound"], ["0", "4294967294", "9" * 5000]).users == ("root", "4294967294", "9" * 5000)

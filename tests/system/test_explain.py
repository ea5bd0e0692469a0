"""`portwait explain` on the real thing: every kind of socket, every view of its owner, and the whole text kept.

The texts are in golden/; see tests.support.golden for how they are renewed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait import probe
from portwait._linux import socket_owners
from portwait.model.targets import parse
from tests.support import states
from tests.support.blockers import needs_bound_only
from tests.support.golden import UNBROKEN, assert_golden, service
from tests.support.guarding import Outcome, run
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE, portwait, running
from tests.support.surroundings import (
    ALL_SEEN,
    AS_NOBODY,
    AS_STRANGER,
    ELSEWHERE,
    HIDDEN_PROCESSES,
    PLAIN_HOST,
    PODMAN_CONTAINER,
    SYSTEMD_HOST,
    cgroup,
    in_cgroup,
    own_cgroup,
)
from tests.support.terminals import run_on_terminal
from tests.support.without import without

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.support.programs import Program

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
HERE = Path(__file__).parent
CONTAINER = "0123456789ab" + "c" * 52
HOLDS = HERE / "helpers" / "holds.py"


@contextlib.contextmanager
def held(state: str, *options: str, group: str = "portwait-tests") -> Iterator[Program]:
    """Have the port held by a process of its own, in a cgroup of its own."""
    with contextlib.ExitStack() as stack:
        environment = {**os.environ, "HOLDS_CGROUP": str(stack.enter_context(cgroup(group)))}
        argv = [sys.executable, "-IS", str(HOLDS), state, *options]
        program = stack.enter_context(running(argv, environment, stdin=subprocess.PIPE))
        program.says("ready")
        yield program


def explain(*words: str, before: Sequence[str] = PLAIN_HOST, **variables: str) -> Outcome:
    """Explain to its end, each paragraph on a line."""
    return run([*before, *portwait("explain", *words)], env={**os.environ, **UNBROKEN, **variables})


def told(*words: str, before: Sequence[str] = (), **variables: str) -> dict[str, Any]:
    """Explain as JSON; the one target."""
    done = explain("--json", *words, before=before, **variables)
    (target,) = json.loads(done.out)["targets"]
    assert done.status == (target["verdict"] == "held"), done
    return target  # type: ignore[no-any-return]  # JSON


class Scene(NamedTuple):
    """What is on the port, who looks at it, and what he asks."""

    state: str
    options: tuple[str, ...] = ()
    words: tuple[str, ...] = (str(PORT),)
    before: tuple[str, ...] = PLAIN_HOST
    group: str = "portwait-tests"
    variables: dict[str, str] = {}  # noqa: RUF012  # never changed
    span: str = "1024 65000"
    """ip_local_port_range, when it is asked."""


PLAIN, UDP = ("--no-reuseaddr", str(PORT)), (f"{PORT}/udp",)
SCENES = {
    "outbound": Scene("outbound_established"),
    "outbound-shared": Scene("shared_local_port", ("connections=8",)),
    "outbound-forked": Scene("outbound_established", ("forks=2",)),
    "outbound-syn-sent": Scene("syn_sent"),
    "outbound-close-wait": Scene("outbound_close_wait"),
    "outbound-unit": Scene(
        "outbound_established", ("uid=65534",), before=SYSTEMD_HOST, group="system.slice/orders.service"
    ),
    "outbound-user-unit": Scene(
        "outbound_close_wait",
        ("uid=65534",),
        before=SYSTEMD_HOST,
        group="user.slice/user-65534.slice/user@65534.service/app.slice/orders.service",
    ),
    "outbound-by-number": Scene("outbound_established", ("by=number",), span="32768 60999"),
    "outbound-container": Scene("outbound_established", group=f"system.slice/docker-{CONTAINER}.scope"),
    "self-connect": Scene("self_connected"),
    "closing": Scene("fin_wait2"),
    "closing-orphan": Scene("fin_wait2_orphan"),
    "closing-orphan-late": Scene("fin_wait2_orphan_late"),
    "time-wait": Scene("outbound_time_wait"),
    "time-wait-of-a-server": Scene("accepted_time_wait", words=PLAIN),
    "bound": Scene("bound_only"),
    "listener": Scene("listening"),
    "listener-unit": Scene("listening", before=SYSTEMD_HOST, group="system.slice/nginx.service"),
    "accepted": Scene("accepted_leftover", ("reuseaddr=no",)),
    "udp-outbound": Scene("udp_connected", words=UDP),
    "udp-bound": Scene("udp_bound", words=UDP),
    "not-root": Scene("outbound_established", before=(*PLAIN_HOST, *AS_NOBODY)),
    "hidepid": Scene(
        "outbound_established",
        before=(*HIDDEN_PROCESSES, *PLAIN_HOST, *AS_STRANGER),
        group="system.slice/orders.service",
    ),
    "other-pid-namespace": Scene("outbound_established", before=(*PLAIN_HOST, *ELSEWHERE)),
    "pod": Scene(
        "outbound_established",
        before=(*ELSEWHERE, *PODMAN_CONTAINER),
        variables={"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    ),
    "in-a-message": Scene("outbound_in_a_message", before=ALL_SEEN),
    "unknown": Scene("restored"),
    "outbound-by-listener": Scene("restored", ("listener=yes",)),
    "no-netlink": Scene("outbound_established", before=(*PLAIN_HOST, *without("socket:16=EAFNOSUPPORT"))),
    "container-podman": Scene("outbound_established", before=PODMAN_CONTAINER),
    "container-not-root": Scene("outbound_established", ("uid=65534",), before=(*PODMAN_CONTAINER, *AS_NOBODY)),
    "container-kubernetes": Scene(
        "outbound_established", before=PODMAN_CONTAINER, variables={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_report(name: str) -> None:
    """Each kind of socket, and each way in which its owner is seen or is not, has this text."""
    scene = SCENES[name]
    if scene.state == "bound_only":
        needs_bound_only()
    with held(scene.state, *scene.options, group=scene.group):
        sysctl("net.ipv4.ip_local_port_range", scene.span)
        look = functools.partial(explain, *scene.words, before=scene.before, **scene.variables)
        assert_golden(HERE / "golden" / f"{name}.txt", look, {**service(7000), **_other_end(name)})


def _other_end(name: str) -> dict[str, str]:
    """Where netlink tells no cgroup, everybody would have to be searched for it: among many processes nobody is."""
    if name != "no-netlink" or len([*Path("/proc").glob("[0-9]*")]) <= socket_owners._CHEAP:
        return {}
    return {"other end  client (pid PID, user root), on this host": "other end  a process of this host (user root)"}


_IPV6_OFF = 'echo 1 > /proc/sys/net/ipv6/conf/lo/disable_ipv6; exec "$@"'
FREE = {
    "free": (("30010",), PLAIN_HOST),
    "free-udp": (UDP, PLAIN_HOST),
    "free-out-of-reach": (("443",), PLAIN_HOST),
    "denied": (("80",), (*PLAIN_HOST, *AS_NOBODY)),
    "denied-in-a-container": (("80",), (*PODMAN_CONTAINER, *AS_NOBODY)),
    "denied-by-policy": (("30010",), (*PLAIN_HOST, *without("bind=EACCES"))),
    "unavailable": (("192.0.2.1:30010",), PLAIN_HOST),
    "unavailable-systemd": (("192.0.2.1:30010",), SYSTEMD_HOST),
    "unavailable-interface": (("[fe80::1%nosuch0]:30010",), PLAIN_HOST),
    "unavailable-ipv6-off": (("[::1]:30010",), ("sh", "-ec", _IPV6_OFF, "sh", *PLAIN_HOST)),
}


@pytest.mark.parametrize("name", FREE)
def test_the_report_where_nothing_is_held(name: str) -> None:
    """Free and exposed or out of reach, denied by privilege or policy, an address that is not here."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65000")
    sysctl("net.ipv4.ip_unprivileged_port_start", "1024")
    words, before = FREE[name]
    assert_golden(HERE / "golden" / f"{name}.txt", functools.partial(explain, *words, before=before))


def test_the_report_on_a_hold() -> None:
    """Another portwait's hold is told by its mark, also where it is a stray child of the service that still has it."""
    needs_bound_only()
    service = (
        "import os, sys; os.fork() and os._exit(0); open('/proc/self/comm', 'w').write('service'); "
        "print('ready', flush=True); sys.stdin.read()"
    )
    guard = portwait(str(PORT), "--", sys.executable, "-IS", "-c", service)
    with cgroup("guard") as folder, running([*in_cgroup(folder), *guard], stdin=subprocess.PIPE) as stray:
        stray.says("ready")
        assert stray.process.wait(DEADLINE) == 0
        free = told(str(PORT))
        assert (free["verdict"], [one["kind"] for one in free["holds"]]) == ("free", ["hold"])
        assert "A hold of portwait stands on it, kept by service (pid " in explain(str(PORT)).out
        sysctl("net.ipv4.ip_local_port_range", "1024 65000")
        for word in (str(PORT), f"{states.LOOPBACK}:{PORT}", f"[::1]:{PORT}"):
            said = explain(word).out
            assert "A hold of portwait stands on it" in said
            assert "When that hold is gone, the kernel may give it to any client" in said
            assert "The kernel may give it" not in said, "no connect() gets it now"
        assert f"the kernel may give {PORT + 1}-{PORT + 4} to any client" in explain(f"{PORT}-{PORT + 4}").out
        several = json.loads(explain("--json", str(PORT), "1-5").out)["targets"]
        assert [len(target["holds"]) for target in several] == [1, 0, 0, 0, 0, 0]
        (evicted,) = json.loads(run(portwait("evict", "--json", str(PORT))).out)["targets"]
        assert evicted["holds"] == free["holds"]
        (hold,) = told("--no-reuseaddr", str(PORT))["blockers"]
        assert (hold["kind"], hold["evidence"]) == ("hold", "mark")
        (owner,) = hold["owners"]
        assert owner["pid"] != stray.pid
        assert_golden(HERE / "golden" / "hold.txt", functools.partial(explain, "--no-reuseaddr", str(PORT)))


@pytest.mark.parametrize(
    ("listeners", "accepts", "said"),
    [
        ([(states.LOOPBACK, False)], False, "waits to be accepted by {me}, on this host"),
        ([("0.0.0.0", False)], False, "waits to be accepted by {me}, on this host"),  # noqa: S104  # the test's own
        ([(states.LOOPBACK, True)] * 2, False, "waits to be accepted, on this host"),
        ([(states.LOOPBACK, False)], True, "{me}, on this host"),
    ],
    ids=["one listener", "on all addresses", "two listeners", "accepted"],
)
def test_the_other_end_in_a_listeners_queue(listeners: list[tuple[str, bool]], accepts: bool, said: str) -> None:
    """It has no owner yet: the only listener that can accept it is named, and of two neither is."""
    with own_cgroup(), contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.socket()) for _ in listeners]
        for server, (address, shared) in zip(servers, listeners):
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
            server.bind((address, 7000))
            server.listen()
        client = stack.enter_context(socket.socket())
        client.bind((states.LOOPBACK, PORT))
        client.connect((states.LOOPBACK, 7000))
        if accepts:
            stack.enter_context(servers[0].accept()[0])
        (blocker,) = told(str(PORT), before=ALL_SEEN)["blockers"]
        report = " ".join(run([*ALL_SEEN, *portwait("explain", str(PORT))]).out.split())
    me = blocker["owners"][0]
    assert blocker["peer_waits"] != accepts
    assert (blocker["peer"] and blocker["peer"]["pid"]) == (me["pid"] if "{me}" in said else None)
    named = f"{me['name']} (pid {me['pid']},"
    assert f"other end {said.format(me=named).partition(',')[0]}" in report


@pytest.mark.parametrize(
    ("make", "target", "said"),
    [
        (functools.partial(states.outbound_established, address="::1"), f"0.0.0.0:{PORT}", f"[::1]:{PORT}"),
        (functools.partial(states.listening, address="::"), f"0.0.0.0:{PORT}", f"[::]:{PORT}"),
        (functools.partial(states.listening, address="::"), f"{states.LOOPBACK}:{PORT}", f"[::]:{PORT}"),
        (functools.partial(states.listening, address="::"), str(PORT), None),
        (functools.partial(states.listening, address=states.LOOPBACK), f"0.0.0.0:{PORT}", None),
    ],
)
def test_an_ipv6_socket_in_the_way_of_ipv4(
    make: Callable[[int], contextlib.AbstractContextManager[object]], target: str, said: str | None
) -> None:
    """The kernel counts one without IPV6_V6ONLY for both families; where IPv6 was asked for too, that is no riddle."""
    with make(PORT):
        report = " ".join(explain(target).out.split())
    assert f"{target}/tcp is held by" in report
    why = "is an IPv6 socket without IPV6_V6ONLY: the kernel counts it for IPv4 too."
    assert (why in report) == (said is not None)
    assert said is None or f"{said} {why}" in report


def test_a_socket_on_its_way_in_a_message_has_no_owner() -> None:
    """Nobody has it open, as with a socket of the kernel's own; nobody is blamed."""
    with states.outbound_in_a_message(PORT):
        (blocker,) = told(str(PORT), before=ALL_SEEN)["blockers"]
        assert blocker["owners"] == []
        assert "on its way between processes" in blocker["unseen"]
        assert not blocker["evictable"]


def test_an_owner_in_a_unit_is_known_by_its_cgroup_where_it_cannot_be_seen() -> None:
    """The socket says in which cgroup it was made, and to anybody."""
    with held("outbound_established", group="system.slice/orders.service"):
        (blocker,) = told(str(PORT), before=AS_NOBODY)["blockers"]
        assert blocker["owners"] == []
        assert (blocker["unit"], blocker["user"]) == ("orders.service", "root")
        assert "run as root" in blocker["unseen"]


def test_several_targets() -> None:
    """Up to four in full, more a line each; of more than 64 the tables say which are free, and bind which are held."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65000")
    with held("accepted"):
        few = explain("30009", "30010", "30011")
        assert [block.split("\n")[0][:21] for block in few.out.split("\n\n")] == [
            "30009/tcp is free",
            "30010/tcp is held by ",
            "30011/tcp is free\n"[:17],
        ]
        lines = explain("30000-30063").out.splitlines()
        assert lines[0].startswith("30010/tcp is held by a listener: client (pid ")
        span = "(ip_local_port_range 1024-65000)"
        lasts = "It lasts as long as this network namespace: sysctl.d is not read for it."
        assert lines[1:] == [
            "64 asked, by bind: 1 held, 63 free.",
            f"Of the free ones the kernel may give 30000-30009,30011-30063 to any client {span}.",
            "30010/tcp in full: portwait explain 30010",
            f"Reserve what the kernel may hand out, so that it never picks one of them by itself again. {lasts}",
            "  portwait reserve 30000-30063",
        ]
        many = explain("30000-30064")
        assert many.status == 1
        assert many.out.startswith("30010/tcp is held by a listener: client (pid ")
        assert "65 asked, by the socket tables and by bind: 1 held, 64 free." in many.out
    none = explain("31000-31064")
    assert none.status == 0
    assert none.out.startswith("65 asked, by the socket tables: 0 held, 65 free.")


def test_the_whole_port_space() -> None:
    """The tables say in one reading which ports are free, and it takes seconds at most; the others are bind's."""
    with held("outbound_established"):
        words = portwait("explain", "--json", "1-65535")
        done = run([*PLAIN_HOST, *words], env={**os.environ, **UNBROKEN}, timeout=4 * DEADLINE)
    targets = json.loads(done.out)["targets"]
    held_ports = {one["port"] for one in targets if one["verdict"] == "held"}
    assert len(targets) == 65535
    assert PORT in held_ports
    assert {(one["verdict"], one["by"]) for one in targets} == {("free", "tables"), ("held", "bind")}


def test_the_json() -> None:
    """One object, with the keys and values of the promise, and the socket that `ss` shows too."""
    with held("outbound_established") as holder:
        target = told(str(PORT))
        shown = subprocess.check_output(["ss", "-Htnep", f"sport = :{PORT}"], text=True)
    assert {"target", "protocol", "address", "port", "verdict", "errno", "by", "ephemeral", "reserved"} <= set(target)
    assert (target["verdict"], target["errno"], target["by"]) == ("held", "EADDRINUSE", "bind")
    assert (target["ephemeral"], target["reserved"]) == (True, False)
    (blocker,) = target["blockers"]
    assert f"pid={holder.pid}," in shown
    assert f"ino:{blocker['inode']} " in shown
    assert f"{blocker['local']}      {blocker['remote']}".split() == shown.split()[3:5]
    (owner,) = blocker["owners"]
    assert (owner["pid"], owner["name"], owner["user"]) == (holder.pid, "client", "root")
    assert owner["cmdline"][-1] == "outbound_established"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", owner["started"])
    assert blocker["peer"] == owner
    assert blocker["evictable"] is True


@pytest.mark.parametrize("width", [60, 80, 120, 0])
@pytest.mark.parametrize("verb", ["explain", "guard"])
def test_it_fits_the_terminal(verb: str, width: int) -> None:
    """Nothing but what is to be pasted is longer, the guard's own first words and its other lines included."""
    words = ("explain", str(PORT)) if verb == "explain" else ("-t", "0", str(PORT))
    environment = {**os.environ, "TERM": "dumb"}
    environment.pop("COLUMNS", None)
    with held("outbound_established"):
        _, text = run_on_terminal(portwait(*words), width, environment)
    lines = text.splitlines()
    assert any("is held by" in line for line in lines), lines
    assert [line for line in lines if len(line) > (width or 80) and not line.startswith("       ")] == []


def test_nothing_is_wrapped_into_a_pipe() -> None:
    """So that grep finds sentences; COLUMNS says nothing of a pipe."""
    with held("outbound_established"):
        texts = [explain(str(PORT), COLUMNS=columns).out for columns in ("60", "")]
    assert all(any(len(line) > 100 for line in text.splitlines()) for text in texts)
    assert len({text.count("\n") for text in texts}) == 1


@pytest.mark.parametrize("name", ["outbound", "time-wait", "listener", "not-root", "free", "denied"])
def test_it_fits_eighty_columns(name: str) -> None:
    """Nothing but what is to be pasted is longer."""
    with contextlib.ExitStack() as stack:
        words, before = FREE.get(name, ((str(PORT),), PLAIN_HOST))
        if name in SCENES:
            stack.enter_context(held(SCENES[name].state))
            before = SCENES[name].before
        environment = {**os.environ, "COLUMNS": "", "TERM": "dumb"}
        _, text = run_on_terminal([*before, *portwait("explain", *words)], 80, environment)
    assert text.startswith(f"{words[0]}/tcp")
    assert all(len(line) <= 80 for line in text.splitlines() if not line.startswith("       "))


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "dumb", "FORCE_COLOR": "1"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
    ],
    ids=["terminal", "NO_COLOR", "dumb", "FORCE_COLOR", "both"],
)
def test_colour_is_for_terminals(variables: dict[str, str], coloured: bool) -> None:
    """And for those who want it; into a pipe there is none."""
    environment = {"PATH": os.environ["PATH"], **variables}
    with held("outbound_established"):
        piped = run(portwait("explain", str(PORT)), env=environment).out
        assert ("\x1b" in piped) == (coloured and "FORCE_COLOR" in variables)
        status, text = run_on_terminal(portwait("explain", str(PORT)), env=environment)
    assert status == 1
    assert text.startswith("\x1b[1;31m30010/tcp is held by" if coloured else "30010/tcp is held by")
    assert ("\x1b" in text) == coloured


def test_targets_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORTWAIT_TARGETS stands in where there is no TARGET, and only there."""
    monkeypatch.setenv("PORTWAIT_TARGETS", f"{PORT}, 30020")
    with held("outbound_established"):
        done = explain(before=())
        assert (done.status, "30020/tcp" in done.out) == (1, True)
        assert f"{PORT}/tcp is held by" in done.out
        assert explain("30020", before=()).status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "cannot explain nothing: name a TARGET"),
        (("--nonsense", "30010"), "--nonsense"),
        (("70000",), "a port is a number from 1 to 65535"),
        (("-6", "127.0.0.1:30010"), "does not go with -6"),
    ],
)
def test_wrong_words_are_an_error_of_their_own(words: tuple[str, ...], said: str) -> None:
    """Status 125 and one line; never 1, which says that something is held."""
    done = explain(*words, before=())
    assert (done.status, done.out) == (125, "")
    assert said in done.err
    assert done.err.count("\n") == 1


def test_a_family_alone() -> None:
    """-4 and -6 ask for one family, as the guard's do."""
    with held("listening", "address=::", "v6only=yes"):
        assert [explain(flag, str(PORT)).status for flag in ("-4", "-6")] == [0, 1]


def test_the_variables_of_the_options_that_it_shares_with_the_guard() -> None:
    """They say how the service binds, for explain too, and the option wins; the others are not read."""
    with held("listening", "address=::", "v6only=yes"):
        asked = [explain(*words, str(PORT), PORTWAIT_FAMILY="4", PORTWAIT_TIMEOUT="?") for words in ((), ("-6",))]
        assert [done.status for done in asked] == [0, 1]
    with held("accepted_time_wait"):
        asked = [explain(*words, str(PORT), PORTWAIT_REUSEADDR="no") for words in ((), ("--reuseaddr",))]
        assert [done.status for done in asked] == [1, 0]
    bad = explain(str(PORT), PORTWAIT_FAMILY="5")
    assert (bad.status, bad.out) == (125, "")
    assert "PORTWAIT_FAMILY" in bad.err


def test_the_help_fits_a_terminal() -> None:
    """80 columns, for every verb; the options follow a narrower one."""
    for verb in ("explain", "evict", "reserve", "release", "audit"):
        done = run(portwait(verb, "--help"), env={**os.environ, "COLUMNS": "80"})
        assert (done.status, [line for line in done.out.splitlines() if len(line) > 80]) == (0, []), verb
        narrow = run(portwait(verb, "--help"), env={**os.environ, "COLUMNS": "60"}).out
        options = narrow.partition("\noptions:\n")[2].partition("\n\n")[0]
        assert max(map(len, options.splitlines())) <= 60, verb


def test_it_changes_nothing() -> None:
    """Not a setting, not a socket; the port can be bound by somebody else right after."""
    before = sysctl("net.ipv4.ip_local_reserved_ports"), sysctl("net.ipv4.ip_local_port_range")
    explain("30010", "30011")
    assert states.service_bind(30010) == "ok"
    assert before == (sysctl("net.ipv4.ip_local_reserved_ports"), sysctl("net.ipv4.ip_local_port_range"))
    (target,) = parse(["30010"])
    assert probe(target).state == "free"

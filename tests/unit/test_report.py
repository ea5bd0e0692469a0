"""The report: a headline to read aloud, details, advice, within 80 columns; and the JSON whose keys are a promise."""

from __future__ import annotations

import json
import re
import socket
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.advice import Remedy
from portwait.model.blocker import Blocker
from portwait.model.case import Case
from portwait.model.kind import Kind
from portwait.model.owner import Owner
from portwait.model.port_settings import PortSettings
from portwait.model.sockets import KernelSocket
from portwait.model.targets import Target, parse
from portwait.model.verdict import Verdict
from portwait.reports import document, summary
from portwait.reports import target as target_report
from portwait.text.escape import columns
from portwait.text.layout import Paper

NOW = 1795227011.0  # seconds since the epoch
EXPOSED = PortSettings((1024, 65000), (), 1024)
ORDERS = Owner(
    1988719,
    "java",
    ("java", "-jar", "orders.jar", "--redis.password=hunter2"),
    "app",
    NOW - 11520,
    unit="orders.service",
)
REDIS = Owner(812, "redis-server", ("redis-server",), "redis", NOW - 90000, unit="redis.service")
EVIL = Owner(
    7,
    "ev\x1b[2Jil\n30010/tcp is free",
    ("ev\x1b]0;x\x07il", "\u202etxt", "\udcff", "--token=s3cret", "x" * 5000),
    "ro\not",
    0.0,
    unit="a\u2028b.service",
    container="docker:\x1b[31m",
)
SOCKET = KernelSocket(
    family=socket.AF_INET,
    protocol="tcp",
    state="ESTABLISHED",
    expires=None,
    local_address="10.11.0.5",
    local_port=30010,
    remote_address="10.11.0.9",
    remote_port=7000,
    interface=0,
    cookie=77,
    uid=1000,
    inode=248498713,
)
OUTBOUND = Blocker(
    Kind("outbound", "syn-count"),
    SOCKET,
    "app",
    (ORDERS,),
    "afs3-fileserver",
    None,
    4.0,
    evictable=True,
    unseen=None,
    unit="orders.service",
)
TIME_WAIT = OUTBOUND._replace(
    kind=Kind("time-wait", "state"),
    socket=SOCKET._replace(state="TIME_WAIT", inode=0, uid=0),
    user=None,
    owners=(),
    idle=None,
    expires_in=42.0,
    unit=None,
)
UNSEEN = OUTBOUND._replace(owners=(), unseen="owner not visible: run as root")
HELD = Verdict("held", 98)
REMEDIES = (
    Remedy("evict", "Evict: destroy this connection now.", ("portwait evict 30010",)),
    Remedy(
        "long",
        "A cure that takes quite a few words, more than fit into one line of eighty columns, to tell.",
        ("x" * 90,),
    ),
)


def listener(*owners: Owner) -> Blocker:
    which = SOCKET._replace(state="LISTEN", remote_port=0)
    return OUTBOUND._replace(kind=Kind("listener", "state"), socket=which, owners=owners, idle=None)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the report be read when it was written, however long the run takes."""
    monkeypatch.setattr(time, "time", lambda: NOW)


def text(*blockers: Blocker, verdict: Verdict = HELD, width: int = 80, **how: Any) -> str:
    case = Case(Target("30010", 30010), verdict, blockers, how.pop("settings", EXPOSED), how.pop("remedies", ()))
    return target_report.full(case, Paper(width), **how)


def test_the_whole_report() -> None:
    """A line that can be read aloud, then details, then remedies, wrapped; a command stays on its line."""
    assert text(OUTBOUND._replace(peer=REDIS), remedies=REMEDIES) == "\n".join(
        [
            "30010/tcp is held by an outbound connection: java (pid 1988719, orders.service,",
            "  user app)",
            "  10.11.0.5:30010 -> 10.11.0.9:7000 ESTABLISHED, process running for 3h12m,",
            "    connection idle for 4s",
            "    other end  redis-server (pid 812, redis.service, user redis), on this host",
            "    process    java -jar orders.jar --redis.password=***",
            "  It is not a listener: netstat -l cannot show it. The kernel picks source ports",
            "  from ip_local_port_range 1024-65000, and 30010 is one of them.",
            "  1. Evict: destroy this connection now.",
            "       portwait evict 30010",
            "  2. A cure that takes quite a few words, more than fit into one line of eighty",
            "     columns, to tell.",
            "       " + "x" * 90,
        ]
    )


@pytest.mark.parametrize(
    ("blockers", "line"),
    [
        ([OUTBOUND], "an outbound connection: java (pid 1988719, orders.service, user app)"),
        ([OUTBOUND] * 3, "3 outbound connections: java (pid 1988719, orders.service, user app)"),
        ([TIME_WAIT], "a connection in TIME_WAIT: no process owns it, it ends by itself in 42s"),
        ([TIME_WAIT] * 2, "2 connections in TIME_WAIT: no process owns them, they end by themselves in 42s"),
        ([UNSEEN], "an outbound connection of orders.service, user app: owner not visible: run as root"),
        (
            [UNSEEN, UNSEEN._replace(user="backup", unit=None), UNSEEN],
            "3 outbound connections of orders.service, user app and of user backup: owner not visible: run as root",
        ),
        (
            [OUTBOUND, UNSEEN],
            (
                "2 outbound connections: java (pid 1988719, orders.service, user app); "
                "who has one of them open is not visible"
            ),
        ),
        ([], "something that the socket tables do not show"),
        (
            [OUTBOUND._replace(kind=Kind("accepted", "syn-count"))],
            "an accepted connection whose listener is gone: java (pid 1988719, orders.service, user app)",
        ),
        (
            [listener(ORDERS), OUTBOUND._replace(kind=Kind("accepted", "syn-count"))],
            "a listener and an accepted connection: java (pid 1988719, orders.service, user app)",
        ),
        (
            [OUTBOUND, TIME_WAIT],
            "an outbound connection and a connection in TIME_WAIT: java (pid 1988719, orders.service, user app)",
        ),
        (
            [listener(*(REDIS._replace(pid=pid, unit=None) for pid in range(1, 5)))],
            (
                "a listener: redis-server (pid 1, user redis), redis-server (pid 2, user redis), "
                "redis-server (pid 3, user redis) and redis-server (pid 4, user redis)"
            ),
        ),
        (
            [listener(*(REDIS._replace(pid=pid, unit=None) for pid in range(1, 6)))],
            (
                "a listener: redis-server (pid 1, user redis), redis-server (pid 2, user redis), "
                "redis-server (pid 3, user redis) and 2 more"
            ),
        ),
    ],
)
def test_the_headline(blockers: list[Blocker], line: str) -> None:
    """Which kind of socket, how many, whose."""
    assert target_report.headline(Case(Target("30010", 30010), HELD, tuple(blockers))) == f"30010/tcp is held by {line}"


@pytest.mark.parametrize(
    ("verdict", "target", "line"),
    [
        (Verdict("free"), Target("30010", 30010), "30010/tcp is free"),
        (
            Verdict("denied", 13),
            Target("443", 443),
            "443/tcp: binding is denied to this user (EACCES); nothing is known to hold it",
        ),
        (
            Verdict("unavailable", 99),
            Target("192.0.2.1:80", 80, address="192.0.2.1"),
            "192.0.2.1:80/tcp is unavailable: the address 192.0.2.1 is not on this host (EADDRNOTAVAIL)",
        ),
        (
            Verdict("unknown", 24),
            Target("80", 80),
            (
                "80/tcp: portwait has run out of file descriptors (EMFILE), so nobody can tell whether it is free; "
                "raise its limit: LimitNOFILE= in the [Service] of a unit, ulimit -n in a shell"
            ),
        ),
        (
            Verdict("unknown", by="tables"),
            Target("80", 80),
            "80/tcp: the kernel gave no verdict (the socket tables cannot be read)",
        ),
    ],
)
def test_the_headline_of_what_is_not_held(verdict: Verdict, target: Target, line: str) -> None:
    """Neither free nor held are the other three."""
    assert target_report.headline(Case(target, verdict)) == line


@pytest.mark.parametrize(
    ("port", "settings", "said"),
    [
        (30010, EXPOSED, "The kernel may give it to any client at any time"),
        (30010, EXPOSED, "It is among those that connect() tries first."),
        (30011, EXPOSED, "It is among those that connect() tries last."),
        (30010, PortSettings((1024, 65000), ((30000, 30100),)), "it is reserved (ip_local_port_range is 1024-65000)"),
        (30010, PortSettings((32768, 60999)), "it is outside ip_local_port_range 32768-60999"),
    ],
)
def test_a_free_port_says_what_threatens_it(port: int, settings: PortSettings, said: str) -> None:
    """In the range or not, reserved or not, of the parity that connect() prefers or not."""
    assert said in target_report.full(Case(Target(str(port), port), Verdict("free"), (), settings))


def test_nothing_is_said_of_a_range_that_cannot_be_read() -> None:
    """As on other systems."""
    assert target_report.full(Case(Target("30010", 30010), Verdict("free"))) == "30010/tcp is free"


@pytest.mark.parametrize(
    ("blocker", "said"),
    [
        (
            OUTBOUND._replace(kind=Kind("outbound", "remote-listener")),
            "direction judged by the listener at the other end",
        ),
        (OUTBOUND._replace(kind=Kind("accepted", "listener")), "direction judged by the listener on this port"),
        (OUTBOUND._replace(kind=Kind("outbound", "peer")), "direction judged by the other end"),
        (OUTBOUND._replace(kind=Kind("unknown", "none")), "its direction cannot be proved"),
        (TIME_WAIT, "TIME_WAIT, ends in 42s"),
        (OUTBOUND._replace(peer_user="redis"), "other end  a process of this host (user redis)"),
        (
            OUTBOUND._replace(peer_user="redis", peer_unit="redis.service"),
            "other end  a process of this host (redis.service, user redis)",
        ),
        (OUTBOUND, "other end  not seen here; the services database calls port 7000 afs3-fileserver"),
        (OUTBOUND._replace(peer_waits=True), "other end  waits to be accepted, on this host"),
        (
            OUTBOUND._replace(peer_waits=True, peer_user="redis"),
            "other end  waits to be accepted by a process of this host (user redis)",
        ),
        (listener(REDIS._replace(forwards="172.17.0.2:80")), "forwards   to the container's 172.17.0.2:80"),
        (listener(REDIS._replace(pod="d0a6ff74")), "pod        d0a6ff74"),
        (listener(REDIS, ORDERS), "process    812: redis-server"),
        (listener(*(REDIS._replace(pid=pid) for pid in range(9))), "process    and 4 more that share it"),
    ],
)
def test_details(blocker: Blocker, said: str) -> None:
    """Each thing that is known has its place; evidence is named where it was not the first."""
    assert said in text(blocker, width=0)


def test_a_number_of_another_pid_namespace_says_so() -> None:
    """Whoever reads it would use it here, where it is another process's."""
    owner = ORDERS._replace(foreign_pid=True)
    case = Case(Target("30010", 30010), HELD, (OUTBOUND._replace(owners=(owner,)),), EXPOSED)
    assert f"java (pid {owner.pid} of another PID namespace, " in target_report.headline(case)
    assert document.of_owner(owner)["foreign_pid"] is True


def test_why_an_owner_is_not_seen_is_said_once() -> None:
    """By the headline; or, where that names another blocker's processes, beside the blocker."""
    assert text(UNSEEN, width=0).count("owner not visible") == 1
    both = text(UNSEEN, OUTBOUND, width=0)
    assert "unseen     owner not visible: run as root (its user is app, it was made in orders.service)" in both
    assert both.count("owner not visible") == 1


def test_unseen_owners_of_several_users_are_told_apart() -> None:
    """Nobody's connection is called another user's: by the headline, or beside each where these are too many."""
    users = [UNSEEN._replace(user=f"user{number}", unit=None) for number in range(6)]
    told = text(*users[:3], width=0)
    assert told.startswith(
        "30010/tcp is held by 3 outbound connections of user user0, of user user1 and of user user2: "
    )
    assert told.count("owner not visible") == 1
    told = text(*users, width=0)
    assert "of user user0, of user user1, of user user2 and 3 more: " in told
    for number in range(6):
        assert f"unseen     owner not visible: run as root (its user is user{number})" in told


def test_the_first_line_leaves_room_for_what_stands_before_it() -> None:
    """The guard's `portwait: ` is on the same line; wide characters count twice."""
    wide = OUTBOUND._replace(owners=(ORDERS._replace(name="订单服务" * 4),))
    for width in (60, 80, 120):
        case = Case(Target("30010", 30010), HELD, (wide,), EXPOSED)
        first, *others = target_report.full(case, Paper(width, lead=10)).splitlines()
        assert columns(f"portwait: {first}") <= width
        assert all(columns(line) <= width for line in others)


def test_evidence_that_leaves_no_doubt_is_not_mentioned() -> None:
    """The SYN count is the rule."""
    assert "direction" not in text(OUTBOUND)


def test_alike_blockers_are_counted() -> None:
    """A thousand connections of a pool do not fill a thousand lines; what differs is shown."""
    many = [OUTBOUND._replace(socket=SOCKET._replace(remote_port=port)) for port in range(1, 1001)]
    shown = text(*many, TIME_WAIT, width=0)
    assert "held by 1000 outbound connections and a connection in TIME_WAIT" in shown
    assert shown.count("ESTABLISHED") == 3
    assert "and 997 more like these" in shown
    assert "TIME_WAIT, ends in" in shown


def test_what_the_tables_decided_is_said() -> None:
    """Where bind was denied, or not asked."""
    assert "so the socket tables decide" in text(OUTBOUND, verdict=Verdict("held", 13, "tables"))
    assert "bind was not asked" in text(OUTBOUND, verdict=Verdict("held", 0, "tables"))


def test_advice_for_one_screen() -> None:
    """The guard shows the first three, and how to see the rest."""
    many = [Remedy(str(number), f"Cure {number}.", ()) for number in range(1, 8)]
    assert text(OUTBOUND, remedies=many, briefly=True).endswith("  3. Cure 3.\n  More: portwait explain 30010")
    (asked,) = parse(["30010"], 6, reuseport=True, freebind=True)
    case = Case(asked, HELD, (OUTBOUND,), PortSettings(), tuple(many), reuseaddr=False)
    more = "\n  More: portwait explain -6 --no-reuseaddr --reuseport --freebind 30010"
    assert target_report.full(case, briefly=True).endswith(more)
    assert text(OUTBOUND, remedies=many[:4], briefly=True).endswith("  4. Cure 4.")


@given(some.integers(40, 200), some.text(some.characters(), max_size=300), some.text(some.characters(), max_size=300))
def test_no_line_is_too_long(width: int, name: str, word: str) -> None:
    """Whatever the processes are called; only commands to paste are not broken."""
    owner = ORDERS._replace(name=name, cmdline=(word, name, word), unit=word, user=name)
    for line in text(OUTBOUND._replace(owners=(owner,)), width=width).splitlines():
        assert columns(line) <= width


@given(some.text(some.characters(), max_size=50), some.lists(some.text(some.characters(), max_size=50), max_size=4))
def test_names_and_words_of_others_cannot_steer(name: str, words: list[str]) -> None:
    """Text is lines of visible characters, and JSON is JSON."""
    owner = EVIL._replace(
        name=name, cmdline=tuple(words), unit=name, container=name, pod=name, forwards=name, user=name
    )
    found = OUTBOUND._replace(owners=(owner,), peer=owner, user=name, peer_user=name, container=name)
    assert all(line.isprintable() for line in text(found).split("\n"))
    one = Case(Target("30010", 30010), HELD, (found,), EXPOSED)
    parsed = json.loads(summary.as_json([one], None))
    for said in (parsed["targets"][0]["blockers"][0]["owners"][0], parsed["targets"][0]["blockers"][0]["peer"]):
        assert all(each.isprintable() for each in (said["name"], *said["cmdline"], said["unit"], said["user"]))


def test_a_hostile_process() -> None:
    """No escape sequence, no forged line, no secret, no megabytes."""
    shown = text(OUTBOUND._replace(owners=(EVIL,)), width=0)
    assert r"ev\x1b[2Jil\x0a30010/tcp is free" in shown
    assert "30010/tcp is free" not in shown.splitlines()
    assert "s3cret" not in shown
    assert len(shown) < 1000


BLOCKER_KEYS = {
    *("kind", "state", "local", "remote", "remote_service", "inode", "uid", "user"),
    *("expires_in", "evictable", "owners", "peer", "unseen"),
}
OWNER_KEYS = {"pid", "name", "cmdline", "user", "started", "unit", "container", "state"}
TARGET_KEYS = {
    *("target", "protocol", "address", "port", "verdict", "errno", "by"),
    *("ephemeral", "reserved", "blockers", "remedies"),
}


def test_the_json_of_the_promise() -> None:
    """Each key, with the type and meaning that it was promised with."""
    owner = ORDERS._replace(started=1795227011.7, cmdline=("java", "-jar", "orders.jar"))
    one = Case(Target("30010", 30010), HELD, (OUTBOUND._replace(owners=(owner,)),), EXPOSED, REMEDIES[:1])
    told = json.loads(summary.as_json([one], None))
    assert told["schema"] == 1
    (target,) = told["targets"]
    assert set(target) >= TARGET_KEYS
    assert {key: target[key] for key in TARGET_KEYS - {"blockers"}} == {
        "target": "30010",
        "protocol": "tcp",
        "address": "*",
        "port": 30010,
        "verdict": "held",
        "errno": "EADDRINUSE",
        "by": "bind",
        "ephemeral": True,
        "reserved": False,
        "remedies": [
            {"code": "evict", "summary": "Evict: destroy this connection now.", "commands": ["portwait evict 30010"]}
        ],
    }
    (blocker,) = target["blockers"]
    assert {key: blocker[key] for key in BLOCKER_KEYS - {"owners"}} == {
        "kind": "outbound",
        "state": "ESTABLISHED",
        "local": "10.11.0.5:30010",
        "remote": "10.11.0.9:7000",
        "remote_service": "afs3-fileserver",
        "inode": 248498713,
        "uid": 1000,
        "user": "app",
        "expires_in": None,
        "evictable": True,
        "peer": None,
        "unseen": None,
    }
    (said,) = blocker["owners"]
    assert {key: said[key] for key in OWNER_KEYS} == {
        "pid": 1988719,
        "name": "java",
        "cmdline": ["java", "-jar", "orders.jar"],
        "user": "app",
        "started": "2026-11-21T02:10:11Z",
        "unit": "orders.service",
        "container": None,
        "state": None,
    }


def test_the_json_of_what_nobody_owns() -> None:
    """None where nothing is known, an empty list where nobody is; a number where a timer runs."""
    told = document.of_blocker(TIME_WAIT)
    assert set(told) >= BLOCKER_KEYS
    assert (told["uid"], told["user"], told["owners"], told["expires_in"]) == (None, None, [], 42.0)
    assert document.of_blocker(listener())["remote"] is None


def explained(port: int, state: Any, *blockers: Blocker) -> Case:
    return Case(Target(str(port), port), Verdict(state, by="tables"), blockers, EXPOSED)


def test_many_targets_get_a_line_each_and_a_sum() -> None:
    """What is held stands there, what is free is counted, and which of that the kernel may give away."""
    many = [
        explained(port, "held" if port in (30003, 30007) else "free", *([OUTBOUND] if port == 30003 else [TIME_WAIT]))
        for port in range(30000, 30100)
    ]
    assert summary.as_text(many, None, Paper(80), in_full=False).splitlines() == [
        "30003/tcp is held by an outbound connection: java (pid 1988719, orders.service,",
        "  user app)",
        "30007/tcp is held by a connection in TIME_WAIT: no process owns it, it ends by",
        "  itself in 42s",
        "100 asked, by the socket tables: 2 held, 98 free.",
        "Of the free ones the kernel may give 30000-30002,30004-30006,30008-30099 to any",
        "client (ip_local_port_range 1024-65000).",
        "30003/tcp in full: portwait explain 30003",
    ]


def test_many_targets_that_are_neither() -> None:
    """The other states are counted, too."""
    many = [explained(port, state) for port, state in ((80, "denied"), (81, "denied"), (8080, "free"))]
    said = summary.as_text(many, "no netlink", Paper(80), in_full=False)
    assert said.startswith("cannot see everything: no netlink\n")
    assert "3 asked, by the socket tables: 0 held, 1 free, 2 denied.\n" in said


def test_many_targets_of_both_protocols() -> None:
    """A port that is held for TCP and free for UDP is not called free without saying for which."""
    udp = Case(Target("30003/udp", 30003, protocol="udp"), Verdict("free"), (), EXPOSED)
    said = summary.as_text(
        [explained(30003, "held", OUTBOUND), explained(30005, "free"), udp], None, Paper(80), in_full=False
    )
    assert "the kernel may give 30005 and 30003/udp to any client" in said


def test_nothing_held_among_many() -> None:
    """Then there is nothing to look at in full."""
    said = summary.as_text([explained(port, "free") for port in range(1, 6)], None, Paper(80), in_full=False)
    assert said == "5 asked, by the socket tables: 0 held, 5 free.\n"


def test_several_in_full() -> None:
    """A blank line between them."""
    said = summary.as_text([explained(1, "free"), explained(2, "free")], None, Paper(0), in_full=True)
    assert [part.split("\n")[0] for part in said.split("\n\n")] == ["1/tcp is free", "2/tcp is free"]


def test_colour_is_never_needed() -> None:
    """With it there are the same words; without it there is no escape sequence."""
    plain, coloured = (
        target_report.full(
            Case(Target("30010", 30010), HELD, (OUTBOUND,), EXPOSED, REMEDIES), Paper(80, colours=colours)
        )
        for colours in (False, True)
    )
    assert "\x1b" not in plain
    assert coloured.startswith("\x1b[1;31m30010/tcp is held")
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain

"""What an audit says, as text, JSON, metrics and advice: pure functions of values that are put together here."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as some
from prometheus_client.parser import text_string_to_metric_families

from portwait._linux import snmp, sysctl
from portwait.advice import Facts, for_many
from portwait.advice.rules import outbound
from portwait.audit import advice, prometheus, report, scan, strip
from portwait.audit.scan import Audit, Rate
from portwait.audit.sockets import Finding, Sample, Scan, Wanted
from portwait.host.machine import Machine
from portwait.model import ports
from portwait.model.blocker import Blocker
from portwait.model.case import Case
from portwait.model.kind import Kind
from portwait.model.port_settings import PortSettings
from portwait.model.sockets import Connections, KernelSocket
from portwait.model.targets import Target, parse
from portwait.model.verdict import Verdict
from portwait.reserved.boot_file import Drift, Ours
from portwait.reserved.report import Standing, standing_text
from tests.support import schemas

if TYPE_CHECKING:
    from collections.abc import Callable


def finding(port: int, **what: Any) -> Finding:
    """Build one; at risk unless it is said otherwise."""
    fields: dict[str, Any] = {
        "protocol": "tcp",
        "named": False,
        "listening": True,
        "processes": ("java",),
        "in_range": True,
        "reserved": False,
        "preferred": port % 2 == 0,
        "taken": False,
        "per_client": 1 / 14116,
        "probability": 0.0348,
    }
    return Finding(port, **{**fields, **what})


def audit(*findings: Finding, span: tuple[int, int] = (32768, 60999), reserved: str = "", **what: Any) -> Audit:
    """Build one of a quiet host."""
    fields: dict[str, Any] = {
        "gap": 10.0,
        "rate": Rate(50.0, "measured", 1.0),
        "in_use": (),
        "usable": (14116, 14116),
        "by_bind": 0.0,
        "lost": None,
    }
    seen = PortSettings(span, ports.from_kernel(reserved), 1024)
    return Audit(seen, findings=findings, **{**fields, **what})


RANGE_FILE = "/etc/sysctl.d/zz-port-range.conf"
SAFE = finding(22, processes=("sshd",), in_range=False, per_client=0.0, probability=0.0)
HOSTILE = finding(40000, processes=('a"b\\c\nd\x1b[31m', "{x=1}"))
EVERYTHING = audit(
    SAFE,
    HOSTILE,
    finding(40001, listening=False, processes=(), named=True, per_client=0.0, probability=0.0),
    finding(40002, listening=False, processes=(), named=True, taken=True),
    finding(40004, protocol="udp", probability=None),
    reserved="8080,45000",
    by_bind=0.25,
    in_use=((40002, 40002), (50000, 50010)),
    lost="no netlink: timers cannot be seen",
    ours=Ours(((45000, 45000),), ((8080, 8080), (45000, 45000)), {}),
    drift=Drift(("/etc/sysctl.d/a.conf",), ((9090, 9090),), (), None),
    lost_at_boot=((7070, 7070),),
)


def codes(found: Audit) -> list[str]:
    return [cure.code for cure in advice.advise(found)]


class TestAdvice:
    def test_nothing_at_risk_needs_nothing(self) -> None:
        """Rule: no advice that nobody needs."""
        assert advice.advise(audit(SAFE)) == ()

    def test_the_incident(self) -> None:
        """Rule: case 1: a range of 1024-65000 and planned services in its middle; each cure with its price."""
        found = audit(
            *(finding(port, listening=False, named=True) for port in range(30000, 31001)),
            span=(1024, 65000),
            in_use=((40000, 40199),),
        )
        cures = {cure.code: cure for cure in advice.advise(found)}
        assert list(cures) == ["reserve", "narrow-range"]
        assert cures["reserve"].commands == ("portwait reserve --persist 30000-31000",)
        assert "leaves 62,976 ports" in cures["reserve"].price
        assert "which use 200 now" in cures["reserve"].price
        assert "32768-60999" in cures["narrow-range"].summary
        assert "leaves 28,232 ports" in cures["narrow-range"].price

    def test_services_all_over_the_range(self) -> None:
        """Rule: where no part is free of services, the very lines that the people of case 1 came to."""
        found = advice.advise(audit(*map(finding, range(5000, 65000, 9000)), span=(1024, 65000)))
        assert "narrow-range" not in {cure.code for cure in found}
        apart = next(cure for cure in found if cure.code == "keep-apart")
        assert "leaves 45,001 ports" in apart.price
        assert "services to 10000-10100, ip_local_port_range to 20000-65000" in apart.summary
        assert apart.commands == (
            "sysctl -w 'net.ipv4.ip_local_port_range=20000 65000'",
            rf"printf '\n%s\n' 'net.ipv4.ip_local_port_range = 20000 65000' >> {RANGE_FILE}",
        )

    @pytest.mark.parametrize(
        ("exposed", "words", "priced"),
        [
            (finding(40000), "to 32767, outside the range, or to 40001, which connect() takes only", True),
            (finding(40001), "to 32767, outside the range.", False),
            (finding(40000, protocol="udp", preferred=False), "to 32767, outside the range.", False),
        ],
        ids=["preferred", "other", "udp"],
    )
    def test_a_better_port(self, exposed: Finding, words: str, priced: bool) -> None:
        """Rule: outside the range, or a port that connect() tries last, where that is better; with what it costs."""
        cure = next(one for one in advice.advise(audit(exposed)) if one.code == "better-port")
        assert words in cure.summary
        assert ("no guarantee" in cure.price) == priced
        assert cure.commands == ()

    def test_a_better_port_is_nobodys(self) -> None:
        """Rule: neither a listener's, nor reserved, nor in use."""
        found = audit(
            finding(40000), finding(32767, in_range=False), finding(32766, in_range=False), in_use=((40001, 40001),)
        )
        cure = next(one for one in advice.advise(found) if one.code == "better-port")
        assert cure.summary == "Move the service to 32765, outside the range."

    @pytest.mark.parametrize(
        ("ports_", "span", "used", "expected"),
        [
            ((40000,), (32768, 60999), 100, True),
            ((46000,), (32768, 60999), 100, True),
            ((40000, 50000), (32768, 60999), 100, True),
            ((40000, 46000, 52000), (32768, 60999), 100, False),
            ((40000,), (32768, 60999), 6000, False),
            ((40000,), (40000, 40000), 0, False),
        ],
        ids=["one", "middle", "two", "too-many", "too-busy", "nothing-left"],
    )
    def test_a_narrower_range_keeps_enough(
        self, ports_: tuple[int, ...], span: tuple[int, int], used: int, expected: bool
    ) -> None:
        """Rule: ten thousand ports, and four times what is in use."""
        found = audit(*map(finding, ports_), span=span, in_use=((41000, 41000 + used - 1),) if used else ())
        assert ("narrow-range" in codes(found)) == expected

    @pytest.mark.parametrize(
        ("reserved", "expected", "left"),
        [
            ("30000-31000", (32768, 60999), "28,232"),
            ("40000-45000", (32768, 60999), "23,231"),
            ("20000-60000", (6000, 65000), "19,000"),
            ("20000-64000", (6000, 65000), "15,000"),
            ("6000-60000", None, ""),
            ("1024-4999,5001-65000", None, ""),
        ],
    )
    def test_a_reserved_port_is_none_that_is_left(
        self, reserved: str, expected: tuple[int, int] | None, left: str
    ) -> None:
        """Rule: the kernel hands out no reserved port, so the range is the same for `explain`, and is never used up."""
        cures = {cure.code: cure for cure in advice.advise(audit(finding(5000), span=(1024, 65000), reserved=reserved))}
        which = KernelSocket(2, "tcp", "ESTABLISHED", None, "127.0.0.1", 5000, "127.0.0.1", 7000, 0, 9, 0, 5)
        client = Blocker(Kind("outbound", "state"), which, "root", (), None, None, None, True, None)
        settings = PortSettings((1024, 65000), ports.from_kernel(reserved))
        other = outbound.narrow_range(Facts(Case(Target("5000", 5000), Verdict("held"), (client,), settings)))
        if expected is None:
            assert other is None
            assert not {"narrow-range", "keep-apart"} & {*cures}
        else:
            assert other is not None
            assert cures["narrow-range"].commands == other.commands
            assert cures["narrow-range"].commands[0].endswith("={} {}'".format(*expected))
            assert cures["narrow-range"].price.startswith(f"leaves {left} ports ")

    def test_many_ports_leave_enough_beside_what_is_reserved(self) -> None:
        """Rule: where reserving would leave too few ports, no other range of fewer ports is advised instead."""
        settings = PortSettings((1024, 65000), ((20000, 60000),))
        cases = [Case(Target(str(port), port), Verdict("free"), (), settings) for port in range(1024, 16001)]
        (cure,) = for_many(cases, Machine())
        assert (cure.code, cure.commands) == ("reserve-fewer", ())
        assert "would leave 8,999 of 23,976 ports" in cure.summary

    def test_what_is_taken_comes_first(self) -> None:
        """Rule: no lasting cure moves a connection that has the port; a reserved port needs no reserving."""
        found = audit(finding(40000, taken=True, listening=False, reserved=True))
        assert codes(found) == ["taken"]
        assert advice.advise(found)[0].commands == ("portwait explain 40000", "portwait evict 40000")

    @pytest.mark.parametrize(
        ("taken", "commands"),
        [
            ({"udp": (40000,)}, ("portwait explain 40000/udp", "portwait evict --evict=udp 40000/udp")),
            (
                {"tcp": (40000, 40002), "udp": (40000, 40001)},
                (
                    "portwait explain 40000 40002 40000-40001/udp",
                    "portwait evict 40000 40002",
                    "portwait evict --evict=udp 40000-40001/udp",
                ),
            ),
        ],
        ids=["udp", "both"],
    )
    def test_what_is_taken_has_its_protocol(self, taken: dict[str, tuple[int, ...]], commands: tuple[str, ...]) -> None:
        """Rule: a command to paste means these very sockets, and evict takes a UDP one only where that is named."""
        found = audit(
            *(
                finding(port, protocol=protocol, taken=True, listening=False)
                for protocol, ports_ in taken.items()
                for port in ports_
            )
        )
        assert advice.advise(found)[0].commands == commands

    @pytest.mark.parametrize(
        ("ports_", "words"),
        [
            ((40000,), "40000 is in use by a connection now: see whose it is, let it end, or destroy it."),
            (
                (40000, 40001),
                "40000-40001 are in use by connections now: see whose they are, let them end, or destroy them.",
            ),
        ],
        ids=["one", "two"],
    )
    def test_what_is_taken_is_one_or_many(self, ports_: tuple[int, ...], words: str) -> None:
        """Rule: a sentence for each number."""
        found = audit(*(finding(port, taken=True, listening=False) for port in ports_))
        assert advice.advise(found)[0].summary == words

    def test_what_is_taken_is_named_as_targets(self) -> None:
        """Rule: a command to paste names all of them, each a word that explain and evict can read."""
        taken = ports.merge((port, port) for port in (40000, 40001, *range(40010, 40210, 2)))
        found = advice.advise(
            audit(*(finding(port, taken=True, listening=False) for low, high in taken for port in range(low, high + 1)))
        )
        for verb, command in zip(("explain", "evict"), found[0].commands):
            program, said, *words = command.split()
            assert (program, said) == ("portwait", verb)
            assert sorted(target.port for target in parse(words)) == [
                port for low, high in taken for port in range(low, high + 1)
            ]

    @given(
        span=some.tuples(some.integers(1024, 40000), some.integers(41000, 65535)),
        port=some.integers(1024, 65535),
        listening=some.frozensets(some.integers(1024, 65535), max_size=4),
    )
    def test_explain_sets_the_range_as_this_does(
        self, span: tuple[int, int], port: int, listening: frozenset[int]
    ) -> None:
        """Rule: one line in one file, whatever the range and the services are; one advice undoes no other."""
        inside = [each for each in sorted({port, *listening}) if span[0] <= each <= span[1]]
        cures = advice.advise(audit(*map(finding, inside), span=span))
        lines = {cure.commands for cure in cures if cure.code in ("narrow-range", "keep-apart")}
        assert len(lines) <= 1
        which = KernelSocket(2, "tcp", "ESTABLISHED", None, "127.0.0.1", port, "127.0.0.1", 7000, 0, 9, 0, 5)
        client = Blocker(Kind("outbound", "state"), which, "root", (), None, None, None, True, None)
        case = Case(Target(str(port), port), Verdict("held"), (client,), PortSettings(span))
        other = outbound.narrow_range(Facts(case, listening=listening))
        if port in inside:
            assert {cure.commands for cure in cures if cure.code == "narrow-range"} == (
                set() if other is None else {other.commands}
            )
        else:
            assert other is None

    def test_who_is_not_root_is_told_to_become_it(self) -> None:
        """Rule: a command that is pasted works, also where it writes below /etc."""
        user = Machine(root=False, may_evict=False)
        found = audit(finding(40000), finding(40002, taken=True, listening=False), span=(1024, 65000), machine=user)
        cures = {cure.code: cure.commands for cure in advice.advise(found)}
        assert cures["taken"] == ("sudo portwait explain 40002", "sudo portwait evict 40002")
        assert cures["reserve"] == ("sudo portwait reserve --persist 40000,40002",)
        assert cures["narrow-range"] == (
            "sudo sysctl -w 'net.ipv4.ip_local_port_range=41000 65000'",
            rf"printf '\n%s\n' 'net.ipv4.ip_local_port_range = 41000 65000' | sudo tee -a {RANGE_FILE}",
        )

    def test_files_of_another_network_are_left_alone(self) -> None:
        """Rule: in a network namespace of its own a cure changes no file of the host, and says how long it lasts."""
        inside = Machine(sysctl_d=False)
        crowd = (finding(port) for port in range(1500, 61000, 1000))
        cures = [
            cure
            for found in (audit(finding(40000), machine=inside), audit(*crowd, span=(1024, 65000), machine=inside))
            for cure in advice.advise(found)
        ]
        lasts = "It lasts as long as this network namespace: sysctl.d is not read for it."
        setting = [cure for cure in cures if cure.commands]
        assert {cure.code for cure in setting} == {"reserve", "narrow-range", "keep-apart"}
        assert all(cure.summary.endswith(lasts) for cure in setting)
        assert not any("--persist" in line or "/etc" in line for cure in cures for line in cure.commands)

    @pytest.mark.parametrize(
        ("host_network", "words", "lines"),
        [
            (
                False,
                "Reserve 40000 from outside",
                (
                    "docker run, podman run:",
                    "  --sysctl net.ipv4.ip_local_reserved_ports=8080,40000",
                    "compose, in the service:",
                    "  sysctls:",
                    '    net.ipv4.ip_local_reserved_ports: "8080,40000"',
                ),
            ),
            (True, "Reserve 40000 on the node", ("sudo portwait reserve --persist 40000",)),
        ],
        ids=["own-network", "host-network"],
    )
    def test_in_a_container_the_settings_come_from_outside(
        self, host_network: bool, words: str, lines: tuple[str, ...]
    ) -> None:
        """Rule: no command that a read-only /proc/sys refuses."""
        inside = Machine(container="podman", may_set=False, host_network=host_network, systemd=False)
        found = audit(finding(40000), span=(1024, 65000), reserved="8080", machine=inside)
        cures = {cure.code: cure for cure in advice.advise(found)}
        assert list(cures) == ["reserve", "better-port"]
        assert cures["reserve"].summary.startswith(words)
        assert cures["reserve"].commands == lines

    @pytest.mark.parametrize(
        ("machine", "said"),
        [
            (Machine(), "or destroy it."),
            (Machine(root=False, may_evict=False), "or destroy it."),
            (Machine(may_evict=False), "or destroy it. It requires CAP_NET_ADMIN, which is missing here."),
            (
                Machine(root=False, may_evict=False, container="podman", may_set=False),
                " Root with CAP_NET_ADMIN may: start the container with --cap-add=NET_ADMIN, or do it on the host.",
            ),
        ],
        ids=["root", "user", "root-without-the-capability", "container"],
    )
    def test_what_evict_would_be_refused_for_is_said(self, machine: Machine, said: str) -> None:
        """Rule: the line is printed with what it requires, in the words of `explain`."""
        [cure] = [
            cure
            for cure in advice.advise(audit(finding(30010, taken=True, listening=False), machine=machine))
            if cure.code == "taken"
        ]
        assert cure.summary.endswith(said)


def _to(*ports_: int) -> dict[bytes, set[int]]:
    """Give each port a client with a destination of its own."""
    return {str(number).encode(): {port} for number, port in enumerate(ports_)}


class TestSample:
    """What the ports of present clients prove: the range is 40000-40009, connect() prefers its even ports."""

    @pytest.mark.parametrize(
        ("clients", "bound", "sample"),
        [
            ({}, set(), (0, 0)),
            (_to(40005), set(), (0, 1)),
            (_to(40004), set(), (1, 0)),
            (_to(40005, 40005), set(), (0, 0)),
            (_to(40005, 40005, 40007), set(), (0, 1)),
            (_to(39999, 50001), set(), (0, 0)),
            ({b"a": {40000, 40002, 40004, 40006, 40008, 40003}}, set(), (6, 0)),
            ({b"a": {40000, 40002, 40004, 40006, 40003}}, set(), (4, 1)),
            ({b"a": {40000, 40002, 40004, 40006, 40003}}, {40008}, (5, 0)),
            ({b"a": {40000, 40002, 40004, 40006, 40008, 40003}, b"b": {40003, 40005}}, set(), (6, 1)),
        ],
        ids=[
            "none",
            "odd",
            "even",
            "shared, so not bind(0)'s",
            "one of two",
            "outside",
            "no even one left",
            "an even one left",
            "bound",
            "late and shared",
        ],
    )
    def test_what_counts(self, clients: dict[bytes, set[int]], bound: set[int], sample: tuple[int, int]) -> None:
        """Rule: bind(0) shares with nobody, and connect() takes an odd port when its destination has all even ones."""
        assert Scan(PortSettings((40000, 40009)), Connections(clients, set(), bound), (), ()).sample == sample

    @pytest.mark.parametrize("count", [0, 1, 2, 20, 1000, 14000])
    @pytest.mark.parametrize("odd", [0, 1])
    def test_no_sample_makes_a_port_safe(self, count: int, odd: int) -> None:
        """Rule: each port of the range may be picked, whatever the present clients are; many prove more than few."""
        settings = PortSettings((32768, 60999))
        clients = {b"a": {*range(32768 + odd, 32768 + odd + 2 * count, 2)}}
        scan = Scan(settings, Connections(clients, set(), set()), (), ())
        found = scan.findings(Wanted(((60000, 60001),)), clients=1000)
        assert all(0 < each.per_client < 1 and each.probability for each in found)
        assert abs(scan.traffic.by_bind - odd) <= 20 / (count + 20)


class TestStrip:
    def test_columns(self) -> None:
        """Rule: 64 columns of 1,024 ports each, the worst sign of a column wins."""
        setting, use = strip.lines(EVERYTHING)
        assert (len(setting), len(use)) == (64, 64)
        assert setting == "." * 7 + "r" + "." * 24 + "=" * 11 + "r" + "=" * 16 + "." * 4
        assert use == "L" + "." * 38 + "!" + "." * 8 + ":" + "." * 15

    @pytest.mark.parametrize("width", [0, 40, 60, 67, 68, 69, 80, 200])
    def test_fits_the_terminal_and_the_scale_stands_over_its_columns(self, width: int) -> None:
        """Rule: a number begins at the column of its port, and no line is wider than the terminal."""
        scale, *drawn = strip.block(EVERYTHING, width)
        count = strip.columns(width)
        assert [len(line) for line in drawn[:2]] == [count, count]
        assert max(map(len, [scale, *drawn])) <= (width or 80)
        for column in range(0, count, 8):
            assert scale.index(str(column * 65536 // count)) == column
        assert scale.index("65535") == count - 1

    def test_a_narrow_terminal_has_fewer_columns(self) -> None:
        """Rule: nothing is broken in two below 69 columns; a column stands for more ports."""
        assert [strip.columns(width) for width in (0, 80, 69, 68, 60, 37, 36)] == [64, 64, 64, 32, 32, 32, 16]
        assert "(a column: 2,048 ports)" in "".join(strip.block(EVERYTHING, 60))


class TestText:
    def test_a_whole_report(self) -> None:
        """Rule: the report as it is read."""
        found = audit(SAFE, finding(40000), finding(40010, listening=False, named=True, processes=()))
        assert report.text(found) == (Path(__file__).parent / "golden_audit.txt").read_text()

    @pytest.mark.parametrize(
        ("reserved", "words"),
        [
            ("", "none"),
            ("31000", "31000 (1 port)"),
            ("31000-31001", "31000-31001 (2 ports)"),
            ("1-2000", "1-2000 (2,000 ports)"),
        ],
        ids=["none", "one", "two", "thousands"],
    )
    def test_ports_are_counted_as_reserve_counts_them(self, reserved: str, words: str) -> None:
        """Rule: one port is a port, and thousands are set apart."""
        assert f"reserved       {words}" in report.text(audit(reserved=reserved)).splitlines()
        span = (1024, 65000)
        now = Standing(PortSettings(span), ports.from_kernel(reserved), (), None, None, Machine())
        rows = standing_text(now).splitlines()
        assert f"reserved              {words}" in rows
        assert "range                 1024-65000 (63,977 ports)" in rows
        assert "1024-65000 (63,977 ports), of them in use 0" in report.text(audit(span=span))

    @pytest.mark.parametrize("width", [60, 70, 80, 120])
    def test_fits_the_terminal(self, width: int) -> None:
        """Rule: all but commands to paste."""
        pasted = {f"    {line}" for cure in advice.advise(EVERYTHING) for line in cure.commands}
        lines = [line for line in report.text(EVERYTHING, width).splitlines() if line not in pasted]
        assert max(map(len, lines)) <= width

    def test_a_pipe_gets_whole_lines(self) -> None:
        """Rule: what grep looks for stands on one line: a note, a summary, a price."""
        lines = report.text(EVERYTHING).splitlines()
        assert all(f"note: {note}" in lines for note in report.notes(EVERYTHING))
        assert all({cure.summary, f"  price: {cure.price}"} <= {*lines} for cure in advice.advise(EVERYTHING))

    @pytest.mark.parametrize(
        ("row", "expected"),
        [
            (finding(40000), "40000/tcp  java  yes         3.5 %, 1 in 14,116 new connections would get it"),
            (finding(40000, probability=None), "40000/tcp  java  yes         1 in 14,116 new connections would get it"),
            (
                finding(40001, per_client=1 / 282320, probability=0.0018),
                "40001/tcp java yes 0.18 %, 1 in 282,320 new connections would get it; "  # noqa: ISC004  # one line
                "connect() tries even ports first, this one is odd",
            ),
            (
                finding(40000, probability=0.0),
                "40000/tcp  java  yes         1 in 14,116 new connections would get it",
            ),
            (
                finding(40000, protocol="udp", probability=None),
                "40000/udp  java  yes         1 in 14,116 new sockets would get it",
            ),
            (finding(40000, taken=True, listening=False, processes=()), "40000/tcp  -    yes: taken  -"),
            (
                finding(40000, processes=()),
                "40000/tcp  ?    yes         3.5 %, 1 in 14,116 new connections would get it",
            ),
            (
                finding(40001, origin="picked"),
                "40001/tcp  java  picked by bind(0)  another number after each start, nothing to keep",
            ),
            (finding(40001, origin="ignored"), "40001/tcp  java  ignored     -"),
            (finding(22, in_range=False), "22/tcp  java  no: outside  -"),
            (finding(40000, reserved=True), "40000/tcp  java  no: reserved  -"),
        ],
        ids=lambda value: "" if isinstance(value, str) else str(value),
    )
    def test_a_cell_says_what_it_means(self, row: Finding, expected: str) -> None:
        """Rule: nobody has to guess at a cell; `-` is nobody, `?` somebody who cannot be seen."""
        assert expected.split() in [line.split() for line in report.text(audit(row)).splitlines()]

    def test_parity_is_that_of_the_range(self) -> None:
        """Rule: connect() prefers the parity of the range's low end, odd or even."""
        words = "connect() tries odd ports first, this one is even"
        assert words in report.text(audit(finding(40000, preferred=False), span=(32769, 60999)))

    @pytest.mark.parametrize(("high", "never"), [(60998, True), (60999, False)], ids=["odd", "even"])
    def test_the_last_of_an_odd_number_is_rarely_tried(self, high: int, never: bool) -> None:
        """Rule: no search starts there, and it goes on to there from the port before it of that parity."""
        text = report.text(audit(finding(high, **({"per_client": 0.0} if never else {})), span=(32768, high)))
        assert (f"of a range with an odd number of them is picked only where {high - 2} is of no use" in text) is never
        assert ("this one is odd" in text) is not never

    def test_neighbours_have_no_parity_of_their_own(self) -> None:
        """Rule: a line for odd and even ports together calls none of them odd."""
        row = [finding(port, listening=False, per_client=port / 1e9) for port in (40000, 40001)]
        assert "this one" not in report.text(audit(*row))

    @pytest.mark.parametrize(
        ("sample", "words"),
        [
            (
                Sample(0, 1),
                "which prefers odd ports: clients have 1 of these, and 0 of connect()'s even ones",
            ),
            (Sample(1000, 0), None),
        ],
        ids=["one", "none"],
    )
    def test_an_estimate_says_what_it_rests_on(self, sample: Sample, words: str | None) -> None:
        """Rule: what is judged by one port can be told from what is judged by a thousand; no odd port, no word."""
        text = report.text(audit(by_bind=2 / 21, sample=sample))
        assert words in text if words else "bind(port 0)" not in text

    def test_what_nobody_planned_is_not_at_risk(self) -> None:
        """Rule: a host whose only ports in the range are picked or ignored is done: 0 at risk, no advice."""
        done = audit(SAFE, finding(40001, origin="picked"), finding(40003, origin="ignored"))
        assert (done.at_risk, advice.advise(done)) == ((), ())
        assert samples(prometheus.text(done))["portwait_ports_at_risk", ()] == 0
        assert [port["origin"] for port in report.as_dict(done)["ports"]] == ["planned", "picked", "ignored"]  # type: ignore[attr-defined]  # a list of dictionaries

    @pytest.mark.parametrize(
        ("machine", "command"),
        [
            (Machine(), ": portwait reserve --persist 60000"),
            (Machine(root=False), ": sudo portwait reserve --persist 60000"),
            (Machine(sysctl_d=False), " in the system's own network namespace, the only one that it is read for"),
        ],
        ids=["root", "user", "another network namespace"],
    )
    def test_the_cure_of_drift_can_be_pasted(self, machine: Machine, command: str) -> None:
        """Rule: a whole command with a port of the file, on one line, however long the names of files are.

        Where it would reserve the port in a network namespace that has nothing to do with the file, there is none.
        """
        drift = Drift(("/etc/sysctl.d/" + "a" * 60 + ".conf",), ((9090, 9090),), (), None)
        found = audit(ours=Ours(((60000, 60010), (60020, 60020)), ((60000, 60020),)), drift=drift, machine=machine)
        assert f"note: write it anew{command}" in report.text(found).splitlines()

    @pytest.mark.parametrize(
        ("ours", "overridden"),
        [(((60000, 60000),), "/etc/sysctl.conf:1"), ((), None)],
        ids=["overridden", "nothing-asked"],
    )
    def test_no_cure_where_it_would_be_none(self, ours: tuple[tuple[int, int], ...], overridden: str | None) -> None:
        """Rule: writing anew is refused where another file wins, and takes a port that was asked for."""
        found = audit(ours=Ours(ours, ((60000, 60000),)), drift=Drift((), ((9090, 9090),), (), overridden))
        assert "write it anew" not in report.text(found)

    def test_hostile_names_are_harmless(self) -> None:
        """Rule: no process moves the cursor of who reads."""
        text = report.text(EVERYTHING)
        assert "\x1b" not in text
        assert 'a"b\\c\\x0ad\\x1b' in text

    def test_planned_ports_are_one_line(self) -> None:
        """Rule: neighbours of which the same is to be said are said once."""
        found = audit(*(finding(port, listening=False, named=True, processes=()) for port in range(40000, 40101)))
        assert (
            "40000-40100/tcp  -    yes         at most 3.5 %, 1 in 14,116 new connections would get it"
            in report.text(found)
        )

    @pytest.mark.parametrize(
        ("part", "words"),
        [(0.0, "0 %"), (1.0, "100 %"), (1e-7, "under 0.001 %"), (0.034802, "3.5 %"), (0.9999, "over 99 %")],
    )
    def test_percents(self, part: float, words: str) -> None:
        """Rule: only what is certain is said as certain."""
        assert report._percent(part) == words

    @pytest.mark.parametrize(
        ("rate", "words"),
        [(0.0, "0"), (0.123456, "0.123"), (50.0, "50"), (999.4, "999"), (1000.0, "1,000"), (2e6, "2,000,000")],
    )
    def test_rates(self, rate: float, words: str) -> None:
        """Rule: a number of connections is written as people write it, not as 1e+03."""
        assert f" {words} opened per second" in report.text(audit(rate=Rate(rate, "given")))


class TestJson:
    @pytest.mark.parametrize("found", [EVERYTHING, audit(), audit(finding(40000), rate=Rate(None, "not known"))])
    def test_follows_the_schema(self, found: Audit) -> None:
        """Rule: the keys are a promise, whatever is or is not known."""
        schemas.validate(json.loads(json.dumps(report.as_dict(found))), "audit")

    def test_the_schema_refuses_what_is_missing(self) -> None:
        """Rule: a schema that takes anything would prove nothing."""
        document = report.as_dict(EVERYTHING)
        for key in list(document):
            with pytest.raises(jsonschema.ValidationError):
                schemas.validate({name: value for name, value in document.items() if name != key}, "audit")


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read metrics as Prometheus's own client reads them."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


class TestMetrics:
    def test_a_real_parser_reads_every_value(self) -> None:
        """Rule: names, labels and values are what they should be, hostile ones escaped and given back."""
        read = samples(prometheus.text(EVERYTHING))
        labels = (("port", "40000"), ("process", 'a"b\\c\\x0ad\\x1b[31m,{x=1}'), ("protocol", "tcp"))
        assert read["portwait_port_at_risk", labels] == 1
        assert read["portwait_port_probability", labels] == 0.0348
        assert read["portwait_ephemeral_range_first", ()] == 32768
        assert read["portwait_ephemeral_range_last", ()] == 60999
        assert read["portwait_reserved_ports", ()] == 2
        assert read["portwait_ports_at_risk", ()] == 4
        assert read["portwait_used_ports", ()] == 12
        assert read["portwait_usable_ports", (("parity", "other"),)] == 14116
        assert read["portwait_persisted_drift", ()] == 1
        assert read["portwait_reserved_until_boot_ports", ()] == 1
        assert ("portwait_port_probability", (("port", "40004"), ("process", "java"), ("protocol", "udp"))) not in read

    def test_every_metric_has_help_and_a_type_and_comes_once(self) -> None:
        """Rule: what promtool asks of a text."""
        families = list(text_string_to_metric_families(prometheus.text(EVERYTHING)))
        names = [family.name for family in families]
        assert len(names) == len(set(names))
        assert all(family.documentation and family.type == "gauge" and family.samples for family in families)
        text = prometheus.text(EVERYTHING)
        assert text.endswith("\n")
        assert all(line.startswith(("# HELP portwait_", "# TYPE portwait_", "portwait_")) for line in text.splitlines())

    @pytest.mark.parametrize("name", ["\\", '"', "\\n", "\n", "\\\\n", "é", "}", ",", "\t", "\udcff", ""], ids=ascii)
    def test_a_label_comes_back_as_it_is_shown(self, name: str) -> None:
        """Rule: whatever a process is called, it stays within its quotes."""
        text = prometheus.text(audit(finding(40000, processes=(name,))))
        [process] = [dict(labels)["process"] for (sample, labels) in samples(text) if sample == "portwait_port_at_risk"]
        from portwait.text.escape import escape

        assert process == escape(name, 40)

    def test_what_is_not_known_has_no_sample(self) -> None:
        """Rule: a number that nobody knows is none, not 0."""
        read = samples(prometheus.text(audit(finding(40000, probability=None), rate=Rate(None, "not known"))))
        names = {name for name, _ in read}
        assert not names & {"portwait_port_probability", "portwait_connects_per_second", "portwait_persisted_drift"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ip: a\nIp: 1\nTcp: RtoMin ActiveOpens X\nTcp: 200 17 3\nUdp: a\nUdp: 1\n", 17),
        ("Tcp: RtoMin\nTcp: 200\n", None),
        ("Tcp: ActiveOpens\nTcp:\n", None),
        ("Tcp: ActiveOpens\nTcp: -1\n", None),
        ("Tcp: ActiveOpens\nTcp: \u00b2\n", None),
        ("Tcp: ActiveOpens\n", None),
        ("", None),
    ],
    ids=["real", "unnamed", "short", "negative", "a digit that int() does not know", "half", "empty"],
)
def test_the_kernels_count(text: str, expected: int | None) -> None:
    """By its name, wherever it stands."""
    assert snmp.parse(text) == expected


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", "cannot audit: /proc/sys/net/ipv4/ip_local_port_range cannot be read"),
        ("freebsd14", "cannot audit: the range of ports that the kernel hands out can only be read on Linux"),
    ],
)
def test_a_range_that_cannot_be_read(platform: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: on Linux the error names the file, for it is there in most places."""
    monkeypatch.setattr(sysctl, "read", lambda _name: None)
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(scan.AuditError, match=f"^{re.escape(expected)}$"):
        scan.audit(gap=1.0, window=0.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--only"], "--only wants PORTS"),
        (["--gap", "inf"], "endless"),
        (["--rate", "-1"], "connections a second"),
        (["--rate", "nan"], "connections a second"),
        (["--rate", "many"], "connections a second"),
        (["--format", "xml"], "'xml'"),
        (["--json", "--format", "prometheus"], "cannot use --json with --format prometheus"),
        (["--format=prometheus", "--json"], "cannot use --json with --format prometheus"),
        (["--format", "text", "--json"], "cannot use --json with --format text"),
        (["0"], "'0'"),
        (["30010/sctp"], "'30010/sctp'"),
        (["--ignore", "x"], "--ignore"),
    ],
    ids=" ".join,
)
def test_bad_words(
    main: Callable[..., int], capfd: pytest.CaptureFixture[str], words: list[str], expected: str
) -> None:
    """One line that says what was expected, and 125."""
    assert main("audit", *words) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert expected in err
    assert err.count("\n") == 1

"""What audit says of a private network namespace, and whether the kernel does as it says."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import random
import socket
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import schemas, states, storm
from tests.support.netns import sysctl as setting
from tests.support.programs import portwait, running
from tests.support.reserved_ports import RANGE, RESERVED
from tests.support.states import LOOPBACK, WILDCARD
from tests.support.surroundings import AS_NOBODY
from tests.support.terminals import run_on_terminal
from tests.support.without import NO_NETLINK, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.support.mounts import Host

pytestmark = pytest.mark.usefixtures("net")

QUICKLY = ("--window", "0")
SIGMAS = 5


def audited(host: Host, *words: str, before: Sequence[str] = (), at_risk: bool | None = None) -> dict[str, Any]:
    """Audit, check the status against the answer and the answer against the schema."""
    done = host.run(*before, *portwait("audit", "--json", *words), check=False)
    document: dict[str, Any] = json.loads(done.stdout)
    schemas.validate(document, "audit")
    assert done.returncode == (1 if document["at_risk"] else 0)
    assert at_risk is None or bool(document["at_risk"]) == at_risk
    return document


def of_port(document: dict[str, Any], port: int) -> dict[str, Any]:
    """Pick out what is said of one TCP port."""
    [found] = [one for one in document["ports"] if (one["port"], one["protocol"]) == (port, "tcp")]
    return dict(found)


def addresses() -> Iterator[str]:
    """Yield addresses of 127.0.0.0/8 at random, others in each run.

    From where the kernel searches depends on the destination, and goes on behind the port that it found last
    (table_perturb in __inet_hash_connect): to the same addresses a second run is no fresh sample.
    """
    chance = random.Random()  # noqa: S311  # no secret
    while True:
        yield f"127.{chance.randrange(1, 255)}.{chance.randrange(256)}.{chance.randrange(1, 255)}"


class TestFindings:
    @pytest.mark.parametrize(
        ("span", "reserved", "at_risk"),
        [
            ("32768 60999", "", True),
            ("32768 60999", "40000", False),
            ("32768 39999", "", False),
            ("40000 40000", "", True),
        ],
        ids=["exposed", "reserved", "outside", "alone"],
    )
    def test_a_listener_is_at_risk_where_the_kernel_may_hand_its_port_out(
        self, host: Host, span: str, reserved: str, at_risk: bool
    ) -> None:
        """Rule: in the range and not reserved; the status says it."""
        setting(RANGE, span)
        setting(RESERVED, reserved or "\n")
        with states.listening(40000):
            found = of_port(audited(host, *QUICKLY, at_risk=at_risk), 40000)
        assert (found["listening"], found["named"], found["at_risk"]) == (True, False, at_risk)
        assert found["processes"]

    def test_a_named_port_without_a_listener(self, host: Host) -> None:
        """Rule: planned ports are judged as those in use are."""
        setting(RANGE, "32768 60999")
        document = audited(host, *QUICKLY, "30010,40000", at_risk=True)
        assert document["at_risk"] == ["40000/tcp"]
        assert of_port(document, 30010)["in_range"] is False

    def test_only_leaves_out_the_others(self, host: Host) -> None:
        """Rule: so that CI can ask for one port on a host of many."""
        setting(RANGE, "32768 60999")
        with states.listening(40000):
            assert audited(host, *QUICKLY, "--only", "30010", at_risk=False)["at_risk"] == []

    def test_a_port_that_a_connection_has(self, host: Host) -> None:
        """Rule: taken is taken, also where it is reserved by now, and no probe is needed to see it."""
        with states.outbound_established(30010):
            setting(RANGE, "32768 60999")
            setting(RESERVED, "30010")
            document = audited(host, *QUICKLY, "--only", "30010", at_risk=True)
        assert of_port(document, 30010)["taken"] is True
        assert document["advice"][0]["commands"] == ["portwait explain 30010", "portwait evict 30010"]

    @pytest.mark.parametrize("state", ["outbound_established", "accepted", "outbound_time_wait"])
    def test_without_netlink(self, state: str, host: Host) -> None:
        """Rule: /proc/net says the same of each port and of all clients; a note says what it cannot show."""
        setting(RANGE, "1024 65000")
        with states.listening(40000), getattr(states, state)(30010):
            both = [audited(host, *QUICKLY, "30010,40000", before=each) for each in ((), without(NO_NETLINK))]
        full, less = both
        lost = [[note for note in each["notes"] if "netlink is not allowed here" in note] for each in both]
        assert list(map(len, lost)) == [0, 1]
        for key in ("ports", "connections", "usable", "ports_in_use", "at_risk"):
            assert full[key] == less[key], key

    def test_an_ordinary_user_gets_commands_that_root_runs(self, host: Host) -> None:
        """Rule: reading takes no root, and what takes it says so."""
        setting(RANGE, "1024 65000")
        done = host.run(*AS_NOBODY, *portwait("audit", *QUICKLY, "--only", "30010"), check=False)
        assert done.returncode == 1
        commands = [line.strip() for line in done.stdout.splitlines() if line.startswith("    ")]
        assert f"sudo {portwait()[0]!s} reserve 30010" in commands
        changing = [one for one in commands if any(word in one for word in ("sysctl", "portwait", "/etc"))]
        assert len(changing) == 2  # no file of /etc: those are not read for this network namespace
        assert [one for one in changing if not (one.startswith("sudo ") or " | sudo tee -a " in one)] == []

    def test_an_accepted_connection_takes_nothing(self, host: Host) -> None:
        """Rule: a server's own connections are on its own port."""
        setting(RANGE, "32768 60999")
        with states.accepted(30010):
            assert of_port(audited(host, *QUICKLY, at_risk=False), 30010)["taken"] is False

    def test_udp_on_a_named_port(self, host: Host) -> None:
        """Rule: a UDP socket counts where it was asked for, and only there."""
        setting(RANGE, "32768 60999")
        with states.udp_bound(40000), states.udp_bound(50000):
            document = audited(host, *QUICKLY, "40000")
        assert document["at_risk"] == ["40000/tcp", "40000/udp"]

    def test_named_ports_are_enough(self, host: Host) -> None:
        """Rule: PORTS alone say what is judged; --only says the same again."""
        setting(RANGE, "32768 60999")
        with states.listening(40000):
            for words in (("30010",), ("--only", "30010")):
                document = audited(host, *QUICKLY, *words, at_risk=False)
                assert [port["port"] for port in document["ports"]] == [30010]

    def test_an_ignored_port_is_not_at_risk(self, host: Host) -> None:
        """Rule: whoever listens on it, or nobody, or a connection has it; beside its neighbours too."""
        with states.listening(40001), states.outbound_established(40004):
            setting(RANGE, "40000 60999")
            words = ("--ignore", "40000-40002,40004", "39999-40004")
            assert audited(host, *QUICKLY, *words, at_risk=True)["at_risk"] == ["40003/tcp"]
            text = host.run(*portwait("audit", *QUICKLY, *words), check=False).stdout
        given_away = {line.split()[0]: line.split()[2] for line in text.splitlines() if "/tcp " in line}
        ignored = dict.fromkeys(("40000/tcp", "40001/tcp", "40002/tcp", "40004/tcp"), "ignored")
        assert given_away == {"40003/tcp": "yes", "39999/tcp": "no:", **ignored}

    def test_udp_sockets_on_other_ports(self, host: Host) -> None:
        """Rule: the fewer ports of the range have no UDP socket, the likelier is each of them."""
        setting(RANGE, "40000 40099")
        with contextlib.ExitStack() as stack:
            for port in range(40040, 40100):
                stack.enter_context(states.udp_bound(port))
            document = audited(host, *QUICKLY, "40001/udp,40099/udp", at_risk=True)
        assert [port["port"] for port in document["ports"]] == [40001, 40099]
        assert [round(1 / port["per_client"]) for port in document["ports"]] == [40, 41]

    def test_a_range_of_udp(self, host: Host) -> None:
        """Rule: every port of it is judged, the cure keeps all of them, and ten thousand ports take no time."""
        setting(RANGE, "1024 60999")
        with states.udp_bound(40001), states.listening(40002):
            document = audited(host, *QUICKLY, "40000-50000/udp", at_risk=True)
        assert {port["protocol"] for port in document["ports"]} == {"udp"}
        assert len(document["ports"]) == 10001
        assert document["advice"][0]["commands"] == ["portwait reserve 40000-50000"]

    @pytest.mark.parametrize(
        ("address", "port", "named", "origin"),
        [
            (LOOPBACK, 40001, False, "picked"),
            (LOOPBACK, 40000, False, "planned"),
            (WILDCARD, 40001, False, "planned"),
            (LOOPBACK, 40001, True, "planned"),
            ("127.0.0.11", 40000, False, "picked"),
            (LOOPBACK, 30001, False, "planned"),
        ],
        ids=["bind-0", "parity", "wildcard", "command-line", "docker-dns", "outside"],
    )
    def test_what_was_picked_is_told_from_what_was_planned(
        self, host: Host, address: str, port: int, *, named: bool, origin: str
    ) -> None:
        """Rule: on loopback, of the parity that bind(0) prefers, and not in the command line: no number to keep."""
        setting(RANGE, "32768 60999")
        script = (
            "import socket, sys; server = socket.create_server((sys.argv[1], int(sys.stdin.readline())))\n"
            "print('ready', flush=True); input()"
        )
        argv = [sys.executable, "-c", script, address, *([f"--port={port}"] if named else [])]
        with running(argv, stdin=subprocess.PIPE) as server:
            server.tell(str(port))
            server.says("ready")
            document = audited(host, *QUICKLY, at_risk=origin == "planned" and port > 32768)
            assert of_port(document, port)["origin"] == origin
            assert audited(host, *QUICKLY, "--ignore", str(port), at_risk=False)["at_risk"] == []
            assert audited(host, *QUICKLY, str(port))["at_risk"] == ([f"{port}/tcp"] if port > 32768 else [])

    def test_a_picked_port_is_what_bind_0_gives(self, host: Host) -> None:
        """Rule: the parity is the kernel's: a server on loopback that bound port 0 is not at risk."""
        setting(RANGE, "32768 60999")
        script = "import socket; s=socket.create_server(('127.0.0.1', 0)); print('ready', flush=True); input()"
        with running([sys.executable, "-c", script], stdin=subprocess.PIPE) as server:
            server.says("ready")
            assert [port["origin"] for port in audited(host, *QUICKLY, at_risk=False)["ports"]] == ["picked"]

    def test_the_width_is_that_of_the_terminal(self, host: Host) -> None:
        """Rule: a pipe gets whole lines; a terminal gets lines that fit, one of 0 columns those of 80."""
        setting(RANGE, "1024 65000")
        piped = host.run(*portwait("audit", *QUICKLY, "30010"), check=False).stdout.splitlines()
        assert max(map(len, piped)) > 100
        for columns, widest in ((60, 60), (100, 100), (0, 80)):
            _, text = run_on_terminal(host.argv(portwait("audit", *QUICKLY, "30010")), columns)
            assert max(len(line) for line in text.splitlines() if not line.startswith("    ")) <= widest

    def test_nothing_is_probed(self, host: Host) -> None:
        """Rule: audit reads tables only: a probe could make somebody's start fail."""
        hook = "lambda event, _: event in ('socket.bind', 'socket.connect') and sys.exit(99)"
        script = f"import sys; sys.addaudithook({hook}); from portwait.cli import main; sys.exit(main())"
        setting(RANGE, "32768 60999")
        with states.listening(40000):
            done = host.run(sys.executable, "-c", script, "audit", *QUICKLY, check=False)
        assert done.returncode == 1
        assert "40000/tcp" in done.stdout

    def test_connections_are_counted(self, host: Host) -> None:
        """Rule: the rate is what this network namespace opens a second, by the kernel's own count."""
        setting(RANGE, "32768 60999")
        before = audited(host, "--window", "100ms", "--only", "40000")["connections"]
        assert (before["how"], before["per_second"]) == ("measured", 0)
        assert audited(host, "--rate", "12.5", "--only", "40000")["connections"]["per_second"] == 12.5

    def test_drift_is_reported(self, host: Host) -> None:
        """Rule: a file of ours that repeats what others no longer say is named, with the cure."""
        host.write("/etc/sysctl.d/a.conf", "net.ipv4.ip_local_reserved_ports = 8080\n")
        host.run(*portwait("reserve", "--persist", "30010"))
        assert audited(host, *QUICKLY)["persisted"]["drift"] == []
        host.write("/etc/sysctl.d/a.conf", "net.ipv4.ip_local_reserved_ports = 9090\n")
        document = audited(host, *QUICKLY)
        [lacks, repeats, cure] = document["persisted"]["drift"]
        assert "lacks 9090" in lacks
        assert "repeats 8080" in repeats
        assert cure.startswith("write it anew in the system's own network namespace")  # this is another one
        listing = host.run(*portwait("reserve")).stdout.splitlines()
        assert listing[-1] == f"note: {cure}"
        host.run(*portwait("reserve", "--persist", "30010"))  # what the cure is there
        assert audited(host, *QUICKLY)["persisted"]["drift"] == []


class TestOutput:
    def test_a_file_is_written_whole(self, host: Host, tmp_path: Path) -> None:
        """Rule: nothing on stdout, the old file replaced in one step, readable by the exporter."""
        setting(RANGE, "32768 60999")
        target = tmp_path / "portwait.prom"
        target.write_text("old")
        before = target.stat().st_ino
        words = ("audit", *QUICKLY, "--format", "prometheus", "--output", str(target), "40000")
        done = host.run(*portwait(*words), check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
        assert (target.stat().st_ino != before, stat.S_IMODE(target.stat().st_mode)) == (True, 0o644)
        assert [path.name for path in tmp_path.iterdir()] == ["portwait.prom"]
        from prometheus_client.parser import text_string_to_metric_families  # heavy, as the schemas are

        families = {family.name: family for family in text_string_to_metric_families(target.read_text())}
        assert families["portwait_ports_at_risk"].samples[0].value == 1

    def test_a_hyphen_is_stdout(self, host: Host) -> None:
        """Rule: as everywhere else; no file of that name comes to be."""
        done = host.run(*portwait("audit", *QUICKLY, "--format", "prometheus", "--output", "-", "1"), check=False)
        assert (done.returncode, done.stderr, "portwait_ports_at_risk 0\n" in done.stdout) == (0, "", True)
        assert not Path("-").exists()

    @pytest.mark.parametrize("kind", ["link", "full", "missing"])
    def test_a_file_that_cannot_be_written_is_as_it_was(self, host: Host, tmp_path: Path, kind: str) -> None:
        """Rule: an error, 125, and no half of anything."""
        folder = "/run/metrics"
        host.run("mkdir", folder)
        if kind == "link":
            host.path(f"{folder}/out.prom").symlink_to(tmp_path / "elsewhere")
        elif kind == "full":
            host.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder)
            host.run("sh", "-c", f"head -c 1M /dev/zero > {folder}/big", check=False)
        else:
            folder = "/run/nowhere"
        done = host.run(*portwait("audit", *QUICKLY, "--output", f"{folder}/out.prom"), check=False)
        assert (done.returncode, done.stdout) == (125, "")
        assert done.stderr.startswith(f"portwait: cannot write {folder}/out.prom: ")
        assert not (tmp_path / "elsewhere").exists()


class TestTheKernelAgrees:
    """What the model says a port's chance is, against how often the kernel picks it, within five sigma."""

    SPAN, PORT = (40000, 40063), 40012
    OCCUPIED = (40010, 40030, 40040)

    @contextlib.contextmanager
    def crowded(self) -> Iterator[None]:
        """Put useless ports before the port and elsewhere: reserved, listening, bound."""
        with contextlib.ExitStack() as stack:
            for port in (40010, 40040):
                stack.enter_context(states.listening(port, address=WILDCARD))
            stack.enter_context(states.bound_only(40030, address=WILDCARD))
            setting(RANGE, f"{self.SPAN[0]} {self.SPAN[1]}")
            setting(RESERVED, "40006,40008,40050-40053")
            yield

    def test_one_client(self, host: Host) -> None:
        """Rule: each port's share of 30,000 connects to anywhere."""
        with self.crowded():
            document = audited(host, *QUICKLY, "--only", f"{self.SPAN[0]}-{self.SPAN[1]}")
            counted = storm.counted(itertools.islice(addresses(), 30_000))
        assert not {port: counted[port] for port in self.OCCUPIED if counted[port]}
        said = by_connect(document)
        assert unlikely({port: part for port, part in said.items() if port not in self.OCCUPIED}, counted) == {}
        assert not [port for port in counted if port % 2]
        assert counted[self.PORT] > 3 * counted[40002]  # three useless ports stand before it

    def test_the_last_of_an_odd_number(self, host: Host) -> None:
        """Rule: a search that comes to it goes on behind the first port, which is left out then."""
        with states.listening(40006, address=WILDCARD):
            setting(RANGE, "40000 40008")
            document = audited(host, *QUICKLY, "--only", "40000-40008")
            counted = storm.counted(itertools.islice(addresses(), 10_000))
        said = by_connect(document)
        assert [round(4 * said[port]) for port in (40000, 40002, 40004, 40008)] == [1, 1, 1, 1]
        del said[40006]
        assert unlikely(said, counted) == {}

    def test_clients_of_the_same_servers(self, host: Host) -> None:
        """Rule: a port that leads to a destination is of no use to its clients, and the next one gets its share."""
        there = list(itertools.islice(addresses(), 300))
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_server((WILDCARD, storm.PORT), backlog=512))
            setting(RANGE, "40020 40020")
            for address in there:
                stack.enter_context(socket.create_connection((address, storm.PORT)))
                stack.enter_context(server.accept()[0])
            server.close()
            setting(RANGE, "40000 40063")
            document = audited(host, *QUICKLY, "--only", "40000-40063")
            counted = storm.counted(address for _ in range(5) for address in there)
        assert counted[40020] == 0
        said = by_connect(document)
        assert not [port for port in counted if port % 2]
        assert said.pop(40020) == pytest.approx(1 / 32 / 301)  # only the new one may share it
        assert unlikely(said, counted) == {}

    def test_one_restart(self, host: Host) -> None:
        """Rule: how often a restart finds its port taken, over 2,000 restarts with a random number of clients each."""
        rate, gap, restarts = 20.0, 0.5, 2_000
        chance = random.Random(2)  # noqa: S311  # no secret
        with self.crowded():
            with states.listening(self.PORT, address=WILDCARD):
                document = audited(host, "--rate", str(rate), "--gap", f"{gap}s")
            binding = document["connections"]["by_bind"]  # nobody does here
            said = 1 - (1 - of_port(document, self.PORT)["probability"]) ** (1 / (1 - binding))
            clients = [_poisson(chance, rate * gap) for _ in range(restarts)]
            picked = storm.source_ports(itertools.islice(addresses(), sum(clients)))
            taken = sum(self.PORT in list(itertools.islice(picked, number)) for number in clients)
            picked.close()
        assert 0.2 < said < 0.9
        assert abs(taken - restarts * said) < SIGMAS * math.sqrt(restarts * said * (1 - said))

    def test_clients_that_bind_first(self, host: Host) -> None:
        """Rule: bind(address, 0) picks from the other parity, and what is connected from there tells how many do so."""
        with self.crowded(), contextlib.ExitStack() as stack:
            for _ in range(6):
                client = stack.enter_context(socket.socket())
                client.bind((LOOPBACK, 0))
                client.connect((LOOPBACK, 40010))
            document = audited(host, *QUICKLY, "--only", "40001-40063")
            counted: Counter[int] = Counter()
            for _ in range(20_000):
                with socket.socket() as client:
                    client.bind((LOOPBACK, 0))
                    counted[client.getsockname()[1]] += 1
        assert document["connections"]["sample"] == {"preferred": 0, "other": 6}
        binding = document["connections"]["by_bind"]
        assert binding == pytest.approx(7 / 26)
        odd = {port: of_port(document, port) for port in range(40001, 40064, 2)}
        assert not [port for port, found in odd.items() if found["taken"] and counted[port]]
        said = {port: one["per_client"] / binding for port, one in odd.items() if not one["taken"]}
        assert unlikely(said, counted) == {}

    def test_a_full_parity(self, host: Host) -> None:
        """Rule: when all even ports lead to a destination, its odd ones are connect()'s, and prove no bind(port 0)."""
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(socket.create_server((WILDCARD, storm.PORT), backlog=512))
            setting(RANGE, "40000 40063")
            for _ in range(40):
                stack.enter_context(socket.create_connection((LOOPBACK, storm.PORT)))
                stack.enter_context(server.accept()[0])
            document = audited(host, *QUICKLY, "--only", "40000-40063")
        assert document["connections"]["sample"] == {"preferred": 40, "other": 0}

    @pytest.mark.parametrize("ended", [False, True], ids=["established", "time-wait"])
    def test_a_client_that_binds_by_number_proves_little(self, host: Host, *, ended: bool) -> None:
        """Rule: one connection makes no port of the range safe, odd or even, and the report does not call one odd."""
        setting(RANGE, "32768 60999")
        words = ("--rate", "100", "--only", "40124,40130,40133")
        before = audited(host, *words, at_risk=True)
        with socket.create_server((LOOPBACK, storm.PORT)) as server, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            client.bind((LOOPBACK, 40125))
            client.connect((LOOPBACK, storm.PORT))
            with server.accept()[0] as accepted:
                if ended:
                    client.close()
                    assert accepted.recv(1) == b""
            document = audited(host, *words, at_risk=True)
            text = host.run(*portwait("audit", *words), check=False).stdout
        assert 0 < of_port(before, 40133)["probability"] < of_port(document, 40133)["probability"]
        for port in (40124, 40130):
            was, now = (of_port(each, port)["probability"] for each in (before, document))
            assert 0.9 * was < now < was
        row = {line.split()[0]: line for line in text.splitlines() if "/tcp" in line}
        assert row["40124/tcp"].endswith("6.2 %, 1 in 15,602 new connections would get it")
        assert row["40130/tcp"].endswith("6.2 %, 1 in 15,602 new connections would get it")
        assert row["40133/tcp"].endswith("; connect() tries even ports first, this one is odd")
        assert "clients have 1 of these, and 0 of connect()'s even ones" in text


def by_connect(document: dict[str, Any]) -> dict[int, float]:
    """Take away what bind(port 0) may get, where nobody calls it: how often connect() picks each even port."""
    part = 1 - document["connections"]["by_bind"]
    return {one["port"]: one["per_client"] / part for one in document["ports"] if one["port"] % 2 == 0}


def unlikely(said: dict[int, float], counted: Counter[int]) -> dict[int, tuple[float, float]]:
    """Pick out the ports that were picked more or less often than five sigma allow: what was said, what was."""
    total = sum(counted.values())
    return {
        port: (part, counted[port] / total)
        for port, part in said.items()
        if abs(counted[port] - total * part) > SIGMAS * math.sqrt(total * part * (1 - part))
    }


def _poisson(chance: random.Random, mean: float) -> int:
    """Draw a number of clients (Knuth's way, for a small mean)."""
    limit, product = math.exp(-mean), chance.random()
    number = 0
    while product > limit:
        number += 1
        product *= chance.random()
    return number


@pytest.mark.parametrize("listening", [(), (33000,), (20000, 40000)], ids=["alone", "one service", "two services"])
def test_explain_and_audit_advise_the_same_range(host: Host, listening: tuple[int, ...]) -> None:
    """Whoever pastes the one after the other sets ip_local_port_range twice to the same, and it keeps the port out."""
    with contextlib.ExitStack() as stack:
        for port in listening:
            stack.enter_context(socket.create_server(("127.0.0.1", port)))
        client = states.outbound_established(30010)
        stack.enter_context(client)
        setting(RANGE, "1024 65000")
        explained = json.loads(host.run(*portwait("explain", "--json", "30010"), check=False).stdout)
        remedies = {one["code"]: one["commands"] for one in explained["targets"][0]["remedies"]}
        advised = {cure["code"]: cure["commands"] for cure in audited(host, "30010", at_risk=True)["advice"]}
        assert remedies["narrow-range"] == advised["narrow-range"]
        host.run("sh", "-ec", remedies["narrow-range"][0])
        low, high = map(int, host.run("sysctl", "-n", RANGE).stdout.split())
        assert not any(low <= port <= high for port in (30010, *listening))

"""Evicting destroys the connections in the way, leaves their processes alone, and touches nothing that must survive."""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portwait import parse
from portwait._linux.sockdiag import SockDiag
from portwait.diagnosis import evictable
from portwait.diagnosis.blockers import diagnose
from portwait.eviction import evict as eviction
from portwait.options.table import EVICTABLE
from tests.support import states
from tests.support.blockers import CLIENTS, ORPHANS, makers
from tests.support.clients import REMOTE, pooled_client
from tests.support.guarding import STARTED, Outcome, guard
from tests.support.netns import forced_source_port
from tests.support.programs import DEADLINE, portwait, running
from tests.support.states import LOOPBACK, MAPPED, listening, outbound_established, service_bind, states_on
from tests.support.surroundings import AS_NOBODY, NOBODY, lacking
from tests.support.without import NO_NETLINK, without

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portwait.model.blocker import Blocker
    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")
kernel = pytest.mark.kernel

PORT = 30010
DIRECTED = Path(__file__).parent / "helpers" / "directed_lookups.py"
(TARGET,) = parse([str(PORT)])
EVERYTHING = evictable.Selection(frozenset(EVICTABLE))
NO_NET_ADMIN = lacking("net_admin")


def evict(*words: str, before: Sequence[str] = ()) -> Outcome:
    """Run the verb to its end."""
    return guard("evict", *words, before=before)


def targets(*words: str, before: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Run the verb with --json; what it says of each target, in any case."""
    done = evict("--json", *words, before=before)
    report = json.loads(done.out)
    assert report["schema"] == 1
    held = any(target["verdict_after"] == "held" for target in report["targets"])
    assert done.status == (1 if held else 0)
    found: list[dict[str, Any]] = report["targets"]
    return found


def refused(*words: str, before: Sequence[str] = ()) -> list[str]:
    """Run the verb with --json; the codes of what it refused of one target, after nothing was evicted."""
    (target,) = targets(*words, before=before)
    assert target["evicted"] == []
    assert target["verdict_after"] == "held"
    assert all(refusal["why"] and refusal["cure"] for refusal in target["refused"])
    return [refusal["code"] for refusal in target["refused"]]


def identity_by_ss() -> tuple[int, int]:
    """Ask the second source for inode and cookie of the one socket on PORT."""
    shown = subprocess.check_output(["ss", "-Htne", f"sport = :{PORT}"], text=True)
    (inode,), (cookie,) = re.findall(r"ino:(\d+)", shown), re.findall(r"sk:([0-9a-f]+)", shown)
    return int(inode), int(cookie, 16)


@kernel
class TestDestroy:
    """What eviction rests on: the kernel gives the port back at once, whatever state the connection is in."""

    @pytest.mark.parametrize("address", [LOOPBACK, "::1", MAPPED], ids=["ipv4", "ipv6", "mapped"])
    @pytest.mark.parametrize("maker", makers(*CLIENTS, *ORPHANS))
    def test_every_state(self, maker: Maker, address: str) -> None:
        """By default, and each as a blocker that harms nobody else."""
        with maker(PORT, address=address), SockDiag() as door:
            seen = the_blocker()
            assert seen.evictable
            done = eviction.evict(door, seen)
            if isinstance(done, evictable.Refusal) and seen.socket.inode == 0:
                assert (done.code, states_on(PORT)) == ("state-unsupported", [seen.socket.state])
                pytest.skip("this kernel does not destroy what no process has")
            assert done == "evicted"
            assert states_on(PORT) == []
            assert service_bind(PORT, "::") == service_bind(PORT, "::", reuseaddr=True) == "ok"

    def test_udp(self) -> None:
        with states.udp_connected(PORT), SockDiag() as door:
            seen = the_blocker("udp")
            assert not seen.evictable
            assert eviction.evict(door, seen) == "evicted"
            assert service_bind(PORT, udp=True) == "ok"

    def test_who_took_the_same_ends_after_the_look(self) -> None:
        """Another connection, with another cookie, is not the one that was seen."""
        with listening(REMOTE, address=LOOPBACK) as there:
            with connected(there.sock):
                seen = the_blocker()
            with connected(there.sock) as second, SockDiag() as door:
                assert (the_blocker().local, the_blocker().remote) == (seen.local, seen.remote)
                assert the_blocker().socket.cookie != seen.socket.cookie
                assert eviction.evict(door, seen) == "gone"
                assert door.destroy(seen.socket) in (errno.ENOENT, errno.ESTALE)
                second.send(b"still there")
                assert states_on(PORT) == ["ESTABLISHED"]

    @pytest.mark.parametrize("maker", makers("time-wait", "established"))
    def test_a_rehearsal(self, maker: Maker) -> None:
        """It finds out whether destroying is permitted, and destroys nothing."""
        with maker(PORT), SockDiag() as door:
            before = states_on(PORT)
            assert eviction.rehearse(door, the_blocker()) is None
            assert states_on(PORT) == before

    def test_bound_by_number(self) -> None:
        """The connection goes and the port stays, to be seen in the tables or not (before 6.8)."""
        with outbound_established(PORT, by="number"), SockDiag() as door:
            assert eviction.evict(door, the_blocker()) == "evicted"
            assert service_bind(PORT) == "EADDRINUSE"
            left = [evictable.refusal(one, EVERYTHING) for one in diagnose([TARGET]).blockers[TARGET]]
            assert [refused and refused.code for refused in left] in (["kept"], [])


class TestVerb:
    """`portwait evict` makes the port free, and says so."""

    @pytest.mark.parametrize("maker", makers(*CLIENTS, *ORPHANS))
    def test_free_at_once(self, maker: Maker) -> None:
        """Whatever state an outbound connection is in: afterwards nothing is on the port, and a plain bind succeeds."""
        with maker(PORT):
            assert service_bind(PORT, "::") == "EADDRINUSE"
            done = evict(str(PORT))
            assert (done.status, done.out) == (0, f"{PORT}/tcp is free: 1 evicted\n"), done.err
            assert done.err.startswith("portwait: evicted ")
            assert states_on(PORT) == []
            assert service_bind(PORT, "::") == service_bind(PORT, "::", reuseaddr=True) == "ok"

    def test_all_that_share_the_port(self) -> None:
        with states.shared_local_port(PORT, 5):
            (target,) = targets(str(PORT))
            assert (len(target["blockers"]), len(target["evicted"]), target["refused"]) == (5, 5, [])
            assert service_bind(PORT) == "ok"

    def test_what_no_process_has_goes_first(self) -> None:
        """A live connection whose client sets SO_REUSEADDR is not in the way; nothing but bind() shows that."""
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with socket.create_server((LOOPBACK, REMOTE - 1)) as server, forced_source_port(PORT):
                client.connect(server.getsockname())
                peer = stack.enter_context(server.accept()[0])
            stack.enter_context(states.outbound_time_wait(PORT))
            assert service_bind(PORT, reuseaddr=True) == "EADDRINUSE"
            done = evict(str(PORT))
            assert (done.status, done.out) == (0, f"{PORT}/tcp is free: 1 evicted\n"), done.err
            assert states_on(PORT) == ["ESTABLISHED"]
            client.send(b"still there")
            assert peer.recv(99) == b"still there"

    def test_the_client_sees_an_aborted_connection(self) -> None:
        """It keeps its descriptor, and can connect again; its process is not touched."""
        with pooled_client(PORT) as program:
            assert evict(str(PORT)).status == 0
            assert program.says("ECONNABORTED")
            program.tell("count")
            program.says("terminations 0")
            assert [line for line in program.out if line.startswith("ready")][1:] != [f"ready {PORT}"]

    def test_the_other_end_is_told(self) -> None:
        """With a reset, so that a server does not keep half a connection."""
        with outbound_established(PORT) as made:
            assert evict(str(PORT)).status == 0
            with pytest.raises(ConnectionResetError):
                made.peer.recv(1)

    def test_udp_when_it_is_named(self) -> None:
        with states.udp_connected(PORT) as made:
            assert refused(f"{PORT}/udp") == ["udp"]
            made.sock.send(b"still there")
            (target,) = targets("--evict=udp", f"{PORT}/udp")
            assert len(target["evicted"]) == 1
            assert service_bind(PORT, udp=True) == "ok"

    def test_an_accepted_one_when_it_is_named(self) -> None:
        """What a plain evict refuses is done when it is named."""
        with states.accepted_leftover(PORT, reuseaddr=False):
            assert refused(str(PORT)) == ["accepted"]
            assert evict("--evict=accepted", str(PORT)).status == 0
            assert service_bind(PORT, reuseaddr=True) == "ok"

    def test_never_a_listener(self) -> None:
        """Its process would be left deaf: no name helps."""
        every = ",".join(EVICTABLE)
        with listening(PORT):
            assert refused(str(PORT)) == ["listener"]
            assert refused(f"--evict={every}", str(PORT)) == ["listener"]
            done = evict("--evict=listener", str(PORT))
            assert done.status == 125
            assert "--terminate=listener" in done.err
            assert states_on(PORT) == ["LISTEN"]

    def test_nothing_in_the_way(self) -> None:
        done = evict(str(PORT), "30012-30013")
        assert done == Outcome(0, f"{PORT}/tcp, 30012/tcp, 30013/tcp: nothing is in the way\n", "")

    def test_each_target_by_itself(self) -> None:
        """One can be cleared and another not; the status says that something is still in the way."""
        with outbound_established(PORT), listening(PORT + 1):
            done = evict(str(PORT), str(PORT + 1), str(PORT + 2))
            assert done.status == 1
            assert done.out.startswith(f"{PORT}/tcp is free: 1 evicted\n{PORT + 1}/tcp is held by a listener: ")
            assert done.out.endswith(f"\n{PORT + 2}/tcp: nothing is in the way\n")

    def test_identity(self) -> None:
        """What was done is told with the identity that `ss` and /proc give the socket and its process."""
        with pooled_client(PORT) as program:
            inode, cookie = identity_by_ss()
            done = evict("--json", "--log-format=json", str(PORT))
        (target,) = json.loads(done.out)["targets"]
        for said in (done.event("evicted"), *target["evicted"]):
            assert (said["inode"], said["cookie"]) == (inode, cookie)
            assert (said["kind"], said["state"], said["local"]) == ("outbound", "ESTABLISHED", f"{LOOPBACK}:{PORT}")
            (owner,) = said["owners"]
            assert owner["pid"] == program.pid
            assert said["processes"] == f"{program.pid}@{owner['started']}"

    def test_quiet(self) -> None:
        with outbound_established(PORT):
            assert evict("-q", str(PORT)).err == ""

    @pytest.mark.parametrize(
        "words",
        [(), ("--evict=bound", "1"), ("--evict=", "1"), ("--evict-user=,", "1"), ("0",), ("--nonsense", "1")],
        ids=repr,
    )
    def test_called_wrongly(self, words: tuple[str, ...]) -> None:
        done = evict(*words)
        assert (done.status, done.out, done.err.count("\n")) == (125, "", 1)


class TestDryRun:
    """It does nothing, and says in the same words what would be done."""

    @pytest.mark.parametrize("maker", makers(*CLIENTS, *ORPHANS))
    def test_verb(self, maker: Maker) -> None:
        with maker(PORT):
            before = states_on(PORT)
            rehearsed = evict("--dry-run", str(PORT))
            assert (rehearsed.status, rehearsed.err, states_on(PORT)) == (1, "", before)
            done = evict(str(PORT))
            assert done.err.startswith("portwait: evicted ")
            assert done.err.removeprefix("portwait: evicted ").strip() in rehearsed.out
            assert "  dry run: would evict " in rehearsed.out

    def test_what_would_not_be_permitted(self) -> None:
        """A rehearsal without the privilege does not promise what a run could not do."""
        with outbound_established(PORT):
            assert refused("--dry-run", str(PORT), before=NO_NET_ADMIN) == ["not-permitted"]
            (target,) = targets("--dry-run", str(PORT))
            assert (len(target["would_evict"]), target["evicted"]) == (1, [])

    def test_where_a_bpf_program_directs_lookups(self) -> None:
        """What is destroyed to learn whether that is permitted is portwait's own, not what a lookup answers with."""
        directing = [sys.executable, "-IS", str(DIRECTED)]
        with outbound_established(PORT), running(directing, stdin=subprocess.PIPE) as server:
            server.says("ready")
            if "none" in server.out[0]:
                pytest.skip(f"this kernel has no BPF_PROG_TYPE_SK_LOOKUP: {server.out[0]}")
            assert "  dry run: would evict " in evict("--dry-run", str(PORT)).out
            assert states_on(8080) == ["LISTEN"]

    def test_guard(self) -> None:
        with outbound_established(PORT) as made:
            done = guard("--dry-run", "--evict", "--log-format=json", str(PORT), "--", *STARTED)
            assert not done.started
            assert done.event("would-evict")["local"] == made.local
            made.sock.send(b"still there")


class TestEnvironment:
    """What the variables say of the guard's options holds for the verb too, and an option of its own wins."""

    @pytest.mark.parametrize(
        ("variable", "words"),
        [
            (("DRY_RUN", "1"), ("--no-dry-run",)),
            (("EVICT", "time-wait"), ("--evict",)),
            (("EVICT_USER", "daemon"), ("--evict-user=root",)),
            (("EVICT_UNIT", "cron.service"), ("--evict-unit=portwait-*.service",)),
            (("FAMILY", "6"), ("-4",)),
        ],
        ids=lambda value: value[0],
    )
    def test_nothing_is_destroyed_that_the_environment_excludes(
        self, variable: tuple[str, str], words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name, value = variable
        monkeypatch.setenv(f"PORTWAIT_{name}", value)
        with pooled_client(PORT) as program, unit(f"portwait-{program.pid}.service", program.pid):
            assert evict(str(PORT)).status == (0 if name == "FAMILY" else 1)
            assert states_on(PORT) == ["ESTABLISHED"]
            assert evict(*words, str(PORT)).status == 0
            assert states_on(PORT) == []

    def test_targets_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """PORTWAIT_TARGETS stands in where there is no TARGET, and only there."""
        monkeypatch.setenv("PORTWAIT_TARGETS", str(PORT))
        with outbound_established(PORT):
            assert evict("30020").status == 0
            assert "ESTABLISHED" in states_on(PORT)
            assert evict().status == 0
            assert states_on(PORT) == []

    def test_an_environment_that_evicts_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The verb has nothing to do then, and says what makes it."""
        monkeypatch.setenv("PORTWAIT_EVICT", "no")
        with outbound_established(PORT):
            done = evict(str(PORT))
            assert (done.status, done.out) == (125, "")
            assert "PORTWAIT_EVICT in the environment says no; --evict wins over it" in done.err
            assert evict("--evict", str(PORT)).status == 0

    def test_a_bad_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of a shared option it is an error; of another one it is none of the verb's business."""
        monkeypatch.setenv("PORTWAIT_TIMEOUT", "nonsense")
        assert evict(str(PORT)).status == 0
        monkeypatch.setenv("PORTWAIT_DRY_RUN", "nonsense")
        done = evict(str(PORT))
        assert done.status == 125
        assert "PORTWAIT_DRY_RUN" in done.err


class TestSurvivors:
    """What must survive does, and each refusal has its own words and cure."""

    def test_a_listener_and_its_connections(self) -> None:
        with states.accepted(PORT) as (there, connection):
            assert refused(str(PORT)) == ["listener"]
            assert refused("--no-reuseaddr", str(PORT)) == ["listener", "accepted"]
            connection.peer.send(b"?")
            assert connection.sock.recv(1) == b"?"
            assert there.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1

    def test_a_connection_that_a_dead_server_accepted(self) -> None:
        with states.accepted_leftover(PORT, reuseaddr=False) as made:
            assert refused(str(PORT)) == ["accepted"]
            made.peer.send(b"?")
            assert made.sock.recv(1) == b"?"

    def test_who_called_connect_is_not_proved(self) -> None:
        """A live client's connection whose own FIN has no acknowledgement yet: nothing says which side it is."""
        with outbound_established(PORT) as made:
            states._stuff(made.sock)
            made.sock.shutdown(socket.SHUT_WR)
            assert states_on(PORT) == ["FIN_WAIT1"]
            assert refused(str(PORT)) == ["unproved"]
            assert states_on(PORT) == ["FIN_WAIT1"]
            assert evict("--evict=closing,unknown", str(PORT)).status == 0

    def test_an_owner_that_nobody_sees(self) -> None:
        """No process has it open: a socket of the kernel's own looks like this one, which is in flight in a message."""
        here, there = socket.socketpair()
        with here, there, outbound_established(PORT) as made:
            descriptors = array.array("i", [made.sock.fileno()])
            here.sendmsg([b"!"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            made.sock.detach()
            os.close(descriptors[0])
            assert refused(str(PORT)) == ["unseen"]
            made.peer.send(b"?")
            _, (received,), _, _ = socket.recv_fds(there, 1, 1)
            with socket.socket(fileno=received) as again:
                assert again.recv(1) == b"?"
                assert evict(str(PORT)).status == 0, "now its owner is seen"

    def test_an_owner_in_another_pid_namespace(self) -> None:
        """Seen from a container that shares the host's network; when that is named, it is done."""
        elsewhere = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
        with outbound_established(PORT) as made:
            assert refused(str(PORT), before=elsewhere) == ["unseen"]
            made.sock.send(b"still there")
            assert evict("--evict=unseen", str(PORT), before=elsewhere).status == 0
            assert service_bind(PORT) == "ok"

    def test_a_connection_at_another_address(self) -> None:
        """On the same port, but not in the way of this target."""
        with (
            outbound_established(PORT) as made,
            listening(REMOTE, address="127.0.0.2"),  # so that the next one goes to another port
            outbound_established(PORT, address="127.0.0.2", by="bind") as other,
        ):
            assert evict(f"{LOOPBACK}:{PORT}").status == 0
            other.sock.send(b"still there")
            assert other.peer.recv(5) == b"still"
            with pytest.raises(ConnectionAbortedError):
                made.sock.recv(1)

    def test_bound_only(self) -> None:
        """The kernel destroys no such socket; who has it is said."""
        with states.bound_only(PORT):
            done = evict(str(PORT))
            assert done.status == 1
            assert "cannot evict" in done.out or "the socket tables do not show" in done.out
            assert service_bind(PORT) == "EADDRINUSE"

    def test_udp_servers(self) -> None:
        """Destroying one would not give its port back, so it is not disturbed, named or not."""
        with states.udp_bound(PORT) as made:
            assert refused("--evict=udp", f"{PORT}/udp") == ["bound-only"]
            made.sock.connect((LOOPBACK, REMOTE))  # it would have failed with ECONNABORTED

    def test_a_port_bound_by_number_stays(self) -> None:
        """The connection goes, the port does not, and the process that keeps it is named."""
        with outbound_established(PORT, by="number") as made:
            done = evict(str(PORT))
            assert done.status == 1
            assert f"evicted {made.local} -> {made.remote} ESTABLISHED" in done.err
            assert f"(pid {os.getpid()}, " in done.out
            assert "bound the port by number" in done.out
            assert service_bind(PORT) == "EADDRINUSE"
            made.sock.close()
            assert service_bind(PORT) == "ok"

    def test_another_guards_hold(self) -> None:
        """Only in the way of a service without SO_REUSEADDR; it is no connection."""
        waits = ("import sys; print('started', flush=True); sys.stdin.readline()",)
        argv = [*portwait(str(PORT), "--", sys.executable, "-ISc", *waits)]
        with running(argv, stdin=subprocess.PIPE) as service:
            service.says("started")
            assert refused("--no-reuseaddr", str(PORT)) == ["hold"]
            assert evict(str(PORT)).status == 0, "with SO_REUSEADDR it is not in the way"

    def test_without_netlink(self) -> None:
        """A socket that has no cookie in the tables is not touched."""
        with outbound_established(PORT) as made:
            assert refused(str(PORT), before=without(NO_NETLINK)) == ["no-netlink"]
            made.sock.send(b"still there")


class TestOwners:
    """Only expected clients may be evicted, where they are named."""

    @pytest.mark.parametrize(
        ("option", "status"),
        [("--evict-user=root", 1), (f"--evict-user=root,{NOBODY}", 0), ("--evict-user=nobody", 0)],
        ids=["other", "number", "name"],
    )
    def test_by_user(self, option: str, status: int) -> None:
        with pooled_client(PORT, before=AS_NOBODY):
            if status:
                assert refused(option, str(PORT)) == ["not-selected"]
                assert states_on(PORT) == ["ESTABLISHED"]
            else:
                assert evict(option, str(PORT)).status == 0

    def test_by_unit(self) -> None:
        """The unit is that of the owner's control group, as systemd makes one for each service."""
        with pooled_client(PORT) as program, unit("portwait-orders.service", program.pid):
            assert refused("--evict-unit=cron.service", str(PORT)) == ["not-selected"]
            assert evict("--evict-unit=portwait-*.service", str(PORT)).status == 0

    def test_every_owner(self) -> None:
        """A socket that another user's process shares is not only the expected one's."""
        with pooled_client(PORT, before=AS_NOBODY), outbound_established(PORT):
            (target,) = targets("--evict-user=nobody", str(PORT))
            assert [len(target["evicted"]), len(target["refused"])] == [1, 1]
            assert target["verdict_after"] == "held"


class TestUnprivileged:
    """Nothing is destroyed, the words are clear."""

    @pytest.mark.parametrize(
        ("before", "code"),
        [
            pytest.param(NO_NET_ADMIN, "not-permitted", id="no-capability"),
            pytest.param(AS_NOBODY, "unseen", id="nobody"),
        ],
    )
    def test_verb(self, before: Sequence[str], code: str) -> None:
        """Another user's process is not even seen; one's own connection cannot be destroyed either."""
        with outbound_established(PORT) as made:
            assert refused(str(PORT), before=before) == [code]
            done = evict(str(PORT), before=before)
            assert (done.status, done.err) == (1, "")
            assert "cannot evict " in done.out
            made.sock.send(b"still there")

    def test_own_connection(self) -> None:
        with pooled_client(PORT, before=AS_NOBODY):
            assert refused(str(PORT), before=AS_NOBODY) == ["not-permitted"]
            done = evict(str(PORT), before=AS_NOBODY)
            assert "CAP_NET_ADMIN" in done.out
            for cure in ("ExecStartPre=+", "AmbientCapabilities=CAP_NET_ADMIN", "--cap-add NET_ADMIN"):
                assert cure in done.out
            assert states_on(PORT) == ["ESTABLISHED"]

    def test_five_sharers(self) -> None:
        """For programs each is refused; people are told once what is so for all of them."""
        with states.shared_local_port(PORT, 5):
            assert refused(str(PORT), before=NO_NET_ADMIN) == ["not-permitted"] * 5
            assert evict(str(PORT), before=NO_NET_ADMIN).out.count("cannot evict") == 1
            done = guard("--evict", "--timeout=0", str(PORT), before=NO_NET_ADMIN)
            assert done.err.count("cannot evict") == 1

    def test_guard(self) -> None:
        """It goes on waiting, and starts the service when the client lets go."""
        with pooled_client(PORT) as program:
            argv = [*NO_NET_ADMIN, *portwait("--evict", str(PORT), "--", *STARTED)]
            with running(argv) as waiting:
                waiting.complains("cannot evict")
                waiting.complains("waiting for")
                assert states_on(PORT) == ["ESTABLISHED"]
                program.tell("close")
                waiting.says("started")


@contextlib.contextmanager
def connected(there: socket.socket) -> Iterator[socket.socket]:
    """Connect to this listener from PORT, by the kernel's choice."""
    with forced_source_port(PORT):
        made = socket.create_connection(there.getsockname(), DEADLINE)
    with there.accept()[0] as answered:
        try:
            yield made
        finally:
            states.reset(made)
            states.reset(answered)


def the_blocker(protocol: str = "tcp") -> Blocker:
    """Look for what is in the way; there is one."""
    ((blocker,),) = diagnose(parse([f"{PORT}/{protocol}"])).blockers.values()
    return blocker


@contextlib.contextmanager
def unit(name: str, pid: int) -> Iterator[None]:
    """Put a process into a control group of this name, as systemd does with a unit's processes."""
    mounts = [Path("/sys/fs/cgroup", mount) for mount in ("systemd", "unified", ".")]
    mount = next(mount for mount in mounts if (mount / "cgroup.procs").exists())
    before = next(
        line.rpartition(":")[2]
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        if line.startswith("0::") or "name=systemd" in line
    )
    (mount / name).mkdir()
    try:
        (mount / name / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        (mount / before.strip("/") / "cgroup.procs").write_text(str(pid))
        (mount / name).rmdir()

"""From sockets to processes, with real processes: shared, hidden, hostile, ending, and under a storm of changes."""

from __future__ import annotations

import _thread
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from portwait import blockers, parse
from portwait._linux import procfs, socket_owners
from portwait._linux.descriptors import Holder, Table
from portwait.diagnosis import owners
from tests.support import states
from tests.support.descriptors import own_descriptors
from tests.support.guarding import run
from tests.support.programs import DEADLINE, Program, eventually, portwait, running
from tests.support.states import outbound_established
from tests.support.surroundings import ALL_SEEN, AS_NOBODY, cgroup, own_cgroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from portwait.model.sockets import KernelSocket

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
(TARGET,) = parse([str(PORT)])
CHURN = Path(__file__).parent / "helpers" / "churn.py"
LISTEN = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", 30010))
children = [pid for _ in range(int(sys.argv[1])) if (pid := os.fork()) or signal.pause()]
"""
READY = "print('ready', *children, flush=True); sys.stdin.read(); [os.kill(pid, 9) for pid in children]"


@contextlib.contextmanager
def python(code: str, *words: str, before: Sequence[str] = (), **how: Any) -> Iterator[Program]:
    """Run a program that says ready, until its standard input ends."""
    argv = [*before, sys.executable, "-ISc", code, *words]
    with running(argv, stdin=subprocess.PIPE, **how) as program:
        program.says("ready")
        yield program
        assert program.process.stdin is not None
        program.process.stdin.close()
        program.status()


def owner_pids() -> list[int]:
    """Answer who has the socket on the port open."""
    (blocker,) = blockers(TARGET)
    return [owner.pid for owner in blocker.owners]


def test_all_owners_of_a_shared_socket() -> None:
    """Fork shares sockets: each process that has it is named."""
    with python(LISTEN + READY, "3") as server:
        children = [int(word) for word in server.out[0].split()[1:]]
        assert owner_pids() == sorted([server.pid, *children])


@pytest.mark.parametrize(
    ("before", "sharers", "missing"),
    [
        pytest.param((), 2, None, id="root-sees-both"),
        pytest.param(AS_NOBODY, 1, "and is not visible; run as root", id="its-user-sees-one"),
    ],
)
def test_who_opened_a_socket_and_passed_it_on_may_be_missing(
    before: Sequence[str], sharers: int, missing: str | None
) -> None:
    """Systemd keeps a unit's socket open: to stop the service that is seen would not free the port."""
    passing = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", 30010))
server.set_inheritable(True)
child = os.fork()
if not child:
    os.setgid(65534)
    os.setuid(65534)
    os.execv("/bin/sleep", ["sleep", "1000"])
children = [child]
while b"sleep" not in open(f"/proc/{child}/cmdline", "rb").read():
    pass
"""
    with python(passing + READY):
        done = run([*ALL_SEEN, *before, *portwait("explain", "--json", str(PORT))])
        (blocker,) = json.loads(done.out)["targets"][0]["blockers"]
        assert len(blocker["owners"]) == sharers
        assert blocker["unseen"] is None if missing is None else missing in blocker["unseen"]


def test_relatives_are_found_among_many() -> None:
    """With the first owner found only its relatives are looked at: its children and its master, whatever their user."""
    forked = LISTEN.replace("or signal.pause()]", "or [os.setuid(65534), signal.pause()]]")
    idle = "import os, signal, sys\nchildren = [pid for _ in range(90) if (pid := os.fork()) or signal.pause()]\n"
    with cgroup(f"portwait-tests-{os.getpid()}") as group:
        join = f"open('{group}/cgroup.procs', 'w').write('0')\n"
        with python(join + forked + READY, "2") as server, python(join + idle + READY):
            children = [int(word) for word in server.out[0].split()[1:]]
            assert len((group / "cgroup.procs").read_text().split()) > 64
            assert owner_pids() == sorted([server.pid, *children])


@pytest.mark.parametrize("first", ["the parent", "the child"])
def test_an_owner_in_another_cgroup(first: str) -> None:
    """A socket knows the cgroup that it was made in; who has got it by fork may have been moved, either way."""
    name = f"portwait-tests-{os.getpid()}"
    with cgroup(f"{name}-a") as made_in, cgroup(f"{name}-b") as moved_to:
        move = f"(lambda: open('{moved_to}/cgroup.procs', 'w').write('0'))"
        if first == "the parent":
            code = LISTEN.replace("or signal.pause()]", f"or [{move}(), print('moved', flush=True), signal.pause()]]")
        else:
            code = LISTEN + f"{move}(); print('moved', flush=True)\n"
        with python(f"open('{made_in}/cgroup.procs', 'w').write('0')\n" + code + READY, "1") as server:
            server.says("moved")
            child = int(server.says("ready").split()[1])
            stayed = server.pid if first == "the parent" else child
            assert (made_in / "cgroup.procs").read_text().split() == [str(stayed)]
            assert owner_pids() == sorted([server.pid, child])


def test_workers_whose_master_was_killed() -> None:
    """All of them are named, among hundreds of other processes of the cgroup: they share a descriptor's number."""
    orphans = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", 30010))
def master():
    workers = [pid for _ in range(5) if (pid := os.fork()) or worker()]
    print("workers", *workers, flush=True)
    os.kill(os.getpid(), 9)
def worker():
    os.setsid()
    signal.pause()
if (pid := os.fork()) == 0:
    master()
os.waitpid(pid, 0)
server.close()
children = []
"""
    idle = "import os, signal, sys\nchildren = [pid for _ in range(200) if (pid := os.fork()) or signal.pause()]\n"
    with cgroup(f"portwait-tests-{os.getpid()}") as group:
        join = f"open('{group}/cgroup.procs', 'w').write('0')\n"
        with python(join + idle + READY), python(join + orphans + READY) as server:
            workers = sorted(int(word) for word in server.says("workers").split()[1:])
            try:
                assert len((group / "cgroup.procs").read_text().split()) > 200
                assert owner_pids() == workers
            finally:
                for pid in workers:
                    os.kill(pid, 9)


def test_an_orphan_of_another_user() -> None:
    """Who has another user and no parent any more is named too: PID 1, or another ancestor, has become its parent."""
    code = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", 30010))
master = os.getpid()
def between():
    if os.fork() == 0:
        os.setsid()
        os.setuid(65534)
        print("orphan", os.getpid(), master, flush=True)
        signal.pause()
    os._exit(0)
pid = os.fork() or between()
os.waitpid(pid, 0)
children = []
"""
    idle = "import os, signal, sys\nchildren = [pid for _ in range(90) if (pid := os.fork()) or signal.pause()]\n"
    with cgroup(f"portwait-tests-{os.getpid()}") as group:
        join = f"open('{group}/cgroup.procs', 'w').write('0')\n"
        shell = ("sh", "-c", '"$@"; exit', "sh")  # the server's parent; the orphan's is one above it
        with python(join + idle + READY), python(join + code + READY, before=shell) as parent:
            orphan, server = (int(word) for word in parent.says("orphan").split()[1:])
            try:
                assert len((group / "cgroup.procs").read_text().split()) > 64
                assert owner_pids() == sorted([server, orphan])
            finally:
                os.kill(orphan, 9)
                os.kill(server, 9)


def test_relatives_with_thousands_of_descriptors_are_asked_for_one() -> None:
    """What fork shared has the same number: that is one readlink; what else they may have is said not to be known."""
    code = """
import os, resource, signal, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
server = socket.create_server(("127.0.0.1", 30010))
def crowd():
    for _ in range(2000):
        os.dup(0)
    signal.pause()
sharing = [pid for _ in range(2) if (pid := os.fork()) or crowd()]
moved = os.fork()
if moved == 0:
    os.dup2(server.fileno(), 3000)
    server.close()
    crowd()
children = [*sharing, moved]
"""
    idle = "import os, signal, sys\nchildren = [pid for _ in range(90) if (pid := os.fork()) or signal.pause()]\n"
    with cgroup(f"portwait-tests-{os.getpid()}") as group:
        join = f"open('{group}/cgroup.procs', 'w').write('0')\n"
        with python(join + idle + READY), python(join + code + READY) as server:
            *sharing, moved = (int(word) for word in server.out[0].split()[1:])
            for pid in (*sharing, moved):
                eventually(lambda pid=pid: len([*Path(f"/proc/{pid}/fd").iterdir()]) >= 2000)  # type: ignore[misc]  # a default
            (blocker,) = blockers(TARGET)
            assert [owner.pid for owner in blocker.owners] == sorted([server.pid, *sharing])
            assert blocker.unseen is not None
            assert "1 related process has too many descriptors to search" in blocker.unseen
            assert moved not in [owner.pid for owner in blocker.owners]


@pytest.mark.parametrize("counted", [True, False], ids=["the kernel counts them", "it does not"])
@pytest.mark.parametrize(
    ("others", "number"),
    [(0, 3), (40, 43), (40, 900), (0, 1023), (2000, 2100)],
    ids=["the first", "the last of many", "far behind the others", "alone", "behind thousands"],
)
def test_a_descriptor_of_any_number(
    monkeypatch: pytest.MonkeyPatch, others: int, number: int, *, counted: bool
) -> None:
    """A socket is found whatever its descriptor's number is: gaps between the numbers hide nothing.

    Linux 6.2 and newer say how many descriptors a process has.
    """
    code = """
import fcntl, os, resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
others, number = map(int, sys.argv[1:])
server = socket.create_server(("127.0.0.1", 30010))
moved = fcntl.fcntl(server.detach(), fcntl.F_DUPFD, 4000)
os.close(3)
for _ in range(others):
    os.open("/dev/null", os.O_RDONLY)
os.dup2(moved, number)
os.close(moved)
print("ready", os.fstat(number).st_ino, flush=True)
sys.stdin.read()
"""
    if not counted:
        monkeypatch.setattr(os, "fstat", lambda _number: os.stat_result((0,) * 10))
    with python(code, str(others), str(number)) as server:
        inode = int(server.out[0].split()[1])
        link = f"socket:[{inode}]"
        assert Table(server.pid).search({link: inode, "socket:[1]": 1}) == {inode: Holder(server.pid, str(number))}
        assert not Table(server.pid).search({"socket:[1]": 1})


def test_an_owner_whose_main_thread_has_ended() -> None:
    """Its descriptors are another thread's alone."""
    code = """
import ctypes, socket, sys, threading
server = socket.create_server(("127.0.0.1", 30010))
def serve():
    main.join(0.1)
    print("ready", flush=True)
    sys.stdin.read()
    import os
    os._exit(0)
main = threading.current_thread()
threading.Thread(target=serve).start()
ctypes.CDLL(None).pthread_exit(None)
"""
    with python(code) as server:
        eventually(lambda: not [*Path(f"/proc/{server.pid}/fd").iterdir()], "the end of the main thread")
        (blocker,) = blockers(TARGET)
        assert [owner.pid for owner in blocker.owners] == [server.pid]
        assert socket_owners.has_socket(server.pid, blocker.socket.inode)


RING = """
import ctypes, os, sys
call = ctypes.CDLL(None, use_errno=True).syscall
ring = call(425, 4, ctypes.create_string_buffer(120))  # io_uring_setup
if ring < 0:
    print("ready", "none", flush=True)
    sys.exit()
"""
"""Makes an io_uring, or says that there is none."""


def test_a_socket_that_is_registered_with_an_io_uring() -> None:
    """It is in no descriptor of its own: the ring's description names it."""
    code = f"""{RING}
import socket
server = socket.create_server(("127.0.0.1", 30010))
files = (ctypes.c_int * 1)(server.fileno())
assert call(427, ring, 2, files, 1) == 0  # io_uring_register, IORING_REGISTER_FILES
server.close()
children = []
"""
    with python(code + READY) as server:
        if "none" in server.out[0]:
            pytest.skip("this kernel has no io_uring, or does not allow it")
        (blocker,) = blockers(TARGET)
        assert [owner.pid for owner in blocker.owners] == [server.pid]
        assert socket_owners.has_socket(server.pid, blocker.socket.inode)


def test_a_file_with_the_name_of_a_socket_in_an_io_uring(tmp_path: Path) -> None:
    """Its path ends like a socket's link; whoever registered it has no socket open, and is no owner."""
    code = f"""{RING}
files = (ctypes.c_int * 1)(os.open(sys.argv[1], os.O_CREAT | os.O_RDWR))
assert call(427, ring, 2, files, 1) == 0  # io_uring_register, IORING_REGISTER_FILES
print("ready", ring, flush=True)
sys.stdin.read()
"""
    with outbound_established(PORT):
        (before,) = blockers(TARGET)
        inode = before.socket.inode
        with python(code, str(tmp_path / f"socket:[{inode}]")) as liar:
            if "none" in liar.out[0]:
                pytest.skip("this kernel has no io_uring, or does not allow it")
            ring = liar.out[0].split()[1]
            assert f"/socket:[{inode}]\n" in Path(f"/proc/{liar.pid}/fdinfo/{ring}").read_text()
            assert not socket_owners.has_socket(liar.pid, inode)
            assert not Holder(liar.pid, ring, ring=True).still(inode)


def test_who_counts_as_a_relative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ancestors and descendants do, siblings where these are few; not PID 1, its other children, or what these have."""
    crowd = range(1000, 1100)
    families = {1: [10, 20, 30], 10: [11, 12], 11: [13], 12: [14], 20: [21], 21: [*crowd], 1000: [2000]}
    parents = {child: parent for parent, some in families.items() for child in some}
    asked = []

    def children(pid: int) -> list[int]:
        asked.append(pid)
        return families.get(pid, [])

    monkeypatch.setattr(procfs, "children", children)
    monkeypatch.setattr(procfs, "stat_of", lambda pid: procfs.Stat("", parents.get(pid, 0), pid, 0))
    assert set(socket_owners.relatives([11])) == {10, 11, 12, 13}
    assert set(socket_owners.relatives([10])) == {10, 11, 12, 13, 14}
    assert set(socket_owners.relatives([1000])) == {20, 21, 1000, 2000}
    assert set(socket_owners.relatives([30, 13])) == {30, 10, 11, 13}
    assert 1 not in asked


def test_a_process_that_ends_while_it_is_described_is_no_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of a pid between two looks at its descriptor is of the process that had the socket, or not said."""
    described = owners.describe
    with python(LISTEN + READY, "0") as server:

        def slowly(pid: int) -> Any:
            if pid == server.pid:
                server.process.kill()
                server.process.wait()
            return described(pid)

        which = the_socket()
        monkeypatch.setattr(owners, "describe", slowly)
        found = owners.find([which])
        assert found.by_inode.get(which.inode, ()) == ()
        assert found.unseen == "its owner closed it, or ended, while we looked"


def the_socket() -> KernelSocket:
    (blocker,) = blockers(TARGET)
    return blocker.socket


def test_a_pid_that_has_become_somebody_elses_is_not_blamed() -> None:
    """A pid alone is no identity: the descriptor must still be that socket."""
    with python(LISTEN + READY, "0"):
        which = the_socket()
        (holder,) = socket_owners.holders([which]).by_inode[which.inode]
        assert holder.still(which.inode)
        assert not Holder(os.getpid(), holder.descriptor).still(which.inode)
        assert not holder.still(which.inode + 1)
    assert not holder.still(which.inode)


def test_a_process_that_has_ended_is_none() -> None:
    """Its pid is free, or somebody else's by now."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert procfs.describe(pid) is None


def test_all_children_are_listed() -> None:
    """The kernel gives a page of them to each read()."""
    with python(LISTEN + READY, "1500") as parent:
        assert len(set(procfs.children(parent.pid))) == 1500


@pytest.mark.parametrize(
    ("number", "denied"),
    {
        **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM), True),
        **dict.fromkeys((errno.ENOENT, errno.ESRCH), False),
    }.items(),
)
def test_a_process_that_cannot_be_looked_into_is_counted(
    number: int, denied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever forbids it; only one that has ended is not, because it has nothing open."""

    def refuse(*_arguments: object, **_options: object) -> int:
        raise OSError(number, os.strerror(number))

    table = Table(os.getpid())
    monkeypatch.setattr(os, "open", refuse)
    assert table.search({"socket:[1]": 1}) == {}
    assert table.denied is denied


def test_what_is_read_of_a_process_agrees_with_psutil() -> None:
    """The second source."""
    import psutil

    with python(LISTEN + READY, "0", "--password=hunter2", "ä\udcff") as server:
        ours, theirs = procfs.describe(server.pid), psutil.Process(server.pid)
        assert ours is not None
        assert (ours.name, list(ours.cmdline), ours.parent) == (theirs.name(), theirs.cmdline(), theirs.ppid())
        assert owners.user_name(ours.uid) == theirs.username()
        assert abs(ours.started - theirs.create_time()) < 2  # psutil counts from a boot time in whole seconds


AS_ROOT_ALONE = ("unshare", "--user", "--map-root-user")
"""Root in a user namespace that has no other user, as PrivateUsers= of a unit makes one."""


@pytest.mark.parametrize(("user", "named"), [("0", "root"), ("1", None), ("65534", None)])
def test_a_user_of_another_user_namespace_is_not_nobody(user: str, named: str | None) -> None:
    """Rule: 65534 there is whoever has no number there; it is nobody's name, and no --evict-user means it."""
    with python(LISTEN + READY, "0", before=("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")):
        out = json.loads(run([*AS_ROOT_ALONE, *portwait("explain", "--json", str(PORT))]).out)
        [blocker] = out["targets"][0]["blockers"]
        assert (blocker["user"], blocker["uid"]) == (named, None if named is None else 0)
        assert "nobody" not in run([*AS_ROOT_ALONE, *portwait("explain", str(PORT))]).out


def test_a_command_line_that_never_comes_costs_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process can keep its own in memory that is never read; what else is known of it is still said.

    A guard can meet it at every report for days: the threads that wait for it are few, and none is left behind.
    """
    monkeypatch.setattr(procfs, "_PATIENCE", 0.01)
    os.mkfifo(tmp_path / "never")
    threads = _thread._count()
    for _ in range(40):
        assert procfs.read_patiently(str(tmp_path / "never"), 100) == b""
    assert 0 < _thread._count() - threads <= 16

    def let_go() -> bool:
        """Let those go that wait; one may only just have begun."""
        with contextlib.suppress(OSError):  # nobody waits
            os.close(os.open(tmp_path / "never", os.O_WRONLY | os.O_NONBLOCK))
        return _thread._count() == threads

    eventually(let_go)
    eventually(lambda: procfs.read_patiently("/proc/self/cmdline", 100), "a line that comes")


def test_what_is_remembered_of_cgroups_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come and go for days, each in a scope of its own, do not fill the memory of who waits."""
    this = procfs.describe(os.getpid())
    assert this is not None
    for number in range(2500):
        there = this._replace(cgroup=f"0::/system.slice/run-r{number}.scope\n")
        monkeypatch.setattr(procfs, "describe", lambda _pid, there=there: there)
        owner = owners.describe(os.getpid())
        assert owner is not None
        assert owner.unit == f"run-r{number}.scope"
    assert len(owners._places) <= 1000


def test_a_command_line_of_another_user_is_read_with_patience() -> None:
    """By a thread of its own, and it is the same."""
    with python("import os, sys; os.setuid(65534)\nchildren = ()\n" + READY, "words", "of its own") as other:
        found = procfs.describe(other.pid)
        assert found is not None
        assert (found.uid, found.cmdline[-2:]) == (65534, ("words", "of its own"))


EVIL = "\x1b]0;x\x07\n30010/tcp is free\u202e"


@pytest.mark.parametrize(
    "words",
    [(EVIL, "--token=s3cret"), (b"\xff\xfe\x80",), tuple("x" * 100_000 for _ in range(10)), ("",) * 1000],
    ids=["hostile", "no text", "a megabyte", "empty words"],
)
def test_hostile_command_lines(words: tuple[str | bytes, ...]) -> None:
    """Text stays text, JSON stays JSON, secrets stay secret, and it stays short."""
    name = "open('/proc/self/comm', 'w').write('a\\x1b[2Jb)\\nc')\n"
    argv = [sys.executable, "-ISc", f"{name}{LISTEN.replace('int(sys.argv[1])', '0')}{READY}", *words]
    with running(argv, stdin=subprocess.PIPE) as server:
        server.says("ready")
        text, told = (run(portwait("explain", *flags, str(PORT))).out for flags in ((), ("--json",)))
    assert all(line.isprintable() for line in text.split("\n"))
    assert r"a\x1b[2Jb)\x0ac (pid " in text
    assert "30010/tcp is free" not in text.splitlines()
    assert "s3cret" not in text + told
    assert len(text) < 3000
    (owner,) = json.loads(told)["targets"][0]["blockers"][0]["owners"]
    assert len(told) < 60_000
    assert all(word.isprintable() for word in owner["cmdline"])


def test_dockers_proxy_says_for_whom() -> None:
    """The container's own address, which the proxy has on its command line."""
    words = "-proto tcp -host-ip 127.0.0.1 -host-port 30010 -container-ip 172.17.0.2 -container-port 80"
    code = f"{LISTEN.replace('int(sys.argv[1])', '0')}{READY}"
    argv = [
        "bash",
        "-c",
        'exec -a /usr/bin/docker-proxy "$@"',
        "bash",
        "/usr/bin/python3",
        "-ISc",
        code,
        *words.split(),
    ]
    with running(argv, stdin=subprocess.PIPE) as server:
        server.says("ready")
        told = json.loads(run(portwait("explain", "--json", str(PORT))).out)["targets"][0]
        said = run(portwait("explain", str(PORT))).out
    assert told["blockers"][0]["owners"][0]["forwards"] == "172.17.0.2:80"
    assert [one["code"] for one in told["remedies"]] == ["docker-proxy"]
    assert "forwards   to the container's 172.17.0.2:80\n" in said
    assert "docker ps --filter publish=30010/tcp\n" in said


@pytest.mark.parametrize("maker", [states.udp_connected, outbound_established], ids=["udp", "tcp"])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", states.MAPPED])
@pytest.mark.kernel
def test_the_other_end_is_found(maker: Callable[..., Any], address: str) -> None:
    """Of all families, by one look-up."""
    udp = maker is states.udp_connected
    (target,) = parse([f"{PORT}/udp" if udp else str(PORT)])
    with own_cgroup(), maker(PORT, address=address):
        (blocker,) = blockers(target)
        assert blocker.peer is not None
        assert blocker.peer.pid == os.getpid()


@pytest.mark.parametrize("server", [states.WILDCARD, "::", "10.9.9.1"])
@pytest.mark.parametrize(
    ("remote", "here"),
    [("192.0.2.1", False), ("10.9.9.1", True), ("127.0.0.1", True)],
    ids=["another host", "this host", "loopback"],
)
@pytest.mark.kernel
def test_the_other_end_on_another_host_is_no_process_of_this_one(remote: str, server: str, *, here: bool) -> None:
    """A UDP server that takes what comes for any address is the other end of what was sent to this host alone."""
    run(["ip", "address", "add", "10.9.9.1/24", "dev", "lo"])
    run(["ip", "route", "add", "192.0.2.0/24", "dev", "lo", "src", "10.9.9.1"])
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    (target,) = parse([f"{PORT}/udp"])
    dgram = socket.SOCK_DGRAM
    with own_cgroup(), socket.socket(family, dgram) as there, socket.socket(type=dgram) as client:
        there.bind((server, 53))
        client.bind((remote if here else "10.9.9.1", PORT))
        client.connect((remote, 53))
        (blocker,) = blockers(target)
        assert blocker.remote == f"{remote}:53"
        reached = here and server in {states.WILDCARD, "::", remote}
        assert (blocker.peer and blocker.peer.pid) == (os.getpid() if reached else None)


class TestUnderAStorm:
    """With thousands of connections a second opened and closed under it, it ends, and what it says was true."""

    @pytest.fixture
    def storm(self) -> Iterator[Program]:
        with running([sys.executable, "-IS", str(CHURN)], stdin=subprocess.PIPE) as churn:
            churn.says("ready")
            yield churn
            assert churn.process.stdin is not None
            churn.process.stdin.close()
            assert churn.status() == 0

    def test_the_one_that_stands_still_is_told_rightly(self, storm: Program) -> None:
        """Each time, all of it."""
        assert storm.process.poll() is None
        with outbound_established(PORT):
            end = time.monotonic() + 2
            while time.monotonic() < end:
                (blocker,) = blockers(TARGET)
                assert (blocker.kind.name, blocker.kind.evidence) == ("outbound", "syn-count")
                assert [owner.pid for owner in blocker.owners] == [os.getpid()]
                assert states.is_complete(blocker.unseen)

    def test_those_that_come_and_go_are_told_as_they_were(self, storm: Program) -> None:
        """The server's end is never called a client's; an owner is the one process there is, or none any more."""
        clients, servers = {"outbound", "closing", "unknown", "bound"}, {"listener", "accepted", "closing", "unknown"}
        seen = set()
        end = time.monotonic() + 2
        while time.monotonic() < end:
            done = run(portwait("explain", "--json", "1024-65535"), timeout=4 * DEADLINE)
            told = json.loads(done.out)["targets"]
            for target in told:
                for blocker in target["blockers"]:
                    seen.add(blocker["kind"])
                    assert blocker["kind"] in (servers if target["port"] == 7001 else clients), blocker
                    assert target["port"] == 7001 or blocker["remote"] in (None, "127.0.0.1:7001")
                    assert {owner["pid"] for owner in blocker["owners"]} <= {storm.pid}
        assert "listener" in seen

    def test_the_guard_starts_the_service(self, storm: Program) -> None:
        """As soon as the blocker has gone."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(outbound_established(PORT))
            with running(portwait(str(PORT), "--", "echo", "started")) as guard:
                guard.complains("is held by an outbound connection")
                assert storm.process.poll() is None
                stack.close()
                guard.says("started")
                assert guard.status() == 0


def test_no_descriptor_is_left() -> None:
    """After an explanation there are those that there were."""
    with outbound_established(PORT):
        blockers(TARGET)
        before = own_descriptors()
        blockers(TARGET)
        assert own_descriptors() == before

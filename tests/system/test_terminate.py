"""The last resort signals the owner of what is in the way, once; never who must survive, and never in vain."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait._linux import procfs
from portwait.diagnosis import owners
from portwait.diagnosis.evictable import Refusal
from portwait.eviction.terminate import terminate
from tests.support import states
from tests.support.clients import REMOTE, pooled_client
from tests.support.guarding import GAVE_UP, STARTED, events, guard
from tests.support.netns import forced_source_port
from tests.support.programs import DEADLINE, eventually, portwait, running
from tests.support.states import LOOPBACK, listening, outbound_established, states_on
from tests.support.surroundings import AS_NOBODY, NOBODY, lacking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait._linux.pidfd import Means

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
HELPERS = Path(__file__).parent / "helpers"
LISTENS = "import socket; s = socket.create_server(('', 30010)); print('ready', flush=True); s.accept()"
NO_KILL = lacking("kill")


def refused(*words: str, before: Sequence[str] = ()) -> list[str]:
    """Let the guard look once; the codes of what it would not signal, after it signalled nothing and gave up."""
    done = guard("--terminate", "--timeout=0", "--log-format=json", *words, str(PORT), before=before)
    assert done.status == GAVE_UP, done.err
    assert not [event for event in done.events if event["event"] == "signalled"]
    refusals = [event for event in done.events if event["event"] == "not-signalled"]
    assert all(event["why"] and event["cure"] for event in refusals)
    return [event["code"] for event in refusals]


class TestSignals:
    @pytest.mark.parametrize(
        ("option", "number"),
        [
            ("--terminate", signal.SIGTERM),
            ("--signal=INT", signal.SIGINT),
            ("--signal=sighup", signal.SIGHUP),
            (f"--signal={int(signal.SIGUSR1)}", signal.SIGUSR1),
            ("--signal=KILL", signal.SIGKILL),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_the_owner_gets_it_and_the_service_starts(self, option: str, number: int) -> None:
        """It ends by that signal, and the guard goes on as soon as the port is free."""
        with pooled_client(PORT) as program:
            done = guard("--terminate", option, "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            assert program.status() == -number
            said = done.event("signalled")
            assert said["signal"] == signal.Signals(number).name
            assert [owner["pid"] for owner in said["owners"]] == [program.pid]
            assert said["processes"] == f"{program.pid}@{said['owners'][0]['started']}"

    def test_once_and_no_further(self) -> None:
        """Who does not obey is sent one signal, is waited for as long as the guard waits, and lives."""
        argv = portwait("--terminate", "--log-format=json", str(PORT), "--", *STARTED)
        with pooled_client(PORT, "stubborn") as program:
            with running(argv) as guarded:
                guarded.complains('"signalled"')
                with contextlib.suppress(subprocess.TimeoutExpired):
                    guarded.process.wait(3)
                guarded.signal()
                assert (guarded.status(), guarded.out) == (-signal.SIGTERM, [])
            assert [one["event"] for one in events("\n".join(guarded.err))].count("signalled") == 1
            program.tell("count")
            assert program.says("terminations") == "terminations 1"
            assert states_on(PORT) == ["ESTABLISHED"]

    def test_kill_after(self) -> None:
        """Who does not obey is sent KILL when the time has come, and not before."""
        with pooled_client(PORT, "stubborn") as program:
            done = guard("--terminate", "--kill-after=500ms", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            told = [event["signal"] for event in done.events if event["event"] == "signalled"]
            assert told == ["SIGTERM", "SIGKILL"]
            assert program.status() == -signal.SIGKILL

    def test_who_obeys_is_not_killed(self) -> None:
        with pooled_client(PORT) as program:
            done = guard("--terminate", "--kill-after=1h", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            assert [event["signal"] for event in done.events if event["event"] == "signalled"] == ["SIGTERM"]
            assert program.status() == -signal.SIGTERM

    def test_a_stopped_process_goes_on_to_obey(self) -> None:
        """As after Ctrl-Z: the signal would stay pending, so CONT follows it."""
        with pooled_client(PORT) as program:
            program.signal(signal.SIGSTOP)
            eventually(lambda: (stat := procfs.stat_of(program.pid)) is not None and stat.state == "T")
            done = guard("--terminate", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            assert program.status() == -signal.SIGTERM

    @pytest.mark.parametrize("means", ["python", "ctypes", "proc"])
    def test_each_means(self, means: Means) -> None:
        """Where Python has no word for a pidfd, and where it has no ctypes either: the same process gets the signal."""
        with pooled_client(PORT) as program:
            seen = owners.describe(program.pid)
            assert seen is not None
            assert terminate(seen._replace(birth=seen.birth + 1), _inode(), signal.SIGTERM, means) == "gone"
            assert terminate(seen, _inode() + 1, signal.SIGTERM, means) == "gone"
            assert program.process.poll() is None
            assert terminate(seen, _inode(), signal.SIGTERM, means) == "signalled"
            assert program.status() == -signal.SIGTERM

    def test_says_whom_and_waits(self) -> None:
        with (
            pooled_client(PORT, "stubborn") as program,
            running(portwait("--terminate", str(PORT), "--", *STARTED)) as waiting,
        ):
            line = waiting.complains("sent SIGTERM")
            assert f"(pid {program.pid}, " in line
            assert f"{LOOPBACK}:{PORT} -> {LOOPBACK}:{REMOTE} ESTABLISHED" in line
            waiting.complains("waiting for")
            program.tell("close")
            waiting.says("started")

    def test_all_who_share_the_socket(self) -> None:
        """After a fork both have it open, and the port is free when both have let go."""
        script = f"""
import os, signal, socket
client = socket.create_connection(("127.0.0.1", {REMOTE}))
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))  # no TIME_WAIT
child = os.fork()
if child:
    print("ready", child, flush=True)
signal.pause()
"""
        with listening(REMOTE, address=LOOPBACK), contextlib.ExitStack() as stack:
            with forced_source_port(PORT):
                parent = stack.enter_context(running([sys.executable, "-c", script]))
                child = int(parent.says("ready").split()[1])
            with os.fdopen(os.pidfd_open(child)) as ended:
                done = guard("--terminate", "--log-format=json", str(PORT), "--", *STARTED)
                assert done.started
                told = [event["processes"] for event in done.events if event["event"] == "signalled"]
                assert sorted(int(process.partition("@")[0]) for process in told) == sorted((parent.pid, child))
                assert parent.status() == -signal.SIGTERM
                assert select.select([ended], [], [], DEADLINE)[0], "the child did not end"

    def test_after_evict_only_who_is_left(self) -> None:
        """Nobody is signalled whose connection could be destroyed."""
        with pooled_client(PORT) as program:
            done = guard("--evict", "--terminate", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            events = [event["event"] for event in done.events]
            assert [event for event in events if event not in ("waiting", "free")] == ["held", "evicted"]
            program.says("ECONNABORTED")
            assert program.process.poll() is None

    def test_where_evict_is_not_permitted(self) -> None:
        """What could not be evicted is cleared by the last resort."""
        no_admin = lacking("net_admin")
        with pooled_client(PORT) as program:
            words = ("--evict", "--terminate", "--log-format=json", str(PORT), "--", *STARTED)
            done = guard(*words, before=no_admin)
            assert done.started
            events = [event["event"] for event in done.events if event["event"] != "waiting"]
            assert events[:3] == ["held", "not-evicted", "signalled"]
            assert program.status() == -signal.SIGTERM

    def test_where_the_port_stays_bound(self) -> None:
        """A client that bound it by number is evicted in vain; then it is asked to go."""
        script = f"""
import socket, sys
client = socket.socket()
client.bind(("127.0.0.1", {PORT}))
client.connect(("127.0.0.1", {REMOTE}))
print("ready", flush=True)
sys.stdin.read()
"""
        argv = [sys.executable, "-IS", "-c", script]
        with listening(REMOTE, address=LOOPBACK), running(argv, stdin=subprocess.PIPE) as program:
            program.says("ready")
            done = guard("--evict", "--terminate", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            events = [event["event"] for event in done.events if event["event"] != "waiting"]
            assert events[:5] == ["held", "evicted", "changed", "not-evicted", "signalled"]
            assert program.status() == -signal.SIGTERM

    def test_dry_run(self) -> None:
        """The same words; nobody is signalled."""
        with pooled_client(PORT) as program:
            rehearsed = guard("--terminate", "--dry-run", str(PORT), "--", *STARTED)
            program.tell("count")
            program.says("terminations 0")
            done = guard("--terminate", str(PORT), "--", *STARTED)
            (said,) = [line for line in done.err.splitlines() if "sent SIGTERM to" in line]
            assert said.replace("sent", "dry run: would send") in rehearsed.err.splitlines()

    def test_only_when_asked(self) -> None:
        """It has no environment variable."""
        with pooled_client(PORT) as program:
            done = guard("--timeout=0", str(PORT), env={**os.environ, "PORTWAIT_TERMINATE": "TERM"})
            assert done.status == GAVE_UP
            program.tell("count")
            program.says("terminations 0")

    @pytest.mark.parametrize("value", ["", "NONSENSE", "0", "65", "-1"])
    def test_called_wrongly(self, value: str) -> None:
        assert guard(f"--terminate={value}", str(PORT)).status == 125
        assert guard("--terminate", f"--signal={value}", str(PORT)).status == 125


class TestRefusals:
    """Who must survive does, and each refusal has its own words and cure."""

    def test_an_ancestor(self) -> None:
        """The test itself, which starts the guard."""
        with outbound_established(PORT) as made:
            assert refused() == ["ancestor"]
            made.sock.send(b"still there")

    def test_itself(self) -> None:
        """A guard that was started with the socket open."""
        script = 'read -r go; exec "$@"'  # when nobody else has it any more
        argv = ["sh", "-c", script, "sh", *portwait("--terminate", "--timeout=0", "--log-format=json", str(PORT))]
        with outbound_established(PORT) as made:
            with running(argv, stdin=subprocess.PIPE, pass_fds=[made.sock.fileno()]) as us:
                made.sock.close()
                us.tell("go")
                assert us.status() == GAVE_UP
            assert '"code": "self"' in "\n".join(us.err)

    def test_pid_1(self) -> None:
        """Of a container, say: it has the connection, and starts the guard."""
        script = f"""
import socket, subprocess, sys
with socket.create_server(("127.0.0.1", {REMOTE})) as server:
    client = socket.create_connection(server.getsockname())
    other = subprocess.Popen(sys.argv[1:], start_new_session=True)
    print("status", other.wait(), flush=True)
"""
        inside = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-c", script)
        argv = [*inside, *portwait("--terminate", "--timeout=0", "--log-format=json", str(PORT))]
        with forced_source_port(PORT), running(argv) as init:
            init.says(f"status {GAVE_UP}")
            init.complains('"code": "init"')

    def test_a_listeners_owner(self) -> None:
        """Only by name; and then the process is signalled, its socket is not touched."""
        with running([sys.executable, "-IS", "-c", LISTENS]) as server:
            server.says("ready")
            assert refused() == ["listener"]
            assert refused("--terminate=outbound,accepted") == ["listener"]
            assert server.process.poll() is None
            done = guard("--terminate=listener", "--log-format=json", str(PORT), "--", *STARTED)
            assert done.started
            assert server.status() == -signal.SIGTERM
            assert done.event("signalled")["signal"] == "SIGTERM"

    def test_a_daemon_that_was_handed_the_socket(self) -> None:
        """Anybody can send a socket to root's daemon in a message: that daemon is not signalled for it."""
        daemon = """
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
    inbox.bind(sys.argv[1])
    print("ready", flush=True)
    _, descriptors, _, _ = socket.recv_fds(inbox, 1, 1)
    print("taken", flush=True)
    sys.stdin.read()
"""
        user = f"""
import os, socket, sys
os.setuid({NOBODY})
client = socket.socket()
client.connect(("127.0.0.1", {REMOTE}))
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))  # no TIME_WAIT
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outbox:
    outbox.connect(sys.argv[1])
    socket.send_fds(outbox, [b"x"], [client.fileno()])
"""
        inbox = "\0portwait-tests-inbox"
        with listening(REMOTE, address=LOOPBACK), contextlib.ExitStack() as stack:
            address = inbox.replace("\0", "@")
            code = "import sys; sys.argv[1] = sys.argv[1].replace('@', chr(0))\n"
            argv = [sys.executable, "-ISc", code + daemon, address]
            root = stack.enter_context(running(argv, stdin=subprocess.PIPE))
            root.says("ready")
            with forced_source_port(PORT):
                subprocess.run([sys.executable, "-ISc", code + user, address], check=True)
            root.says("taken")
            assert refused() == ["other-user"]
            assert root.process.poll() is None
            assert guard("--terminate", "--evict-user=root", str(PORT), "--", *STARTED).started
            assert root.status() == -signal.SIGTERM

    def test_who_was_not_selected(self) -> None:
        """--evict-user and --evict-unit narrow the last resort too."""
        with pooled_client(PORT, before=AS_NOBODY) as program:
            assert refused("--evict-user=root") == ["not-selected"]
            assert refused("--evict", "--evict-unit=cron.service") == ["not-selected"]
            assert program.process.poll() is None
            assert guard("--terminate", "--evict-user=nobody", str(PORT), "--", *STARTED).started

    def test_who_is_not_seen(self) -> None:
        with pooled_client(PORT) as program:
            assert refused(before=AS_NOBODY) == ["unseen"]
            assert program.process.poll() is None

    def test_what_is_not_permitted(self) -> None:
        """A user's process is not root's to signal without CAP_KILL."""
        with pooled_client(PORT, before=AS_NOBODY) as program:
            assert refused(before=NO_KILL) == ["not-permitted"]
            assert program.process.poll() is None

    def test_udp(self) -> None:
        with states.udp_connected(PORT):
            done = guard("--terminate", "--timeout=0", "--log-format=json", f"{PORT}/udp")
            assert done.event("not-signalled")["code"] == "udp"

    def test_not_in_vain(self) -> None:
        """As long as one blocker stays, nobody else's process is ended for nothing."""
        with pooled_client(PORT) as program, listening(PORT, address="127.0.0.2"):
            assert refused() == ["ancestor"]
            assert program.process.poll() is None

    def test_another_guards_hold(self) -> None:
        waits = "import sys; print('started', flush=True); sys.stdin.readline()"
        argv = [*portwait(str(PORT), "--", sys.executable, "-ISc", waits)]
        with running(argv, stdin=subprocess.PIPE) as service:
            service.says("started")
            assert refused("--no-reuseaddr") == ["hold"]
            assert service.process.poll() is None

    def test_the_proc_of_another_pid_namespace(self) -> None:
        """Its numbers are not ours: whoever has that number here is innocent."""
        code = """
import os, subprocess, sys
outer = int(sys.argv[1])
sleeper = subprocess.Popen(["sleep", "1000"], pass_fds=[])
while sleeper.pid < outer:  # until somebody in here has the owner's number
    sleeper.kill(); sleeper.wait()
    sleeper = subprocess.Popen(["sleep", "1000"])
print("innocent", sleeper.pid, flush=True)
done = subprocess.run(sys.argv[2:], capture_output=True, text=True)
print("status", done.returncode, sleeper.poll(), flush=True)
print(done.stderr, file=sys.stderr, flush=True)
sleeper.kill()
"""
        with pooled_client(PORT) as program:
            words = ("--terminate", "--timeout=0", "--log-format=json", str(PORT))
            # the new PID namespace counts from one: let it begin where the owner's number comes soon
            first = f"echo {program.pid - 3} > /proc/sys/kernel/ns_last_pid"
            inner = [sys.executable, "-ISc", code, str(program.pid), *map(str, portwait(*words))]
            script = f'mount -t proc proc /mnt && {first.replace("/proc", "/mnt")}; umount /mnt; exec "$@"'
            argv = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "sh", "-c", script, "sh", *inner]
            with running(argv) as inside:
                inside.says(f"innocent {program.pid}")
                assert inside.says("status") == f"status {GAVE_UP} None"
                inside.status()
                assert '"code": "pid-namespace"' in "\n".join(inside.err)
                assert '"event": "signalled"' not in "\n".join(inside.err)
            assert program.process.poll() is None

    def test_who_took_the_pid_after_the_look(self) -> None:
        """The same PID with the same socket, but another start: it is left alone."""
        inside = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable)
        with running([*inside, str(HELPERS / "pid_reuse.py")]) as init:
            assert init.status() == 0, init.err
        assert init.out == ["first gone", "second alive", "second signalled", "second SIGTERM"]

    def test_who_has_closed_the_socket_since_the_look(self) -> None:
        with pooled_client(PORT) as program:
            seen, inode = owners.describe(program.pid), _inode()
            assert seen is not None
            program.tell("close")
            program.says("done")
            assert terminate(seen, inode, signal.SIGTERM) == "gone"
            assert program.process.poll() is None

    def test_who_has_ended_since_the_look(self) -> None:
        with pooled_client(PORT) as program:
            seen = owners.describe(program.pid)
            assert seen is not None
            inode = _inode()
            program.stop()
            assert terminate(seen, inode, signal.SIGTERM) == "gone"

    def test_a_kernel_thread(self) -> None:
        """None has descriptors, so none is ever found as an owner; nor would it be signalled if it were."""
        threads = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        pid = next((pid for pid in threads if (stat := procfs.stat_of(pid)) is not None and stat.kernel), None)
        if pid is None:
            pytest.skip("no kernel thread is visible in this PID namespace")
        seen = owners.describe(pid)
        assert seen is not None
        refusal = terminate(seen, 1, signal.SIGTERM)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "kernel"


def _inode() -> int:
    """Ask the second source for the inode of the one socket on PORT."""
    (inode,) = re.findall(r"ino:(\d+)", subprocess.check_output(["ss", "-Htne", f"sport = :{PORT}"], text=True))
    return int(inode)

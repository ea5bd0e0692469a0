"""Every verb of portwait, once, on the machine that this runs on: the guest of test_other_processors, or any Linux.

What portwait reads of the kernel's tables is compared with what ss of iproute2 reads there, or /proc/net.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import runpy
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import states
from tests.support.clients import REMOTE, pooled_client
from tests.support.descriptors import sockets_of
from tests.support.guarding import GAVE_UP, STARTED, WRONG, Outcome, guard, run
from tests.support.mounts import private_host
from tests.support.netns import forced_source_port, sysctl
from tests.support.programs import eventually, portwait, running
from tests.support.shown import SHOW, shown
from tests.support.states import LOOPBACK, states_on
from tests.support.without import CALLS, NO_NETLINK, without

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
RESERVED = "net.ipv4.ip_local_reserved_ports"
HELPERS = Path(__file__).resolve().parents[1] / "system" / "helpers"
SERVICE = (
    *(sys.executable, "-ISc"),
    "import socket, sys; s = socket.create_server(('', 30010)); print('listening', flush=True); sys.stdin.read()",
)
"""A service as most are: it sets SO_REUSEADDR and listens."""


@contextlib.contextmanager
def connection(here: str, there: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect PORT of one address with REMOTE of another; the client, and the listener that has not accepted it."""
    family = socket.AF_INET6 if ":" in here else socket.AF_INET
    with socket.socket(family) as server, socket.socket(family) as connecting:
        server.bind((there, REMOTE))
        server.listen()
        connecting.bind((here, PORT))
        eventually(lambda: connecting.connect_ex((there, REMOTE)) == 0, "the route to a new address")
        yield connecting, server
        states.reset(connecting)


def explained(*words: str, before: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Let explain print JSON; the blockers of its one target."""
    done = run([*before, *portwait("explain", "--json", *words)])
    (target,) = json.loads(done.out)["targets"]
    assert done.status == (target["verdict"] == "held"), done
    return list(target["blockers"])


def ss(*options: str) -> list[list[str]]:
    """Answer what ss shows on PORT: the words of each of its lines."""
    done = run(["ss", "--no-header", "--numeric", "--all", *options, "sport", "=", f":{PORT}"])
    assert done.status == 0, done
    return [line.split() for line in done.out.splitlines()]


def both(blocker: dict[str, Any]) -> tuple[str, str, int | None]:
    """Answer what explain and ss --extended both tell of a connection."""
    return blocker["local"], blocker["remote"], blocker["inode"]


def read(words: list[str]) -> tuple[str, str, int | None]:
    """Likewise of a line of ss."""
    return words[3], words[4], next((int(word[4:]) for word in words if word.startswith("ino:")), None)


def test_this_is_the_processor() -> None:
    """The guest is what was asked for, and not this machine: PROCESSOR has its name and the order of its bytes."""
    uname = os.uname()
    assert f"{uname.machine} {sys.byteorder}" == os.environ.get("PROCESSOR", f"{uname.machine} {sys.byteorder}")


def test_a_release_names_the_processor() -> None:
    """What is packed on this processor is named after it: the head of a real program says what uname says."""
    named = runpy.run_path(str(HELPERS.parents[2] / "contrib" / "release" / "machine.py"))
    assert named["of"](Path(sys.executable).resolve()).uname == os.uname().machine


def test_a_free_port_starts_the_command() -> None:
    """It says nothing, starts the command under its own pid, and leaves one hold there: bound, not listening."""
    with running(portwait(str(PORT), "--", *SHOW), stdin=subprocess.PIPE) as program:
        assert shown(program).pid == program.pid
        (held,) = sockets_of(program.pid)
        assert (held.port, held.listening, held.v6only, held.reuseaddr) == (PORT, False, True, True)
        assert 100 <= held.number < 1024
        assert program.err == []


def test_the_hold_keeps_connect_away() -> None:
    """While the hold stands, the kernel gives the port to no connect()."""
    with running(portwait(str(PORT), "--", *SHOW), stdin=subprocess.PIPE) as program:
        shown(program)
        with states.listening(REMOTE, address=LOOPBACK), forced_source_port(PORT), socket.socket() as connecting:
            assert connecting.connect_ex((LOOPBACK, REMOTE)) != 0


def test_a_service_starts_over_the_hold() -> None:
    """The service binds and listens on the port that portwait holds for it."""
    with running(portwait(str(PORT), "--", *SERVICE), stdin=subprocess.PIPE) as program:
        program.says("listening")
        assert states_on(PORT) == ["LISTEN"]


def test_the_guard_gives_up() -> None:
    """At the deadline it says so and ends with 124; the command was not started."""
    with pooled_client(PORT):
        done = guard("--timeout", "2", str(PORT), "--", *STARTED)
    assert (done.status, done.started) == (GAVE_UP, False), done
    assert f"{PORT}/tcp is still held; nothing was started" in done.err


def test_the_guard_evicts() -> None:
    """--evict destroys the real connection, which its client learns of, and the service starts."""
    with pooled_client(PORT) as blocker:
        with running(portwait("--evict", str(PORT), "--", *SERVICE), stdin=subprocess.PIPE) as program:
            blocker.says("ECONNABORTED")
            program.says("listening")
        assert blocker.process.poll() is None


def test_the_blockers_close_ends_the_wait() -> None:
    """The kernel tells of the close; the command starts then, and not at the deadline."""
    with pooled_client(PORT) as blocker, running(portwait("--timeout=inf", "-v", str(PORT), "--", *STARTED)) as program:
        program.complains("is held by")
        blocker.tell("close")
        program.says("started")
        assert program.status() == 0


def test_the_guard_says_who_is_in_the_way() -> None:
    """While it waits it names the process and both ends; stopped, it ends by that signal."""
    with pooled_client(PORT) as blocker, running(portwait("--timeout=inf", str(PORT), "--", *STARTED)) as program:
        said = program.complains(f"{PORT}/tcp is held by an outbound connection: ")
        assert f"(pid {blocker.pid}" in said
        program.complains(f"{LOOPBACK}:{PORT} -> {LOOPBACK}:{REMOTE} ESTABLISHED")
        program.signal(signal.SIGTERM)
        assert program.status() == -signal.SIGTERM


def test_a_log_of_json() -> None:
    """With --log-format json each line of stderr is an object, and `held` has the blocker."""
    argv = portwait("--timeout=inf", "--log-format=json", str(PORT), "--", *STARTED)
    with pooled_client(PORT) as blocker, running(argv) as program:
        program.complains('"held"')
        program.signal(signal.SIGTERM)
        assert program.status() == -signal.SIGTERM
    (held,) = [event for event in map(json.loads, program.err) if event["event"] == "held"]
    assert str(blocker.pid) in json.dumps(held)


def test_explain_in_words() -> None:
    """The report names both ends, the state, the process, and the range that the port was taken from."""
    with pooled_client(PORT) as blocker:
        done = run(portwait("explain", str(PORT)))
    assert done.status == 1, done
    said = re.sub(r"\s+", " ", done.out)
    assert f"{PORT}/tcp is held by an outbound connection: " in said
    assert f"(pid {blocker.pid}" in said
    assert f"{LOOPBACK}:{PORT} -> {LOOPBACK}:{REMOTE} ESTABLISHED" in said
    assert "1024-65000" in said


def test_explain_reads_ipv4() -> None:
    """Addresses, ports, inode, state, owner and the process at the other end are those that ss reads."""
    with connection("127.1.2.3", "127.4.5.6"):
        (blocker,), (line,) = explained(str(PORT)), ss("--tcp", "--extended", "--processes")
    assert both(blocker) == read(line)
    assert both(blocker)[:2] == (f"127.1.2.3:{PORT}", f"127.4.5.6:{REMOTE}")
    assert (blocker["kind"], blocker["state"], line[0]) == ("outbound", "ESTABLISHED", "ESTAB")
    assert [owner["pid"] for owner in blocker["owners"]] == [os.getpid()]
    assert f"pid={os.getpid()}," in " ".join(line)


def test_explain_reads_ipv6() -> None:
    """All sixteen bytes of both addresses are in their order."""
    for address in ("2001:db8:1:2:3:4:5:6", "2001:db8::a:b"):
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    with connection("2001:db8:1:2:3:4:5:6", "2001:db8::a:b"):
        (blocker,), (line,) = explained(str(PORT)), ss("--tcp", "--extended")
    assert both(blocker) == read(line)
    assert both(blocker)[:2] == (f"[2001:db8:1:2:3:4:5:6]:{PORT}", f"[2001:db8::a:b]:{REMOTE}")


def test_explain_reads_mapped_addresses() -> None:
    """An IPv4 connection of an IPv6 socket, as Java makes it, is shown with IPv4 addresses."""
    with states.outbound_established(PORT, address=states.MAPPED):
        (blocker,) = explained(str(PORT))
    assert (blocker["local"], blocker["remote"]) == (f"{LOOPBACK}:{PORT}", f"{LOOPBACK}:{REMOTE}")


def test_explain_reads_a_listener() -> None:
    """The accept queue is the one that ss shows."""
    with states.listening(PORT) as made, socket.socket() as waiting:
        waiting.connect((LOOPBACK, PORT))
        eventually(lambda: ss("--tcp", "--listening")[0][1] == "1", "the connection in the queue")
        listener = next(blocker for blocker in explained(str(PORT)) if blocker["kind"] == "listener")
        assert listener["local"] == made.local
        assert listener["queue"] == 1
        states.reset(waiting)


def test_explain_reads_the_timer_of_time_wait() -> None:
    """It ends when the kernel says, within the seconds that lie between two looks."""
    with states.outbound_time_wait(PORT):
        (blocker,) = explained(str(PORT))
        (line,) = ss("--tcp", "--options")
    assert (blocker["kind"], blocker["state"], blocker["owners"]) == ("time-wait", "TIME_WAIT", [])
    left = re.search(r"timer:\(timewait,(?:(\d+)min)?(?:([\d.]+)(ms|sec))?", " ".join(line))
    assert left, line
    seconds = float(left[2] or 0) / (1000 if left[3] == "ms" else 1) + 60 * int(left[1] or 0)
    assert 0 <= blocker["expires_in"] - seconds <= 15
    assert blocker["expires_in"] <= 60


def test_explain_reads_udp() -> None:
    """A connected UDP socket is outbound, another one is bound; both ends are as ss shows them."""
    with states.udp_connected(PORT):
        (blocker,), (line,) = explained(f"{PORT}/udp"), ss("--udp", "--extended")
        assert (blocker["kind"], both(blocker)) == ("outbound", read(line))
    with states.udp_bound(PORT, address="127.1.2.3"):
        (blocker,), (line,) = explained(f"{PORT}/udp"), ss("--udp", "--extended")
        assert (blocker["kind"], blocker["local"], blocker["inode"]) == ("bound", line[3], read(line)[2])


def test_explain_reads_the_device() -> None:
    """A socket that is bound to an interface shows its name: the dump has a number."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        server.bind(("", PORT))
        server.listen()
        (blocker,) = explained(str(PORT))
        (line,) = ss("--tcp", "--listening")
    assert blocker["device"] == "lo"
    assert "%lo:" in line[3]


def test_explain_without_the_right_to_see() -> None:
    """Somebody who may not look into the owner is told so, and no culprit is invented."""
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    with connection("127.1.2.3", "127.4.5.6"):
        (blocker,) = explained(str(PORT), before=nobody)
    assert (blocker["owners"], bool(blocker["unseen"])) == ([], True)


def test_evict() -> None:
    """The verb destroys the connection, not the process behind it; the port is free, and the client connects again."""
    with pooled_client(PORT) as blocker:
        done = run(portwait("evict", str(PORT)))
        assert done.status == 0, done
        blocker.says("ECONNABORTED")
        assert PORT not in {int(word) for line in blocker.out for word in re.findall(r"ready (\d+)", line)[1:]}
        assert ss("--tcp") == []


def test_evict_ipv6() -> None:
    """Likewise between two IPv6 addresses."""
    with states.outbound_established(PORT, address="::1"):
        done = run(portwait("evict", str(PORT)))
        assert (done.status, ss("--tcp")) == (0, []), done


def test_evict_time_wait() -> None:
    """What is left of a connection, which no process has, goes at once."""
    with states.outbound_time_wait(PORT):
        done = run(portwait("evict", str(PORT)))
        assert (done.status, ss("--tcp")) == (0, []), done


def test_evict_spares_a_listener() -> None:
    """A listener is never evicted: 1, and it still listens."""
    with states.listening(PORT):
        assert run(portwait("evict", str(PORT))).status == 1
        assert states_on(PORT) == ["LISTEN"]


def test_terminate() -> None:
    """--terminate ends the process that owns the blocker, and the command starts."""
    with pooled_client(PORT) as blocker:
        done = guard("--terminate", str(PORT), "--", *STARTED)
        assert (done.status, done.started) == (0, True), done
        assert blocker.status() == -signal.SIGTERM


def test_listen() -> None:
    """--listen binds and listens, and passes the socket as descriptor 3."""
    with running(portwait("--listen", str(PORT), "--", *SHOW), stdin=subprocess.PIPE) as program:
        seen = shown(program)
        assert (seen.variables["LISTEN_FDS"], seen.variables["LISTEN_PID"]) == ("1", str(program.pid))
        assert [held.number for held in sockets_of(program.pid)] == [3]
        (line,) = ss("--tcp", "--extended")
        assert seen.served == [f"socket:[{read(line)[2]}]"]


def test_reserve_and_release() -> None:
    """--persist changes the kernel's list and the file that is read at boot; release takes both back."""
    with private_host() as host:
        host.run(*portwait("reserve", "--persist", f"{PORT},31000-31009"))
        assert sysctl(RESERVED) == f"{PORT},31000-31009"
        files = [path.read_text() for path in host.path("/etc/sysctl.d").iterdir()]
        assert any(re.search(rf"^{re.escape(RESERVED)} *= *{PORT},31000-31009$", text, re.MULTILINE) for text in files)
        host.run(*portwait("release", "--persist", f"{PORT},31000-31009"))
        assert sysctl(RESERVED) == ""
        left = [path.read_text() for path in host.path("/etc/sysctl.d").iterdir()]
        assert not any(re.search(rf"^[^#\n]*{PORT}", text, re.MULTILINE) for text in left)


def test_a_reserved_port_is_not_picked() -> None:
    """The kernel gives a port that portwait has reserved to no connect()."""
    with private_host() as host, states.listening(REMOTE, address=LOOPBACK), forced_source_port(PORT):
        host.run(*portwait("reserve", str(PORT)))
        with socket.socket() as connecting:
            assert connecting.connect_ex((LOOPBACK, REMOTE)) != 0


def test_audit() -> None:
    """A listener in the kernel's range is at risk: 1; reserved it is not: 0."""
    sysctl("net.ipv4.ip_local_port_range", "1024 65000")
    with private_host() as host, states.listening(PORT):
        words = ("audit", "--json", "--window", "0", str(PORT))
        done = host.run(*portwait(*words), check=False)
        report = json.loads(done.stdout)
        (port,) = report["ports"]
        assert (done.returncode, report["range"], report["at_risk"]) == (1, [1024, 65000], [f"{PORT}/tcp"]), done
        assert (port["port"], port["listening"], port["in_range"], port["reserved"]) == (PORT, True, True, False)
        host.run(*portwait("reserve", "--persist", str(PORT)))
        assert host.run(*portwait(*words), check=False).returncode == 0


def test_pick() -> None:
    """It picks the first free port of the range, holds it, and the command has its number for {}."""
    argv = portwait("pick", "10000-10009", "--", "sh", "-c", "echo picked {}; read line")
    with states.listening(10000), running(argv, stdin=subprocess.PIPE) as program:
        assert program.says("picked") == "picked 10001"
        assert [(held.port, held.listening) for held in sockets_of(program.pid)] == [(10001, False)]


def test_unit_without_systemd() -> None:
    """Where no systemd runs, unit says so in one line, with 125."""
    done = run(portwait("unit", "orders.service", str(PORT)))
    assert (done.status, done.out) == (WRONG, ""), done
    assert len(done.err.splitlines()) == 1
    assert "systemctl" in done.err or "systemd" in done.err


def test_completion() -> None:
    """Each shell's completion is printed."""
    for shell in ("bash", "zsh", "fish"):
        done = run(portwait("completion", shell))
        assert done.status == 0, done
        assert "--timeout" in done.out or "timeout" in done.out


@contextlib.contextmanager
def no_netlink() -> Iterator[tuple[str, ...]]:
    """Take the kernel's socket tables away from a program; what to put before its command line.

    AF_NETLINK goes, as a unit's RestrictAddressFamilies= takes it. On s390x no filter can do that, because
    the C library has one system call for socket(), bind() and the rest; there the kernel's modules go.
    """
    if platform.machine() in CALLS:
        yield tuple(without(NO_NETLINK))
        return
    assert "PROCESSOR" in os.environ, "modules are taken away from a guest only"
    loads = Path("/proc/sys/kernel/modprobe")
    before = loads.read_text()
    loads.write_text("/bin/false\n")
    try:
        eventually(_unload, "the end of all that uses these modules")
        yield ()
    finally:
        loads.write_text(before)


def _unload() -> bool:
    """Take out the modules that answer for sockets; whether all are out."""
    names = [line.split()[0] for line in Path("/proc/modules").read_text().splitlines()]
    ours = sorted((name for name in names if name.endswith("_diag")), key=lambda name: name == "inet_diag")
    for name in ours:
        subprocess.run(["/run/bin/rmmod", name], check=False)
    return not ours


def test_explain_without_netlink() -> None:
    """It reads /proc/net instead, whose addresses are in the machine's own order, and answers the same."""
    with connection("127.1.2.3", "127.4.5.6"):
        (with_it,) = explained(str(PORT))
        with no_netlink() as before:
            (without_it,) = explained(str(PORT), before=before)
    assert both(without_it) == both(with_it)
    same = ("kind", "state", "uid", "owners")
    assert [without_it[key] for key in same] == [with_it[key] for key in same]
    assert (without_it["evictable"], with_it["evictable"]) == (False, True)


def test_explain_ipv6_without_netlink() -> None:
    """Likewise for IPv6, whose addresses are four words in that order."""
    for address in ("2001:db8:1:2:3:4:5:6", "2001:db8::a:b"):
        subprocess.run(["ip", "address", "add", f"{address}/128", "dev", "lo", "nodad"], check=True)
    with connection("2001:db8:1:2:3:4:5:6", "2001:db8::a:b"), no_netlink() as before:
        (blocker,) = explained(str(PORT), before=before)
    assert both(blocker)[:2] == (f"[2001:db8:1:2:3:4:5:6]:{PORT}", f"[2001:db8::a:b]:{REMOTE}")


def test_wait_without_netlink() -> None:
    """The guard polls, and the command starts when the blocker has closed."""
    argv = portwait("--timeout=inf", str(PORT), "--", *STARTED)
    with pooled_client(PORT) as blocker, no_netlink() as before, running([*before, *argv]) as program:
        program.complains("is held by")
        blocker.tell("close")
        program.says("started")
        assert program.status() == 0


def test_wrong_words() -> None:
    """A line that cannot be understood is one line of error, 125."""
    done: Outcome = guard("--no-such-option", str(PORT), "--", *STARTED)
    assert (done.status, done.started) == (WRONG, False)

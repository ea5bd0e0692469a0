"""Advice on real sockets, tested by pasting it: what it freed, and what it left alone.

What takes a service manager is in tests/world/test_systemd_advice.py.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import states
from tests.support.blockers import needs_bound_only
from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import Outcome, run
from tests.support.mounts import private_host
from tests.support.netns import private_network, sysctl
from tests.support.packages import needs
from tests.support.programs import Program, eventually, portwait, running
from tests.support.surroundings import AS_NOBODY, ELSEWHERE, PLAIN_HOST, PODMAN_CONTAINER, cgroup, in_cgroup
from tests.support.without import without

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
RANGE = "net.ipv4.ip_local_port_range"
SERVER = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", server.getsockname()[1], flush=True)
while True:
    server.accept()
"""
CLIENT = f"""
import signal, socket
server = socket.create_server(("127.0.0.1", 0))
client = socket.socket()
client.bind(("127.0.0.1", {PORT}))
client.connect(server.getsockname())
print("ready", flush=True)
signal.pause()
"""


def told(*words: str, before: Sequence[str] = ()) -> dict[str, Any]:
    """Explain as JSON; the one target."""
    (target,) = json.loads(run([*before, *portwait("explain", "--json", *words)]).out)["targets"]
    return target  # type: ignore[no-any-return]  # JSON


def remedies(*words: str, before: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Answer the remedies by their codes, in their order."""
    return {remedy["code"]: remedy for remedy in told(*words, before=before)["remedies"]}


def paste(remedy: dict[str, Any]) -> None:
    """Run the commands of a remedy, with the portwait under test where they name it."""
    path = f"{Path(str(portwait()[0])).parent}:{os.environ['PATH']}"
    for command in remedy["commands"]:
        subprocess.run(["sh", "-ec", command], check=True, env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL)


def is_free(port: int = PORT, address: str = "") -> bool:
    """Whether a server that sets SO_REUSEADDR could bind the port."""
    with contextlib.suppress(OSError), socket.create_server((address, port)):
        return True
    return False


@contextlib.contextmanager
def serving(port: int = PORT) -> Iterator[Program]:
    with running([sys.executable, "-IS", "-c", SERVER, str(port)]) as program:
        program.says("ready")
        yield program


def test_a_portwait_that_path_does_not_find() -> None:
    """As in an image, or in a virtual environment: the commands have its path, and work where they are pasted."""
    bare = {**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    sysctl(RANGE, "1024 65000")
    with states.outbound_established(PORT):
        done = run([*PLAIN_HOST, *portwait("explain", str(PORT))], env=bare)
        commands = [line.strip() for line in done.out.splitlines() if line.strip().startswith(str(portwait()[0]))]
        assert [command.split()[1:] for command in commands] == [["evict", "30010"], ["reserve", "30010"]]
        subprocess.run(["sh", "-ec", commands[0]], check=True, env=bare, stdout=subprocess.DEVNULL)
        assert is_free()
    with serving():
        done = run(portwait("evict", str(PORT)), env=bare)
        assert f": {portwait()[0]!s} --terminate=listener {PORT}\n" in done.out


def test_a_process_that_was_stopped() -> None:
    """As by Ctrl-Z: TERM alone would wait until it is continued, so CONT follows it, and the words say why."""
    with serving() as server:
        os.kill(server.pid, signal.SIGSTOP)
        eventually(lambda: told(str(PORT))["blockers"][0]["owners"][0]["state"] == "T", "the stop")
        remedy = remedies(str(PORT))["stop-listener"]
        assert remedy["commands"] == [f"kill {server.pid}; kill -CONT {server.pid}"]
        assert "is stopped (Ctrl-Z, SIGSTOP)" in remedy["summary"]
        assert "has this port open" in remedy["summary"]
        paste(remedy)
        eventually(is_free, "the end")


def test_an_owner_in_another_pid_namespace() -> None:
    """The network is shared and the processes are not, as in a pod: the printed command, pasted outside, names it."""
    with running([sys.executable, "-IS", "-c", CLIENT]) as client:
        client.says("ready")
        inside = (*ELSEWHERE, *PODMAN_CONTAINER)
        target = told(str(PORT), before=inside)
        [blocker] = target["blockers"]
        assert blocker["owners"] == []
        assert blocker["unseen"].endswith("; look from the host, in this network namespace")
        found = {remedy["code"]: remedy for remedy in target["remedies"]}
        assert found["share-processes"]["commands"] == ["--pid container:OTHER --cap-add SYS_PTRACE --user 0"]
        assert _as_seen_on_the_host(found["look-from-host"])["pid"] == client.pid
        nobody = told(str(PORT), before=(*inside, *AS_NOBODY))
        codes = [remedy["code"] for remedy in nobody["remedies"]]
        assert "look-from-host" in codes
        assert "look-as-root" not in codes, "root of this container would see no more"


def test_the_proc_of_another_pid_namespace() -> None:
    """Its numbers are other processes' here: no command has one, and the words say where they count."""
    with running([sys.executable, "-IS", "-c", SERVER, str(PORT)]) as server:
        server.says("ready")
        inside = ("unshare", "--pid", "--fork", "--kill-child")
        target = told(str(PORT), before=inside)
        [blocker] = target["blockers"]
        [owner] = blocker["owners"]
        assert (owner["pid"], owner["foreign_pid"]) == (server.pid, True)
        assert [remedy["code"] for remedy in target["remedies"]] == ["stop-listener"]
        [remedy] = target["remedies"]
        assert remedy["commands"] == []
        assert "run portwait explain in that namespace" in remedy["summary"]
        report = run([*inside, *portwait("explain", str(PORT))]).out
        assert f"(pid {server.pid} of another PID namespace" in report
        assert "kill " not in report


def _as_seen_on_the_host(remedy: dict[str, Any]) -> dict[str, Any]:
    """Paste a command that explains where the network is another one; the owner that it names."""
    [command] = remedy["commands"]
    as_root = f'PATH={Path(str(portwait()[0])).parent}:$PATH; sudo() {{ "$@"; }}'
    with private_network():
        assert "is free" in run(portwait("explain", str(PORT))).out
        done = run(["sh", "-c", f"{as_root}; {command} --json"])
        assert done.status == 1, done
    [blocker] = json.loads(done.out)["targets"][0]["blockers"]
    [owner] = blocker["owners"]
    return owner  # type: ignore[no-any-return]  # JSON


def test_connections_that_nobody_accepts() -> None:
    """A process that has a listener open and does not accept does not serve, and the queue says so."""
    with (
        running([sys.executable, "-IS", "-c", SERVER.replace("server.accept()", "time.sleep(1)"), str(PORT)]) as idle,
        contextlib.ExitStack() as clients,
    ):
        idle.says("ready")
        for _ in range(2):
            clients.enter_context(socket.create_connection(("127.0.0.1", PORT)))
        remedy = remedies(str(PORT))["stop-listener"]
        assert "has this port open and 2 connections wait to be accepted" in remedy["summary"]
        assert told(str(PORT))["blockers"][0]["queue"] == 2


def test_all_workers_of_a_master_that_was_killed() -> None:
    """Several, among hundreds of other processes of one cgroup: what is printed ends them all and nobody else."""
    master = """
import os, signal, socket, sys
server = socket.create_server(("127.0.0.1", 30010))
for _ in range(5):
    if os.fork() == 0:
        signal.pause()
server.close()
for _ in range(200):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
signal.pause()
"""
    with cgroup("workers") as folder, running([*in_cgroup(folder), sys.executable, "-IS", "-c", master]) as program:
        program.says("ready")
        os.kill(program.pid, signal.SIGKILL)
        program.process.wait()
        remedy = remedies(str(PORT))["stop-listener"]
        [command] = remedy["commands"]
        assert len(command.split()) == 6
        paste(remedy)
        eventually(is_free, "the end")
        others = Path(folder, "cgroup.procs").read_text().split()
        assert len(others) >= 200
        for pid in map(int, others):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("state", ["outbound_established", "outbound_time_wait"])
def test_evicting_works_outside_of_todays_range(state: str) -> None:
    """The range was another when the client connected: evict comes first, frees the port, and ends no process."""
    with getattr(states, state)(22222):
        sysctl(RANGE, "32768 60999")
        found = remedies("22222")
        assert "evict" in list(found)[:2]
        if state == "outbound_established":
            assert list(found).index("evict") < list(found).index("stop-owner")
        paste(found["evict"])
        assert is_free(22222)


def test_evicting_another_users_connection() -> None:
    """An ordinary user does not see whose it is; root does, so `sudo portwait evict` comes first, and it works."""
    sysctl(RANGE, "1024 65000")
    with states.outbound_established(PORT):
        found = remedies(str(PORT), before=AS_NOBODY)
        assert next(iter(found)) == "evict"
        (command,) = found["evict"]["commands"]
        assert command.startswith("sudo ")
        paste({"commands": [command[len("sudo ") :]]})
        assert is_free()


@pytest.mark.parametrize("kind", ["kept", "udp", "child"])
def test_what_reserving_cannot_have_prevented(kind: str) -> None:
    """Bound by number, as evict has proved or the command line says: stopping is the first cure, and it frees the port.

    Reserving keeps nobody from a port that he names.
    """
    needs_bound_only()
    code = f"import socket; s = socket.socket(type=2); s.bind(('', {PORT})); print('ready', flush=True); input()"
    child = SERVER.replace("while True", "import os; os.fork() and time.sleep(1000)\nwhile True")
    argv = {"kept": [CLIENT], "udp": [code], "child": [child, str(PORT)]}[kind]
    sysctl(RANGE, "1024 65000")
    target = f"{PORT}/udp" if kind == "udp" else str(PORT)
    with running([sys.executable, "-IS", "-c", *argv], stdin=subprocess.PIPE) as program:
        program.says("ready")
        if kind == "kept":
            assert run(portwait("evict", target)).status == 1
        found = remedies(target)
        assert list(found) == ["bound-only" if kind == "kept" else "stop-listener"]
        paste(next(iter(found.values())))
        eventually(lambda: run(portwait("explain", target)).status == 0, "the end")


def test_a_listener_that_was_given_its_port() -> None:
    """It asked for any: reserving is the cure, once it is gone."""
    sysctl(RANGE, "30010 30010")
    with running([sys.executable, "-IS", "-c", SERVER, "0"]) as server:
        assert server.says("ready").strip().endswith(str(PORT))
        sysctl(RANGE, "1024 65000")
        with private_host() as host:
            remedy = remedies(str(PORT))["reserve-port"]
            assert "If python" in remedy["summary"]
            host.run("sh", "-ec", f"exec {portwait()[0]!s} reserve {PORT}")
        assert sysctl("net.ipv4.ip_local_reserved_ports") == str(PORT)
    assert "reserve-port" not in remedies(str(PORT))


def test_single_addresses_that_are_taken() -> None:
    """A service that binds every address fails, and one that binds another address starts: that is said."""
    with socket.create_server(("127.0.0.53", PORT)), socket.create_server(("127.0.0.2", PORT)):
        text = run(portwait("explain", str(PORT)), env={**os.environ, "COLUMNS": "2000"}).out
        assert f"Only 127.0.0.2 and 127.0.0.53 are taken: a service that binds another address, ADDRESS:{PORT}" in text
        assert not is_free(PORT)
        assert is_free(PORT, "127.0.0.1")


def test_time_wait_without_netlink() -> None:
    """The other tables show its timer and no owner: it has none, root or not, and waiting helps."""
    with states.outbound_time_wait(PORT):
        target = told(str(PORT), before=without("socket:16=EAFNOSUPPORT"))
        [blocker] = target["blockers"]
        assert (blocker["unseen"], blocker["owners"]) == (None, [])
        summaries = {remedy["code"]: remedy["summary"] for remedy in target["remedies"]}
        assert re.match(r"Wait (1m|\d+s): the kernel ends it by itself", summaries["wait"])


def test_a_transparent_proxy() -> None:
    """The connection's local address is another host's: reserving would change nothing, and is not proposed."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_IP, 19, 1)  # IP_TRANSPARENT
        client.setblocking(False)
        client.bind(("198.51.100.7", PORT))
        with contextlib.suppress(BlockingIOError):
            client.connect(("127.0.0.1", 7000))
        target = told(str(PORT))
        assert target["blockers"][0]["local"] == f"198.51.100.7:{PORT}"
        codes = [one["code"] for one in target["remedies"]]
        assert not {"reserve-port", "narrow-range", "other-parity"} & set(codes)
        text = run(portwait("explain", str(PORT)), env={**os.environ, "COLUMNS": "2000"}).out
        assert "Its local address is none of this host's" in text
        assert "another port" not in text


def test_what_keeps_an_ipv6_address_from_being_bound() -> None:
    """Each of the things that EADDRNOTAVAIL and EINVAL can mean has its own words."""
    sysctl("net.ipv6.conf.default.dad_transmits", "0")
    subprocess.run(["ip", "link", "add", "v0", "type", "veth", "peer", "v1"], check=True)
    for command in ("link set v0 up", "link set v1 up", "address add fe80::77/64 dev v0 nodad"):
        subprocess.run(["ip", *command.split()], check=True)
    without_zone = run(portwait("explain", f"[fe80::77]:{PORT}"), env={**os.environ, "COLUMNS": "2000"}).out
    assert "fe80::77 is a link-local address, which has to be named with its interface (EINVAL)" in without_zone
    assert f"[fe80::77%v0]:{PORT}" in without_zone
    elsewhere = run(portwait("explain", f"[fe80::77%v1]:{PORT}")).out
    assert "is unavailable: the interface v1 does not have the address fe80::77 (EADDRNOTAVAIL)" in elsewhere
    group = told(f"[ff02::1]:{PORT}/udp")
    assert (group["errno"], [remedy["code"] for remedy in group["remedies"]]) == ("EINVAL", ["list-addresses"])
    assert "Name the interface with the address" in group["remedies"][0]["summary"]
    for words in (f"[ff02::1]:{PORT}", f"[ff05::1]:{PORT}"):
        assert (told(words)["errno"], told(words)["remedies"]) == ("EINVAL", []), "TCP has no groups"
    sysctl("net.ipv6.conf.v0.dad_transmits", "100")
    subprocess.run(["ip", "address", "add", "2001:db8::1/64", "dev", "v0"], check=True)
    eventually(lambda: " tentative" in _addresses(), "the start of duplicate address detection")
    assert "2001:db8::1 is tentative on v0" in run(portwait("explain", f"[2001:db8::1]:{PORT}")).out
    sysctl("net.ipv6.conf.all.disable_ipv6", "1")
    paste(remedies(f"[2001:db8::2]:{PORT}")["switch-ipv6-on"])
    assert sysctl("net.ipv6.conf.all.disable_ipv6") == "0"


def test_ipv6_that_is_off_on_one_interface() -> None:
    """Rule: the setting that is named and switched on is that of the address's interface, whatever its name."""
    subprocess.run(["ip", "link", "add", "v0.7", "type", "veth", "peer", "v1"], check=True)
    subprocess.run(["ip", "link", "set", "v0.7", "up"], check=True)
    off = Path("/proc/sys/net/ipv6/conf/v0.7/disable_ipv6")
    off.write_text("1")
    target = f"[fe80::77%v0.7]:{PORT}"
    out = run(portwait("explain", target), env={**os.environ, "COLUMNS": "2000"}).out
    assert "IPv6 is switched off (net.ipv6.conf.v0.7.disable_ipv6 is 1)" in out
    paste(remedies(target)["switch-ipv6-on"])
    assert off.read_text() == "0\n"


def _addresses() -> str:
    return subprocess.run(["ip", "-6", "address"], check=True, text=True, capture_output=True).stdout


def _explained(target: str, *options: str) -> Outcome:
    return run([*PLAIN_HOST, *portwait("explain", *options, target)], env={**os.environ, **UNBROKEN})


def test_a_port_of_bindresvport() -> None:
    """It picks a low port by number; one that is on its blacklist it leaves alone."""
    needs("/usr/lib/x86_64-linux-gnu/libtirpc.so.3", "libtirpc3")
    program = """
import ctypes, signal, socket
open("/proc/self/comm", "w").write("rpc.statd")
library = ctypes.CDLL("libtirpc.so.3")
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
assert library.bindresvport(sock.fileno(), None) == 0
print("ready", sock.getsockname()[1], flush=True)
signal.pause()
"""
    with running([sys.executable, "-IS", "-c", program]) as taker:
        port = taker.says("ready").split()[-1]
        remedy = remedies(f"{port}/udp")["bindresvport"]
        look = functools.partial(_explained, f"{port}/udp")
        assert_golden(Path(__file__).with_name("golden") / "bindresvport.txt", look, {"PORT": port})
        assert remedy["commands"] == [rf"printf '\n%s\n' {port} >> /etc/bindresvport.blacklist"]


@pytest.mark.parametrize(
    ("state", "target"),
    [("listening", f"{PORT}"), ("accepted_leftover", f"{PORT}"), ("restored", f"{PORT}"), ("udp_bound", f"{PORT}/udp")],
)
def test_guard_explain_and_evict_print_the_same_cures(state: str, target: str) -> None:
    """For what stays held: the same sentences and commands, in the same form; the guard's are a screen of them."""
    options = {"accepted_leftover": {"reuseaddr": False}}.get(state, {})
    with getattr(states, state)(PORT, **options):
        explained = _cures(run(portwait("explain", target)).out)
        assert explained
        assert _cures(run(portwait("evict", target)).out) == explained
        guarded = _cures(run(portwait("--timeout", "0", target)).err)
        assert guarded == (explained if len(explained) <= 4 else explained[:3])
        evicted = json.loads(run(portwait("evict", "--json", target)).out)["targets"][0]
        assert evicted["remedies"] == told(target)["remedies"]


def _cures(text: str) -> list[str]:
    """Cut the numbered remedies out of a report, each with its commands."""
    found: list[str] = []
    for line in text.splitlines():
        if re.match(r"  \d+\. ", line):
            found.append(line)
        elif found and line.startswith("       "):
            found[-1] += f"\n{line}"
    return found


@pytest.mark.parametrize("supervisor", ["supervisord", "runsv", "s6-supervise"])
def test_another_users_supervisor_is_in_no_command_of_roots(supervisor: str) -> None:
    """Anybody can write a name, a variable and a folder: root is not told to stop what these name."""
    script = '(exec -a "$0" bash -c \'"$@"; exit\' sh "$@")'
    words = ("bash", "-c", script, supervisor, "/usr/bin/python3", "-c", SERVER, str(PORT))
    environment = {**os.environ, "SUPERVISOR_PROCESS_NAME": "payments"}
    with running((*AS_NOBODY, *words), env=environment, cwd="/") as program:
        program.says("ready")
        remedy = remedies(str(PORT))["stop-listener"]
        assert "again when it ends: stop it there." in remedy["summary"]
        assert [command.split()[0] for command in remedy["commands"]] == ["kill"]
        paste(remedy)
        eventually(lambda: not told(str(PORT))["blockers"], "the end of the server")

"""Advice on the processes of real units, tested by pasting it: what it freed, and what it left alone.

PID 1 is a real systemd, and so are Debian's sshd, NetworkManager and supervisord.
"""

from __future__ import annotations

import contextlib
import json
import socket
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.packages import file_of, needs
from tests.support.programs import eventually
from tests.support.states import states_on
from tests.support.systemd import HELPERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
SERVER = f"/usr/bin/python3 -m http.server {PORT}"
STORED = f"""
import os, socket, array, signal
server = socket.create_server(("", {PORT}))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.connect(os.environ["NOTIFY_SOCKET"])
    socket.send_fds(notify, [b"FDSTORE=1\\nFDNAME=kept\\nFDPOLL=0"], [server.fileno()])
    server.close()
    notify.send(b"READY=1")
signal.pause()
"""


def advice(host: Machine, target: str, code: str) -> dict[str, Any]:
    """Ask for one remedy."""
    done = host.run("portwait", "explain", "--json", target, check=False)
    remedies = {remedy["code"]: remedy for remedy in json.loads(done.stdout)["targets"][0]["remedies"]}
    assert code in remedies, done.stdout
    return remedies[code]  # type: ignore[no-any-return]  # JSON


def owner_of(host: Machine, port: int) -> int:
    """Name the process that has a port open; 0 where there is none."""
    target = json.loads(host.run("portwait", "explain", "--json", str(port), check=False).stdout)["targets"][0]
    return next((owner["pid"] for blocker in target["blockers"] for owner in blocker["owners"]), 0)


def paste(host: Machine, remedy: dict[str, Any]) -> None:
    """Run the commands of a remedy as root."""
    for command in remedy["commands"]:
        host.run("sh", "-ec", command)


def is_free(host: Machine, port: int, address: str = "") -> bool:
    """Whether a server that sets SO_REUSEADDR could bind the port."""
    with host.network(), contextlib.suppress(OSError), socket.create_server((address, port)):
        return True
    return False


def comes_free(host: Machine, port: int = PORT) -> None:
    eventually(lambda: is_free(host, port), f"port {port} to be free")


def comes_to_be_held(host: Machine, port: int = PORT) -> None:
    """Wait for a listener by reading the tables: a bind() here could be what fails the server's own."""
    with host.network():
        eventually(lambda: "LISTEN" in states_on(port), f"port {port} to be listened on")


def is_active(host: Machine, unit: str) -> bool:
    return host.show(unit, "ActiveState")["ActiveState"] == "active"


def service(command: str, **settings: str) -> str:
    """Write a unit that runs a command."""
    lines = [f"ExecStart={command}", *(f"{name}={value}" for name, value in settings.items())]
    return "[Service]\n" + "\n".join(lines) + "\n"


def test_a_process_that_outlived_its_unit(host: Machine) -> None:
    """The unit is not active, so stopping it would do nothing: the process itself is ended, and the setting named."""
    files = {"left.service": service(f"/bin/sh -c '{SERVER} & exec sleep infinity'", KillMode="process")}
    with host.units(files):
        host.systemctl("start", "left.service")
        comes_to_be_held(host)
        host.systemctl("kill", "--signal=KILL", "--kill-who=main", "left.service")
        eventually(lambda: not is_active(host, "left.service"), "the end of the main process")
        remedy = advice(host, str(PORT), "stop-listener")
        assert "left over from an earlier run of left.service, which is failed now" in remedy["summary"]
        assert "KillMode=control-group" in remedy["summary"]
        paste(host, remedy)
        comes_free(host)


def test_a_process_that_keeps_its_own_unit_from_starting(host: Machine) -> None:
    """The guard runs in that very unit: it names what is left of the earlier run, and the start goes on after that."""
    command = f'/usr/local/bin/portwait {PORT} -- /bin/sh -c "{SERVER} & exec sleep infinity"'
    with host.units({"again.service": service(command, KillMode="process")}):
        host.systemctl("start", "again.service")
        comes_to_be_held(host)
        host.systemctl("kill", "--signal=KILL", "--kill-who=main", "again.service")
        eventually(lambda: not is_active(host, "again.service"), "the end of the main process")
        since = host.cursor()
        host.systemctl("start", "again.service")

        def said() -> str:
            return "\n".join(entry.text for entry in host.journal("again.service", since))

        eventually(lambda: "waiting for" in said(), "the wait")
        assert "left over from an earlier run of again.service, the very unit that starts now" in said()
        [line] = [line.strip() for line in said().splitlines() if line.strip().startswith("kill ")]
        host.run("sh", "-ec", line)
        eventually(lambda: "is free after" in said(), "the start")
        comes_to_be_held(host)
        host.systemctl("stop", "again.service")


def test_a_process_that_the_same_start_has_started(host: Machine) -> None:
    """A helper of the unit's own script has the port: it is of this run, and not left over from an earlier one."""
    serves = 'grep -q ":753A 00000000:0000 0A" /proc/net/tcp'  # 0A: LISTEN; a TIME_WAIT of an earlier test is not it
    script = f"{SERVER} & until {serves}; do sleep 0.1; done; exec portwait {PORT} -- sleep 1000"
    with host.units({"helped.service": service(f"/bin/sh -c '{script}'")}):
        since = host.cursor()
        host.systemctl("start", "helped.service")

        def said() -> str:
            return "\n".join(entry.text for entry in host.journal("helped.service", since))

        eventually(lambda: "waiting for" in said(), "the wait")
        assert "left over" not in said()
        assert "python3 belongs to the same run of helped.service as this portwait." in said()
        [line] = [line.strip() for line in said().splitlines() if line.strip().startswith("kill ")]
        host.run("sh", "-ec", line)
        eventually(lambda: "is free after" in said(), "the start")
        host.systemctl("stop", "helped.service")


def test_a_server_that_runs_the_shell_in_which_portwait_is_typed(host: Machine) -> None:
    """As code-server, cockpit or a notebook do: the words say that the shell ends too, and not that it is left over."""
    helper = f"""
import socket, subprocess
server = socket.create_server(("", {PORT}))
done = subprocess.run(["portwait", "explain", "--json", "{PORT}"], stdout=open("/run/told", "w"), check=False)
open("/run/status", "w").write(str(done.returncode))
server.accept()
"""
    host.write("/etc/portwait-web.py", helper)
    with host.units({"web-shell.service": service("/usr/bin/python3 /etc/portwait-web.py")}):
        host.systemctl("start", "web-shell.service")
        eventually(lambda: host.run("cat", "/run/status", check=False).stdout == "1", "the report")
        [target] = json.loads(host.run("cat", "/run/told").stdout)["targets"]
        [remedy] = [remedy for remedy in target["remedies"] if remedy["code"] == "stop-listener"]
        assert "left over" not in remedy["summary"]
        pid = owner_of(host, PORT)
        assert (
            f"This portwait runs below python3 (pid {pid}), so your own session may end with it." in remedy["summary"]
        )
        assert remedy["commands"] == [f"kill {pid}"]
        host.systemctl("stop", "web-shell.service")


@pytest.mark.parametrize("waits", [False, True])
def test_the_order_of_two_units(host: Machine, waits: bool) -> None:
    """The service is put before its client's unit, and not where it waits for that: systemd would start only one."""
    explain = service(
        f"/bin/sh -c 'portwait explain --json {PORT}; :'", Type="oneshot", StandardOutput="truncate:/run/told"
    )
    gate = "[Unit]\nAfter=blocker.service\n" + service("/bin/true", Type="oneshot")
    files = {"web.service": f"[Unit]\nAfter={'gate.service' if waits else 'basic.target'}\n{explain}"}
    with host.units({**files, "gate.service": gate} if waits else files), host.blocked(PORT, "outbound"):
        host.systemctl("start", "web.service")
        [target] = json.loads(host.run("cat", "/run/told").stdout)["targets"]
        remedies = {remedy["code"]: remedy for remedy in target["remedies"]}
        assert ("order-units" in remedies) is not waits
        if not waits:
            paste(host, remedies["order-units"])
            assert "blocker.service" in host.show("web.service", "Before")["Before"].split()
            host.run("rm", "-r", "/etc/systemd/system/web.service.d")


def test_what_else_a_unit_runs_is_named(host: Machine) -> None:
    """Stopping the unit is right for its main process, and the sentence names who goes with it."""
    with host.units({"pair.service": service(f"/bin/sh -c 'sleep 1000 & exec {SERVER}'")}):
        host.systemctl("start", "pair.service")
        comes_to_be_held(host)
        remedy = advice(host, str(PORT), "stop-listener")
        assert remedy["commands"] == ["systemctl stop pair.service"]
        assert "That ends sleep (pid " in remedy["summary"]
        paste(host, remedy)
        comes_free(host)


@contextlib.contextmanager
def sshd(host: Machine) -> Iterator[list[str]]:
    """Run Debian's ssh.service without PAM, so that its sessions stay in its control group; how to log in."""
    needs("/usr/sbin/sshd", "openssh-server")
    needs("/usr/bin/ssh", "openssh-client")
    host.write("/etc/ssh/sshd_config.d/tests.conf", "UsePAM no\nListenAddress 127.0.0.1\nPermitRootLogin yes\n")
    host.run("sh", "-ec", "mkdir -p /run/sshd /root/.ssh; rm -f /root/.ssh/tests; ssh-keygen -A")
    host.run("sh", "-ec", "ssh-keygen -q -N '' -f /root/.ssh/tests; cp /root/.ssh/tests.pub /root/.ssh/authorized_keys")
    host.systemctl("start", "ssh.service")
    try:
        yield ["/usr/bin/ssh", "-i", "/root/.ssh/tests", "-o", "StrictHostKeyChecking=no", "root@127.0.0.1"]
    finally:
        host.systemctl("kill", "--kill-who=all", "ssh.service", check=False)
        host.systemctl("stop", "ssh.service")


def test_a_tunnel_whose_client_is_stopped(host: Machine) -> None:
    """Only the sshd of that session is ended: ssh.service runs on, other logins stay, new ones are let in."""
    with sshd(host) as login:
        tunnel = [*login[:-1], "-N", "-R", "127.0.0.1:19999:127.0.0.1:1", login[-1]]
        with host.transient("tunnel", *tunnel, Type="exec"), host.transient("login", *login, "sleep 1000", Type="exec"):
            comes_to_be_held(host, 19999)
            eventually(lambda: "sleep 1000" in host.run("ps", "-eo", "args").stdout, "the other login")
            host.systemctl("kill", "--signal=STOP", "tunnel.service")
            remedy = advice(host, "127.0.0.1:19999", "stop-listener")
            [command] = remedy["commands"]
            assert command.startswith("kill ")
            assert "ClientAliveInterval" in remedy["summary"]
            paste(host, remedy)
            comes_free(host, 19999)
            assert is_active(host, "ssh.service")
            assert is_active(host, "login.service")
            assert host.run(*login, "echo welcome").stdout == "welcome\n"
            host.systemctl("kill", "--signal=KILL", "tunnel.service")


def test_a_program_of_supervisord(host: Machine) -> None:
    """It is stopped where it would be started again; supervisord and its other programs run on."""
    needs("/usr/bin/supervisord", "supervisor")
    programs = "".join(
        f"[program:{name}]\ncommand={command}\nautorestart=true\n\n"
        for name, command in (("web", SERVER), ("other", "/usr/bin/sleep 1000"))
    )
    host.write("/etc/supervisor/conf.d/tests.conf", programs)
    host.systemctl("start", "supervisor.service")
    try:
        comes_to_be_held(host)
        remedy = advice(host, str(PORT), "stop-listener")
        assert remedy["commands"] == ["supervisorctl -c /etc/supervisor/supervisord.conf stop web"]
        paste(host, remedy)
        comes_free(host)
        eventually(lambda: "RUNNING" in host.run("supervisorctl", "status", "other").stdout, "the other program")
    finally:
        host.systemctl("stop", "supervisor.service")
        (host.root / "etc/supervisor/conf.d/tests.conf").unlink()


def test_a_program_of_a_second_supervisord(host: Machine) -> None:
    """Its own configuration is named: the usual supervisord does not know the program, or runs another of that name."""
    needs("/usr/bin/supervisord", "supervisor")
    sections = {
        "unix_http_server": "file=/run/second.sock",
        "supervisord": "nodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=/run/second.pid",
        "rpcinterface:supervisor": "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        "supervisorctl": "serverurl=unix:///run/second.sock",
        "program:web": f"command={SERVER}\nautorestart=true",
    }
    host.write("/opt/second.conf", "".join(f"[{name}]\n{text}\n" for name, text in sections.items()))
    with host.units({"second.service": service("/usr/bin/supervisord -c /opt/second.conf")}):
        host.systemctl("start", "second.service")
        comes_to_be_held(host)
        remedy = advice(host, str(PORT), "stop-listener")
        assert remedy["commands"] == ["supervisorctl -c /opt/second.conf stop web"]
        paste(host, remedy)
        comes_free(host)
        assert is_active(host, "second.service")


def needing(unit: str, how: str = "Requires") -> str:
    """Write a unit that stops with another one."""
    return f"[Unit]\n{how}={unit}\nAfter={unit}\n" + service("/usr/bin/sleep infinity")


def test_all_that_stops_with_a_unit_is_named(host: Machine) -> None:
    """A unit that requires one that requires it stops too; one that only wants it runs on and is not named."""
    files = {
        "first.service": service(SERVER),
        "second.service": needing("first.service"),
        "third.service": needing("second.service"),
        "part.service": needing("third.service", "PartOf"),
        "wants.service": needing("first.service", "Wants"),
    }
    with host.units(files):
        for unit in files:
            host.systemctl("start", unit)
        comes_to_be_held(host)
        remedy = advice(host, str(PORT), "stop-listener")
        assert "second.service, third.service and part.service stop with first.service" in remedy["summary"]
        paste(host, remedy)
        comes_free(host)
        assert [unit for unit in files if is_active(host, unit)] == ["wants.service"]


def test_all_that_stops_with_a_socket_unit_is_named(host: Machine) -> None:
    """What requires the socket unit, or the service that has its socket, stops with them."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n",
        "app.service": service("/usr/bin/sleep infinity"),
        "uses.service": needing("app.socket"),
        "more.service": needing("app.service"),
        "alone.service": service("/usr/bin/sleep infinity"),
    }
    with host.units(files):
        for unit in files:
            host.systemctl("start", unit)
        remedy = advice(host, str(PORT), "socket-unit")
        assert "uses.service and more.service stop with app.socket and app.service" in remedy["summary"]
        paste(host, remedy)
        comes_free(host)
        assert [unit for unit in files if is_active(host, unit)] == ["alone.service"]


def test_a_socket_unit_beside_one_that_failed(host: Machine) -> None:
    """Only the one that listens is named and stopped, together with the service that has its socket."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n",
        "app.service": service("/usr/bin/sleep infinity"),
        "late.socket": f"[Socket]\nListenStream={PORT}\n",
        "late.service": service("/usr/bin/sleep infinity"),
    }
    with host.units(files):
        host.systemctl("start", "app.socket")
        host.systemctl("start", "late.socket", check=False)
        assert host.show("late.socket", "ActiveState")["ActiveState"] == "failed"
        host.systemctl("start", "app.service")
        remedy = advice(host, str(PORT), "socket-unit")
        assert "late.socket" not in remedy["summary"]
        assert remedy["commands"] == ["systemctl stop app.socket app.service"]
        paste(host, remedy)
        comes_free(host)


def test_a_descriptor_store(host: Machine) -> None:
    """PID 1 has the port and no socket unit listens: the service whose store has it is named and stopped."""
    host.write("/opt/helpers/stored.py", STORED)
    files = {
        "keeps.service": service(
            "/usr/bin/python3 /opt/helpers/stored.py", Type="notify", NotifyAccess="all", FileDescriptorStoreMax="4"
        )
    }
    with host.units(files):
        host.systemctl("start", "keeps.service")
        assert not is_free(host, PORT)
        remedy = advice(host, str(PORT), "socket-unit")
        assert "descriptor store of keeps.service" in remedy["summary"]
        paste(host, remedy)
        comes_free(host)


@contextlib.contextmanager
def resolved(host: Machine) -> Iterator[None]:
    """Run Debian's systemd-resolved, whose package would change this system's resolver, from its unpacked files."""
    files = {
        "/lib/systemd/systemd-resolved": 0o755,
        "/lib/systemd/system/systemd-resolved.service": 0o644,
        "/usr/lib/sysusers.d/systemd-resolve.conf": 0o644,
        "/usr/share/dbus-1/system.d/org.freedesktop.resolve1.conf": 0o644,
    }
    for path, mode in files.items():
        (host.root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (host.root / path.lstrip("/")).write_bytes(file_of("systemd-resolved", path).read_bytes())
        (host.root / path.lstrip("/")).chmod(mode)
    host.run("systemd-sysusers")
    host.systemctl("daemon-reload")
    host.systemctl("try-reload-or-restart", "dbus.service")
    host.systemctl("start", "systemd-resolved.service")
    try:
        yield
    finally:
        host.systemctl("stop", "systemd-resolved.service")
        host.run("rm", "-rf", "/etc/systemd/resolved.conf.d")


def test_the_stub_of_systemd_resolved(host: Machine) -> None:
    """Its own setting gives the port back, and it runs on."""
    with resolved(host):
        comes_to_be_held(host, 53)
        remedy = advice(host, "53", "stop-listener")
        assert "DNSStubListener=no" in remedy["summary"]
        assert not any("stop" in command.split() for command in remedy["commands"])
        paste(host, remedy)
        comes_free(host, 53)
        assert is_active(host, "systemd-resolved.service")
        assert host.run("portwait", "explain", "53", "53/udp").returncode == 0


NETWORK = """[connection]
id=tests
type=bridge
interface-name=br9
[ipv4]
method=manual
address1=192.0.2.5/24
dns=192.0.2.53
[bridge]
stp=false
[ipv6]
method=disabled
"""


@contextlib.contextmanager
def network_manager(host: Machine) -> Iterator[None]:
    """Run Debian's NetworkManager with a connection and with a dnsmasq of its own."""
    needs("/usr/sbin/NetworkManager", "network-manager")
    host.write("/etc/NetworkManager/conf.d/dns.conf", "[main]\ndns=dnsmasq\n")
    host.write("/etc/NetworkManager/system-connections/tests.nmconnection", NETWORK, 0o600)
    host.systemctl("start", "NetworkManager.service")
    try:
        host.run("nm-online", "--wait-for-startup", "--timeout=30", "--quiet")
        host.run("nmcli", "connection", "load", "/etc/NetworkManager/system-connections/tests.nmconnection")
        host.run("nmcli", "connection", "up", "tests")
        yield
    except AssertionError:
        print(host.run("journalctl", "-u", "NetworkManager.service", "-n", "100", "--no-pager", check=False).stdout)
        raise
    finally:
        host.run("nmcli", "connection", "delete", "tests", check=False)
        host.systemctl("stop", "NetworkManager.service")
        host.run("rm", "-f", "/etc/NetworkManager/conf.d/dns.conf", "/etc/NetworkManager/conf.d/zz-portwait.conf")


def test_a_dnsmasq_of_networkmanager(host: Machine) -> None:
    """Ended by its own master's setting: the connection stays, and NetworkManager does not start it again."""
    with network_manager(host):
        comes_to_be_held(host, 53)
        first = owner_of(host, 53)
        host.run("kill", str(first))
        eventually(lambda: owner_of(host, 53) not in (0, first), "NetworkManager's next dnsmasq")
        remedy = advice(host, "53", "stop-listener")
        assert "NetworkManager runs it (dns=dnsmasq)" in remedy["summary"]
        paste(host, remedy)
        comes_free(host, 53)
        assert is_active(host, "NetworkManager.service")
        assert "192.0.2.5/24" in host.run("ip", "address", "show", "br9").stdout
        assert "nameserver 192.0.2.53" in host.run("cat", "/etc/resolv.conf").stdout


def test_systemd_is_asked_only_where_a_cure_stops_somebody(host: Machine) -> None:
    """Evicting and reserving need nothing of it; a listener's unit is asked for once, for several targets too."""
    needs("strace", "strace")

    def asked(*targets: str) -> int:
        done = host.run("strace", "-f", "-qq", "-e", "trace=execve", "portwait", "explain", *targets, check=False)
        return sum("/systemctl" in line and line.endswith("= 0") for line in done.stderr.splitlines())

    with host.blocked(PORT, "outbound"):
        assert asked(str(PORT)) == 0
    with host.units({"app.service": service(f"/usr/bin/python3 -m http.server {PORT}")}):
        host.systemctl("start", "app.service")
        comes_to_be_held(host)
        assert asked(str(PORT), f"127.0.0.1:{PORT}", f"0.0.0.0:{PORT}") == 1


OUT_OF_CONTAINER = ("--property=BindReadOnlyPaths=/dev/null:/run/systemd/container", "env", "--unset=container")
"""What lets a unit take its machine for a host."""


@contextlib.contextmanager
def no_container(host: Machine) -> Iterator[None]:
    """Take away the mark of the engine that runs the machine."""
    mark = host.root / ".dockerenv"
    was_there = mark.exists()
    mark.unlink(missing_ok=True)
    try:
        yield
    finally:
        if was_there:
            mark.touch()


@pytest.mark.parametrize("named", [True, False], ids=["named", "private"])
def test_a_unit_with_a_network_of_its_own(host: Machine, named: bool) -> None:
    """Rule: what its guard says is read in the journal, so a command to paste leads into that network by itself."""
    own = {"NetworkNamespacePath": "/run/netns/vpn"} if named else {"PrivateNetwork": "yes"}
    joined = [f"--property={key}={value}" for key, value in own.items()]
    joined += [] if named else ["--property=JoinsNamespaceOf=blocker.service"]
    take = (
        f"echo {PORT} {PORT} >/proc/sys/net/ipv4/ip_local_port_range; exec python3 {HELPERS}/blocker.py outbound {PORT}"
    )
    host.run("ip", "netns", "add", "vpn")
    try:
        host.run("ip", "-n", "vpn", "link", "set", "lo", "up")
        since = host.cursor()
        with (
            no_container(host),
            host.transient("blocker", "/bin/sh", "-c", take, **own),
            stopped_at_the_end(host, "app"),
        ):
            start = ("systemd-run", "--quiet", "--collect", "--unit=app", *joined, *OUT_OF_CONTAINER)
            host.run(*start, "portwait", "--timeout=inf", str(PORT), "--", "sleep", "inf")
            eventually(lambda: "waiting for" in said(host, since), "portwait's advice")
            (command,) = (line.strip() for line in said(host, since).splitlines() if " portwait evict" in line)
            assert command.startswith("nsenter --net=/run/netns/vpn " if named else 'nsenter --net="$(find /proc ')
            host.run("sh", "-ec", command)
            pid = host.show("app", "MainPID")["MainPID"]
            eventually(lambda: host.run("cat", f"/proc/{pid}/comm").stdout == "sleep\n", "the start")
            assert is_active(host, "blocker")
    finally:
        host.run("ip", "netns", "delete", "vpn")


@contextlib.contextmanager
def stopped_at_the_end(host: Machine, unit: str) -> Iterator[None]:
    """Stop a unit after the body."""
    try:
        yield
    finally:
        host.systemctl("stop", unit, check=False)


def said(host: Machine, since: str) -> str:
    """Read what the guard of app.service has said in the journal."""
    return "\n".join(entry.text for entry in host.journal("app.service", since))


def test_a_unit_whose_own_settings_are_read_only(host: Machine) -> None:
    """ProtectKernelTunables= is no container: what a unit's guard advises is pasted outside, and works there."""
    start = ("systemd-run", "--quiet", "--collect", "--wait", "--pipe", "--property=ProtectKernelTunables=yes")
    with no_container(host), host.blocked(PORT, "outbound"):
        done = host.run(*start, *OUT_OF_CONTAINER, "portwait", "explain", "--json", str(PORT), check=False)
    remedies = {remedy["code"]: remedy for remedy in json.loads(done.stdout)["targets"][0]["remedies"]}
    assert "container-sysctl" not in remedies
    paste(host, remedies["reserve-port"])
    reserved = host.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout
    host.run("portwait", "release", "--persist", str(PORT))
    assert str(PORT) in reserved

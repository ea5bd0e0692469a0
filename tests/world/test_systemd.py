"""contrib/systemd under a systemd that is PID 1: every file verified, installed, and used as its head says."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.netns import forced_source_port
from tests.support.programs import DEADLINE, eventually
from tests.support.states import listening, service_bind
from tests.support.systemd import EXAMPLES, HELD_AT_BOOT, HELPERS, RESERVED_AT_BOOT, ROOT, contrib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
FOLDER = ROOT / "contrib/systemd"
DROPINS = ("guard-pre.conf", "guard-exec.conf", "guard-fdstore.conf", "guard-listen.conf")
SOCKET_DROPIN = "guard-socket.conf"
DEBIAN = {
    "debian/nginx.conf": "nginx.service",
    "debian/redis-server.conf": "redis-server.service",
    "debian/tomcat10.conf": "tomcat10.service",
}
UNITS = {
    "portwait-hold@.service": "portwait-hold@30010.service",
    "portwait-reserve@.service": "portwait-reserve@30010-30020.service",
    "portwait-audit.service": "portwait-audit.service",
    "portwait-audit.timer": "portwait-audit.timer",
}
USER_UNITS = ("user/portwait-hold@.service",)


def own_command(kind: str, port: int = PORT) -> str:
    """Answer the command line of a service for a unit of that Type=."""
    return f"/usr/bin/python3 {HELPERS}/unit_service.py {kind} {port}"


def unit(kind: str, *lines: str, port: int = PORT) -> str:
    """Write a unit of that Type= as it was before portwait."""
    own = [f"Type={kind}", f"ExecStart={own_command(kind, port)}", "RuntimeDirectory=app"]
    own += ["PIDFile=/run/app/pid"] if kind == "forking" else []
    return "\n".join(["[Unit]", "Description=A service", "[Service]", *own, *lines, ""])


def dropin(name: str, kind: str = "simple") -> str:
    """Answer a drop-in with the service's own command put in, and nothing else changed."""
    text = contrib(name)
    for example in EXAMPLES:
        text = text.replace(example, own_command(kind))
    return text


@contextlib.contextmanager
def guarded(host: Machine, name: str, kind: str = "simple", *lines: str) -> Iterator[None]:
    """Install the service app.service with a drop-in."""
    files = {"app.service": unit(kind, *lines), "app.service.d/portwait.conf": dropin(name, kind)}
    with host.units(files):
        yield


def answers(host: Machine) -> bool:
    """Whether the service is there and serves."""
    try:
        with host.network(), socket.create_connection(("127.0.0.1", PORT), DEADLINE) as client:
            return client.recv(100) == b"hello from a unit\n"
    except ConnectionError:
        return False


def status(host: Machine, text: str = "waiting: ") -> str:
    """Wait until `systemctl status` says so, and answer the line."""

    def line() -> str:
        said = host.systemctl("status", "--full", "--no-pager", "app", check=False)
        return next((line for line in said.splitlines() if "Status: " in line and text in line), "")

    return eventually(line, f"a status of {text!r}")


def state(host: Machine, name: str = "app") -> tuple[str, str]:
    seen = host.show(name, "ActiveState", "Result")
    return seen["ActiveState"], seen["Result"]


def test_every_file_is_tested() -> None:
    """A file that is added to contrib/systemd has to be named here, and so gets its tests."""
    there = {str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file()}
    assert there == {"README.md", *DROPINS, SOCKET_DROPIN, *DEBIAN, *UNITS, *USER_UNITS}


@pytest.mark.parametrize("name", [*DROPINS, SOCKET_DROPIN, *DEBIAN, *UNITS, *USER_UNITS])
def test_systemd_has_nothing_to_say_against_it(host: Machine, name: str) -> None:
    """`systemd-analyze verify` is silent; a drop-in is verified with the unit that it belongs to."""
    if name in DROPINS:
        files, verified = {"app.service": unit("simple"), "app.service.d/x.conf": dropin(name)}, "app.service"
    elif name == SOCKET_DROPIN:
        files = {"app.socket": f"[Socket]\nListenStream={PORT}\n", "app.service": unit("simple")}
        files["app.socket.d/x.conf"] = contrib(name)
        verified = "app.socket"
    elif name in DEBIAN:
        files, verified = {f"{DEBIAN[name]}.d/x.conf": contrib(name)}, DEBIAN[name]
    else:
        files, verified = {}, UNITS.get(Path(name).name, UNITS["portwait-hold@.service"])
        host.write(f"/root/{Path(name).name}", contrib(name))
        host.write("/root/portwait-audit.service", contrib("portwait-audit.service"))
        template = Path(name).name
        if "@" in template and template != verified:
            (host.root / "root" / verified).unlink(missing_ok=True)
            (host.root / "root" / template).rename(host.root / "root" / verified)
        verified = f"/root/{verified}"
    with host.units(files) if files else contextlib.nullcontext():
        said = host.run("systemd-analyze", "verify", "--recursive-errors=no", verified)
    assert (said.stdout, said.stderr) == ("", "")


@pytest.mark.parametrize("name", [*DROPINS, SOCKET_DROPIN, *DEBIAN, *UNITS, *USER_UNITS])
def test_its_head_says_when_to_choose_it(name: str) -> None:
    """Whoever opens the file sees what it is for and what to change."""
    head = contrib(name).split("\n[", 1)[0]
    assert all(line.startswith("#") or not line for line in head.splitlines())
    assert name.endswith(".timer") or "install:" in head
    assert name in DEBIAN or name.endswith(".timer") or "Choose it " in head
    assert name.endswith(".timer") or "/usr/local/bin/portwait" in head


@pytest.mark.parametrize(
    ("name", "kind", "blocker"),
    [
        ("guard-pre.conf", "simple", "outbound"),
        ("guard-pre.conf", "notify", "listener"),
        ("guard-pre.conf", "forking", "outbound"),
        ("guard-exec.conf", "simple", "listener"),
        ("guard-exec.conf", "exec", "outbound"),
        ("guard-exec.conf", "notify", "outbound"),
        ("guard-exec.conf", "forking", "listener"),
        ("guard-fdstore.conf", "simple", "outbound"),
        ("guard-fdstore.conf", "notify", "listener"),
        ("guard-fdstore.conf", "forking", "outbound"),
    ],
)
def test_a_guarded_unit(host: Machine, name: str, kind: str, blocker: Literal["outbound", "listener"]) -> None:
    """Over a free port it starts, restarts and stops as ever; over a held one it waits, says for what, and starts."""
    with guarded(host, name, kind):
        host.systemctl("start", "app")
        eventually(lambda: answers(host), "the first start")
        before = host.show("app", "MainPID", "StatusText")
        assert "waiting" not in before["StatusText"]
        host.systemctl("restart", "app")
        eventually(lambda: answers(host), "the restart")
        assert host.show("app", "MainPID")["MainPID"] != before["MainPID"]
        host.systemctl("stop", "app")
        assert state(host) == ("inactive", "success")
        with host.blocked(PORT, blocker):
            host.systemctl("start", "--no-block", "app")
            words = "an outbound connection" if blocker == "outbound" else "a listener"
            assert f"{PORT}/tcp is held by {words}: python3 (pid " in status(host)
            assert "blocker.service" in status(host)
        eventually(lambda: state(host)[0] == "active", "the start after the wait")
        eventually(lambda: answers(host), "an answer")
        host.systemctl("stop", "app")
        assert state(host) == ("inactive", "success")
        with host.network():
            assert service_bind(PORT) == "ok"


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6"], "netlink is not allowed here"),
        (["RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK"], "an outbound connection: python3 (pid "),
        (["User=nobody", "ProtectProc=invisible", "ProcSubset=pid"], "owner not visible"),
        (["ProtectKernelTunables=yes", "Environment=PORTWAIT_RESERVE=1"], "failed to reserve 30010"),
        (["NoExecPaths=/", "ExecPaths=/usr/local/bin/portwait /opt/portwait /usr/bin/python3 /usr/lib"], "an outbound"),
        (["SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources"], "an outbound connection"),
        (["PrivateUsers=yes", "CapabilityBoundingSet=", "NoNewPrivileges=yes"], "an outbound connection"),
        (["ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes", "MemoryDenyWriteExecute=yes"], "an outbound"),
        (["LimitNOFILE=16", "TasksMax=2"], "see RLIMIT_NOFILE"),
    ],
    ids=["no netlink", "no IPv6", "no processes", "no sysctl", "no exec", "few calls", "no rights", "no files", "poor"],
)
def test_what_hardening_takes_away_it_says_and_guards_on(host: Machine, lines: list[str], said: str) -> None:
    """The wrapper runs with what the unit allows its service."""
    with guarded(host, "guard-exec.conf", "simple", *lines):
        since = host.cursor()
        with host.blocked(PORT, "outbound"):
            host.systemctl("start", "--no-block", "app")
            assert f"{PORT}/tcp is held by " in status(host)
        eventually(lambda: answers(host), "the start after the wait")
        text = "\n".join(entry.text for entry in host.journal("app.service", since))
        assert said in text
        assert "Traceback" not in text


@pytest.mark.parametrize(
    ("name", "kind", "limit"),
    [
        ("guard-pre.conf", "notify", "TimeoutStartSec=3"),
        ("guard-exec.conf", "notify", "TimeoutStartSec=3"),
        ("guard-exec.conf", "simple", "WatchdogSec=3"),
    ],
)
def test_the_start_is_not_timed_out_while_it_waits(host: Machine, name: str, kind: str, limit: str) -> None:
    """The limit is three seconds here (a busy machine needs one to start Python), and the wait is longer."""
    with guarded(host, name, kind, limit):
        with host.blocked(PORT, "outbound"):
            host.systemctl("start", "--no-block", "app")
            status(host)
            began = time.monotonic()
            eventually(lambda: time.monotonic() > began + 4.5, "more time than the unit allows")
            assert state(host) == ("active" if kind == "simple" else "activating", "success")
        eventually(lambda: answers(host), "an answer")
        eventually(lambda: state(host) == ("active", "success"), "the start after the wait")


@pytest.mark.parametrize("name", ["guard-exec.conf", "guard-fdstore.conf"])
@pytest.mark.parametrize("kind", ["simple", "exec", "notify", "forking"])
def test_stopping_the_wait_is_instant_and_no_failure(
    host: Machine, name: str, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """The unit ends inactive, OnFailure= does not fire, and nothing was started."""
    failed = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n"
    with (
        host.units({"alarm.service": failed}),
        guarded(host, name, kind, "[Unit]", "OnFailure=alarm.service"),
        host.blocked(PORT, "listener"),
    ):
        host.systemctl("start", "--no-block", "app")
        status(host)
        began = time.monotonic()
        host.systemctl("stop", "app")
        took = (time.monotonic() - began) * 1000
        assert state(host) == ("inactive", "success")
        assert state(host, "alarm")[0] == "inactive"
    record_property("milliseconds of systemctl stop", took)
    print(f"{name}, {kind}: stopped after {took:.0f} ms")  # for `pytest -s`


def test_stopping_an_execstartpre_makes_the_unit_failed(host: Machine) -> None:
    """That is systemd's rule, which the README warns of, whatever ends the process."""
    with guarded(host, "guard-pre.conf"), host.blocked(PORT, "listener"):
        host.systemctl("start", "--no-block", "app")
        status(host)
        host.systemctl("stop", "app")
        assert state(host) == ("failed", "signal")


def test_the_journal_has_one_line_for_each_change(host: Machine) -> None:
    """With the priorities of syslog, under the unit's own name; nothing while nothing changes."""
    with guarded(host, "guard-exec.conf"):
        since = host.cursor()
        with host.blocked(PORT, "outbound"):
            host.systemctl("start", "--no-block", "app")
            status(host)
        eventually(lambda: answers(host), "the start")
        entries = host.journal("app.service", since)
    heads = [(entry.priority, entry.text.split(":")[1].strip()) for entry in entries if entry.text[:9] == "portwait:"]
    assert [(priority, " ".join(text.split()[:2])) for priority, text in heads] == [
        (4, "30010/tcp is"),
        (6, "waiting for"),
        (6, "30010/tcp is"),
    ]
    assert {entry.unit for entry in entries} == {"app.service"}
    assert not [entry for entry in entries if entry.text.startswith("<")]
    warnings = [entry.text for entry in entries if entry.priority <= 4]
    assert len(warnings) == 1, "journalctl -p warning shows a change in one line, its details are information"


def test_giving_up_fails_with_its_own_status(host: Machine) -> None:
    """124; `systemctl status` still says why, the journal as an error."""
    with guarded(host, "guard-exec.conf", "simple", "Environment=PORTWAIT_TIMEOUT=3s"):
        since = host.cursor()
        with host.blocked(PORT, "listener"):
            host.systemctl("start", "app", check=False)
            assert "is held by a listener" in status(host, "gave up waiting: ")
            assert state(host) == ("failed", "exit-code")
            assert host.show("app", "ExecMainStatus")["ExecMainStatus"] == "124"
        assert [entry.priority for entry in host.journal("app.service", since) if "gave up" in entry.text] == [3]


@pytest.mark.parametrize(
    ("lines", "command", "exit_status", "restarts"),
    [
        ([], "/opt/no-such-command", "127", False),
        ([], "/etc/passwd", "126", False),
        (["Environment=PORTWAIT_TIMEOUT=nonsense"], "/bin/true", "125", False),
        (["Environment=PORTWAIT_TIMEOUT=0"], "/bin/true", "124", True),
    ],
    ids=["not found", "not executable", "called wrongly", "given up"],
)
def test_what_no_restart_cures_is_not_tried_again(
    host: Machine, lines: list[str], command: str, exit_status: str, restarts: bool
) -> None:
    """RestartPreventExitStatus= in the drop-in; giving up is tried again."""
    text = dropin("guard-exec.conf").replace(own_command("simple"), command)
    own = unit("simple", "Restart=on-failure", "RestartSec=1h", *lines)
    with contextlib.ExitStack() as stack:
        stack.enter_context(host.units({"app.service": own, "app.service.d/portwait.conf": text}))
        if exit_status == "124":
            stack.enter_context(host.blocked(PORT, "listener"))
        host.systemctl("start", "app", check=False)
        eventually(lambda: host.show("app", "ExecMainStatus")["ExecMainStatus"] == exit_status, exit_status)
        expected = "auto-restart" if restarts else "failed"
        eventually(lambda: host.show("app", "SubState")["SubState"] == expected, expected)


def test_the_descriptor_store_keeps_the_port_between_two_starts(host: Machine) -> None:
    """While the unit waits for its restart nobody can be given the port; after a stop everybody can. In silence."""
    with guarded(host, "guard-fdstore.conf", "simple", "Restart=always", "RestartSec=1h"):
        since = host.cursor()
        host.systemctl("start", "app")
        eventually(lambda: answers(host), "the start")
        host.systemctl("kill", "--signal=KILL", "app")
        eventually(lambda: host.show("app", "SubState")["SubState"] == "auto-restart", "the pause")
        assert not can_be_given(host, PORT)
        host.systemctl("restart", "app")
        eventually(lambda: answers(host), "the restart")
        assert host.show("app", "NFileDescriptorStore")["NFileDescriptorStore"] == "1"
        pid = int(host.show("app", "MainPID")["MainPID"])
        environment = host.run("cat", f"/proc/{pid}/environ").stdout
        assert "LISTEN_" not in environment
        host.systemctl("stop", "app")
        assert can_be_given(host, PORT)
        assert host.journal("app.service", since) == []


def test_a_store_that_is_not_there_is_said_in_the_journal(host: Machine) -> None:
    """The drop-in without FileDescriptorStoreMax=: the service starts, and one warning has the lines to add."""
    text = dropin("guard-fdstore.conf").replace("FileDescriptorStoreMax=1\n", "")
    with host.units({"app.service": unit("simple"), "app.service.d/portwait.conf": text}):
        since = host.cursor()
        host.systemctl("start", "app")
        eventually(lambda: answers(host), "the start")
        said = "\n".join(entry.text for entry in host.journal("app.service", since))
    assert "failed to keep 30010/tcp in systemd's descriptor store" in said
    assert "FileDescriptorStoreMax=1" in said


def can_be_given(host: Machine, port: int) -> bool:
    """Whether connect() is given the port where it can be given no other."""
    with host.network(), listening(7000), forced_source_port(port):
        done = subprocess.run(
            ["/usr/bin/python3", "-ISc", _CONNECT], capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout == f"{port}\n"


_CONNECT = """
import socket
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
try:
    client.connect(("127.0.0.1", 7000))
    print(client.getsockname()[1])
except OSError:
    print("none")
"""


def test_a_hold_unit_stands_since_the_early_boot(host: Machine) -> None:
    """Before anything that uses the network, as a user without any privilege."""
    name = f"portwait-hold@{HELD_AT_BOOT}"
    assert not can_be_given(host, HELD_AT_BOOT)
    seen = host.show(name, "ActiveState", "MainPID", "Before")
    assert seen["ActiveState"] == "active"
    assert "network-pre.target" in seen["Before"].split()
    process = host.run("cat", f"/proc/{seen['MainPID']}/status").stdout
    facts = dict(line.split(":\t", 1) for line in process.splitlines() if ":\t" in line)
    assert (facts["Name"], facts["CapEff"].strip("0"), facts["CapBnd"].strip("0")) == ("sleep", "", "")
    assert "0" not in facts["Uid"].split()


def test_a_hold_unit_lets_the_service_in_and_gives_the_port_back(host: Machine) -> None:
    """A service with SO_REUSEADDR has the port beside it; when the unit is stopped it is anybody's."""
    with host.units({"portwait-hold@.service": contrib("portwait-hold@.service"), "app.service": unit("simple")}):
        try:
            host.systemctl("start", f"portwait-hold@{PORT}")
            eventually(lambda: not can_be_given(host, PORT), "the hold")
            host.systemctl("start", "app")
            eventually(lambda: answers(host), "the service")
            host.systemctl("stop", "app")
            assert not can_be_given(host, PORT)
        finally:
            host.systemctl("stop", f"portwait-hold@{PORT}")
        assert state(host, f"portwait-hold@{PORT}") == ("inactive", "success")
        assert can_be_given(host, PORT)


def test_a_hold_unit_waits_for_its_port(host: Machine) -> None:
    """What has the port already keeps it, and then it is held; starting the unit keeps nobody waiting."""
    name = f"portwait-hold@{PORT}"
    with host.units({"portwait-hold@.service": contrib("portwait-hold@.service")}):
        try:
            with host.blocked(PORT, "outbound"):
                host.systemctl("start", name)
                assert state(host, name) == ("active", "success")
                eventually(lambda: "is held by" in host.show(name, "StatusText")["StatusText"], "the status")
            eventually(lambda: host.show(name, "StatusText")["StatusText"] == "", "the end of the wait")
            eventually(lambda: not can_be_given(host, PORT), "the hold")
        finally:
            host.systemctl("stop", name)


def test_a_reserve_unit_has_reserved_at_boot(host: Machine) -> None:
    """Before the network is used; stopping it releases the ports, starting it reserves them."""
    name = f"portwait-reserve@{RESERVED_AT_BOOT}"
    seen = host.show(name, "ActiveState", "Before")
    assert seen["ActiveState"] == "active"
    assert "network-pre.target" in seen["Before"].split()
    reserved = "/proc/sys/net/ipv4/ip_local_reserved_ports"
    assert host.run("cat", reserved).stdout.strip() == RESERVED_AT_BOOT
    host.systemctl("stop", name)
    assert host.run("cat", reserved).stdout.strip() == ""
    host.systemctl("start", name)
    assert host.run("cat", reserved).stdout.strip() == RESERVED_AT_BOOT


def test_the_audit_writes_its_metrics(host: Machine) -> None:
    """Where node_exporter reads them; that something is at risk is no failure of the unit."""
    metrics = "/var/lib/prometheus/node-exporter/portwait.prom"
    names = ("portwait-audit.service", "portwait-audit.timer")
    with host.units({name: contrib(name) for name in names}):
        host.run("mkdir", "-p", str(Path(metrics).parent))
        host.systemctl("start", "portwait-audit.timer")
        assert host.show("portwait-audit.timer", "ActiveState", "Unit") == {
            "ActiveState": "active",
            "Unit": "portwait-audit.service",
        }
        with host.network(), listening(40000):
            host.systemctl("start", "portwait-audit.service")
        assert state(host, "portwait-audit.service") == ("inactive", "success")
        assert "# TYPE portwait_" in host.run("cat", metrics).stdout


@pytest.fixture(scope="module")
def user(host: Machine) -> Iterator[Callable[..., str]]:
    """Run a user manager of an ordinary user, and answer its systemctl."""
    uid, runtime = "4711", "/run/portwait-user"
    host.run("useradd", "--create-home", "--uid", uid, "app")
    manager = "/lib/systemd/systemd"
    properties = {"User": uid, "Delegate": "yes", "RuntimeDirectory": "portwait-user", "KillMode": "mixed"}
    environment = {"XDG_RUNTIME_DIR": runtime}
    with host.transient(
        "user-manager", manager, "--user", Environment=f"XDG_RUNTIME_DIR={runtime}", TimeoutStopSec="10", **properties
    ):

        def systemctl(*words: str) -> str:
            drop = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups")
            setting = ("env", *(f"{key}={value}" for key, value in environment.items()))
            return host.run(*drop, *setting, "systemctl", "--user", *words).stdout.strip()

        yield systemctl


@pytest.mark.parametrize("name", DROPINS[:3])
def test_a_users_own_unit(host: Machine, user: Callable[..., str], name: str) -> None:
    """The drop-ins work in a user's manager as they are, the one with `+` without it."""
    folder = "/home/app/.config/systemd/user"
    host.write(f"{folder}/app.service", unit("simple").replace("RuntimeDirectory=app\n", ""))
    host.write(f"{folder}/app.service.d/portwait.conf", dropin(name).replace("ExecStartPre=+", "ExecStartPre="))
    user("daemon-reload")
    try:
        with host.blocked(PORT, "outbound"):
            user("start", "--no-block", "app")
            eventually(lambda: "waiting: 30010/tcp is held" in user("show", "app", "-P", "StatusText"), "the status")
        eventually(lambda: user("show", "app", "-P", "ActiveState") == "active", "the start")
        eventually(lambda: answers(host), "an answer")
    finally:
        user("stop", "app")
    assert user("show", "app", "-P", "ActiveState") == "inactive"


def test_portwait_unit_for_a_users_own_unit(host: Machine, user: Callable[..., str]) -> None:
    """`portwait unit --user`, run and pasted by the user: it goes into the user's folder, and the unit starts."""
    home = ("HOME=/home/app", "XDG_RUNTIME_DIR=/run/portwait-user")
    as_user = ("setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", "env", *home)
    host.write("/home/app/.config/systemd/user/app.service", unit("simple").replace("RuntimeDirectory=app\n", ""))
    host.run("chown", "-R", "4711:4711", "/home/app/.config")
    user("daemon-reload")
    try:
        with host.blocked(PORT, "outbound"):
            made = json.loads(host.run(*as_user, "portwait", "unit", "--user", "--json", "app", str(PORT)).stdout)
            assert (made["template"], made["path"]) == (
                "guard-exec.conf",
                "~/.config/systemd/user/app.service.d/portwait.conf",
            )
            host.run(*as_user, "sh", "-c", "\n".join(made["install"]))
            eventually(lambda: "waiting: 30010/tcp is held" in user("show", "app", "-P", "StatusText"), "the status")
        eventually(lambda: answers(host), "an answer")
        made = json.loads(host.run(*as_user, "portwait", "unit", "--user", "--json", "app").stdout)
        assert made["targets"] == [str(PORT)], "what it listens on now"
    finally:
        user("stop", "app")
        host.run("rm", "-rf", "/home/app/.config/systemd/user/app.service.d")


def test_a_users_own_hold(host: Machine, user: Callable[..., str]) -> None:
    """Without root from the beginning to the end."""
    host.write("/home/app/.config/systemd/user/portwait-hold@.service", contrib(USER_UNITS[0]))
    user("daemon-reload")
    user("start", f"portwait-hold@{PORT}")
    try:
        eventually(lambda: not can_be_given(host, PORT), "the hold")
    finally:
        user("stop", f"portwait-hold@{PORT}")
    assert can_be_given(host, PORT)


def test_a_container_that_boots_systemd_reads_its_own_files(host: Machine) -> None:
    """`reserve --persist` is for its next boot then. In another network namespace a note says that it is not."""
    note = "not read at boot for this network namespace"
    try:
        done = host.run("portwait", "reserve", "--persist", "40001")
        assert note not in done.stdout
        host.run("sh", "-c", "echo > /proc/sys/net/ipv4/ip_local_reserved_ports")
        host.systemctl("restart", "systemd-sysctl")
        assert host.run("cat", "/proc/sys/net/ipv4/ip_local_reserved_ports").stdout == "40001\n"
        elsewhere = host.run("unshare", "--net", "portwait", "reserve", "--persist", "40001")
        assert note in elsewhere.stdout
    finally:
        host.run("portwait", "release", "--persist", "40001")

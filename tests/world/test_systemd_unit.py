"""`portwait unit` under a systemd that is PID 1: what it prints is pasted, and the unit starts over a held port."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.packages import needs
from tests.support.programs import eventually, running
from tests.support.systemd import HELPERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Program
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
_HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SERVICE = f"/usr/bin/python3 {HELPERS}/unit_service.py"
GUNICORN = f"/usr/bin/gunicorn --chdir {HELPERS} applications:wsgi"


def unit(kind: str, *lines: str) -> str:
    """Write a unit of that Type= as it was before portwait."""
    own = [f"Type={kind}", "RuntimeDirectory=app", *(["PIDFile=/run/app/pid"] if kind == "forking" else [])]
    start = [] if any(line.startswith("ExecStart=") for line in lines) else [f"ExecStart={SERVICE} {kind} {PORT}"]
    return "\n".join(["[Unit]", "Description=A service", "[Service]", *own, *start, *lines, ""])


def printed(host: Machine, *words: str) -> dict[str, Any]:
    """Ask for the drop-in of a unit."""
    made: dict[str, Any] = json.loads(host.run("portwait", "unit", "--json", *words).stdout)
    return made


@contextlib.contextmanager
def pasted(host: Machine, made: dict[str, Any]) -> Iterator[Program]:
    """Paste the lines that install it, which end with a restart; afterwards nothing of it is left."""
    with running(host.start("sh", "-c", "\n".join(made["install"]))) as program:
        try:
            yield program
        finally:
            host.run("sh", "-c", f"rm -f {made['path']}")
            host.systemctl("daemon-reload")


def status(host: Machine, name: str = "app.service") -> str:
    """Read what the unit says of itself."""
    return host.show(name, "StatusText")["StatusText"]


HARDENED = (
    "DynamicUser=yes",
    "ProtectProc=invisible",
    "RestrictAddressFamilies=AF_UNIX AF_INET",
    "NoNewPrivileges=yes",
    "Delegate=yes",
)
UNITS = [
    ("guard-exec.conf", "simple", ()),
    ("guard-exec.conf", "forking", ()),
    ("guard-exec.conf", "simple", HARDENED),
    ("guard-fdstore.conf", "notify", ("Restart=always",)),
    ("guard-fdstore.conf", "notify", ("Restart=always", "NotifyAccess=all", "FileDescriptorStoreMax=2")),
    ("guard-pre.conf", "simple", ("NoExecPaths=/", "ExecPaths=/usr/bin /usr/lib /lib /lib64")),
    ("guard-pre.conf", "notify", ("AppArmorProfile=-unconfined", *HARDENED)),
]


@pytest.mark.parametrize(("template", "kind", "lines"), UNITS, ids=lambda value: "-".join(value) if value else "plain")
def test_the_unit_starts_over_a_held_port(host: Machine, template: str, kind: str, lines: tuple[str, ...]) -> None:
    """The template is the one that fits; pasted, the unit waits for the outbound connection, and then serves."""
    with host.units({"app.service": unit(kind, *lines)}), host.blocked(PORT, "outbound"):
        made = printed(host, "app", str(PORT))
        assert made["template"] == template
        with pasted(host, made) as shell:
            eventually(lambda: f"waiting: {PORT}/tcp is held by an outbound connection" in status(host), "the wait")
            said = host.run("systemd-analyze", "verify", "--recursive-errors=no", "app.service")
            assert (said.stdout, said.stderr) == ("", "")
            host.systemctl("stop", "blocker")
            eventually(lambda: host.ask(PORT) == b"hello from a unit\n", "an answer")
            assert shell.status() == 0, shell.describe()
            host.systemctl("stop", "app.service")


@pytest.mark.parametrize("who", ["User=daemon", "DynamicUser=yes"])
def test_a_portwait_that_the_units_user_cannot_execute(host: Machine, who: str) -> None:
    """As after an installation under umask 077: in front of ExecStart= it fails with 203/EXEC, so it goes before it."""
    program = host.root / "opt/portwait"
    mode = program.stat().st_mode
    program.chmod(0o700)
    try:
        with host.units({"app.service": unit("simple", who)}):
            made = printed(host, "app", str(PORT))
            assert made["template"] == "guard-pre.conf"
            assert "/opt/portwait (mode 0700) is closed to it" in made["why"][0]
            with pasted(host, made) as shell:
                assert shell.status() == 0, shell.describe()
                eventually(lambda: host.ask(PORT) == b"hello from a unit\n", "an answer")
                host.systemctl("stop", "app.service")
            made = printed(host, "--template", "guard-exec.conf", "app", str(PORT))
            with pasted(host, made):
                eventually(lambda: host.show("app.service", "ExecMainStatus")["ExecMainStatus"] == "203", "the failure")
            host.systemctl("stop", "app.service")
            host.systemctl("reset-failed", "app.service")
    finally:
        program.chmod(mode)


def test_the_text_is_the_file(host: Machine) -> None:
    """What is printed without --json can be redirected into the file as it is, and systemd warns of nothing."""
    with host.units({"app.service": unit("simple", "Restart=always")}):
        text = host.run("portwait", "unit", "app.service", str(PORT)).stdout
        lines = text.splitlines()
        assert lines[0] == "# /etc/systemd/system/app.service.d/portwait.conf"
        assert "guard-fdstore.conf" in text
        assert all(line.startswith("#") for line in lines[: lines.index("")])
        host.write("/etc/systemd/system/app.service.d/portwait.conf", text)
        try:
            host.systemctl("daemon-reload")
            said = host.run("systemd-analyze", "verify", "--recursive-errors=no", "app.service")
            assert (said.stdout, said.stderr) == ("", "")
            again = host.run("portwait", "unit", "app.service", str(PORT)).stdout
            assert again == text, "its own drop-in of an earlier time is no part of the unit"
        finally:
            (host.root / "etc/systemd/system/app.service.d/portwait.conf").unlink()


def test_a_service_that_takes_sockets(host: Machine) -> None:
    """guard-listen.conf: portwait waits, listens, and passes the socket on to gunicorn."""
    needs("/usr/bin/gunicorn", "gunicorn")
    with host.units({"app.service": unit("simple", f"ExecStart={GUNICORN}")}), host.blocked(PORT, "outbound"):
        made = printed(host, "app", str(PORT))
        assert made["template"] == "guard-listen.conf"
        with pasted(host, made) as shell:
            eventually(lambda: "waiting" in status(host), "the wait")
            host.systemctl("stop", "blocker")
            eventually(lambda: host.ask(PORT, _HTTP).startswith(b"HTTP/1.1 200 OK"), "an answer")
            assert shell.status() == 0, shell.describe()
            host.systemctl("stop", "app.service")


def test_a_socket_unit(host: Machine) -> None:
    """Systemd binds the port: without the drop-in the socket unit fails at once, with it it waits and then listens."""
    needs("/usr/bin/gunicorn", "gunicorn")
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n",
        "app.service": unit("simple", f"ExecStart={GUNICORN}"),
    }
    with host.units(files), host.blocked(PORT, "outbound"):
        assert "failed" in host.run("systemctl", "start", "app.socket", check=False).stderr.lower()
        host.systemctl("reset-failed", "app.socket")
        made = printed(host, "app.service")
        assert (made["template"], made["unit"], made["targets"]) == ("guard-socket.conf", "app.socket", [str(PORT)])
        with pasted(host, made) as shell:
            eventually(lambda: host.show("app.socket", "SubState")["SubState"] == "start-pre", "the wait")
            host.systemctl("stop", "blocker")
            eventually(lambda: host.ask(PORT, _HTTP).startswith(b"HTTP/1.1 200 OK"), "an answer")
            assert shell.status() == 0, shell.describe()
            host.systemctl("stop", "app.socket", "app.service")


def test_a_socket_unit_on_one_address(host: Machine) -> None:
    """A connection from another address is not in the way of what systemd binds, and the socket unit starts over it."""
    files = {
        "app.socket": f"[Socket]\nListenStream=127.0.0.2:{PORT}\nListenDatagram=127.0.0.1:{PORT}\n",
        "app.service": unit("simple", "ExecStart=/bin/true"),
    }
    with host.units(files), host.blocked(PORT, "outbound"):
        made = printed(host, "app.service")
        assert made["targets"] == [f"127.0.0.2:{PORT}", f"127.0.0.1:{PORT}/udp"]
        with pasted(host, made) as shell:
            assert shell.status() == 0, shell.describe()
            assert host.show("app.socket", "ActiveState")["ActiveState"] == "active"
            host.systemctl("stop", "app.socket")


@pytest.mark.parametrize("runs", [True, False])
def test_a_socket_unit_that_is_off(host: Machine, runs: bool) -> None:
    """The service binds its port itself, as Debian's sshd does: it is guarded, and keeps running without the socket."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\n[Install]\nWantedBy=sockets.target\n",
        "app.service": unit("notify"),
    }
    with host.units(files):
        if runs:
            host.systemctl("start", "app.service")
        made = printed(host, "app.service", str(PORT))
        assert (made["template"], made["unit"]) == ("guard-exec.conf", "app.service")
        with pasted(host, made) as shell:
            assert shell.status() == 0, shell.describe()
            assert host.show("app.service", "ActiveState")["ActiveState"] == "active"
            assert host.show("app.socket", "ActiveState")["ActiveState"] == "inactive"


DEBIAN = [
    ("redis-server", 6379, b"PING\r\n", b"+PONG"),
    ("nginx", 80, _HTTP, b"HTTP/1.1 200 OK"),
    ("tomcat10", 8080, _HTTP, b"HTTP/1.1 "),
]


@pytest.mark.parametrize(("package", "port", "question", "expected"), DEBIAN, ids=[row[0] for row in DEBIAN])
def test_a_service_of_debian(host: Machine, package: str, port: int, question: bytes, expected: bytes) -> None:
    """No port is named: it is read off the running service; the drop-in is the one that contrib has for the package."""
    name = f"{package}.service"
    needs(f"/lib/systemd/system/{name}", package)
    host.systemctl("start", name)
    eventually(lambda: host.ask(port, question).startswith(expected), "an answer before")
    made = printed(host, package)
    host.systemctl("stop", name)
    assert made["template"] == f"debian/{package}.conf"
    loopback = [f"127.0.0.1:{port}", f"[::1]:{port}"]  # Debian's redis.conf
    assert made["targets"] == (loopback if package == "redis-server" else [str(port)])
    with host.blocked(port, "outbound"), pasted(host, made) as shell:
        try:
            held = f"waiting: {made['targets'][0]}/tcp is held by an outbound connection"
            eventually(lambda: held in status(host, name), "the wait", 20)
            said = host.run("systemd-analyze", "verify", "--recursive-errors=no", name)
            assert (said.stdout, said.stderr) == ("", "")
            host.systemctl("stop", "blocker")
            eventually(lambda: host.ask(port, question).startswith(expected), "an answer")
            assert shell.status() == 0, shell.describe()
        finally:
            host.systemctl("stop", name)


def test_what_cannot_be_guarded(host: Machine) -> None:
    """One line and status 125: no such unit, no service, no port to be seen, and a unit that has portwait already."""
    files = {
        "app.service": unit("simple"),
        "own.service": unit("simple", f"ExecStart=/usr/local/bin/portwait {PORT} -- a"),
    }
    with host.units(files):
        for words, said in (
            (["nothing.service", "80"], "knows no such unit"),
            (["user@", "80"], "it is a template; name an instance, as in `portwait unit user@NAME`"),
            (["app.socket"], "only services are guarded"),
            (["app.service"], "it has no listener now, so name a TARGET, as in `portwait unit app.service 30010`"),
            (["own.service", "80"], "its ExecStart= has portwait already"),
            (["../x", "80"], "expected a service's name"),
            ([], "name a UNIT"),
        ):
            done = host.run("portwait", "unit", *words, check=False)
            assert (words, done.returncode, done.stderr.count("\n")) == (words, 125, 1)
            assert said in done.stderr

"""guard-listen.conf with services that take sockets: who connects before they are up gets an answer all the same."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.packages import needs
from tests.support.programs import DEADLINE, eventually
from tests.support.states import states_on
from tests.support.systemd import HELPERS, contrib

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
GATE = "/run/gate"
EXAMPLE = "30010 -- /usr/bin/gunicorn app:wsgi"
LIGHTTPD = f"""
server.systemd-socket-activation = "enable"
server.document-root = "{HELPERS}"
server.bind = "0.0.0.0"
server.port = {PORT}
"""


class Service(NamedTuple):
    """A service that knows LISTEN_FDS."""

    package: str
    target: str
    command: str
    path: str
    answer: bytes


GUNICORN = Service(
    "gunicorn", "30010", f"/usr/bin/gunicorn --chdir {HELPERS} applications:wsgi", "/", b"hello from wsgi\n"
)
LIGHTTPD_SERVICE = Service(
    "lighttpd", "0.0.0.0:30010", "/usr/sbin/lighttpd -D -f /opt/lighttpd.conf", "/hello", b"hello from lighttpd\n"
)


@pytest.mark.parametrize("service", [GUNICORN, LIGHTTPD_SERVICE], ids=lambda service: service.package)
def test_a_client_is_answered_that_came_too_early(host: Machine, service: Service) -> None:
    """Before the first start is over, and while the unit is down between two; nobody is refused."""
    needs(service.command.split()[0], service.package)
    host.write("/opt/lighttpd.conf", LIGHTTPD)
    host.write(f"{HELPERS}/hello", "hello from lighttpd\n")
    host.run("rm", "-f", GATE)
    host.run("mkfifo", GATE)
    gated = f"{service.target} -- /bin/sh -c 'read _ < {GATE}; exec {service.command}'"
    files = {
        "app.service": "[Service]\nExecStart=/bin/false\nRestart=always\nRestartSec=200ms\n",
        "app.service.d/portwait.conf": contrib("guard-listen.conf").replace(EXAMPLE, gated),
    }
    with host.units(files):
        host.systemctl("start", "app")
        with host.network():
            eventually(lambda: "LISTEN" in states_on(PORT), "portwait's listening")
        with connected(host, service) as client:
            open_gate(host)
            assert read(client).endswith(service.answer)
        first = host.show("app", "MainPID")["MainPID"]
        host.systemctl("kill", "--signal=KILL", "app")
        with connected(host, service) as client:
            open_gate(host)
            assert read(client).endswith(service.answer)
        assert host.show("app", "MainPID")["MainPID"] != first


@contextlib.contextmanager
def connected(host: Machine, service: Service) -> Iterator[socket.socket]:
    """Connect now, and ask; whoever serves may answer later."""
    with host.network():
        client = socket.create_connection(("127.0.0.1", PORT), DEADLINE)
    with client:
        client.sendall(f"GET {service.path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        yield client


def read(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(4096), b""))


def open_gate(host: Machine) -> None:
    """Let the service behind portwait go on; this waits until it stands at the gate."""
    host.run("sh", "-c", f"echo go > {GATE}")

"""Debian's own services behind portwait, each with the hardening that its unit has."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.packages import needs
from tests.support.programs import DEADLINE, eventually
from tests.support.systemd import contrib

if TYPE_CHECKING:
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world


class Service(NamedTuple):
    """A unit of a Debian package, and how to know that it serves."""

    package: str
    port: int
    question: bytes
    answer: bytes

    @property
    def unit(self) -> str:
        return f"{self.package}.service"

    @property
    def shipped(self) -> str:
        """The drop-in that contrib has for it."""
        return contrib(f"debian/{self.package}.conf")

    @property
    def before(self) -> str:
        """The drop-in that leaves its ExecStart= as it is."""
        return contrib("guard-pre.conf").replace("30010", str(self.port))

    def answers(self, host: Machine) -> bool:
        """Whether it serves."""
        try:
            with host.network(), socket.create_connection(("127.0.0.1", self.port), DEADLINE) as client:
                client.sendall(self.question)
                return client.recv(4096).startswith(self.answer)  # closed from this end first: no TIME_WAIT there
        except ConnectionError:
            return False


_HTTP = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
REDIS = Service("redis-server", 6379, b"PING\r\n", b"+PONG")
NGINX = Service("nginx", 80, _HTTP, b"HTTP/1.1 200 OK")
TOMCAT = Service("tomcat10", 8080, _HTTP, b"HTTP/1.1 ")


@pytest.mark.parametrize(
    ("service", "form"),
    [(REDIS, "before"), (REDIS, "shipped"), (NGINX, "before"), (NGINX, "shipped"), (TOMCAT, "shipped")],
    ids=lambda value: value.package if isinstance(value, Service) else value,
)
def test_a_service_of_debian(host: Machine, service: Service, form: str) -> None:
    """It starts and restarts as without portwait; over an outbound connection it waits, starts, and stops cleanly."""
    needs(f"/lib/systemd/system/{service.unit}", service.package)
    with host.units({f"{service.unit}.d/portwait.conf": getattr(service, form)}):
        with host.blocked(service.port, "outbound"):
            host.systemctl("start", "--no-block", service.unit)
            assert f"{service.port}/tcp is held by an outbound connection" in waiting(host, service)
        eventually(lambda: state(host, service) == "active", "the start")
        eventually(lambda: service.answers(host), "an answer")
        if service is not TOMCAT:  # seconds of a JVM's start
            host.systemctl("restart", service.unit)
            eventually(lambda: service.answers(host), "an answer after the restart")
            assert status(host, service) in ("", "Ready to accept connections")
        host.systemctl("stop", service.unit)
        assert state(host, service) == "inactive"


def test_outside_of_the_hardening_the_owner_is_seen(host: Machine) -> None:
    """ExecStartPre=+ runs as root and without redis-server's ProtectProc=: it names the process and its unit."""
    with host.units({f"{REDIS.unit}.d/portwait.conf": REDIS.before}), host.blocked(REDIS.port, "outbound"):
        host.systemctl("start", "--no-block", REDIS.unit)
        said = waiting(host, REDIS)
        assert "an outbound connection: python3 (pid " in said
        assert "blocker.service" in said


@pytest.mark.parametrize(
    ("without", "lost"),
    [("RestrictAddressFamilies=AF_NETLINK\n", "cannot see everything"), ("", "owner not visible")],
    ids=["without netlink", "with netlink"],
)
def test_within_the_hardening_it_guards_and_says_what_it_lost(host: Machine, without: str, lost: str) -> None:
    """As redis's user, without any capability, with ProtectProc=invisible, PrivateUsers= and a system call filter."""
    text = REDIS.shipped.replace(without, "") if without else REDIS.shipped
    with host.units({f"{REDIS.unit}.d/portwait.conf": text}):
        since = host.cursor()
        with host.blocked(REDIS.port, "outbound"):
            host.systemctl("start", "--no-block", REDIS.unit)
            eventually(lambda: "waiting: 6379/tcp is held" in status(host, REDIS), "the status")
        eventually(lambda: state(host, REDIS) == "active", "the start")
        eventually(lambda: REDIS.answers(host), "an answer")
        said = "\n".join(entry.text for entry in host.journal(REDIS.unit, since))
        assert lost in said
        assert "Traceback" not in said


def status(host: Machine, service: Service) -> str:
    return host.show(service.unit, "StatusText")["StatusText"]


def waiting(host: Machine, service: Service) -> str:
    """Answer what a start that waits says of itself; the service's own last words can still be there before it."""
    eventually(lambda: status(host, service).startswith("waiting: "), "the status")
    return status(host, service)


def state(host: Machine, service: Service) -> str:
    return host.show(service.unit, "ActiveState")["ActiveState"]

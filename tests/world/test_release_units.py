"""The .deb under a systemd that is PID 1, of Debian 12 and of Debian 13: the units and drop-ins that it brings."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import eventually
from tests.support.roots import lines_of
from tests.support.states import service_bind
from tests.support.systemd import EXAMPLES, HELPERS, machine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.release import Release
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
DOCUMENTS = "/usr/share/doc/portwait-guard/systemd"
METRICS = "var/lib/prometheus/node-exporter"
ELSEWHERE = ("/usr/local/", "/opt/portwait", "/usr/bin/python3", "its first line names")
OWN = f"/usr/bin/python3 {HELPERS}/unit_service.py"
LISTENS = f"/usr/bin/python3 {HELPERS}/takes_socket.py"


@pytest.fixture(scope="module", params=["Debian 12", "Debian 13"])
def system(request: pytest.FixtureRequest, release: Release) -> Iterator[Machine]:
    """Boot each, and install the package while it runs."""
    with contextlib.ExitStack() as stack:
        if request.param == "Debian 12":
            booted = stack.enter_context(machine(_without_portwait))
        else:
            booted = request.getfixturevalue("docker_host")
        shutil.copy(release.deb, booted.root / "root")
        install, purge = lines_of("Debian 11 to 13, Ubuntu", release)
        booted.run("sh", "-c", f"cd /root && {install}")
        (booted.root / METRICS).mkdir(parents=True, exist_ok=True)
        try:
            yield booted
        finally:
            booted.run("sh", "-c", purge.replace("purge", "purge --yes"))


def _without_portwait(root: Path) -> None:
    """Take away what other tests of a booted system use."""
    shutil.rmtree(root / "opt/portwait")
    (root / "usr/local/bin/portwait").unlink()


def document(system: Machine, name: str) -> str:
    """Read a drop-in of the package."""
    return (system.root / DOCUMENTS.lstrip("/") / name).read_text()


def status(system: Machine, unit: str) -> str:
    """Read what a unit says of itself."""
    return system.show(unit, "StatusText")["StatusText"]


def state(system: Machine, unit: str) -> str:
    """Say whether it is active."""
    return system.show(unit, "ActiveState")["ActiveState"]


def test_no_document_names_another_place(system: Machine) -> None:
    """The package is in /usr/bin and /usr/lib/portwait, and its Python is its own."""
    for folder in (DOCUMENTS, "/usr/lib/systemd/system"):
        for file in (system.root / folder.lstrip("/")).rglob("*portwait*" if "lib" in folder else "*"):
            text = file.read_text() if file.is_file() else ""
            assert not [word for word in ELSEWHERE if word in text], file


def test_systemd_has_nothing_to_say_against_the_units(system: Machine) -> None:
    """`systemd-analyze verify` is silent."""
    names = ("portwait-hold@30010.service", "portwait-reserve@30010.service", "portwait-audit.timer")
    said = system.run("systemd-analyze", "verify", "--recursive-errors=no", *names)
    assert (said.stdout, said.stderr) == ("", "")


def test_the_hold_waits_for_its_port(system: Machine) -> None:
    """portwait-hold@: behind a connection it waits and says so, then nobody is given the port, until it is stopped."""
    unit = f"portwait-hold@{PORT}.service"
    with system.blocked(PORT, "outbound"):
        system.systemctl("start", unit)
        eventually(lambda: f"waiting: {PORT}/tcp is held" in status(system, unit), "the wait")
    eventually(lambda: "sleep infinity" in system.systemctl("status", unit, check=False), "the hold")
    with system.network():
        assert service_bind(PORT) != "ok"
    system.systemctl("stop", unit)
    assert state(system, unit) == "inactive"
    with system.network():
        assert service_bind(PORT) == "ok"


def test_the_reservation_lasts_as_long_as_its_unit(system: Machine) -> None:
    """portwait-reserve@: over a held port as over a free one."""
    unit, file = "portwait-reserve@30010-30020.service", "/proc/sys/net/ipv4/ip_local_reserved_ports"
    with system.blocked(PORT, "outbound"):
        system.systemctl("start", unit)
        assert "30010-30020" in system.run("cat", file).stdout
    system.systemctl("stop", unit)
    assert state(system, unit) == "inactive"
    assert "30010" not in system.run("cat", file).stdout


def test_the_audit_writes_its_metrics(system: Machine) -> None:
    """portwait-audit: at risk or not, the service succeeds; its timer starts and stops."""
    with system.blocked(PORT, "outbound"):
        system.systemctl("start", "portwait-audit.service")
    assert "portwait_" in (system.root / METRICS / "portwait.prom").read_text()
    system.systemctl("start", "portwait-audit.timer")
    assert state(system, "portwait-audit.timer") == "active"
    system.systemctl("stop", "portwait-audit.timer", "portwait-audit.service")
    assert state(system, "portwait-audit.timer") == "inactive"


@pytest.mark.parametrize("name", ["guard-pre.conf", "guard-exec.conf", "guard-fdstore.conf", "guard-listen.conf"])
def test_a_guarded_unit(system: Machine, name: str) -> None:
    """Each drop-in, with the service's own command put in: it waits over a held port, starts, serves and stops."""
    command = LISTENS if "listen" in name else f"{OWN} simple {PORT}"
    text = document(system, name)
    for example in EXAMPLES:
        text = text.replace(example, command)
    unit = f"[Service]\nExecStart={command}\n"
    with system.units({"app.service": unit, "app.service.d/portwait.conf": text}):
        with system.blocked(PORT, "outbound"):
            system.systemctl("start", "--no-block", "app")
            eventually(lambda: f"waiting: {PORT}/tcp is held by an outbound" in status(system, "app"), "the wait")
        eventually(lambda: system.ask(PORT) != b"", "an answer")
        system.systemctl("stop", "app")
        assert state(system, "app") == "inactive"


def test_a_guarded_socket(system: Machine) -> None:
    """guard-socket.conf: systemd binds when the port is free."""
    files = {
        "app.socket": f"[Socket]\nListenStream={PORT}\nAccept=yes\n",
        "app@.service": "[Service]\nExecStart=/bin/echo hello\nStandardOutput=socket\n",
        "app.socket.d/portwait.conf": document(system, "guard-socket.conf"),
    }
    with system.units(files):
        with system.blocked(PORT, "outbound"):
            system.systemctl("start", "--no-block", "app.socket")
            eventually(lambda: state(system, "app.socket") == "activating", "the wait")
        eventually(lambda: system.ask(PORT) == b"hello\n", "an answer")
        system.systemctl("stop", "app.socket")
        assert state(system, "app.socket") == "inactive"


def test_within_redis_servers_hardening(system: Machine) -> None:
    """debian/redis-server.conf of the package: NoExecPaths=/ lets the packed portwait start, and nothing is lost."""
    unit = "redis-server.service"
    with system.units({f"{unit}.d/portwait.conf": document(system, "debian/redis-server.conf")}):
        with system.blocked(6379, "outbound"):
            system.systemctl("start", "--no-block", unit)
            eventually(lambda: "waiting: 6379/tcp is held" in status(system, unit), "the wait")
        eventually(lambda: system.ask(6379, b"PING\r\n").startswith(b"+PONG"), "an answer")
        system.systemctl("restart", unit)
        eventually(lambda: system.ask(6379, b"PING\r\n").startswith(b"+PONG"), "an answer after the restart")
        system.systemctl("stop", unit)
        assert state(system, unit) == "inactive"

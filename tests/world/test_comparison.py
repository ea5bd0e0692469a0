"""docs/comparison.md and the README say of other tools what these do: each one is run over the held port."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.descriptors import sockets_of
from tests.support.netns import forced_source_port
from tests.support.packages import needs
from tests.support.programs import DEADLINE, portwait, running
from tests.support.systemd import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Program

pytestmark = pytest.mark.world

_PORT = 30010
_CLIENT = """
import socket
client = socket.create_connection(("127.0.0.1", 7000))
print("ready", flush=True)
try:
    client.recv(1)
except OSError:
    pass
input()
"""
_PROGRAMS = {
    "wait-for-it": "wait-for-it",
    "fuser": "psmisc",
    "ss": "iproute2",
    "systemd-socket-activate": "systemd",
    "sysctl": "procps",
    "portwait": "",
}


class Row(NamedTuple):
    """A line of the table: what is typed, what it says, its status, what becomes of the client and of the port."""

    command: str
    says: str
    status: str
    client: str
    port: str


def _rows() -> list[Row]:
    text = (ROOT / "docs" / "comparison.md").read_text()
    cells = re.findall(r"^\| `([^`]+)`(?:, as root)? \| (.*?) \| (.*?) \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    return [Row(*row) for row in cells]


ROWS = [row for row in _rows() if row.command.split()[0] in _PROGRAMS]


def test_the_table_has_its_lines() -> None:
    """Those that are run here; the rest is from npm and PyPI, or has no command of its own."""
    assert len(ROWS) == 8


@pytest.fixture
def client(net: None) -> Iterator[Program]:  # noqa: ARG001  # the order: inside the private network
    """Start a client that the kernel gives the port to; the other end is this process."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 7000))
        server.listen()
        with contextlib.ExitStack() as stack:
            with forced_source_port(_PORT):
                program = stack.enter_context(running([sys.executable, "-c", _CLIENT], stdin=subprocess.PIPE))
                stack.enter_context(server.accept()[0])
                program.says("ready")
            assert [end.port for end in sockets_of(program.pid)] == [_PORT]
            yield program


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.command)
def test_a_line_of_the_table(row: Row, client: Program) -> None:
    """Typed as it stands, with a service that succeeds."""
    name = row.command.split()[0]
    if _PROGRAMS[name]:
        needs(name, _PROGRAMS[name])
    program = str(portwait()[0]) if name == "portwait" else shutil.which(name)
    command = row.command.replace(name, str(program), 1).replace(" service", " echo started")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, timeout=30)
    said = done.stdout + done.stderr
    assert done.returncode == (0 if row.status == "the service's" else int(row.status)), said
    for words in re.findall(r"`([^`]+)`", row.says):
        assert words in said
    assert ("started\n" in said) == ("starts the service" in row.says), said
    if row.client.startswith("lives"):
        assert client.process.poll() is None
    else:
        client.process.wait(DEADLINE)
    assert _bind() == (not row.port.startswith("held"))


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_no_option_of_the_service_helps(option: int, client: Program) -> None:
    """Neither of the two that are recommended everywhere."""
    assert not _bind(option)
    assert client.process.poll() is None


def _bind(option: int = socket.SO_REUSEADDR) -> bool:
    with socket.socket() as service:
        service.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            service.bind(("0.0.0.0", _PORT))  # noqa: S104  # as services do; it never listens
        except OSError:
            return False
    return True

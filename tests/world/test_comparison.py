"""docs/comparison.md and the README say of other tools what these do: each is run where the page's recipe leads to."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.support.packages import needs
from tests.support.programs import DEADLINE, portwait
from tests.support.systemd import ROOT

pytestmark = pytest.mark.world

_PORT = 30010
_STATE = f"""
import os, socket, sys, time
client, option, until = int(sys.argv[1]), getattr(socket, sys.argv[2]), time.monotonic() + float(sys.argv[3])
def lives():
    try:
        return any(os.readlink(link.path).startswith("socket:") for link in os.scandir(f"/proc/{{client}}/fd"))
    except OSError:
        return False
while lives() and time.monotonic() < until:
    time.sleep(0.01)
print("client", "lives" if lives() else "killed")
with socket.socket() as service:
    service.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        service.bind(("0.0.0.0", {_PORT}))
        print("port free")
    except OSError as error:
        print("port held:", error.strerror)
"""
"""Prints what became of the client, within so many seconds, and whether a service with this option can bind."""
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


@pytest.fixture(scope="module")
def recipe() -> str:
    """Read the commands of the page that lead to a shell beside the held port."""
    text = (ROOT / "docs" / "comparison.md").read_text()
    [block] = re.findall(r"^```sh\n(unshare .*?)```$", text, re.MULTILINE | re.DOTALL)
    return str(block)


def _typed(recipe: str, command: str, *, dies: bool = False, option: str = "SO_REUSEADDR") -> str:
    """Type a command into that shell, and answer all that is said: by it, then its status, the client and the port."""
    needs("fuser", "psmisc")
    state = shlex.join([sys.executable, "-IS", "-c", _STATE])
    seconds = DEADLINE if dies else 0
    lines = f"client=$(fuser {_PORT}/tcp 2>/dev/null)\n{command}\necho status $?\n{state} $client {option} {seconds}\n"
    done = subprocess.run(
        ["sh", "-c", recipe], input=lines, stdout=-1, stderr=subprocess.STDOUT, text=True, check=True, timeout=60
    )
    return done.stdout


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.command)
def test_a_line_of_the_table(row: Row, recipe: str) -> None:
    """Typed as it stands, with a service that succeeds."""
    name = row.command.split()[0]
    if _PROGRAMS[name]:
        needs(name, _PROGRAMS[name])
    program = str(portwait()[0]) if name == "portwait" else shutil.which(name)
    command = row.command.replace(name, str(program), 1).replace(" service", " echo started")
    said = _typed(recipe, command, dies="killed" in row.client)
    status = row.status.replace("the service's", "0")
    assert f"status {status}\n" in said, said
    for words in re.findall(r"`([^`]+)`", row.says):
        assert words in said
    assert ("started\n" in said) == ("starts the service" in row.says), said
    assert f"client {'lives' if row.client.startswith('lives') else 'killed'}\n" in said, said
    assert f"port {'held' if row.port.startswith('held') else 'free'}" in said, said


def test_ss_without_root(recipe: str) -> None:
    """The page's second line for it: a status of 0, and nothing is done."""
    text = (ROOT / "docs" / "comparison.md").read_text()
    [words] = re.findall(r"^\| the same, not as root \| `(.*)` \| 0 \| lives \| held \|$", text, re.MULTILINE)
    needs("ss", "iproute2")
    said = _typed(recipe, f"setpriv --reuid=65534 --clear-groups ss -K 'sport = :{_PORT}'")
    assert all(line in said for line in (words, "status 0\n", "client lives\n", "port held")), said


@pytest.mark.parametrize("option", ["SO_REUSEADDR", "SO_REUSEPORT"])
def test_no_option_of_the_service_helps(option: str, recipe: str) -> None:
    """Neither of the two that are recommended everywhere."""
    said = _typed(recipe, "true", option=option)
    assert said.endswith("client lives\nport held: Address already in use\n"), said


def test_the_demonstration_is_the_same() -> None:
    """README shows the same held port, so that what is said of killing the client is true there too."""
    [line] = re.findall("^  python3 -c .*$", (ROOT / "docs" / "comparison.md").read_text(), re.MULTILINE)
    assert line in (ROOT / "README.md").read_text().splitlines()

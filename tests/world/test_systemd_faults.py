"""One system call of `portwait unit` fails, each in its turn, under a systemd that is PID 1 (`support.faults`)."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fault_situations import RUNTIME, UNIT, UNITS, USER_UNIT
from tests.support.faults import HELPER, Elsewhere, Laboratory, Order, try_faults
from tests.support.programs import eventually
from tests.support.systemd import HELPERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.fault_situations import Situation
    from tests.support.faults import Call, Fault, Run
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT, USERS_PORT = 30010, 30013
FOLDER = "/var/lib/portwait-faults"
COMMAND = f"[Service]\nExecStart=/usr/bin/python3 {HELPERS}/unit_service.py simple"
DROP_INS = (f"etc/systemd/system/{UNIT}.d", f"root/.config/systemd/user/{USER_UNIT}.d")
SECONDS = 15
"""After which a run hangs."""


@pytest.fixture
def laboratory(host: Machine) -> Iterator[Laboratory]:
    """Run a service there, and portwait beside it."""
    host.write(f"{HELPERS}/faulty.py", HELPER.read_text())
    folder = host.root / FOLDER.removeprefix("/")
    folder.mkdir(exist_ok=True)
    there = Elsewhere(FOLDER, "/opt/portwait/bin/python", f"{HELPERS}/faulty.py", lambda pid: pid_here(host, pid))
    with host.units({UNIT: f"{COMMAND} {PORT}\nRuntimeDirectory=app\n"}):
        host.systemctl("start", UNIT)
        eventually(lambda: f":{PORT} " in host.run("ss", "-ltnH").stdout, "the service's listening")
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # without the tests' own portwait
        made = Laboratory(folder, host.start("env", path), there)
        yield made
        made.close()


@pytest.fixture
def users_service(host: Machine) -> Iterator[None]:
    """Run a manager of root's own there, and a service of it."""
    host.write(f"/etc/systemd/user/{USER_UNIT}", f"{COMMAND} {USERS_PORT}\n")
    properties = {"Delegate": "yes", "RuntimeDirectory": Path(RUNTIME).name, "KillMode": "mixed"}
    environment = f"XDG_RUNTIME_DIR={RUNTIME}"
    with host.transient("roots-manager", "/lib/systemd/systemd", "--user", Environment=environment, **properties):
        host.run("env", environment, "systemctl", "--user", "start", USER_UNIT)
        eventually(lambda: f":{USERS_PORT} " in host.run("ss", "-ltnH").stdout, "the service's listening")
        yield
        host.systemctl("kill", "--signal=KILL", "roots-manager")  # it would wait for its service


def pid_here(host: Machine, pid: int) -> int:
    """Find a process of the machine by its number there."""
    namespace = Path(f"/proc/{host.pid}/ns/pid").readlink()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns/pid").readlink() == namespace:
                [numbers] = re.findall(r"^NSpid:(.*)$", (process / "status").read_text(), re.MULTILINE)
                if int(numbers.split()[-1]) == pid:
                    return int(process.name)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    raise AssertionError(f"no process {pid} there")


@pytest.mark.parametrize("name", UNITS)
def test_one_failing_call(request: pytest.FixtureRequest, host: Machine, laboratory: Laboratory, name: str) -> None:
    """Rule: it prints the drop-in that it prints without the fault, or says why it cannot; and it writes nothing."""
    situation = UNITS[name]
    if USER_UNIT in situation.words:
        request.getfixturevalue("users_service")
    first, calls = undisturbed(laboratory, situation)
    elsewhere: list[Call] = []
    if os.environ.get("FAULTS"):
        elsewhere = [call for other in situation.like for call in undisturbed(laboratory, UNITS[other])[1]]
    read: Callable[[str], object] = json.loads if "--json" in situation.words else str
    expected = read(first.out)
    port = USERS_PORT if USER_UNIT in situation.words else 30011 if "30011" in situation.words else PORT
    assert str(port) in first.out

    def wrong_with(fault: Fault) -> str | None:
        done = laboratory.inject(fault, Order(situation.words, situation.variables), SECONDS)
        if laboratory.left():
            return "a process of it is left"
        return wrong_with_run(done, read, expected, fault.call) or (
            "it has written" if any((host.root / path).exists() for path in DROP_INS) else None
        )

    try_faults(laboratory, name, calls, wrong_with, elsewhere)


def undisturbed(laboratory: Laboratory, situation: Situation) -> tuple[Run, list[Call]]:
    """Run it without a fault; the run, and its calls."""
    done, calls = laboratory.undisturbed(Order(situation.words, situation.variables), SECONDS)
    assert (done.status, done.err) == (0, ""), done
    return done, calls


def wrong_with_run(done: Run, read: Callable[[str], object], expected: object, failing: str) -> str | None:
    """Say what is wrong with the outcome, or None."""
    ending = f"status {done.status}, said {done.err[-300:]!r}"
    if done.status not in (0, 125) or "Traceback" in done.err or "a bug in portwait" in done.err:
        return ending
    if done.status == 125:
        said = re.match(r"portwait: .*(cannot|failed to) .", done.err) or failing == "write"
        return None if said else f"no words: {ending}"
    if failing == "write" and not done.out:
        return None  # EPIPE: the reader has seen enough
    return None if read(done.out) == expected else f"it prints another drop-in: {done.out}"

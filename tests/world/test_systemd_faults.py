"""One system call of `portwait unit` fails, each in its turn, under a systemd that is PID 1 (`support.faults`)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.faults import HELPER, Elsewhere, Laboratory, Order, try_faults
from tests.support.programs import eventually
from tests.support.systemd import HELPERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.faults import Fault, Run
    from tests.support.systemd import Machine

pytestmark = pytest.mark.world

PORT = 30010
FOLDER = "/var/lib/portwait-faults"
SERVICE = f"[Service]\nExecStart=/usr/bin/python3 {HELPERS}/unit_service.py simple {PORT}\nRuntimeDirectory=app\n"
DROP_IN = "etc/systemd/system/faulty.service.d"
SECONDS = 15
"""After which a run hangs."""
SITUATIONS = {
    "unit": ("unit", "--json", "faulty.service"),
    "unit, with a target": ("unit", "--json", "faulty.service", "30011"),
    "unit, text": ("unit", "faulty.service"),
    "unit --template": ("unit", "--json", "--template=guard-pre.conf", "faulty.service"),
}


@pytest.fixture
def laboratory(host: Machine) -> Iterator[Laboratory]:
    """Run a service there, and portwait beside it."""
    host.write(f"{HELPERS}/faulty.py", HELPER.read_text())
    folder = host.root / FOLDER.removeprefix("/")
    folder.mkdir(exist_ok=True)
    there = Elsewhere(FOLDER, "/opt/portwait/bin/python", f"{HELPERS}/faulty.py", lambda pid: pid_here(host, pid))
    with host.units({"faulty.service": SERVICE}):
        host.systemctl("start", "faulty.service")
        eventually(lambda: f":{PORT} " in host.run("ss", "-ltnH").stdout, "the service's listening")
        made = Laboratory(folder, host.start(), there)
        yield made
        made.close()


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


@pytest.mark.parametrize("name", SITUATIONS)
def test_one_failing_call(host: Machine, laboratory: Laboratory, name: str) -> None:
    """Rule: it prints the drop-in that it prints without the fault, or says why it cannot; and it writes nothing."""
    order = Order(SITUATIONS[name])
    first, calls = laboratory.undisturbed(order, SECONDS)
    assert (first.status, first.err) == (0, "")
    read: Callable[[str], object] = json.loads if "--json" in order.words else str
    expected = read(first.out)
    assert ("30011" if "30011" in order.words else str(PORT)) in first.out

    def wrong_with(fault: Fault) -> str | None:
        done = laboratory.inject(fault, order, SECONDS)
        if laboratory.left():
            return "a process of it is left"
        return wrong_with_run(done, read, expected, fault.call) or (
            "it has written" if (host.root / DROP_IN).exists() else None
        )

    try_faults(laboratory, name, calls, wrong_with)


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

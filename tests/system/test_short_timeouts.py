"""A timeout that is shorter than the narrator's first answer: the port is not taken for free, and the holder is named.

A busy host makes the narrator slow; here it sleeps before it reads the socket tables.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import signal
import time
from typing import TYPE_CHECKING

import pytest

from portwait import parse
from portwait.bind.survey import Survey
from portwait.log import Log
from portwait.options.record import Options
from portwait.wait import outcome
from tests.support import states
from tests.support.guarding import GAVE_UP, STARTED, changed, guard, run, slow_tables
from tests.support.netns import sysctl
from tests.support.programs import eventually, portwait, running
from tests.support.states import outbound_established
from tests.support.surroundings import lacking
from tests.system.test_hostile_wait import narrators_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.support.guarding import Outcome

pytestmark = pytest.mark.usefixtures("net")

PORT, PRIVILEGED = 30010, 80
SLOW = 0.3  # seconds
STUCK = 3600.0
BY_TABLES = {
    "more than 64 ports": ((), "30000-30099", PORT),
    "bind is denied": (lacking("net_bind_service"), str(PRIVILEGED), PRIVILEGED),
}
each_way = pytest.mark.parametrize(("before", "target", "port"), BY_TABLES.values(), ids=BY_TABLES)


@pytest.fixture(autouse=True)
def _privileged_ports(net: None) -> None:  # noqa: ARG001  # the order: inside the private network
    sysctl("net.ipv4.ip_unprivileged_port_start", "1024")


@each_way
@pytest.mark.parametrize("timeout", ["20ms", "200ms"])
@pytest.mark.parametrize("held", [True, False], ids=["held", "free"])
def test_where_the_tables_decide(before: tuple[str, ...], target: str, port: int, timeout: str, held: bool) -> None:
    """Rule: their answer decides, also when it comes after the deadline."""
    with states.listening(port) if held else contextlib.nullcontext():
        seen = run([*before, *slow(SLOW), "--timeout", timeout, target, "--", *STARTED])
    if held:
        assert (seen.status, seen.out) == (GAVE_UP, "")
        assert names_or_asks(seen, f"{port}/tcp is held by a listener")
    else:
        assert (seen.status, seen.out) == (0, "started\n")
        assert "failed" not in seen.err


@each_way
def test_tables_that_nobody_can_read(before: tuple[str, ...], target: str, port: int) -> None:
    """Rule: a narrator that is stuck for good keeps the service down for seconds only, and a line says what failed."""
    with states.listening(port):
        began = time.monotonic()
        seen = run([*before, *slow(STUCK), "--timeout", "20ms", target, "--", *STARTED])
    assert (seen.status, seen.out) == (0, "started\n")
    assert "failed to read the socket tables: no answer in time" in seen.err
    assert time.monotonic() - began >= 3


def test_a_guard_that_was_stopped() -> None:
    """Rule: before it gives up it reads what has come; the answer came while it could not read."""
    argv = [*slow(SLOW), "--timeout", "1", "30000-30099", "--", *STARTED]
    with states.listening(PORT), running(argv) as guarded:
        began = time.monotonic()
        eventually(lambda: narrators_of(guarded.pid), "the narrator")
        guarded.signal(signal.SIGSTOP)
        eventually(lambda: time.monotonic() > began + 4.5, "the end of the deadline and of what is granted after it")
        guarded.signal(signal.SIGCONT)
        assert guarded.status() == GAVE_UP
        assert guarded.out == []


def test_a_guard_that_asks_late() -> None:
    """Rule: the narrator's time begins when it is asked; the guard got no processor before it could ask."""
    late = (
        "from portwait.wait import narrator\n"
        "ask, said = narrator.Narrator.ask, []\n"
        "narrator.Narrator.ask = lambda *words: (said or said.append(time.sleep(3.5)), ask(*words))[1]\n"
    )
    argv = changed(slow_tables(SLOW) + late, "--timeout", "1", "30000-30099", "--", *STARTED)
    with states.listening(PORT):
        seen = run(argv)
    assert (seen.status, seen.out) == (GAVE_UP, "")


@pytest.mark.parametrize("timeout", ["50ms", "200ms"])
def test_where_bind_decides(timeout: str) -> None:
    """Rule: whoever is in the way is named, however short the timeout; where there is no processor for that, how to."""
    with outbound_established(PORT):
        seen = run([*slow(SLOW), "--timeout", timeout, str(PORT), "--", *STARTED])
    assert (seen.status, seen.out) == (GAVE_UP, "")
    assert names_or_asks(seen, f"{PORT}/tcp is held by an outbound connection")


@pytest.mark.parametrize(
    ("words", "make", "asked"),
    [
        ((str(PORT),), outbound_established, f"portwait explain {PORT}"),
        (("-4", "--no-reuseaddr", str(PORT)), outbound_established, f"portwait explain -4 --no-reuseaddr {PORT}"),
        (("--anyway", f"{PORT}/tcp"), states.listening, f"portwait explain {PORT}/tcp"),
        (("30020", f"30009-{PORT}"), states.listening, f"portwait explain {PORT}"),
    ],
)
def test_who_could_not_be_named(
    words: tuple[str, ...], make: Callable[[int], AbstractContextManager[object]], asked: str
) -> None:
    """Rule: the last line has the command that names them, for the bind that was asked for. Pasted, it does."""
    with make(PORT):
        seen = run([*slow(STUCK), "--timeout", "50ms", *words, "--", *STARTED])
        last = seen.err.splitlines()[-1]
        assert last.endswith(f". There was no time to find out why; ask with: {asked}")
        _, *pasted = shlex.split(last.rpartition(": ")[2])
        explained = guard(*pasted)
    assert explained.status == 1
    assert "is held by" in explained.out


@pytest.mark.parametrize(("asked", "waited", "hurried"), [(True, 1.0, True), (True, 60.0, False), (False, 1.0, False)])
def test_whether_time_was_the_reason(
    asked: bool, waited: float, hurried: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rule: nobody blames the time where whoever finds that out is gone, or had enough of it and is stuck."""
    with states.listening(PORT):
        survey = Survey(parse([str(PORT)]))
        survey.probe()
    outcome.conclude(survey, Options(), Log(), [], free=False, waited=waited, asked=asked)
    said = capfd.readouterr().err
    assert said.endswith(f"ask with: portwait explain {PORT}\n")
    assert ("no time" in said) == hurried


def test_without_descriptors_for_it() -> None:
    """Rule: the reason is named once, where it arises, and the last line gives no other."""
    with states.listening(PORT):
        seen = run(["prlimit", "--nofile=5", *portwait("--timeout", "100ms", str(PORT), "--", *STARTED)])
    first, last = seen.err.splitlines()[0], seen.err.splitlines()[-1]
    assert first == "portwait: failed to see who is in the way: Too many open files; continuing without it"
    assert re.search(rf"\. To find out why, ask with: (\S+/)?portwait explain {PORT}$", last)


def test_without_dev() -> None:
    """Rule: who is in the way is named also where there is no null device, in a chroot without /dev for example."""
    bare = ("unshare", "--mount", "sh", "-ec", 'mount -t tmpfs none /dev; exec "$@"', "sh")
    with states.listening(PORT):
        seen = run([*bare, *portwait("--timeout", "100ms", str(PORT), "--", *STARTED)])
    assert f"{PORT}/tcp is held by a listener" in seen.err
    assert "failed" not in seen.err


def names_or_asks(seen: Outcome, headline: str) -> bool:
    """Whether it says who is in the way, or else how to find out."""
    return (headline in seen.err) != ("ask with: portwait explain" in seen.err.splitlines()[-1])


def slow(seconds: float) -> list[str]:
    """Answer the guard of a host where the narrator takes this long to read the tables."""
    return changed(slow_tables(seconds))

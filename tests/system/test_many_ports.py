"""Many ports: the answer for a port is the same however many others are asked about with it.

A probe is a bound socket for a moment, so bind is asked about 64 ports at most. Of more the socket tables say which are
free, and bind is asked about the others. Where the tables call more than 64 held, they decide, and bind is asked only
about what would be destroyed.
"""

from __future__ import annotations

import contextlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait.bind.hold import Hold
from portwait.model.targets import parse
from tests.support import states
from tests.support.blockers import needs_bound_only
from tests.support.clients import pooled_client
from tests.support.guarding import GAVE_UP, STARTED, guard
from tests.support.netns import sysctl
from tests.support.programs import DEADLINE
from tests.support.states import MAPPED, states_on
from tests.support.surroundings import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
FREE, KEPT, EVICTED = "free", "held, and not evicted", "held, and evicted"
A_HUNDRED = 100  # ports, of which 65 are held beside the one that counts
WIDTHS = {"64 ports": 64, "65 ports": 65}


@contextlib.contextmanager
def hold(port: int) -> Iterator[None]:
    """Yield while another portwait keeps the port."""
    (target,) = parse([str(port)])
    kept = Hold(target, "default", reuseaddr=True)
    kept.take()
    assert kept.form is not None
    try:
        yield
    finally:
        kept.drop()


class Case(NamedTuple):
    """What is on the port, what the service wants, and the right answer."""

    maker: Maker
    right: str
    form: str = "{}"
    options: tuple[str, ...] = ()


_client = partial(
    states.outbound_established, reuseaddr=True, by="address"
)  # as haproxy and nginx with a source address

CASES = {
    "outbound": Case(states.outbound_established, EVICTED),
    "outbound-mapped": Case(partial(states.outbound_established, address=MAPPED), EVICTED),
    "outbound-ipv6": Case(partial(states.outbound_established, address="::1"), EVICTED),
    "outbound-ipv6 -6": Case(partial(states.outbound_established, address="::1"), EVICTED, options=("-6",)),
    "outbound -6": Case(states.outbound_established, FREE, options=("-6",)),
    "outbound another address": Case(states.outbound_established, FREE, form="127.0.0.2:{}"),
    "outbound its address": Case(states.outbound_established, EVICTED, form="127.0.0.1:{}"),
    "source-address": Case(_client, FREE),
    "source-address -4": Case(_client, FREE, options=("-4",)),
    "source-address its address": Case(_client, FREE, form="127.0.0.1:{}"),
    "source-address mapped": Case(partial(_client, address=MAPPED), FREE),
    "source-address ipv6": Case(partial(_client, address="::1"), FREE),
    "source-address --no-reuseaddr": Case(_client, EVICTED, options=("--no-reuseaddr",)),
    "source-address time-wait": Case(partial(states.outbound_time_wait, reuseaddr=True, by="address"), FREE),
    "client's time-wait": Case(states.outbound_time_wait, EVICTED),
    "own time-wait": Case(states.accepted_time_wait, FREE),
    "own time-wait --no-reuseaddr": Case(states.accepted_time_wait, EVICTED, options=("--no-reuseaddr",)),
    "plain server's time-wait": Case(partial(states.accepted_time_wait, reuseaddr=False), EVICTED),
    "own connection": Case(states.accepted_leftover, FREE),
    "plain server's connection": Case(partial(states.accepted_leftover, reuseaddr=False), KEPT),
    "listener": Case(states.listening, KEPT),
    "listener with connections": Case(states.accepted, KEPT),
    "bound": Case(states.bound_only, KEPT),
    "bound reuseaddr": Case(partial(states.bound_only, reuseaddr=True), FREE),
    "hold": Case(hold, FREE),
    "udp": Case(states.udp_connected, KEPT, form="{}/udp"),
}
BESIDE_A_MASS = (
    *("outbound", "outbound -6", "outbound another address", "source-address", "source-address ipv6", "hold"),
    *("source-address --no-reuseaddr", "client's time-wait", "own time-wait", "own connection", "listener", "udp"),
)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_width = pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)


def span(case: Case, width: int) -> tuple[str, ...]:
    """Write the options and the range of this many ports, of which the case's is the first."""
    return *case.options, case.form.format(f"{PORT}-{PORT + width - 1}")


@contextlib.contextmanager
def on_the_port(case: Case) -> Iterator[None]:
    if case.maker is states.bound_only or getattr(case.maker, "func", None) is states.bound_only:
        needs_bound_only()
    with case.maker(PORT):
        yield


@contextlib.contextmanager
def a_mass(case: Case) -> Iterator[None]:
    """Have servers on 65 of the hundred ports, which are in every service's way."""
    maker: Any = states.udp_bound if case.form.endswith("udp") else states.listening
    with contextlib.ExitStack() as stack:
        for port in range(PORT + 10, PORT + 75):
            stack.enter_context(maker(port, address="::"))
        yield


def sockets(case: Case) -> list[str]:
    """List the states of the sockets on the case's port."""
    return states_on(PORT, udp=case.form.endswith("udp"))


def told(verb: str, *words: str) -> dict[str, Any]:
    """Run a verb with --json; what it says of the case's port."""
    done = guard(verb, "--json", "-q" if verb == "evict" else "--json", *words)
    assert done.status in (0, 1), done.err
    found: dict[str, Any] = json.loads(done.out)["targets"][0]
    assert found["port"] == PORT
    return found


@each_case
def test_explain_and_a_rehearsal(case: Case) -> None:
    """Rule: the same verdict by bind, the same sockets and the same holds with 64 ports and with 65."""
    with on_the_port(case):
        few, many = (told("explain", *span(case, width)) for width in WIDTHS.values())
        rehearsed = [told("evict", "--dry-run", *span(case, width)) for width in WIDTHS.values()]
    assert few["verdict"] == ("free" if case.right == FREE else "held")
    said = ("verdict", "errno", "holds")
    assert [many[key] for key in said] == [few[key] for key in said]
    assert many["by"] == "bind" or (case.right == FREE and (*case.options, case.form) in _ELSEWHERE)
    shown = ("kind", "evidence", "state", "local", "remote", "inode", "evictable")
    assert [[one[key] for key in shown] for one in many["blockers"]] == [
        [one[key] for key in shown] for one in few["blockers"]
    ]
    assert [len(one["would_evict"]) for one in rehearsed] == 2 * [case.right == EVICTED]


_ELSEWHERE = {("-6", "{}"), ("127.0.0.2:{}",)}
"""Options and form of targets at whose address no socket of these cases is: the tables call them free."""


@each_case
@each_width
def test_the_guard(case: Case, width: int) -> None:
    """Rule: it starts what could start, and waits only for what is in the way."""
    with on_the_port(case):
        done = guard("--timeout", "0", *span(case, width), "--", *STARTED)
    assert (done.status, done.started) == ((0, True) if case.right == FREE else (GAVE_UP, False)), done.err


@each_case
@each_width
@pytest.mark.parametrize("by", ["evict", "--evict"])
def test_evicting(case: Case, width: int, by: str) -> None:
    """Rule: what is in nobody's way is not destroyed, and what is allowed and in the way is."""
    with on_the_port(case):
        before = sockets(case)
        if by == "evict":
            done = guard("evict", *span(case, width))
        else:
            done = guard("--evict", "--timeout", "0", *span(case, width), "--", *STARTED)
        assert sockets(case) == ([] if case.right == EVICTED else before)
    held = 1 if by == "evict" else GAVE_UP
    assert done.status == (held if case.right == KEPT else 0), done.err
    assert ("portwait: evicted " in done.err) == (case.right == EVICTED)


@pytest.mark.parametrize("case", [pytest.param(CASES[name], id=name) for name in BESIDE_A_MASS])
@pytest.mark.parametrize("by", ["evict", "--evict"])
def test_evicting_beside_a_mass(case: Case, by: str) -> None:
    """Rule: where more than 64 are held the tables decide what is held, and still bind what is destroyed."""
    with a_mass(case), on_the_port(case):
        before = sockets(case)
        seen = told("explain", *span(case, A_HUNDRED))
        if by == "evict":
            done = guard("evict", "-q", *span(case, A_HUNDRED))
        else:
            done = guard("--evict", "--timeout", "0", *span(case, A_HUNDRED), "--", *STARTED)
        assert sockets(case) == ([] if case.right == EVICTED else before)
    is_elsewhere = (*case.options, case.form) in _ELSEWHERE
    assert (seen["verdict"], seen["by"]) == ("free" if is_elsewhere and case.right == FREE else "held", "tables")
    assert (done.status, done.started) == (1 if by == "evict" else GAVE_UP, False)


@pytest.mark.parametrize(("words", "ends"), [(("reuseaddr",), False), ((), True)], ids=["reuseaddr", "plain"])
def test_terminating_beside_a_mass(words: tuple[str, ...], ends: bool) -> None:
    """Rule: no process is signalled whose sockets are in nobody's way."""
    case = CASES["outbound"]
    with a_mass(case), pooled_client(PORT, *words) as client:
        assert guard("--terminate", "--timeout", "0", *span(case, A_HUNDRED), "--", *STARTED).status == GAVE_UP
        if ends:
            client.process.wait(DEADLINE)
        assert (client.process.poll() is not None) == ends


def test_a_mass_that_ends() -> None:
    """Rule: as soon as no more than 64 are held by the tables, bind's word counts again."""
    case = CASES["source-address"]
    with on_the_port(case), contextlib.ExitStack() as stack:
        for port in range(PORT + 10, PORT + 80):
            stack.enter_context(states.outbound_established(port))
        done = guard("--evict", *span(case, A_HUNDRED), "--", *STARTED)
        assert done.started, done.err
        assert sockets(case) == ["ESTABLISHED"]
    assert "portwait: evicted " in done.err


@pytest.mark.parametrize("held", ["listener", "outbound", "own connection", "hold", "nothing"])
def test_bind_is_denied(held: str) -> None:
    """Rule: where bind has no word on them, the tables have the last one, the same with 64 ports and with 65."""
    before = lacking("net_bind_service")
    with on_the_port(CASES[held]) if held in CASES else contextlib.nullcontext():
        sysctl("net.ipv4.ip_local_port_range", "32768 60999")  # it must not reach below the other one
        sysctl("net.ipv4.ip_unprivileged_port_start", "32000")
        few, many = (
            json.loads(guard("explain", "--json", f"{PORT}-{PORT + width - 1}", before=before).out)["targets"][0]
            for width in WIDTHS.values()
        )
        started = [
            guard("-t", "0", f"{PORT}-{PORT + width - 1}", "--", *STARTED, before=before).status
            for width in WIDTHS.values()
        ]
    said = ("verdict", "errno", "by")
    if held == "nothing":
        assert [many[key] for key in said] == ["free", None, "tables"]
    else:
        assert [many[key] for key in said] == [few[key] for key in said]
        assert len(many["blockers"]) == len(few["blockers"])
    assert started[0] == started[1]

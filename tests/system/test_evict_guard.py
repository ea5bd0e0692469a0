"""The guard's `--evict`: what is destroyed before the service starts, and what is waited for."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import states
from tests.support.blockers import makers
from tests.support.clients import pooled_client
from tests.support.guarding import GAVE_UP, STARTED, changed, guard, run
from tests.support.netns import sysctl
from tests.support.programs import eventually, portwait, running
from tests.support.states import LOOPBACK, MAPPED, listening, outbound_established, states_on
from tests.support.surroundings import lacking

if TYPE_CHECKING:
    from tests.support.blockers import Maker

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
TELLS_THREE = "from portwait.eviction import clear; clear._TOLD = 3"
"""The guard that tells of the first three evictions one by one, instead of the first 64."""


class TestGuard:
    """`--evict`: the hold stands first, then it evicts, then it waits for what is left."""

    def test_the_service_starts_and_the_client_goes_elsewhere(self) -> None:
        """The evicted client's reconnect cannot take the port back, though there are only two; same process."""
        sysctl("net.ipv4.ip_local_port_range", f"{PORT} {PORT + 1}")
        with pooled_client(PORT) as program:
            sysctl("net.ipv4.ip_local_port_range", f"{PORT} {PORT + 1}")
            argv = portwait("--evict", "--log-format=json", str(PORT), "--", "sh", "-c", "echo started; exec cat")
            with running(argv, stdin=subprocess.PIPE) as service:  # it keeps the hold for as long as it lives
                assert service.says("started")
                assert service.complains('"evicted"')
                assert program.says(f"ready {PORT + 1}")
                told = [json.loads(line)["event"] for line in service.err]
                assert [event for event in told if event not in ("waiting", "free")] == ["held", "evicted"]
                assert program.process.poll() is None

    @pytest.mark.parametrize("address", [LOOPBACK, "::1", MAPPED], ids=["ipv4", "ipv6", "mapped"])
    @pytest.mark.parametrize("maker", makers("established", "time-wait"))
    def test_every_family(self, maker: Maker, address: str) -> None:
        """Whichever hold stands beside the blocker."""
        with maker(PORT, address=address):
            assert guard("--evict", str(PORT), "--", *STARTED).started

    def test_it_waits_for_what_is_left(self) -> None:
        """A refusal is said once, however often the guard looks; then it waits as without the option."""
        with contextlib.ExitStack() as stack:
            first = stack.enter_context(listening(PORT, address=LOOPBACK))
            argv = portwait("--evict", "--log-format=json", str(PORT), "--", *STARTED)
            waiting = stack.enter_context(running(argv))
            waiting.complains('"waiting"')
            second = stack.enter_context(listening(PORT, address="127.0.0.2"))
            states.reset(socket.create_connection((LOOPBACK, PORT)))  # an event: it looks again
            waiting.complains('"changed"')
            eventually(lambda: sum('"not-evicted"' in line for line in waiting.err) == 2, "the second refusal")
            for there in first, second:
                there.sock.close()
            waiting.says("started")
            assert waiting.status() == 0
            said = [json.loads(line) for line in waiting.err]
        told = [(event["code"], event["local"]) for event in said if event["event"] == "not-evicted"]
        assert told == [("listener", first.local), ("listener", second.local)]

    def test_on_a_later_change_too(self) -> None:
        """Who came while a listener kept the hold away is evicted as soon as that is noticed."""
        with contextlib.ExitStack() as stack:
            there = stack.enter_context(listening(PORT, address=LOOPBACK))
            waiting = stack.enter_context(running(portwait("--evict", str(PORT), "--", *STARTED)))
            waiting.complains("waiting for")
            stack.enter_context(outbound_established(PORT, address="127.0.0.2", by="bind"))
            there.sock.close()
            waiting.complains("evicted ")
            waiting.says("started")

    def test_when_the_proof_comes_later(self) -> None:
        """The kernel tells nobody that a FIN was acknowledged, so it looks again, and signals nobody meanwhile."""
        argv = portwait("--evict", "--terminate", "--log-format=json", str(PORT), "--", *STARTED)
        with outbound_established(PORT) as made:
            states._stuff(made.sock)
            made.sock.shutdown(socket.SHUT_WR)
            with running(argv) as waiting:
                assert json.loads(waiting.complains("not-evicted"))["code"] == "unproved"
                waiting.complains('"waiting"')
                while made.peer.recv(1 << 16):
                    pass
                waiting.says("started")
                assert waiting.status() == 0
                said = [json.loads(line)["event"] for line in waiting.err]
        assert "evicted" in said
        assert "not-signalled" not in said

    def test_bound_by_number(self) -> None:
        """The port stays bound after the destroy: it says who keeps it, and waits for that."""
        argv = portwait("--evict", str(PORT), "--", *STARTED)
        with outbound_established(PORT, by="number") as made, running(argv) as waiting:
            waiting.complains("evicted ")
            waiting.complains("bound the port by number")
            waiting.complains("waiting for")
            made.sock.close()
            waiting.says("started")

    def test_clients_that_come_again_and_again(self) -> None:
        """Who binds the port by number can come back again and again; the lines become fewer, and count the others."""
        helper = str(Path(__file__).parent / "helpers" / "by_number.py")
        words = ("--evict", "--no-reuseaddr", f"{LOOPBACK}:{PORT}", "--", *STARTED)
        with running([sys.executable, "-IS", helper, str(PORT), "overlapping"]) as client:
            client.says("connected")
            with running(changed(TELLS_THREE, *words)) as waiting:
                counted = re.compile(r"(?m)^portwait: evicted .* \(and (\d+) more since the last such line\)$")
                untold = int(eventually(lambda: counted.findall("\n".join(waiting.err)))[0])
                told = [line for line in waiting.err if line.startswith("portwait: evicted ")]
            assert [bool(counted.match(line)) for line in told[:3]] == [False] * 3
            assert 0 < untold <= client.out.count("connected") - 4

    def test_once_with_a_timeout_of_zero(self) -> None:
        """Look once, evict, and the service can start."""
        with outbound_established(PORT):
            assert guard("--evict", "--timeout=0", str(PORT), "--", *STARTED).started

    @pytest.mark.parametrize(
        ("words", "variables", "starts"),
        [
            ((), {"PORTWAIT_EVICT": "yes"}, True),
            ((), {"PORTWAIT_EVICT": "no"}, False),
            ((), {"PORTWAIT_EVICT": "time-wait"}, False),
            (("--no-evict",), {"PORTWAIT_EVICT": "yes"}, False),
            (("--evict",), {"PORTWAIT_EVICT": "no"}, True),
            (("--evict",), {"PORTWAIT_EVICT_USER": "nobody"}, False),
            (("--evict", "--evict-user=root"), {"PORTWAIT_EVICT_USER": "nobody"}, True),
            ((), {}, False),
        ],
        ids=repr,
    )
    def test_only_when_asked(self, words: tuple[str, ...], variables: dict[str, str], starts: bool) -> None:
        """By flag or variable, and no wider than they say."""
        with outbound_established(PORT):
            done = guard(*words, "--timeout=0", str(PORT), "--", *STARTED, env={**os.environ, **variables})
            assert (done.status, done.started) == ((0, True) if starts else (GAVE_UP, False))
            assert states_on(PORT) == ([] if starts else ["ESTABLISHED"])

    def test_where_binding_is_denied(self) -> None:
        """The tables decide there, before and after the eviction."""
        denied = lacking("net_bind_service")
        with outbound_established(PORT):
            sysctl("net.ipv4.ip_local_port_range", "40000 50000")
            sysctl("net.ipv4.ip_unprivileged_port_start", "40000")
            done = guard("--evict", str(PORT), "--", *STARTED, before=denied)
            assert done.started
            assert "evicted " in done.err

    def test_owners_narrow_something(self) -> None:
        done = guard("--evict-user=app", str(PORT), "--", *STARTED)
        assert (done.status, done.started) == (125, False)


class TestUnavailable:
    """Where an address or an interface is missing, no socket is in the way, whatever is on the port."""

    @pytest.mark.parametrize("option", ["--evict", "--terminate"])
    def test_nothing_is_destroyed_or_signalled(self, option: str) -> None:
        """It would harm the client, and the service could not start all the same."""
        with pooled_client(PORT) as client:
            done = guard(option, "--timeout=0", "--log-format=json", f"*%d0:{PORT}", "--", *STARTED)
            assert (done.status, [event["event"] for event in done.events]) == (GAVE_UP, ["unavailable", "gave-up"])
            assert states_on(PORT) == ["ESTABLISHED"]
            assert client.process.poll() is None

    def test_what_holds_another_target_is_still_evicted(self) -> None:
        """By the verb too, which tells each target's fate."""
        with outbound_established(PORT), outbound_established(PORT + 1):
            done = run(portwait("evict", str(PORT), f"*%d0:{PORT + 1}"))
            assert done.status == 0, done.err
            assert "there is nothing to evict" in done.out
            assert (states_on(PORT), states_on(PORT + 1)) == ([], ["ESTABLISHED"])

    def test_it_is_evicted_as_soon_as_it_is_in_the_way(self) -> None:
        """The kernel sends no event for that: the verdict has changed, and that is news."""
        argv = portwait("--evict", "--log-format=json", f"*%d0:{PORT}", "--", *STARTED)
        with outbound_established(PORT), running(argv) as waiting:
            waiting.complains('"waiting"')
            subprocess.run(["ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"], check=True)
            waiting.says("started")
            said = [json.loads(line)["event"] for line in waiting.err]
        assert [event for event in said if event != "contested"] == [
            *("unavailable", "waiting", "changed", "evicted", "free"),
        ]

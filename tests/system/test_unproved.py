"""What only looks as if a client of this host had opened it, and what is more than the one connection that it shows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from portwait._linux.sockdiag import SockDiag
from portwait.diagnosis import kinds
from portwait.model.kind import Kind
from tests.support import states
from tests.support.guarding import GAVE_UP, guard, run
from tests.support.programs import portwait
from tests.support.states import states_on

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010


def target(*words: str) -> dict[str, Any]:
    done = run(portwait(*words, "--json", str(PORT)))
    (shown,) = json.loads(done.out)["targets"]
    return dict(shown)


class TestRestored:
    @pytest.mark.kernel
    def test_its_counts_are_those_of_a_client(self) -> None:
        """The fact that the rule is there for."""
        with states.restored_accepted(PORT), SockDiag() as tables:
            kind = [kinds.classify(sock) for sock in tables.sockets("tcp", [(PORT, PORT)]) if sock.state != "LISTEN"]
            assert kind == [Kind("outbound", "syn-count")]

    def test_a_connection_of_a_live_server_is_not_evicted(self) -> None:
        """Somebody listens at its address and port: it is not proved outbound, and it is not what is in the way."""
        with states.restored_accepted(PORT) as (_, connection):
            shown = target("evict")
            assert (shown["evicted"], shown["verdict_after"]) == ([], "held")
            assert [blocker["kind"] for blocker in shown["blockers"]] == ["listener"]
            assert guard("--evict", "-t0", str(PORT)).status == GAVE_UP
            assert states_on(PORT).count("ESTABLISHED") == 1
            connection.sock.send(b"y")
            assert connection.peer.recv(1) == b"y"

    def test_nor_for_a_service_that_it_is_in_the_way_of(self) -> None:
        """Without SO_REUSEADDR it is; then it is said why it stays."""
        with states.restored_accepted(PORT) as (_, connection):
            shown = target("evict", "--no-reuseaddr")
            assert {blocker["kind"] for blocker in shown["blockers"]} == {"listener", "unknown"}
            (refused,) = [each for each in shown["refused"] if each["kind"] == "unknown"]
            assert refused["code"] == "unproved"
            assert refused["evidence"] == "beside-listener"
            assert "listens at its address and port" in refused["why"]
            assert not refused["evictable"]
            connection.sock.send(b"y")
            assert connection.peer.recv(1) == b"y"


class TestMultipath:
    def test_it_is_said_and_not_evicted(self) -> None:
        """Destroying one path leaves its program with a connection that is silent and takes what it is given."""
        with states.multipath(PORT) as (client, peer):
            shown = target("evict")
            assert shown["verdict_after"] == "held"
            (blocker,) = shown["blockers"]
            assert (blocker["kind"], blocker["mptcp"], blocker["evictable"]) == ("outbound", True, False)
            (refused,) = shown["refused"]
            assert refused["code"] == "mptcp"
            assert "Multipath TCP" in refused["why"]
            client.send(b"y")
            assert peer.recv(1) == b"y"

    def test_people_are_told(self) -> None:
        with states.multipath(PORT):
            assert "a path of a Multipath TCP connection" in run(portwait("explain", str(PORT))).out

    def test_a_listener_is_no_path(self) -> None:
        """Rule: a path is said of a connection alone."""
        with states.multipath(PORT) as (_, peer):
            out = run(portwait("explain", str(peer.getsockname()[1]))).out
        (line,) = [text for text in out.splitlines() if " LISTEN, " in text]
        assert line.endswith(", of Multipath TCP")

    @pytest.mark.kernel
    def test_what_destroying_it_leaves(self) -> None:
        """The fact: the port is free, and the program is told nothing."""
        with states.multipath(PORT) as (client, _), SockDiag() as tables:
            (sock,) = tables.sockets("tcp", [(PORT, PORT)])
            assert sock.mptcp
            assert tables.destroy(sock) == 0
            assert states_on(PORT) == []
            assert client.send(b"into nothing") == 12

"""What can be in the way on a port, by name: one table for every test that goes through several of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from portwait.diagnosis import tables
from tests.support import states
from tests.support.states import MAPPED, bound_only, listening, outbound_established

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from _pytest.mark import ParameterSet

    Maker = Callable[..., AbstractContextManager[Any]]

BLOCKERS: dict[str, Maker] = {
    "established": outbound_established,
    "established-ipv6": partial(outbound_established, address="::1"),
    "established-mapped": partial(outbound_established, address=MAPPED),
    "established-reuseaddr": partial(outbound_established, reuseaddr=True),
    "established-bound-first": partial(outbound_established, by="bind"),
    "shared": partial(states.shared_local_port, connections=3),
    "syn-sent": states.syn_sent,
    "close-wait": states.outbound_close_wait,
    "fin-wait2": states.fin_wait2,
    "fin-wait2-orphan": states.fin_wait2_orphan,
    "fin-wait1-orphan": states.fin_wait1_orphan,
    "closing-orphan": states.closing_orphan,
    "last-ack-orphan": states.last_ack_orphan,
    "time-wait": states.outbound_time_wait,
    "time-wait-ipv6": partial(states.outbound_time_wait, address="::1"),
    "self-connect": states.self_connected,
    "bound": bound_only,
    "bound-reuseaddr": partial(bound_only, reuseaddr=True),
    "listener": listening,
    "listener-dual-stack": partial(listening, address="::"),
    "listener-with-connections": states.accepted,
    "leftover": states.accepted_leftover,
    "leftover-plain": partial(states.accepted_leftover, reuseaddr=False),
    "server-time-wait": states.accepted_time_wait,
    "udp-connected": states.udp_connected,
    "udp-connected-ipv6": partial(states.udp_connected, address="::1"),
    "udp-connected-mapped": partial(states.udp_connected, address=MAPPED),
    "udp-bound": states.udp_bound,
}
CLIENTS = ("established", "established-bound-first", "close-wait", "fin-wait2", "syn-sent", "self-connect")
"""Of clients that have their sockets open."""
ORPHANS = ("time-wait", "fin-wait2-orphan", "fin-wait1-orphan", "closing-orphan", "last-ack-orphan")
"""Of clients that have closed them: only the kernel has them."""


def makers(*names: str) -> list[ParameterSet]:
    """Make the parameters of a test that is run with each of these."""
    return [pytest.param(BLOCKERS[name], id=name) for name in names]


def needs_bound_only() -> None:
    """Skip where the kernel's dumps do not show sockets that are only bound (before Linux 6.8)."""
    probe_port = 30999
    with states.bound_only(probe_port):
        opened, _ = tables.open_tables()
        with opened:
            if not opened.sockets("tcp", [(probe_port, probe_port)]):
                pytest.skip("this kernel's dumps do not show bound-only sockets")

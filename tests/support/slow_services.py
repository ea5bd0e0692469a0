"""A service that takes its time to bind, started through portwait, and the holds that keep its port meanwhile."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.descriptors import Held, sockets_of
from tests.support.netns import sysctl
from tests.support.programs import Program, portwait, running
from tests.support.states import LOOPBACK, outbound_established

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support import states

PORT = 30010  # even, as the low end of the range: connect() tries it before the odd ones
LAST = "127.255.255.254"
"""The address of the hold that is over IPv6 blockers."""
SLOW_SERVICE = (sys.executable, "-IS", str(Path(__file__).resolve().parents[1] / "system/helpers/slow_service.py"))


@contextlib.contextmanager
def slow_service(
    port: int | str,
    *words: str,
    before: tuple[str, ...] = (),
    service: tuple[str, ...] = (),
    span: str = "30010 30025",
) -> Iterator[Program]:
    """Start slow_service.py through portwait; `before` is what execs portwait, `service` how it binds."""
    number = str(port).rpartition(":")[2]
    argv = [*before, *portwait(*words, str(port), "--", *SLOW_SERVICE, number, *service)]
    sysctl("net.ipv4.ip_local_port_range", span)
    with running(argv, stdin=subprocess.PIPE) as program:
        yield program


@contextlib.contextmanager
def guarded(
    port: int, *words: str, blocker: str = LOOPBACK, before: tuple[str, ...] = (), service: tuple[str, ...] = ()
) -> Iterator[tuple[Program, states.Connection]]:
    """Start it while an outbound connection is in the way, and go on when it waits."""
    with (
        outbound_established(port, address=blocker) as made,
        slow_service(port, *words, before=before, service=service) as program,
    ):
        program.complains("waiting for")
        yield program, made


def holds_of(pid: int) -> list[str]:
    """Name the bound sockets of a process; a probe that fails is never bound."""
    return [name_of(held) for held in sockets_of(pid) if held.port == PORT]


def name_of(held: Held) -> str:
    """Name the form of a hold: the address, with 6 where it is for IPv6 alone."""
    return f"[{held.address}]{' 6' if held.v6only else ''}" if ":" in held.address else held.address

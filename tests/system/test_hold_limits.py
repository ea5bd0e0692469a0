"""No hold spares every service: the proof, over all ways to bind a hold and a service, with plain sockets.

Where this fails a hold without harm exists, and portwait should take it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.states import LOOPBACK, MAPPED, WILDCARD, connects

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("net")]

PORT = 30010
LAST = "127.255.255.254"


class Way(NamedTuple):
    """How a socket is bound. `cleared`: SO_REUSEADDR is taken away between bind() and listen()."""

    address: str
    v6only: bool = False
    reuseaddr: bool = True
    reuseport: bool = True
    cleared: bool = False
    device: str = ""

    @contextlib.contextmanager
    def bound(self) -> Iterator[socket.socket]:
        """Bind it. Raises OSError."""
        with socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, self.reuseaddr)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, self.reuseport)
            if self.device:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.device.encode())
            if sock.family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, self.v6only)
            sock.bind((self.address, PORT))
            yield sock

    def starts(self) -> bool:
        """Whether a service that binds so can listen."""
        try:
            with self.bound() as sock:
                if self.cleared:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                sock.listen()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True


YES_AND_NO = (True, False)
FAMILIES = [("::", False), ("::", True), ("::1", False), (WILDCARD, False), (LOOPBACK, False), (MAPPED, False)]
SERVICES = [
    Way(address, v6only, reuseaddr, reuseport, cleared)
    for (address, v6only), reuseaddr, reuseport, cleared in itertools.product(
        FAMILIES, YES_AND_NO, YES_AND_NO, YES_AND_NO
    )
    if reuseaddr or not cleared
]
HOLDS = [
    Way(address, v6only, reuseaddr, reuseport, device=device)
    for (address, v6only), reuseaddr, reuseport, device in itertools.product(
        [*FAMILIES, (LAST, False), ("127.0.0.2", False)], YES_AND_NO, YES_AND_NO, ("", "lo")
    )
]
DEFAULT = Way("::", v6only=True)


def is_ipv6(service: Way) -> bool:
    """Whether its socket takes IPv6 connections."""
    return service.address in ("::", "::1")


def test_every_service_starts_without_a_hold() -> None:
    """What a hold breaks is the hold's own doing."""
    assert [service for service in SERVICES if not service.starts()] == []


def test_what_the_default_hold_breaks() -> None:
    """IPv6 services that have neither flag when they bind or when they listen: these, all of these, and no others.

    (SO_REUSEPORT helps services of the same user only.)
    """
    with DEFAULT.bound():
        broken = {service for service in SERVICES if not service.starts()}
    expected = {
        service
        for service in SERVICES
        if is_ipv6(service) and not service.reuseport and (service.cleared or not service.reuseaddr)
    }
    assert broken == expected


@pytest.mark.parametrize("hold", HOLDS, ids=str)
def test_each_hold_breaks_some_service_or_shuts_out_nobody(hold: Way) -> None:
    """It lets connect() have the port, or it breaks a service that would have started without it."""
    with hold.bound():
        if connects(PORT) or connects(PORT, "::1"):
            return
        assert [service for service in SERVICES if not service.starts()] != []


@pytest.mark.parametrize("hold", HOLDS, ids=str)
def test_no_hold_spares_both_families(hold: Way) -> None:
    """The argument: who spares 0.0.0.0 without a flag is IPV6_V6ONLY, who spares `[::]` V6ONLY without one is IPv4."""
    both = [Way(address, v6only=True, reuseaddr=False, reuseport=False) for address in (WILDCARD, "::")]
    with hold.bound():
        assert not all(service.starts() for service in both)

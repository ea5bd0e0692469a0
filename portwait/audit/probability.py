"""How likely the kernel is to hand out a port: a pure model of its choice.

connect() without a bind first (__inet_hash_connect) starts at a random port of the range that is odd or even as the
range's low end is, and takes the first one from there on, round the end, that it can use; it tries the others only when
all of these fail. A port is of no use to it when it is reserved, when any socket is on it that did not get it in this
very way (a listener, a socket that is only bound, a client that called bind first), or when it leads to the same
destination already. So n ports stand in a ring, and a port is picked as often as it and the useless ports right before
it are hit: reserve the port before 30010's, and 30010 is picked twice as often.

bind(address, 0) tries the others first, and shares with nobody. No search starts at the last port of a range with an
odd number of ports. One that starts at the first port leaves the last one out; any other search goes on from the last
port to the third one of the range, and leaves the first one out. UDP picks from the whole range, odd and even alike.

Which part of the new clients calls bind(address, 0) is judged by the odd and even ports of the present ones. A client
that bound its port by number looks the same, so a few ports prove little: `part_by_bind` is never 0 or 1.

What the model does not know: where future clients connect to (it takes the present destinations in their present
proportions, and one new one), and that clients of one destination go through the ring in steps of up to eight ports
instead of starting anew: over a long time that makes the picks of a port within a third of what is said here.
Addresses are left out: a socket on one address counts for all. For a time with N new clients on average, each of
which picks a port with probability p, the port is picked at least once with probability 1 - exp(-N p).
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from portwait.model.sockets import Range

_Starts = Literal["any", "first", "not first"]
"""Where a search starts: at the first port of its ring, or elsewhere."""
_NEW = object()
"""A destination that nobody is connected to."""
_BEFORE = (1, 20)
"""What is believed before any port is seen: as if 1 of 20 clients had called bind(address, 0)."""
_NOBODY = 1e-12  # what is left of a part when everybody was subtracted from it


class Traffic(NamedTuple):
    """What stands on the ports of the range, and what comes."""

    bound: Collection[int] = frozenset()
    """Ports that connect() shares with nobody: listeners, bound sockets."""
    used: Mapping[Hashable, AbstractSet[int]] = {}
    """Ports that connect() has given out, by the destination that they lead to."""
    by_bind: float = 0.0
    """The part of new clients whose port comes from bind(address, 0)."""


class _Clients(NamedTuple):
    """New clients by their destinations: which part of all goes to each, and the sum of these parts."""

    parts: Mapping[Hashable, float]
    total: float


def part_by_bind(of_bind: int, of_connect: int) -> float:
    """Estimate the part of new clients that call bind(address, 0), from how many present ports each way gave out."""
    binding, clients = _BEFORE
    return (of_bind + binding) / (of_bind + of_connect + clients)


def within(clients: float, probability: float) -> float:
    """How probable it is that at least one client is given a port, from their number and how often each picks it."""
    return -math.expm1(-clients * probability)


class UdpChoice:
    """The kernel's choice of a UDP port at one moment: any that has no socket, odd or even."""

    def __init__(self, span: Range, reserved: Collection[int], bound: Collection[int]) -> None:
        """`span` is the range, `bound` are the ports of UDP sockets."""
        low, high = span
        self._span, self._reserved, self._bound = span, reserved, bound
        self._free = len({*range(low, high + 1)}.difference(reserved, bound))

    def picked(self, port: int) -> float:
        """Say how probable it is that a UDP socket without a port of its own is given this one, once that is free."""
        low, high = self._span
        if not low <= port <= high or port in self._reserved:
            return 0.0
        return 1 / (self._free + (port in self._bound))


class Choice:
    """The kernel's choice of a TCP port at one moment."""

    def __init__(self, span: Range, reserved: Collection[int], traffic: Traffic = Traffic()) -> None:  # noqa: B008  # an immutable value
        """`span` is the range."""
        low, high = span
        self._slots = max(1, (high - low + 1) // 2)
        self._first, self._second = range(low, high + 1, 2), range(low + 1, high + 1, 2)
        self._reserved = reserved
        self._traffic = traffic
        self._useless = {*reserved, *traffic.bound}
        self._used: set[int] = set().union(*traffic.used.values())
        self._occupied = self._useless | self._used
        self._clients, self._late_clients = self._new_clients()

    def _new_clients(self) -> tuple[_Clients, dict[_Starts, _Clients]]:
        """Say where new clients go; and of these, those for whom no port of the first ring is left, by their start."""
        used: dict[Hashable, AbstractSet[int]] = {where: ports for where, ports in self._traffic.used.items() if ports}
        total = sum(map(len, used.values())) + 1
        parts = {_NEW: 1 / total, **{where: len(ports) / total for where, ports in used.items()}}
        useful = {*self._first} - self._useless
        reached: dict[_Starts, set[int]] = {"any": useful}
        if len(self._first) > self._slots:  # what a search leaves out, by where it starts
            reached = {**reached, "not first": useful - {self._first[0]}, "first": useful - {self._first[-1]}}
        late = {
            starts: {where: part for where, part in parts.items() if useful <= used.get(where, set())}
            for starts, useful in reached.items()
        }
        for starts in ("not first", "first"):  # those of "any" are counted there
            late[starts] = {where: part for where, part in late.get(starts, {}).items() if where not in late["any"]}
        clients = {starts: _Clients(parts, sum(parts.values())) for starts, parts in late.items()}
        return _Clients(parts, sum(parts.values())), clients

    @functools.cached_property
    def _destinations(self) -> Mapping[int, AbstractSet[Hashable]]:
        """Where each used port leads to. Nobody asks while all services are on ports that connect() tries last."""
        destinations: dict[int, set[Hashable]] = {}
        for where, ports in self._traffic.used.items():
            for port in ports:
                destinations.setdefault(port, set()).add(where)
        return destinations

    def picked(self, port: int) -> float:
        """How probable it is that one new client is given the port.

        A listener on the port itself is taken for gone, as it is while it restarts.
        """
        part = self._traffic.by_bind
        return (1 - part) * self.by_connect(port) + part * self.by_bind(port)

    def by_connect(self, port: int) -> float:
        """How probable it is that connect() picks the port, its destination being a present one or a new one."""
        if port in self._reserved:
            return 0.0
        if port in self._first:
            return self._hits(self._first, port, self._clients)
        if port not in self._second:
            return 0.0
        return sum(self._hits(self._second, port, clients, starts) for starts, clients in self._late_clients.items())

    def by_bind(self, port: int) -> float:
        """How probable it is that bind(address, 0) picks the port."""
        if port in self._reserved or port in self._used:
            return 0.0
        if port in self._second:
            return self._gap(self._second, port)
        return self._gap(self._first, port) if port in self._first and self._occupied.issuperset(self._second) else 0.0

    def _hits(self, ring: Sequence[int], port: int, clients: _Clients, starts: _Starts = "any") -> float:
        """Add up the starting points from which the port is the first useful one, each by the clients it is so for."""
        return sum(self._hits_of(way, clients) for way in _ways(ring, self._slots, port, starts)) / self._slots

    def _hits_of(self, way: Iterable[tuple[int, bool]], clients: _Clients) -> float:
        """Walk back from a port: a step further only those are left to whom every port on the way was useless."""
        if not clients.parts:
            return 0.0
        destinations, parts = self._destinations, clients.parts
        steps = iter(way)
        port, starts = next(steps)
        here = destinations.get(port, ())
        part = clients.total - sum(parts.get(where, 0.0) for where in here)
        left: set[Hashable] | None = None  # all but those who have the port already
        hits = part * starts
        for before, starts in steps:
            if before not in self._useless:
                among = destinations.get(before, ())
                left = {
                    where
                    for where in among
                    if (where in parts and where not in here if left is None else where in left)
                }
                part = sum(parts[where] for where in left)
            if part < _NOBODY:
                break
            hits += part * starts
        return hits

    def _gap(self, ring: Sequence[int], port: int) -> float:
        """The same for clients to whom every port with a socket is useless."""
        hits = 0
        for way in _ways(ring, self._slots, port):
            for before, starts in way:
                if before != port and before not in self._occupied:
                    break
                hits += starts
        return hits / self._slots


def _ways(ring: Sequence[int], slots: int, port: int, starts: _Starts = "any") -> Iterator[Iterable[tuple[int, bool]]]:
    """Go back from a port the ways by which the search comes to it: each port, and whether a search starts there."""
    at, last = ring.index(port), len(ring) - 1
    if len(ring) == slots:
        wanted = {"any": (True, True), "first": (True, False), "not first": (False, True)}[starts]
        yield ((ring[at - step], wanted[step != at]) for step in range(len(ring)))
        return
    if at:
        yield ((ring[(at - 1 - step) % last + 1], (at - 1 - step) % last + 1 != last) for step in range(last))
    if at != last:
        yield ((ring[before], before == 0) for before in range(at, -1, -1))

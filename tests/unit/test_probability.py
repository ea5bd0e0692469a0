"""The model of the kernel's choice against a plain walk of every way it can go. tests/system asks the kernel itself."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.audit import probability
from portwait.audit.probability import Choice, Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

LOW = 40000
NEW = "somewhere new"


def walk(low: int, high: int, usable: Callable[[int], bool], parities: Iterable[int]) -> dict[int, Fraction]:
    """Start from every port of a ring with equal right, as the kernel's loop does; how often each port is taken."""
    taken: dict[int, Fraction] = {}
    slots = max(1, (high - low + 1) // 2)
    for start in range(slots):
        for parity in parities if high > low else (0,):
            ring = [low + parity + 2 * (start + step) for step in range(slots)]
            ring = [port - 2 * slots if port > high else port for port in ring]  # also where the last port is even
            found = next((port for port in ring if port <= high and usable(port)), None)
            if found is not None:
                taken[found] = taken.get(found, Fraction(0)) + Fraction(1, slots)
                break
    return taken


def by_connect(
    span: tuple[int, int], reserved: set[int], bound: set[int], used: Mapping[int, set[Hashable]], port: int
) -> float:
    """Add up what connect() does for clients of every destination, each as frequent as now, and of a new one."""
    connections: list[Hashable] = [where for some in used.values() for where in some] + [NEW]
    total = Fraction(0)
    for where in set(connections):
        free = lambda one, where=where: one not in reserved | bound - {port} and where not in used.get(one, ())  # noqa: E731
        part = Fraction(connections.count(where), len(connections))
        total += part * walk(*span, free, (0, 1)).get(port, Fraction(0))
    return float(total)


def by_destination(used: Mapping[int, set[Hashable]]) -> dict[Hashable, set[int]]:
    """Sort used ports by where they lead to."""
    return {where: {port for port, there in used.items() if where in there} for where in set().union(*used.values())}


ports = some.sets(some.integers(LOW, LOW + 12), max_size=10)
uses = some.dictionaries(
    some.integers(LOW, LOW + 12), some.sets(some.sampled_from("abc"), min_size=1, max_size=3), max_size=8
)


@given(some.integers(1, 13), ports, ports, uses, some.integers(LOW - 1, LOW + 13))
def test_connect(size: int, reserved: set[int], bound: set[int], used: dict[int, set[Hashable]], port: int) -> None:
    """Every way that the kernel's loop can go, added up, is what the model says at once."""
    high = LOW + size - 1
    expected = by_connect((LOW, high), reserved, bound, used, port) if port <= high else 0.0
    found = Choice((LOW, high), reserved, Traffic(bound, by_destination(used))).by_connect(port)
    assert found == pytest.approx(expected, abs=1e-9)


@given(some.integers(2, 13), ports, ports, uses, some.integers(LOW, LOW + 13))
def test_bind(size: int, reserved: set[int], bound: set[int], used: dict[int, set[Hashable]], port: int) -> None:
    """The other parity first, and nothing is shared."""
    high = LOW + size - 1
    taken = reserved | (bound - {port}) | set(used)
    expected = float(walk(LOW, high, lambda one: one not in taken, (1, 0)).get(port, Fraction(0)))
    assert Choice((LOW, high), reserved, Traffic(bound, by_destination(used))).by_bind(port) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("span", "port", "expected"),
    [
        ((32768, 60999), 40000, 1 / 14116),
        ((32768, 60999), 40001, 0),
        ((32769, 60999), 40001, 1 / 14115),
        ((1024, 65000), 64998, 1 / 31988),
        ((1024, 65000), 65000, 0),
        ((40000, 40000), 40000, 1),
        ((40000, 40001), 40001, 0),
        ((32768, 60999), 80, 0),
    ],
    ids=["even", "odd", "odd-range", "last-but-two", "odd-sized-range's-last", "alone", "second", "outside"],
)
def test_a_quiet_host(span: tuple[int, int], port: int, expected: float) -> None:
    """Each port of the preferred half has the same chance; the last of an odd number has none."""
    assert Choice(span, ()).by_connect(port) == pytest.approx(expected)


def test_the_last_of_an_odd_number_takes_over() -> None:
    """Whoever would have been given the last port but two is given the last one, and not the first."""
    choice = Choice((40000, 40004), (), Traffic(bound={40002}))
    assert [choice.by_connect(port) for port in (40000, 40002, 40004)] == pytest.approx([1 / 2, 1 / 2, 1 / 2])


def test_a_reserved_neighbour_makes_it_likelier() -> None:
    """Whoever would have been given the neighbour is given the next port: three in a row make it four times."""
    alone = Choice((32768, 60999), ()).by_connect(30010 + 10000)
    beside = Choice((32768, 60999), {40004, 40006, 40008}).by_connect(40010)
    assert beside == pytest.approx(4 * alone)


def test_clients_that_bind_first_count_for_their_part() -> None:
    """An odd port is theirs alone, an even one is connect()'s."""
    choice = Choice((40000, 40031), (), Traffic(by_bind=0.25))
    assert choice.picked(40001) == pytest.approx(0.25 / 16)
    assert choice.picked(40002) == pytest.approx(0.75 / 16)


@pytest.mark.parametrize(
    ("of_bind", "of_connect", "part"),
    [
        (0, 0, 0.05),
        (1, 0, 2 / 21),
        (0, 1, 1 / 21),
        (6, 0, 7 / 26),
        (500, 500, 501 / 1020),
        (10_000, 0, 10_001 / 10_020),
    ],
)
def test_few_clients_prove_little(of_bind: int, of_connect: int, part: float) -> None:
    """The share of clients that bind first begins at 1 of 20, and is never none and never all."""
    assert probability.part_by_bind(of_bind, of_connect) == pytest.approx(part)


def test_many_destinations_and_ports_take_no_product_of_both() -> None:
    """A hundred listeners on a host with as many connections as fit must be judged in a moment."""
    used: dict[Hashable, set[int]] = {
        ("10.0.0.1", port, number): {port} for number in range(4) for port in range(32768, 60999, 2)
    }
    choice = Choice((32768, 60999), (), Traffic(used=used))
    assert all(0 < choice.picked(port) < 1e-3 for port in range(40000, 40400, 2))


@pytest.mark.parametrize(
    ("clients", "each", "expected"),
    [(0, 0.5, 0), (10, 0, 0), (1, 1, 1 - math.exp(-1)), (500, 1 / 14116, 0.034802), (1e9, 1, 1), (1, 1e-15, 1e-15)],
)
def test_within_a_time(clients: float, each: float, expected: float) -> None:
    """At least one of a Poisson number of clients; precise where it is tiny."""
    assert probability.within(clients, each) == pytest.approx(expected, rel=1e-4, abs=0)


def test_udp_takes_any_port() -> None:
    """No parity, nobody's port twice."""
    assert probability.UdpChoice((40000, 40009), {40001}, {40002, 40003}).picked(40002) == pytest.approx(1 / 8)
    assert probability.UdpChoice((40000, 40009), {40001}, {40002}).picked(40001) == 0
    assert probability.UdpChoice((40000, 40009), (), ()).picked(39999) == 0

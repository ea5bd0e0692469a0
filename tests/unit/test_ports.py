"""Lists of ports: every rule against plain sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import sysctl
from portwait.errors import UsageError
from portwait.model import ports

numbers = some.sets(some.integers(1, 65535), max_size=40)
few = some.sets(some.integers(1, 40), max_size=40)
"""Close together, so that they touch and overlap."""


def ranges(of: set[int]) -> tuple[tuple[int, int], ...]:
    return ports.merge((number, number) for number in of)


def members(of: tuple[tuple[int, int], ...]) -> set[int]:
    return {number for first, last in of for number in range(first, last + 1)}


@given(few | numbers)
def test_what_is_shown_is_read_back(these: set[int]) -> None:
    """Written and read, a list has the same ports, and no two ranges touch."""
    read = ports.from_kernel(ports.show(ranges(these)))
    assert members(read) == these
    assert all(last + 1 < first for (_, last), (first, _) in zip(read, read[1:]))
    assert ports.count(read) == len(these)


@given(few, few)
def test_subtract_and_intersect_are_those_of_sets(these: set[int], those: set[int]) -> None:
    """And their answers are merged lists again."""
    for function, expected in ((ports.subtract, these - those), (ports.intersect, these & those)):
        found = function(ranges(these), ranges(those))
        assert members(found) == expected
        assert found == ports.merge(found)


@given(some.lists(some.integers(0, 40) | some.integers(0, 65535)))
def test_single_ports_are_joined(these: list[int]) -> None:
    """In any order, more than once, 0 too: the merged list of them."""
    assert ports.join(these) == ports.merge((number, number) for number in these)


@given(few, some.integers(0, 41), some.integers(0, 41))
def test_ports_within_a_range_are_counted(these: set[int], one: int, other: int) -> None:
    """Both ends belong to the range."""
    low, high = sorted((one, other))
    assert ports.count(ranges(these), (low, high)) == len({number for number in these if low <= number <= high})


def test_subtracting_long_lists_takes_no_square_of_their_length() -> None:
    """Thirty thousand ranges from thirty thousand: a billion steps would not come to an end here."""
    odd, even = ranges(set(range(1, 65536, 2))), ranges(set(range(2, 65536, 2)))
    assert ports.subtract(odd, even) == odd
    assert ports.subtract(odd, odd) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30010", ((30010, 30010),)),
        ("50001,5200-5300,6001", ((5200, 5300), (6001, 6001), (50001, 50001))),
        ("1-65535", ((1, 65535),)),
        ("3,1,2", ((1, 3),)),
        ("1-5,4-9,10", ((1, 10),)),
        ("00080", ((80, 80),)),
    ],
    ids=["one", "the field's own", "all", "unsorted", "overlapping", "zeros"],
)
def test_reads(text: str, expected: object) -> None:
    """Any order, any overlap."""
    assert ports.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "1,",
        "1,,2",
        "0",
        "65536",
        "2-1",
        "1-",
        "-1",
        "-",
        "1-2-3",
        " 1",
        "1 2",
        "x",
        "1.5",
        "٣",
        "100000",
        "+1",
    ],
    ids=ascii,
)
def test_refuses(text: str) -> None:
    """What is no list of ports is an error that names the part of it."""
    with pytest.raises(UsageError, match="cannot read ports"):
        ports.parse(text)


def test_reads_what_only_the_kernel_writes() -> None:
    """An empty list is one, and port 0 can be reserved."""
    assert ports.from_kernel("\n") == ()
    assert ports.from_kernel("0-2,9\n".strip()) == ((0, 2), (9, 9))


@given(some.integers(1, 5), some.integers(1, 60_000))
def test_pieces_are_cut_between_numbers(step: int, first: int) -> None:
    """No write is longer than the kernel takes, and together they are the list."""
    text = ports.show((port, port) for port in range(first, 65536, step + 1))
    pieces = sysctl._pieces(text)
    assert b",".join(pieces).decode() == text
    assert all(0 < len(piece) <= 4000 for piece in pieces)

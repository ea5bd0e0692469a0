"""The two programs that the kernel runs for portwait, run here by interpreters written after the kernel's own."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portwait._linux import wire
from portwait.model import ports

Range = tuple[int, int]

# linux/inet_diag.h
_JMP, _S_GE, _S_LE = 1, 2, 3
_REQUEST = 16 + 60  # struct nlmsghdr, struct inet_diag_req


class Operation:
    """struct inet_diag_bc_op at some place of a program."""

    def __init__(self, program: bytes, at: int) -> None:
        self.code, self.yes, self.no = struct.unpack_from("=BBH", program, at)
        self.at = at


def audit(program: bytes) -> bool:
    """Say whether the kernel would take the program: inet_diag_bc_audit in net/ipv4/inet_diag.c."""
    left = len(program)
    if left < 4:
        return False
    starts = set()
    jumps = set()
    while left > 0:
        operation = Operation(program, len(program) - left)
        starts.add(left)
        shortest = 4
        if operation.code in (_S_GE, _S_LE):  # valid_port_comparison: the port is in a second operation
            shortest = 8
            if left < shortest:
                return False
        elif operation.code != _JMP:
            return False
        if operation.no < shortest or operation.no > left + 4 or operation.no & 3:
            return False
        if operation.no < left:
            jumps.add(left - operation.no)
        if operation.yes < shortest or operation.yes > left + 4 or operation.yes & 3:
            return False
        left -= operation.yes
    return left == 0 and jumps <= starts  # valid_cc: every jump ends where an operation begins


def accepts(program: bytes, port: int) -> bool:
    """Run the program for a local port: inet_diag_bc_run, likewise."""
    left = len(program)
    while left > 0:
        at = len(program) - left
        operation = Operation(program, at)
        yes = False
        if operation.code in (_S_GE, _S_LE):
            (limit,) = struct.unpack_from("=2xH", program, at + 4)
            yes = port >= limit if operation.code == _S_GE else port <= limit
        left -= operation.yes if yes else operation.no
    return left == 0


# linux/bpf_common.h
_LD, _JUMP, _RET = 0x00, 0x05, 0x06
_HALFWORD, _ABSOLUTE = 0x08, 0x20
_GREATER, _GREATER_EQUAL = 0x20, 0x30


def passes(program: bytes, packet: bytes) -> bool:
    """Run a classic BPF program over a packet; whether it lets the packet through."""
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = counter = 0
    while True:
        code, if_true, if_false, k = instructions[counter]
        counter += 1
        if code == _LD | _HALFWORD | _ABSOLUTE:
            (accumulator,) = struct.unpack_from("!H", packet, k)
        elif code == _RET:
            return bool(k)
        elif code in (_JUMP | _GREATER, _JUMP | _GREATER_EQUAL):
            true = accumulator > k if code == _JUMP | _GREATER else accumulator >= k
            counter += if_true if true else if_false
        else:
            pytest.fail(f"instruction {code:#x}")


def event(port: int) -> bytes:
    """Make what comes with a destroyed socket: nlmsghdr, then inet_diag_msg, whose id begins with the local port."""
    return struct.pack("=IHHII", 88, 20, 0, 0, 0) + struct.pack("!BBBBHH", 2, 7, 0, 0, port, 0) + bytes(64)


def ends(ranges: list[Range]) -> list[int]:
    """Name the ports at which anything can change: each end of a range, and its neighbours."""
    near = {end + step for one in ranges for end in one for step in (-1, 0, 1)} | {1, 65535}
    return sorted(port for port in near if 0 <= port <= 65535)


SPARSE = [(port, port) for port in range(1, 65536, 2)]
RANGES: dict[str, list[Range]] = {
    "one port": [(30010, 30010)],
    "a range": [(30000, 30010)],
    "two": [(80, 80), (443, 443)],
    "the lowest": [(1, 1)],
    "the highest": [(65535, 65535)],
    "every port": [(1, 65535)],
    "everything but one": [(1, 30009), (30011, 65535)],
    "in any order": [(443, 443), (80, 80), (5000, 6000)],
    "overlapping": [(10, 20), (15, 30)],
    "a hundred": SPARSE[:100],
    "a thousand": SPARSE[:1000],
}
_ranges = st.lists(
    st.tuples(st.integers(1, 65535), st.integers(0, 3000)).map(lambda pair: (pair[0], min(sum(pair), 65535))),
    min_size=1,
    max_size=20,
)


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
def test_a_dump_is_filtered_by_exactly_these_ports(ranges: list[Range]) -> None:
    """The kernel takes the program, and it accepts a port that lies in a range and no other."""
    program = wire.port_program(ranges)
    assert audit(program)
    for port in ends(ranges)[:400]:
        assert accepts(program, port) == ports.contains(ranges, port), port


@given(_ranges, st.integers(0, 65535))
def test_any_ports_make_a_filter_for_a_dump(ranges: list[Range], another: int) -> None:
    """Whatever the ranges, their order and overlap."""
    program = wire.port_program(ranges)
    assert audit(program)
    for port in (*ends(ranges), another):
        assert accepts(program, port) == ports.contains(ranges, port)


def test_every_single_port() -> None:
    """All 65,536 of them, once."""
    ranges = [(1, 79), (81, 1023), (30010, 30010), (40000, 65534)]
    program = wire.port_program(ranges)
    for port in range(65536):
        assert accepts(program, port) == ports.contains(ranges, port)


@pytest.mark.parametrize("count", [1, 1000, 1001, 32768])
def test_a_request_has_room_for_any_number_of_ranges(count: int) -> None:
    """A jump is 16 bits wide: beyond some number one range spans them all, and nothing that was asked for is lost."""
    ranges = SPARSE[:count]
    attribute = wire.tcp_dump_request(1, ranges)[_REQUEST:]
    length, _ = struct.unpack_from("=HH", attribute)
    program = attribute[4:]
    assert length == len(program) + 4
    assert audit(program)
    assert all(accepts(program, port) for port, _ in itertools.islice(ranges, 0, count, max(1, count // 100)))
    assert not accepts(program, 0)


def test_the_audit_of_this_test_refuses_what_the_kernel_refuses() -> None:
    """The interpreter is no yes-man: programs with a jump amiss are refused."""
    program = bytearray(wire.port_program([(1, 2), (5, 6)]))
    assert audit(bytes(program))
    assert not audit(b"")
    assert not audit(bytes(program[:-4]))
    for at, byte in ((0, 99), (1, 4), (1, 6), (2, 255), (2, 2), (18, 8)):
        assert not audit(bytes(program[:at]) + bytes([byte]) + bytes(program[at + 1 :])), at


@pytest.mark.parametrize("ranges", RANGES.values(), ids=RANGES)
def test_events_are_filtered_by_these_ports(ranges: list[Range]) -> None:
    """An event of one of the ports passes; of another one only where there are more ranges than jumps can span."""
    program = wire.event_filter(ranges)
    assert len(program) // 8 <= 4096  # BPF_MAXINSNS
    for port in ends(ranges)[:400]:
        if ports.contains(ranges, port):
            assert passes(program, event(port)), port
        elif len(ranges) <= 100:
            assert not passes(program, event(port)), port
    assert not passes(program, event(0))  # a probe of one's own that failed


@given(_ranges, st.integers(0, 65535))
def test_any_ports_make_a_filter_for_events(ranges: list[Range], another: int) -> None:
    """Whatever the ranges, their order and overlap."""
    program = wire.event_filter(ranges)
    for port in (*ends(ranges), another):
        assert passes(program, event(port)) == ports.contains(ranges, port)


def test_without_ports_no_event_passes() -> None:
    """Who waits for nothing is not woken."""
    assert not any(passes(wire.event_filter([]), event(port)) for port in (0, 1, 30010, 65535))

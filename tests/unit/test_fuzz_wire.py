"""The kernel's answers, broken in every way: an error of ours, or an answer; never another exception, never a hang."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import kernel, wire
from portwait._linux.sockdiag import SockDiag
from portwait.errors import TablesError

ANSWER = bytes.fromhex(
    "a801000012000200010000002207000002010000753a1b587f0000010000000000000000000000007f00000100000000000000000000"
    "00000000000071cd2d0000000000000000000000000000000000000000005bfc3d010500080000000000050005000000000008000f00"
    "0000000008001100000000000c001500010000000000000006001600520000001c010200010000000007aa01e01c030000000000e57f"
    "000018020000000000000000000000000000000000000000000004030000000000000403000004030000ffff0000d7ff000022000000"
    "11000000ffffff7f0a000000cbff00000300000000000000d7ff00000000000049f8556806000000ffffffffffffffff010000000000"
    "000000000000000000000200000001000000000000002200000000000000000000000000000000000000000000000000000000000000"
    "000000000000000000000000010000000000000000000000000000000000000000000000000000000000000000000000cbff00000000"
    "01000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)
"""What Linux 6.18 says of one connection, 127.0.0.1:30010 -> 127.0.0.1:7000, whose client is asked about."""

END = bytes.fromhex("1400000003000200010000002207000000000000")

KINDS = (kernel.SOCK_DIAG_BY_FAMILY, kernel.TCPDIAG_GETSOCK, kernel.NLMSG_DONE, kernel.NLMSG_ERROR, 1, 4, 0xFFFF)


def message(kind: int, body: bytes, flags: int = 0, length: int | None = None) -> bytes:
    whole = struct.pack("=IHHII", 16 + len(body) if length is None else length, kind, flags, 1, 0) + body
    return whole + bytes(-len(whole) % 4)


def read(data: bytes) -> wire.Answer | None:
    """Read bytes as the door does; None for those that are refused."""
    try:
        return wire.answer(data, "tcp")
    except wire.WireError:
        return None


def test_what_the_kernel_says_is_read() -> None:
    """The recording is an answer, so the tests below break something that works."""
    (which,) = wire.answer(ANSWER, "tcp").sockets
    assert (which.state, which.local_port, which.remote_port) == ("ESTABLISHED", 30010, 7000)
    assert which.info is not None
    assert which.info.acked_control == 1
    assert wire.answer(END, "tcp").done
    assert ask(ANSWER, END) == (which,)


@given(some.binary(max_size=400))
def test_noise(data: bytes) -> None:
    """Bytes that nobody sent."""
    read(data)


@given(
    some.lists(some.tuples(some.sampled_from(KINDS), some.binary(max_size=200), some.integers(0, 0xFFFF)), max_size=6)
)
def test_messages_of_noise(parts: list[tuple[int, bytes, int]]) -> None:
    """Right headers, anything behind them."""
    read(b"".join(message(kind, body, flags) for kind, body, flags in parts))


@given(some.sampled_from(KINDS), some.binary(max_size=100), some.integers(0, 2**32 - 1))
def test_lengths_that_lie(kind: int, body: bytes, length: int) -> None:
    """Longer than the datagram, shorter than a header, nothing at all."""
    read(message(kind, body, length=length))


@given(some.data())
def test_truncated(data: some.DataObject) -> None:
    """Cut anywhere: refused, or what was whole before the cut."""
    cut = data.draw(some.integers(0, len(ANSWER) - 1))
    answer = read(ANSWER[:cut])
    assert answer is None or len(answer.sockets) <= 1


@given(some.data())
def test_flipped(data: some.DataObject) -> None:
    """Some bytes are others."""
    broken = bytearray(ANSWER)
    for at, value in data.draw(
        some.dictionaries(some.integers(0, len(broken) - 1), some.integers(0, 255), max_size=8)
    ).items():
        broken[at] = value
    read(bytes(broken))


@given(some.data())
def test_attributes_in_any_order_any_number_of_times(data: some.DataObject) -> None:
    """Reordered, repeated, of unknown kinds and oversized: the socket is the same, but for what they say."""
    (length,) = struct.unpack_from("=I", ANSWER)
    body, rest = ANSWER[16:88], ANSWER[88:length]
    attributes = []
    while rest:
        (size,) = struct.unpack_from("=H", rest)
        attributes.append(rest[: (size + 3) & ~3])
        rest = rest[(size + 3) & ~3 :]
    unknown = struct.pack("=HH", 4 + 2000, 0x3FFF) + bytes(2000)
    shuffled = data.draw(some.permutations([*attributes, *attributes, unknown]))
    answer = read(message(kernel.SOCK_DIAG_BY_FAMILY, body + b"".join(shuffled)))
    assert answer is not None
    assert answer.sockets == wire.answer(ANSWER, "tcp").sockets


@given(some.binary(max_size=400))
def test_tcp_info_of_any_length(data: bytes) -> None:
    """It only ever grew at its end; what is too short says nothing."""
    found = wire.tcp_info(data, 1)
    assert (found is None) == (len(data) < 56)
    assert found is None or found.acked_control is None or len(data) >= 216


class Wire:
    """A netlink socket that says what it is told to, then nothing any more."""

    def __init__(self, *datagrams: bytes) -> None:
        self._datagrams = list(datagrams)

    def send(self, data: bytes) -> int:
        return len(data)

    def recv(self, _size: int) -> bytes:
        if not self._datagrams:
            raise TimeoutError("timed out")
        return self._datagrams.pop(0)

    def close(self) -> None:
        pass


def ask(*datagrams: bytes) -> object:
    """Ask the door whose kernel answers with these; the error where there is one."""
    door = object.__new__(SockDiag)
    door._socket = Wire(*datagrams)  # type: ignore[assignment]  # has all that is asked of it
    try:
        return door.sockets("tcp", [(30010, 30010)])
    except TablesError as error:
        return error


@pytest.mark.parametrize(
    "datagrams",
    [
        [],
        [ANSWER],
        [ANSWER[:-1]],
        [b""],
        [ANSWER, b"\1"],
        [message(kernel.NLMSG_ERROR, b"\1")],
        [message(kernel.NLMSG_ERROR, struct.pack("=i", -1))],
        [message(kernel.NLMSG_DONE, struct.pack("=i", -12))],
        [message(kernel.SOCK_DIAG_BY_FAMILY, bytes(72))],
    ],
    ids=[
        "silence",
        "no end",
        "cut",
        "empty",
        "then noise",
        "error without number",
        "EPERM",
        "ENOMEM at the end",
        "no family",
    ],
)
def test_the_door_says_that_it_cannot_read(datagrams: list[bytes]) -> None:
    """Every broken answer is one error of ours, with a reason; half an answer is none."""
    error = ask(*datagrams)
    assert isinstance(error, TablesError)
    assert str(error)

"""The kernel's answers, broken in every way: an error of ours, or an answer; never another exception, never a hang."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import kernel, sockdiag, wire
from portwait._linux.sockdiag import SockDiag
from portwait.errors import TablesError
from portwait.model.sockets import Connections

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """An answer that is cut anywhere is refused."""
    cut = data.draw(some.integers(1, len(ANSWER) - 1))
    assert read(ANSWER[:cut]) is None


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
    """A netlink socket that says what it is told to, by this sender or the kernel, then nothing any more."""

    def __init__(self, *datagrams: bytes | tuple[bytes, int]) -> None:
        self._datagrams = [each if isinstance(each, tuple) else (each, 0) for each in datagrams]
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> int:
        self.sent.append(data)
        return len(data)

    def settimeout(self, _seconds: float) -> None:
        pass

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        if not self._datagrams:
            raise TimeoutError("timed out")
        data, sender = self._datagrams.pop(0)
        return data, (sender, 0)

    def close(self) -> None:
        pass


def door(*datagrams: bytes | tuple[bytes, int]) -> tuple[SockDiag, Wire]:
    """Open the door to a kernel that answers with these."""
    wired = Wire(*datagrams)
    return SockDiag(wired), wired  # type: ignore[arg-type]  # has all that is asked of it


def ask(*datagrams: bytes | tuple[bytes, int]) -> object:
    """Ask the door whose kernel answers with these; the error where there is one."""
    try:
        return door(*datagrams)[0].sockets("tcp", [(30010, 30010)])
    except TablesError as error:
        return error


def answered(sequence: int, *, interrupted: bool = False) -> list[bytes]:
    """Give the recorded answer, and its end, this number."""
    flags = 2 | (kernel.NLM_F_DUMP_INTR if interrupted else 0)
    return [
        struct.pack("=IHHI", *struct.unpack_from("=IH", data), flags, sequence) + data[12:] for data in (ANSWER, END)
    ]


def test_an_answer_to_an_earlier_question_is_none() -> None:
    """What was given up, and comes late, is not taken for the answer to the next question."""
    tables, _ = door(*answered(1))
    (sock,) = tables.sockets("tcp", [(30010, 30010)])
    late, end = answered(1)
    tables._socket._datagrams[:] = [(late, 0), (late, 0), (end, 0), *((each, 0) for each in answered(2))]  # type: ignore[attr-defined]  # a Wire
    assert tables.sockets("tcp", [(30010, 30010)]) == (sock,)


def test_each_question_has_its_own_number() -> None:
    tables, wired = door(*answered(1), *answered(2))
    for _ in range(2):
        tables.sockets("tcp", [(30010, 30010)])
    assert [struct.unpack_from("=I", request, 8)[0] for request in wired.sent] == [1, 2]


def test_who_is_not_the_kernel_is_not_heard() -> None:
    """Any process can send to a netlink socket."""
    sock, end = answered(1)
    assert ask((sock, 4711), (end, 4711), end) == ()
    assert ask((b"noise", 4711), sock, end) == wire.answer(ANSWER, "tcp").sockets


def test_a_dump_that_was_interrupted_is_taken_again() -> None:
    """Three times at most; the last one counts as it is."""
    sockets = wire.answer(ANSWER, "tcp").sockets
    _, end = answered(2)
    assert ask(*answered(1, interrupted=True), end) == ()
    tables, wired = door(*(each for number in (1, 2, 3) for each in answered(number, interrupted=True)))
    assert tables.sockets("tcp", [(30010, 30010)]) == sockets
    assert len(wired.sent) == 3


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
        [message(kernel.NLMSG_ERROR, struct.pack("=i", -(2**31)))],
        [message(kernel.NLMSG_ERROR, struct.pack("=i", 1))],
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
        "no error number",
        "a positive error number",
        "no family",
    ],
)
def test_the_door_says_that_it_cannot_read(datagrams: list[bytes]) -> None:
    """Every broken answer is one error of ours, with a reason; half an answer is none."""
    error = ask(*datagrams)
    assert isinstance(error, TablesError)
    assert str(error)


@pytest.mark.parametrize(
    "datagrams",
    [
        [],
        [ANSWER],
        [ANSWER[:-1]],
        [b""],
        [ANSWER, b"\1"],
        [ANSWER, END + b"\1"],
        [message(kernel.NLMSG_ERROR, b"\1")],
        [message(kernel.NLMSG_ERROR, struct.pack("=i", -1))],
        [message(kernel.NLMSG_DONE, struct.pack("=i", -12))],
        [message(kernel.NLMSG_ERROR, struct.pack("=i", -(2**31)))],
        [message(kernel.NLMSG_ERROR, struct.pack("=i", 1))],
        [message(kernel.SOCK_DIAG_BY_FAMILY, bytes(71))],
    ],
    ids=[
        "silence",
        "no end",
        "cut",
        "empty",
        "then noise",
        "noise behind the end",
        "error without number",
        "EPERM",
        "ENOMEM at the end",
        "no error number",
        "a positive error number",
        "short",
    ],
)
def test_half_a_list_of_connections_is_none(datagrams: list[bytes]) -> None:
    """The reader of ends alone refuses what the reader of whole sockets refuses."""
    with pytest.raises(TablesError):
        door(*datagrams)[0].connections(())


@pytest.mark.parametrize(
    ("interval", "sender", "given_up"),
    [(9, 0, None), (1, 0, 120), (1, 4711, 10)],
    ids=["a slow kernel", "no end", "noise of others"],
)
@pytest.mark.parametrize(
    "ask", [lambda tables: tables.sockets("tcp", []), lambda tables: tables.connections(())], ids=["sockets", "ends"]
)
def test_how_long_an_answer_may_take(
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[SockDiag], object],
    interval: int,
    sender: int,
    given_up: int | None,
) -> None:
    """A part every 10 s, and all of it within 2 minutes; a million sockets on a busy host take their time."""
    sock, end = answered(1)
    tables, wired = door(*[(sock, sender)] * (200 if given_up else 12), (end, 0))
    clock = [0.0]

    def slowly(size: int) -> tuple[bytes, tuple[int, int]]:
        clock[0] += interval
        return Wire.recvfrom(wired, size)

    monkeypatch.setattr(wired, "recvfrom", slowly)
    monkeypatch.setattr(sockdiag, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    if given_up is None:
        assert ask(tables)
    else:
        with pytest.raises(TablesError, match="has no end"):
            ask(tables)
        assert clock[0] == given_up


def test_a_list_of_connections_is_read() -> None:
    """The same recording, its ends alone; those of a port that a listener has, not even these."""
    connections = door(ANSWER, END)[0].connections(())
    [destination] = connections.clients
    assert destination[:2] == (7000).to_bytes(2, "big")
    assert connections == Connections({destination: {30010}}, set(), set())
    assert door(ANSWER, END)[0].connections({30010}) == Connections({}, {30010}, set())

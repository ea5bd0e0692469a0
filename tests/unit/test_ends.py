"""The ends of the sockets of a dump are the same whether its messages are alike, and read at once, or not."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import ends, kernel

SEQUENCE = 7
DONE = struct.pack("=IHHIIi", 20, kernel.NLMSG_DONE, 2, SEQUENCE, 0, 0)

Message = tuple[int, int, bytes, int, int, int]


def packed(message: Message) -> bytes:
    """Write one message of a dump: state, local port, remote end, attribute bytes, flags, sequence."""
    state, port, remote, more, flags, sequence = message
    body = struct.pack("=BBBB", 2, state, 0, 0) + struct.pack("!H", port) + remote + bytes(72 - 40 + more)
    return struct.pack("=IHHII", 16 + len(body), kernel.SOCK_DIAG_BY_FAMILY, flags, sequence, 0) + body


ALIKE = some.tuples(
    *(some.integers(1, 12), some.integers(0, 65535), some.binary(min_size=34, max_size=34)),
    *(some.just(16), some.just(2), some.just(SEQUENCE)),
)
OTHERS = some.tuples(
    *(some.integers(1, 12), some.integers(0, 65535), some.binary(min_size=34, max_size=34)),
    *(some.sampled_from((0, 16, 104)), some.sampled_from((2, 18)), some.sampled_from((SEQUENCE, SEQUENCE, 6))),
)


@given(some.lists(ALIKE, max_size=6) | some.lists(some.one_of(ALIKE, OTHERS), max_size=6), some.booleans())
def test_every_socket_of_a_dump_is_read(messages: list[Message], last: bool) -> None:
    """In their order, those of other requests left out, whatever the lengths are."""
    data = b"".join(map(packed, messages)) + (DONE if last else b"")
    wanted = [message[:3] for message in messages if message[5] == SEQUENCE]
    assert ends.read(data, SEQUENCE) == (wanted, last, 0)

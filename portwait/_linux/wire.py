"""sock_diag's wire format, as pure functions from values to bytes and back (sock_diag(7), linux/inet_diag.h).

Knows nothing of sockets: what goes out is returned, what came in is an argument. Bytes that do not fit raise
WireError, never anything else.
"""

from __future__ import annotations

import _socket
import struct
import sys

from portwait._linux import kernel
from portwait.model.record import Record
from portwait.model.sockets import KernelSocket, TcpInfo

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portwait.model.sockets import Range

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_REQUEST = struct.Struct("=BBBxI")  # inet_diag_req_v2 up to its id: family, protocol, extensions, states
_LEGACY_REQUEST = struct.Struct("=BBBB")  # inet_diag_req up to its id: family, lengths of source and target, extensions
_STATES = struct.Struct("=II")  # and behind it: states, dbs
_MESSAGE = struct.Struct("=BBBB")  # inet_diag_msg up to its id: family, state, timer, retransmits
_ID = struct.Struct("!HH16s16s")  # inet_diag_sockid in network order: ports and addresses
_ID_TAIL = struct.Struct("=III")  # and in the host's: interface, cookie
_TAIL = struct.Struct("=IIIII")  # expires, receive queue, send queue, uid, inode
_OPERATION = struct.Struct("=BBH")  # inet_diag_bc_op: code, yes, no
_ERROR = struct.Struct("=i")
_SEQUENCE = struct.Struct("=I")
_SEQUENCE_AT = 8  # in nlmsghdr

_ID_AT = _MESSAGE.size
_ID_TAIL_AT = _ID_AT + _ID.size
_TAIL_AT = _ID_TAIL_AT + _ID_TAIL.size
_ATTRIBUTES_AT = _TAIL_AT + _TAIL.size

MOST_RANGES = 1000
"""A request with more ranges asks for one that spans them all: a jump is 16 bits wide, the kernel's audit quadratic."""


class WireError(ValueError):
    """The bytes are not what sock_diag sends."""


def port_program(ranges: Sequence[Range]) -> bytes:
    """Compile ports into the bytecode that keeps a dump to sockets with these local ports.

    One range is S_GE, then S_LE, then a jump to the end; a failed comparison goes to the next range, and after the
    last, which needs no jump, to four bytes behind the end: that rejects (inet_diag_bc_run in net/ipv4/inet_diag.c).
    """
    size = 20
    program = bytearray()
    for index, (first, last) in enumerate(ranges):
        program += _OPERATION.pack(kernel.INET_DIAG_BC_S_GE, 8, size) + _OPERATION.pack(0, 0, first)
        program += _OPERATION.pack(kernel.INET_DIAG_BC_S_LE, 8, size - 8) + _OPERATION.pack(0, 0, last)
        if more := len(ranges) - index - 1:
            program += _OPERATION.pack(kernel.INET_DIAG_BC_JMP, 4, size * more)
    return bytes(program)


def dump_request(family: int, protocol: int, states: int, ranges: Sequence[Range], *, info: bool = True) -> bytes:
    """Ask for all sockets of a family and protocol in these states on these local ports (all where none are given).

    More come where there are more than MOST_RANGES.
    """
    body = _REQUEST.pack(family, protocol, _extensions(info), states) + bytes(48)
    return _message(kernel.SOCK_DIAG_BY_FAMILY, kernel.NLM_F_DUMP, body + _bytecode(ranges))


def tcp_dump_request(states: int, ranges: Sequence[Range], *, info: bool = True) -> bytes:
    """Ask for the TCP sockets of both families in one walk of the tables: half the time of two dumps.

    The older request type, kept by the kernel for ss of old; its family is ignored. A single port stands in the id as
    well: that spares the walk a third of its time. It does not keep bound-only sockets out.
    """
    port = ranges[0][0] if len(ranges) == 1 and ranges[0][0] == ranges[0][1] else 0
    body = _LEGACY_REQUEST.pack(_socket.AF_UNSPEC, 0, 0, _extensions(info))
    body += _ID.pack(port, 0, b"", b"") + _ID_TAIL.pack(0, 0, 0) + _STATES.pack(states, 0)
    return _message(kernel.TCPDIAG_GETSOCK, kernel.NLM_F_DUMP, body + _bytecode(ranges))


def exact_request(sock: KernelSocket, protocol: int, *, destroy: bool = False) -> bytes:
    """Ask for one socket, by both ends, interface and cookie; or have it destroyed."""
    identity = sock.identity if destroy else _to_look_up(sock.identity, protocol)
    body = _REQUEST.pack(sock.family, protocol, _extensions(info=True), 0xFFFFFFFF) + identity
    return _message(kernel.SOCK_DESTROY if destroy else kernel.SOCK_DIAG_BY_FAMILY, kernel.NLM_F_ACK, body)


def lookup_request(
    family: int, protocol: int, local: tuple[str, int], remote: tuple[str, int], interface: int = 0
) -> bytes:
    """Ask for the one socket with these two ends, whatever its cookie, that is bound to this interface or to none."""
    ends = _ID.pack(local[1], remote[1], _packed(family, local[0]), _packed(family, remote[0]))
    identity = ends + _ID_TAIL.pack(interface, kernel.INET_DIAG_NOCOOKIE, kernel.INET_DIAG_NOCOOKIE)
    body = _REQUEST.pack(family, protocol, _extensions(info=True), 0xFFFFFFFF) + _to_look_up(identity, protocol)
    return _message(kernel.SOCK_DIAG_BY_FAMILY, kernel.NLM_F_ACK, body)


def _to_look_up(identity: bytes, protocol: int) -> bytes:
    """Put the two ends in the order in which a lookup takes them.

    UDP's takes them the wrong way round, "for historical reasons" (udp_dump_one in net/ipv4/udp_diag.c); TCP's, every
    dump and both destroys do not.
    """
    if protocol != _socket.IPPROTO_UDP:
        return identity
    local_port, remote_port, local, remote = _ID.unpack_from(identity)
    return _ID.pack(remote_port, local_port, remote, local) + identity[_ID.size :]


def _packed(family: int, address: str) -> bytes:
    return _socket.inet_pton(family, address).ljust(16, b"\0")


def _extensions(info: bool) -> int:
    wanted = [kernel.INET_DIAG_TOS, kernel.INET_DIAG_TCLASS, *([kernel.INET_DIAG_INFO] if info else [])]
    return sum(1 << (number - 1) for number in wanted)


def _bytecode(ranges: Sequence[Range]) -> bytes:
    program = port_program(_at_most(MOST_RANGES, ranges)) if ranges else b""
    return _ATTRIBUTE.pack(4 + len(program), kernel.INET_DIAG_REQ_BYTECODE) + program if program else b""


def _at_most(count: int, ranges: Sequence[Range]) -> Sequence[Range]:
    if len(ranges) <= count:
        return ranges
    return [(min(first for first, _ in ranges), max(last for _, last in ranges))]


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, kernel.NLM_F_REQUEST | flags, 1, 0) + body


def numbered(request: bytes, sequence: int) -> bytes:
    """Give a request its number, which the kernel repeats in each part of its answer."""
    return request[:_SEQUENCE_AT] + _SEQUENCE.pack(sequence) + request[_SEQUENCE_AT + _SEQUENCE.size :]


class Answer(Record):
    """One datagram's worth of answer: sockets, whether the end was reached, the error number (0: none)."""

    sockets: tuple[KernelSocket, ...]
    done: bool
    errno: int
    interrupted: bool
    """Whether the tables changed under the dump (NLM_F_DUMP_INTR)."""


def answer(data: bytes, protocol: str, sequence: int | None = None) -> Answer:
    """Read one datagram, of it only what answers the request of this number, if one is given. Raises WireError."""
    sockets: list[KernelSocket] = []
    done, errno, interrupted = False, 0, False
    for kind, flags, number, body in _messages(data):
        if sequence is not None and number != sequence:  # the rest of an answer that came after its time was over
            continue
        interrupted = interrupted or bool(flags & kernel.NLM_F_DUMP_INTR)
        if kind in (kernel.NLMSG_DONE, kernel.NLMSG_ERROR):
            done, errno = True, error_number(kind, body)
        elif kind in (kernel.SOCK_DIAG_BY_FAMILY, kernel.TCPDIAG_GETSOCK):
            sockets.append(diag_socket(body, protocol))
    return Answer(tuple(sockets), done, errno, interrupted)


def error_number(kind: int, body: bytes) -> int:
    """Read the error number, which the kernel sends negated, of an error or of a dump's end. Raises WireError."""
    if len(body) < _ERROR.size and kind == kernel.NLMSG_DONE:
        return 0
    number = -int(_ERROR.unpack_from(body)[0]) if len(body) >= _ERROR.size else -1
    if not 0 <= number <= kernel.MAX_ERRNO:
        raise WireError("an error message without an error number")
    return number


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > len(data):
            raise WireError(f"a message of {length} bytes at {at} of {len(data)}")
        yield kind, flags, sequence, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3
    if at < len(data):
        raise WireError(f"{len(data) - at} bytes behind the last message")


def diag_socket(body: bytes, protocol: str) -> KernelSocket:
    """Read one inet_diag_msg with its attributes. Raises WireError."""
    if len(body) < _ATTRIBUTES_AT:
        raise WireError(f"a socket of {len(body)} bytes")
    family, state, timer, _ = _MESSAGE.unpack_from(body)
    local_port, remote_port, local, remote = _ID.unpack_from(body, _ID_AT)
    interface, cookie_low, cookie_high = _ID_TAIL.unpack_from(body, _ID_TAIL_AT)
    expires, received, queued, uid, inode = _TAIL.unpack_from(body, _TAIL_AT)
    attributes = dict(_attributes(body, _ATTRIBUTES_AT))
    traffic = attributes.get(kernel.INET_DIAG_TCLASS) or attributes.get(kernel.INET_DIAG_TOS)
    only = attributes.get(kernel.INET_DIAG_SKV6ONLY)
    info = attributes.get(kernel.INET_DIAG_INFO)
    upper = attributes.get(kernel.INET_DIAG_ULP_INFO)
    return KernelSocket(
        family=family,
        protocol=protocol,
        state=kernel.STATE_NAMES.get(state, str(state)),
        expires=expires if timer == kernel.TIMER_TIME_WAIT else None,
        local_address=_address(family, local),
        local_port=local_port,
        remote_address=_address(family, remote),
        remote_port=remote_port,
        interface=interface,
        cookie=cookie_high << 32 | cookie_low,
        uid=uid,
        inode=inode,
        cgroup=int.from_bytes(attributes.get(kernel.INET_DIAG_CGROUP_ID, b""), sys.byteorder),
        v6only=None if only is None else bool(only[:1].strip(b"\0")),
        traffic_class=traffic[0] if traffic else None,
        info=tcp_info(info, state) if info else None,
        identity=body[_ID_AT:_TAIL_AT],
        send_queue=queued,
        queue=received if state == kernel.TCP_LISTEN and protocol == "tcp" else None,
        mptcp=upper is not None and _upper_protocol(upper) == b"mptcp",
    )


def _upper_protocol(nested: bytes) -> bytes:
    """Name the protocol above TCP that the kernel runs on this socket."""
    return dict(_attributes(nested)).get(kernel.INET_ULP_INFO_NAME, b"").rstrip(b"\0")


def _attributes(body: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        if length < _ATTRIBUTE.size or at + length > len(body):
            raise WireError(f"an attribute of {length} bytes at {at} of {len(body)}")
        yield kind, body[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3


def _address(family: int, packed: bytes) -> str:
    if family == _socket.AF_INET:
        return _socket.inet_ntop(_socket.AF_INET, packed[:4])
    if family == _socket.AF_INET6:
        return _socket.inet_ntop(_socket.AF_INET6, packed)
    raise WireError(f"address family {family}")


# Offsets in struct tcp_info (linux/tcp.h); it only ever grows at its end.
_STATE, _UNACKED, _LAST_DATA_SENT, _LAST_DATA_RECEIVED = 0, 24, 44, 52
_BYTES_ACKED, _SEGMENTS_IN, _NOT_SENT, _BYTES_SENT = 120, 140, 144, 200


def tcp_info(data: bytes, state: int) -> TcpInfo | None:
    """Read struct tcp_info, of whatever length this kernel has; None where it is too short to say anything.

    tcpi_bytes_acked counts SYN and FIN, tcpi_bytes_sent does not: the difference says who called connect(), for
    the SYN of whoever accepts travels in a SYN-ACK that starts at one more (tcp_ack and tcp_rcv_state_process).

    A socket that is being reset has its counts set to zero (tcp_disconnect) after its `state` was written down, and
    before the counts were. Then the state is another by now, or nothing was ever received, and the counts say nothing.
    """
    if len(data) < _LAST_DATA_RECEIVED + 4:
        return None
    (unacked,) = struct.unpack_from("=I", data, _UNACKED)
    (last_sent,) = struct.unpack_from("=I", data, _LAST_DATA_SENT)
    (last_received,) = struct.unpack_from("=I", data, _LAST_DATA_RECEIVED)
    control = not_sent = None
    if len(data) >= _BYTES_SENT + 16:
        (acked,) = struct.unpack_from("=Q", data, _BYTES_ACKED)
        sent, retransmitted = struct.unpack_from("=QQ", data, _BYTES_SENT)
        (not_sent,) = struct.unpack_from("=I", data, _NOT_SENT)
        (received,) = struct.unpack_from("=I", data, _SEGMENTS_IN)
        control = acked - (sent - retransmitted) if data[_STATE] == state and received else None
    return TcpInfo(unacked, last_sent, last_received, control, not_sent)


_MOST_EVENT_RANGES = 100  # a jump is 8 bits wide; more ranges than that share one that spans them all


def event_filter(ranges: Sequence[Range]) -> bytes:
    """Compile ports into a classic BPF program (struct sock_filter[]) that drops events of all other local ports.

    An event is one inet_diag_msg behind one nlmsghdr; its local port is at byte 20, in network order, which is
    what BPF's absolute loads read.
    """
    source_port = _HEADER.size + _ID_AT
    ranges = _at_most(_MOST_EVENT_RANGES, ranges)
    program = [struct.pack("=HBBI", kernel.BPF_LDH_ABS, 0, 0, source_port)]
    accept = len(ranges) * 2  # instructions from the first comparison to the accepting return
    for index, (first, last) in enumerate(ranges):
        here = index * 2
        # below first: on to the next range; above last: likewise; else accept
        program.append(struct.pack("=HBBI", kernel.BPF_JGE_K, 0, 1, first))
        program.append(struct.pack("=HBBI", kernel.BPF_JGT_K, 0, accept - here - 1, last))
    program.append(struct.pack("=HBBI", kernel.BPF_RET_K, 0, 0, 0))
    program.append(struct.pack("=HBBI", kernel.BPF_RET_K, 0, 0, 0xFFFFFFFF))
    return b"".join(program)

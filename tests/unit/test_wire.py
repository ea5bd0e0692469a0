"""sock_diag's messages, built and read with structures declared after the kernel's headers."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portwait._linux import kernel, wire
from portwait.model.sockets import TcpInfo
from tests.support.packages import needs

if TYPE_CHECKING:
    from pathlib import Path

U8, U16, U32, U64 = ctypes.c_uint8, ctypes.c_uint16, ctypes.c_uint32, ctypes.c_uint64


class Header(ctypes.Structure):
    """struct nlmsghdr, linux/netlink.h."""

    _fields_: ClassVar = [("length", U32), ("type", U16), ("flags", U16), ("sequence", U32), ("pid", U32)]


class Attribute(ctypes.Structure):
    """struct nlattr, likewise."""

    _fields_: ClassVar = [("length", U16), ("type", U16)]


class Id(ctypes.Structure):
    """struct inet_diag_sockid, linux/inet_diag.h."""

    _fields_: ClassVar = [
        ("sport", U8 * 2),  # big endian, as the addresses
        ("dport", U8 * 2),
        ("src", U8 * 16),
        ("dst", U8 * 16),
        ("interface", U32),
        ("cookie", U32 * 2),
    ]


class Request(ctypes.Structure):
    """struct inet_diag_req_v2, likewise."""

    _fields_: ClassVar = [
        *(("family", U8), ("protocol", U8), ("extensions", U8), ("pad", U8)),
        ("states", U32),
        ("id", Id),
    ]


class OlderRequest(ctypes.Structure):
    """struct inet_diag_req, likewise."""

    _fields_: ClassVar = [
        *(("family", U8), ("src_len", U8), ("dst_len", U8), ("extensions", U8)),
        ("id", Id),
        *(("states", U32), ("tables", U32)),
    ]


class Message(ctypes.Structure):
    """struct inet_diag_msg, likewise."""

    _fields_: ClassVar = [
        *(("family", U8), ("state", U8), ("timer", U8), ("retransmits", U8)),
        ("id", Id),
        *(("expires", U32), ("rqueue", U32), ("wqueue", U32), ("uid", U32), ("inode", U32)),
    ]


class Info(ctypes.Structure):
    """struct tcp_info, linux/tcp.h, as far as Linux 4.19 had it."""

    _fields_: ClassVar = [
        *((name, U8) for name in ("state", *(f"byte{number}" for number in range(1, 8)))),
        *((name, U32) for name in ("rto", "ato", "snd_mss", "rcv_mss")),
        *((name, U32) for name in ("unacked", "sacked", "lost", "retrans", "fackets")),
        *((name, U32) for name in ("last_data_sent", "last_ack_sent", "last_data_recv", "last_ack_recv")),
        *((name, U32) for name in ("pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh", "snd_cwnd", "advmss")),
        *((name, U32) for name in ("reordering", "rcv_rtt", "rcv_space", "total_retrans")),
        *((name, U64) for name in ("pacing_rate", "max_pacing_rate", "bytes_acked", "bytes_received")),
        *((name, U32) for name in ("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out")),
        *((name, U64) for name in ("delivery_rate", "busy_time", "rwnd_limited", "sndbuf_limited")),
        *((name, U32) for name in ("delivered", "delivered_ce")),
        *((name, U64) for name in ("bytes_sent", "bytes_retrans")),
        *((name, U32) for name in ("dsack_dups", "reord_seen")),
    ]


def packed(address: str) -> bytes:
    """Write an address as the kernel does."""
    return ipaddress.ip_address(address).packed.ljust(16, b"\0")


def identity(local: tuple[str, int], remote: tuple[str, int], interface: int = 0, cookie: int = 0) -> Id:
    """Fill in an inet_diag_sockid."""
    return Id(
        (U8 * 2)(*local[1].to_bytes(2, "big")),
        (U8 * 2)(*remote[1].to_bytes(2, "big")),
        (U8 * 16)(*packed(local[0])),
        (U8 * 16)(*packed(remote[0])),
        interface,
        (U32 * 2)(cookie & 0xFFFFFFFF, cookie >> 32),
    )


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    """Put a header in front, and what aligns the next message behind."""
    return bytes(Header(16 + len(body), kind, flags, 1, 0)) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes) -> bytes:
    """Put a header in front, and what aligns the next attribute behind."""
    return bytes(Attribute(4 + len(value), kind)) + value + bytes(-len(value) % 4)


def diag(family: int, state: int, which: Id, *attributes: bytes, timer: int = 0, expires: int = 0) -> bytes:
    """Make one inet_diag_msg."""
    return bytes(Message(family, state, timer, 0, which, expires, 11, 22, 1000, 248498713)) + b"".join(attributes)


OUTBOUND = identity(("10.11.0.5", 30010), ("10.11.0.9", 7000), 3, 0x0123456789ABCDEF)
COUNTS = {"bytes_acked": 105, "bytes_sent": 120, "bytes_retrans": 16, "segs_in": 9}
INFO = bytes(Info(state=1, unacked=1, last_data_sent=2, last_data_recv=3, **COUNTS))


def test_one_socket() -> None:
    """Every field arrives where it belongs."""
    found = wire.diag_socket(
        diag(
            *(socket.AF_INET, 1, OUTBOUND),
            attribute(5, b"\xbc"),  # INET_DIAG_TOS
            attribute(2, INFO),
            attribute(8, b"\0"),  # INET_DIAG_SHUTDOWN, which nobody asked for
            attribute(21, bytes(U64(4242))),
        ),
        "tcp",
    )
    assert found.family == socket.AF_INET
    assert (found.protocol, found.state) == ("tcp", "ESTABLISHED")
    assert (found.local_address, found.local_port) == ("10.11.0.5", 30010)
    assert (found.remote_address, found.remote_port) == ("10.11.0.9", 7000)
    assert (found.interface, found.cookie) == (3, 0x0123456789ABCDEF)
    assert (found.uid, found.inode, found.cgroup) == (1000, 248498713, 4242)
    assert (found.v6only, found.traffic_class, found.expires) == (None, 0xBC, None)
    assert found.info is not None
    assert found.info.acked_control == 1
    assert found.identity == bytes(OUTBOUND)


@pytest.mark.parametrize(
    ("address", "shown"),
    [("::1", "::1"), ("::ffff:10.0.0.1", "::ffff:10.0.0.1"), ("2001:db8::a", "2001:db8::a"), ("::", "::")],
)
def test_an_ipv6_socket(address: str, shown: str) -> None:
    """Addresses are in the kernel's own spelling; the traffic class is IPv6's, IPV6_V6ONLY is told."""
    which = identity((address, 30010), ("::2", 7000))
    for v6only in (False, True):
        found = wire.diag_socket(
            diag(
                *(socket.AF_INET6, 10, which),
                *(attribute(5, b"\x04"), attribute(6, b"\xbc"), attribute(11, bytes([v6only]))),
            ),
            "tcp",
        )
        assert (found.local_address, found.remote_address) == (shown, "::2")
        assert (found.v6only, found.traffic_class, found.state) == (v6only, 0xBC, "LISTEN")


STATES = (
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
    *("CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"),
)


@pytest.mark.parametrize(("number", "name"), list(enumerate(STATES, 1)))
def test_states_have_the_headers_names(number: int, name: str) -> None:
    """net/tcp_states.h, in its order."""
    assert wire.diag_socket(diag(socket.AF_INET, number, OUTBOUND), "tcp").state == name


def test_a_state_of_a_newer_kernel_is_shown_by_its_number() -> None:
    """What is not known is not called something else."""
    assert wire.diag_socket(diag(socket.AF_INET, 99, OUTBOUND), "tcp").state == "99"


@pytest.mark.parametrize(("timer", "expires"), [(0, None), (1, None), (2, None), (3, 59000), (4, None)])
def test_only_the_timer_of_a_time_wait_ends_a_socket(timer: int, expires: int | None) -> None:
    """Retransmission, keep-alive and zero-window timers run on and on."""
    found = wire.diag_socket(diag(socket.AF_INET, 6, OUTBOUND, timer=timer, expires=59000), "tcp")
    assert found.expires == expires


def test_a_datagram_of_sockets() -> None:
    """A dump comes in pieces; only NLMSG_DONE is its end."""
    sockets = [diag(socket.AF_INET, 1, identity(("127.0.0.1", port), ("127.0.0.1", 7000))) for port in (1, 2, 3)]
    some = wire.answer(b"".join(message(20, one) for one in sockets), "tcp")
    assert [one.local_port for one in some.sockets] == [1, 2, 3]
    assert (some.done, some.errno, some.interrupted) == (False, 0, False)
    rest = wire.answer(message(20, sockets[0]) + message(3, bytes(4)), "tcp")
    assert [one.local_port for one in rest.sockets] == [1]
    assert (rest.done, rest.errno) == (True, 0)


def test_the_older_type_of_answer() -> None:
    """TCPDIAG_GETSOCK is answered in its own type."""
    assert len(wire.answer(message(18, diag(socket.AF_INET, 1, OUTBOUND)), "tcp").sockets) == 1


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EPERM, errno.EOPNOTSUPP])
@pytest.mark.parametrize("kind", [2, 3], ids=["NLMSG_ERROR", "NLMSG_DONE"])
def test_an_error_is_the_end(kind: int, number: int) -> None:
    """The kernel writes errors as negative numbers; behind one it repeats the request."""
    found = wire.answer(message(kind, bytes(ctypes.c_int32(-number)) + bytes(72)), "tcp")
    assert (found.done, found.errno, found.sockets) == (True, number, ())


def test_an_acknowledgement_is_no_error() -> None:
    """NLMSG_ERROR with 0 is what NLM_F_ACK asked for."""
    found = wire.answer(message(2, bytes(4)), "tcp")
    assert (found.done, found.errno) == (True, 0)


def test_tables_that_changed_under_a_dump() -> None:
    """NLM_F_DUMP_INTR on any of its messages."""
    one = diag(socket.AF_INET, 1, OUTBOUND)
    assert wire.answer(message(20, one) + message(20, one, flags=0x10), "tcp").interrupted
    assert not wire.answer(message(20, one, flags=0x2), "tcp").interrupted


def test_messages_of_another_kind_are_left_alone() -> None:
    """NLMSG_NOOP, say."""
    assert wire.answer(message(1, b"anything") + message(3, b""), "tcp") == wire.Answer((), True, 0, False)
    assert wire.answer(b"", "tcp") == wire.Answer((), False, 0, False)


BROKEN = {
    "a piece of a header": bytes(Header(16, 20, 0, 1, 0))[:10],
    "a length below a header": bytes(Header(15, 20, 0, 1, 0)),
    "a length beyond the end": bytes(Header(17, 20, 0, 1, 0)),
    "a length of nothing": bytes(16),
    "a piece of a socket": message(20, diag(socket.AF_INET, 1, OUTBOUND)[:71]),
    "an error without a number": message(2, b"\0\0"),
    "an unknown family": message(20, diag(socket.AF_UNIX, 1, OUTBOUND)),
    "an attribute below its header": message(20, diag(socket.AF_INET, 1, OUTBOUND, bytes(Attribute(3, 2)))),
    "an attribute of nothing": message(20, diag(socket.AF_INET, 1, OUTBOUND, bytes(Attribute(0, 2)))),
    "an attribute beyond the end": message(20, diag(socket.AF_INET, 1, OUTBOUND, bytes(Attribute(5, 2)))),
    "bytes behind the last message": message(3, bytes(4)) + b"\0\0",
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    """With an error of the module's own, whatever is wrong."""
    with pytest.raises(wire.WireError):
        wire.answer(data, "tcp")


@given(st.binary(max_size=300))
def test_no_bytes_do_anything_else(data: bytes) -> None:
    """Any bytes are an answer or a WireError, also as the body of a message and as an attribute."""
    for datagram in (
        data,
        message(20, data),
        message(20, diag(socket.AF_INET, 1, OUTBOUND) + data),
        message(20, diag(socket.AF_INET6, 1, OUTBOUND, attribute(2, data), attribute(6, data[:1]))),
    ):
        try:
            wire.answer(datagram, "tcp")
        except wire.WireError:
            continue


@pytest.mark.parametrize(
    ("states", "ranges", "info"),
    [(0xFFF, [], True), (1 << 10, [(30010, 30010)], False), (0x3FFE, [(1, 2), (5, 6)], True)],
)
@pytest.mark.parametrize("protocol", [socket.IPPROTO_TCP, socket.IPPROTO_UDP])
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_request_for_a_dump(
    family: int, protocol: int, states: int, ranges: list[tuple[int, int]], info: bool
) -> None:
    """A header that tells the length, the request, and the filter where ports are asked for."""
    data = wire.dump_request(family, protocol, states, ranges, info=info)
    header, request = Header.from_buffer_copy(data), Request.from_buffer_copy(data, 16)
    assert (header.length, header.type, header.flags) == (len(data), 20, 0x301)
    assert (request.family, request.protocol, request.states) == (family, protocol, states)
    assert bytes(request.id) == bytes(48)
    # INET_DIAG_INFO is 2, INET_DIAG_TOS 5, INET_DIAG_TCLASS 6: a bit each, from 1 on
    assert request.extensions == (0b110010 if info else 0b110000)
    _assert_filter(data[16 + ctypes.sizeof(Request) :], ranges)


@pytest.mark.parametrize(
    ("ranges", "port"),
    [([], 0), ([(30010, 30010)], 30010), ([(1, 2)], 0), ([(1, 1), (9, 9)], 0)],
    ids=["everything", "one port", "a range", "two ports"],
)
def test_a_request_for_tcp_of_both_families(ranges: list[tuple[int, int]], port: int) -> None:
    """The older structure has its states behind the id, in which a single port stands too."""
    data = wire.tcp_dump_request(0x3FFE, ranges)
    header, request = Header.from_buffer_copy(data), OlderRequest.from_buffer_copy(data, 16)
    assert (header.length, header.type, header.flags) == (len(data), 18, 0x301)
    assert (request.family, request.states, request.extensions) == (socket.AF_UNSPEC, 0x3FFE, 0b110010)
    assert bytes(request.id) == port.to_bytes(2, "big") + bytes(46)
    _assert_filter(data[16 + ctypes.sizeof(OlderRequest) :], ranges)


def _assert_filter(data: bytes, ranges: list[tuple[int, int]]) -> None:
    """Without ports there is none, for an empty program is refused."""
    if not ranges:
        assert data == b""
        return
    header = Attribute.from_buffer_copy(data)
    assert (header.length, header.type) == (len(data), 1)  # INET_DIAG_REQ_BYTECODE
    assert data[4:] == wire.port_program(ranges)


@pytest.mark.parametrize("destroy", [False, True], ids=["look", "destroy"])
def test_a_request_for_exactly_one_socket(destroy: bool) -> None:
    """What came in goes out again, cookie and all: nobody else's socket can be meant."""
    found = wire.diag_socket(diag(socket.AF_INET, 1, OUTBOUND), "tcp")
    data = wire.exact_request(found, socket.IPPROTO_TCP, destroy=destroy)
    header, request = Header.from_buffer_copy(data), Request.from_buffer_copy(data, 16)
    assert (header.length, header.type, header.flags) == (len(data), 21 if destroy else 20, 0x5)
    assert (request.family, request.protocol) == (socket.AF_INET, socket.IPPROTO_TCP)
    assert (request.extensions, request.states) == (0b110010, 0xFFFFFFFF)
    assert bytes(request.id) == bytes(OUTBOUND)


def test_udp_is_looked_up_the_wrong_way_round() -> None:
    """Ends change places for a look, and only for a look (udp_dump_one in net/ipv4/udp_diag.c)."""
    found = wire.diag_socket(diag(socket.AF_INET, 1, OUTBOUND), "udp")
    turned = identity(("10.11.0.9", 7000), ("10.11.0.5", 30010), 3, 0x0123456789ABCDEF)
    look = wire.exact_request(found, socket.IPPROTO_UDP)
    destroy = wire.exact_request(found, socket.IPPROTO_UDP, destroy=True)
    assert bytes(Request.from_buffer_copy(look, 16).id) == bytes(turned)
    assert bytes(Request.from_buffer_copy(destroy, 16).id) == bytes(OUTBOUND)


@pytest.mark.parametrize(
    ("family", "local", "remote"),
    [(socket.AF_INET, "127.0.0.1", "10.0.0.1"), (socket.AF_INET6, "::1", "::ffff:10.0.0.1")],
    ids=["IPv4", "IPv6"],
)
def test_a_request_by_both_ends(family: int, local: str, remote: str) -> None:
    """No cookie: whichever socket has these ends now."""
    data = wire.lookup_request(family, socket.IPPROTO_TCP, (local, 30010), (remote, 7000))
    header, request = Header.from_buffer_copy(data), Request.from_buffer_copy(data, 16)
    assert (header.length, header.type, header.flags) == (len(data), 20, 0x5)
    assert bytes(request.id) == bytes(identity((local, 30010), (remote, 7000), 0, 2**64 - 1))


@pytest.mark.parametrize("length", [104, 192, 216, 224, 232, 248, 280])
def test_tcp_info_of_any_kernel(length: int) -> None:
    """The structure grows at its end; what an older kernel's lacks is not made up."""
    found = wire.tcp_info(INFO.ljust(length, b"\xff")[:length], 1)
    control = 105 - (120 - 16) if length >= 216 else None
    assert found is not None
    assert found == TcpInfo(1, 2, 3, control, found.not_sent)


@pytest.mark.parametrize(
    ("state", "received", "control"),
    [(1, 9, 1), (7, 9, None), (1, 0, None), (7, 0, None)],
    ids=["as it was", "closed since", "set to zero", "both"],
)
def test_tcp_info_of_a_socket_that_is_being_reset(state: int, received: int, control: int | None) -> None:
    """Its state was written down first and its counts last; in between they may have been set to zero."""
    found = wire.tcp_info(bytes(Info(state=state, **{**COUNTS, "segs_in": received})), 1)
    assert found is not None
    assert found.acked_control == control


@pytest.mark.parametrize("length", [0, 1, 24, 44, 55])
def test_tcp_info_that_says_nothing(length: int) -> None:
    """Cut off before its times."""
    assert wire.tcp_info(INFO[:length], 1) is None
    assert wire.diag_socket(diag(socket.AF_INET, 1, OUTBOUND, attribute(2, INFO[:length])), "tcp").info is None


def test_numbers_are_those_of_the_headers(tmp_path: Path) -> None:
    """Each number has its header's name, and the value that a compiler finds there."""
    needs("gcc", "gcc")
    needs("/usr/include/linux/inet_diag.h", "libc6-dev")
    elsewhere = {  # what the kernel keeps from programs, and what is a sum of a header's parts
        "TCP_NEW_SYN_RECV": "BPF_TCP_NEW_SYN_RECV",
        "TCP_BOUND_INACTIVE": "13",
        "TIMER_TIME_WAIT": "3",
        "PF_KTHREAD": "0x00200000",
        "MAX_ERRNO": "4095",
        "BPF_LDH_ABS": "BPF_LD | BPF_H | BPF_ABS",
        "BPF_JGE_K": "BPF_JMP | BPF_JGE | BPF_K",
        "BPF_JGT_K": "BPF_JMP | BPF_JGT | BPF_K",
        "BPF_RET_K": "BPF_RET | BPF_K",
    }
    numbers = {name: value for name, value in vars(kernel).items() if name.isupper() and isinstance(value, int)}
    headers = (
        *("sys/socket.h", "netinet/tcp.h", "linux/netlink.h", "linux/sock_diag.h", "linux/inet_diag.h"),
        *(
            "linux/filter.h",
            "linux/bpf.h",
            "linux/rtnetlink.h",
            "linux/if_link.h",
            "linux/sockios.h",
            "linux/if.h",
            "signal.h",
        ),
    )
    source = tmp_path / "numbers.c"
    source.write_text(
        "".join(f"#include <{header}>\n" for header in headers)
        + "".join(
            f'_Static_assert((unsigned)({elsewhere.get(name, name)}) == {value}u, "{name}");\n'
            for name, value in numbers.items()
        )
    )
    gcc = shutil.which("gcc")
    assert gcc is not None
    done = subprocess.run([gcc, "-fsyntax-only", source], capture_output=True, text=True, check=False)
    assert re.findall(r"error: .*", done.stderr) == []
    assert len(numbers) > 40

"""The network interfaces of this namespace, over rtnetlink: which VRF one belongs to. Pure functions read the bytes.

Only what decides whether two sockets can conflict: bind() compares sockets of one VRF, and those of no VRF, each among
themselves (inet_bind_bucket_match in net/ipv4/inet_hashtables.c).
"""

from __future__ import annotations

import _socket
import struct
from typing import TYPE_CHECKING

from portwait._linux import kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port id
_LINK = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, change
_ATTRIBUTE = struct.Struct("=HH")
_FLAGS = struct.Struct("=16sH22x")  # ifreq: name, flags; 40 bytes
_NUMBER = struct.Struct("=I")
_TYPE_MASK = 0x3FFF  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
_DEADLINE = 2.0  # seconds; the kernel answers at once
_BUFFER = 1 << 16
_ACCEPTS_ALL = "/proc/sys/net/ipv4/tcp_l3mdev_accept"


def vrf_of(index: int) -> int:
    """Answer the number of the VRF that an interface is, or belongs to; 0 for none, or where that cannot be known.

    0 for all where net.ipv4.tcp_l3mdev_accept is set: then TCP does not tell VRFs apart.
    """
    try:
        with open(_ACCEPTS_ALL, encoding="ascii") as file:
            if file.read().strip() != "0":
                return 0
    except OSError:
        return 0
    return parse(_ask(index))


def vrfs() -> list[str]:
    """Name the VRFs of this network namespace. /sys would list those of the namespace that it was mounted in."""
    try:
        return sorted(name for index, name in _socket.if_nameindex() if parse(_ask(index)) == index)
    except OSError:
        return []


def _ask(index: int) -> bytes:
    """Ask the kernel for one interface; nothing where it does not answer."""
    try:
        sock = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, kernel.NETLINK_ROUTE)
        try:
            sock.settimeout(_DEADLINE)
            sock.send(request(index))
            data, sender = sock.recvfrom(_BUFFER)
        finally:
            sock.close()
    except OSError:
        return b""
    return data if sender[0] == 0 else b""


def is_down(name: str) -> bool:
    """Whether an interface is down; where the kernel does not say, it is not."""
    import fcntl

    try:
        sock = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
        try:
            answer = fcntl.ioctl(sock.fileno(), kernel.SIOCGIFFLAGS, _FLAGS.pack(name.encode(), 0))
        finally:
            sock.close()
    except OSError:
        return False
    return not _FLAGS.unpack(answer)[1] & kernel.IFF_UP


def request(index: int) -> bytes:
    """Ask for one interface."""
    body = _LINK.pack(_socket.AF_UNSPEC, 0, index, 0, 0)
    return _HEADER.pack(_HEADER.size + len(body), kernel.RTM_GETLINK, kernel.NLM_F_REQUEST, 1, 0) + body


def parse(data: bytes) -> int:
    """Read the answer: the interface's own number where it is a VRF, its master's where that is one, else 0."""
    if len(data) < _HEADER.size + _LINK.size or _HEADER.unpack_from(data)[1] != kernel.RTM_NEWLINK:
        return 0
    _, _, index, _, _ = _LINK.unpack_from(data, _HEADER.size)
    attributes = dict(_attributes(data, _HEADER.size + _LINK.size))
    kinds = dict(_attributes(attributes.get(kernel.IFLA_LINKINFO, b"")))
    if kinds.get(kernel.IFLA_INFO_KIND, b"").rstrip(b"\0") == b"vrf":
        return int(index)
    master = attributes.get(kernel.IFLA_MASTER, b"")
    if kinds.get(kernel.IFLA_INFO_SLAVE_KIND, b"").rstrip(b"\0") == b"vrf" and len(master) == _NUMBER.size:
        return int(_NUMBER.unpack(master)[0])
    return 0


def _attributes(data: bytes, at: int = 0) -> Iterator[tuple[int, bytes]]:
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            return
        yield kind & _TYPE_MASK, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3

"""The ends of sockets out of a sock_diag dump, and nothing else of them: for dumps of 100,000. A pure function."""

from __future__ import annotations

import struct

from portwait._linux import kernel
from portwait._linux.wire import WireError, error_number

_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_LOCAL_PORT, _REMOTE_PORT, _REMOTE_END = 4, 6, 40
"""Where in struct inet_diag_msg the ends are: ports in network order, then both addresses."""
_SHORTEST = 72  # bytes of struct inet_diag_msg


def read(data: bytes, sequence: int) -> tuple[list[tuple[int, int, bytes]], bool, int]:
    """Read state, local port, and the bytes from the remote port to the remote address, of each socket in a datagram.

    Only what answers the request of this number counts. The second value is whether the dump's end was reached, the
    third is the error number, 0 for none. Raises WireError.
    """
    ends, at = _alike(data, sequence)
    done, errno = False, 0
    end = len(data)
    while at + _HEADER.size <= end:
        length, kind, _, number, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size or at + length > end:
            raise WireError(f"a message of {length} bytes at {at} of {end}")
        body = at + _HEADER.size
        if number != sequence:
            pass
        elif kind in (kernel.SOCK_DIAG_BY_FAMILY, kernel.TCPDIAG_GETSOCK):
            if length < _HEADER.size + _SHORTEST:
                raise WireError(f"a socket of {length - _HEADER.size} bytes")
            port = data[body + _LOCAL_PORT] << 8 | data[body + _LOCAL_PORT + 1]
            ends.append((data[body + 1], port, data[body + _REMOTE_PORT : body + _REMOTE_END]))
        elif kind in (kernel.NLMSG_DONE, kernel.NLMSG_ERROR):
            done, errno = True, error_number(kind, data[body : at + length])
        at += (length + 3) & ~3
    if at < end:
        raise WireError(f"{end - at} bytes behind the last message")
    return ends, done, errno


def _alike(data: bytes, sequence: int) -> tuple[list[tuple[int, int, bytes]], int]:
    """Read the sockets at the beginning of a datagram where their headers are all alike, as they are in a dump.

    Five times as quick as one message after the other. The second value is where these end.
    """
    if len(data) < _HEADER.size:
        return [], 0
    length, kind, _, number, _ = _HEADER.unpack_from(data)
    is_socket = kind in (kernel.SOCK_DIAG_BY_FAMILY, kernel.TCPDIAG_GETSOCK)
    if number != sequence or not is_socket or length % 4 or length < _HEADER.size + _SHORTEST:
        return [], 0
    end = len(data) // length * length
    if any(data[at:end:length].strip(data[at : at + 1]) for at in range(_HEADER.size)):
        return [], 0
    body = struct.Struct(f">17xB2xH{_REMOTE_END - _REMOTE_PORT}s{length - _HEADER.size - _REMOTE_END}x")
    return list(body.iter_unpack(memoryview(data)[:end])), end

"""The socket tables over netlink: dump, look up, destroy, subscribe. Bytes are `wire`'s business."""

from __future__ import annotations

import _socket
import array
import contextlib
import errno
import os
import struct
from typing import TYPE_CHECKING

from portwait._linux import kernel, wire
from portwait.errors import TablesError
from portwait.model.targets import plain

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from portwait.model.sockets import KernelSocket, Range

_EVERY_STATE = (1 << kernel.TCP_BOUND_INACTIVE + 1) - 2
_LISTENING = 1 << kernel.TCP_LISTEN
_PROTOCOLS = {"tcp": _socket.IPPROTO_TCP, "udp": _socket.IPPROTO_UDP}
GONE = (errno.ENOENT, errno.ESTALE)
"""No socket with these ends, or another one: its cookie is not the one that was asked for."""
_DEADLINE = 10.0  # seconds; the kernel answers at once, this is against a broken one
_BUFFER = 1 << 17  # the kernel fills 32 KiB at a time (NLMSG_GOODSIZE and max_recvmsg_len)


class SockDiag:
    """One netlink socket for questions about the sockets of this network namespace; needs no privilege.

    Every method raises TablesError where the kernel does not answer: no such module, no AF_NETLINK in a service's
    RestrictAddressFamilies=, a seccomp filter.
    """

    def __init__(self) -> None:
        """Open it."""
        try:
            self._socket = _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, kernel.NETLINK_SOCK_DIAG
            )
        except OSError as error:
            raise TablesError(_reason(error)) from error
        self._socket.settimeout(_DEADLINE)

    def __enter__(self) -> SockDiag:
        """Use it for a while."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Close it."""
        self._socket.close()

    def sockets(self, protocol: str, ranges: Sequence[Range], *, listening: bool = False) -> tuple[KernelSocket, ...]:
        """Read all sockets of a protocol, both families, on these local ports (none given: all)."""
        states = _LISTENING if listening else _EVERY_STATE
        found: tuple[KernelSocket, ...] = ()
        if protocol == "tcp":
            found = self._dump(wire.tcp_dump_request(states, ranges), protocol)
        else:
            for family in (_socket.AF_INET, _socket.AF_INET6):
                found += self._dump(wire.dump_request(family, _PROTOCOLS[protocol], states, ranges), protocol)
        if len(ranges) <= wire.MOST_RANGES:
            return found
        wanted = {port for first, last in ranges for port in range(first, last + 1)}
        return tuple(which for which in found if which.local_port in wanted)

    def listeners(self, ranges: Sequence[Range]) -> tuple[KernelSocket, ...]:
        """Read the TCP listeners on these ports; cheap at any number of connections."""
        return self.sockets("tcp", ranges, listening=True)

    def again(self, which: KernelSocket) -> KernelSocket | None:
        """Look at one socket once more, by its cookie; None when it is gone."""
        return self._one(wire.exact_request(which, _PROTOCOLS[which.protocol]), which.protocol)

    def other_end(self, which: KernelSocket) -> KernelSocket | None:
        """Find the socket at the other end of a connection, where that is in this network namespace.

        Of UDP also one that is not connected and takes what comes for that port: for that address of this host, or for
        any address, this host's own or not.
        """
        here, there = plain(which.local_address), plain(which.remote_address)
        family = _socket.AF_INET6 if ":" in here else _socket.AF_INET
        found = self.lookup(which.protocol, family, (there, which.remote_port), (here, which.local_port))
        if found is None or found.local_port != which.remote_port:
            return None
        answered = (plain(found.remote_address), found.remote_port) == (here, which.local_port)
        return found if answered or which.protocol == "udp" else None  # else a listener, the lookup's second best

    def lookup(
        self, protocol: str, family: int, local: tuple[str, int], remote: tuple[str, int]
    ) -> KernelSocket | None:
        """Find the one socket with these two ends; None when there is none."""
        return self._one(wire.lookup_request(family, _PROTOCOLS[protocol], local, remote), protocol)

    def destroy(self, which: KernelSocket) -> int:
        """Destroy one socket, by its cookie; the kernel's error number, 0 for done. Needs CAP_NET_ADMIN."""
        return self._ask(wire.exact_request(which, _PROTOCOLS[which.protocol], destroy=True), which.protocol).errno

    def may_destroy(self) -> int:
        """Try `destroy` on a socket of our own that nobody knows: 0, or the error number that any socket would get.

        Capabilities do not say it: what counts is the user namespace that the network namespace belongs to.
        """
        with contextlib.closing(_socket.socket()) as own:
            try:
                own.bind(("127.0.0.1", 0))
                own.listen(1)  # one that is only bound cannot be looked up
            except OSError:  # no loopback, no port left: the real thing will say
                return 0
            found = self.lookup("tcp", _socket.AF_INET, own.getsockname(), ("0.0.0.0", 0))  # a listener's other end
            return 0 if found is None else self.destroy(found)

    def _one(self, request: bytes, protocol: str) -> KernelSocket | None:
        found = self._ask(request, protocol)
        if found.errno not in (0, *GONE):
            raise TablesError(_reason(OSError(found.errno, os.strerror(found.errno))))
        return found.sockets[0] if found.sockets else None

    def _dump(self, request: bytes, protocol: str) -> tuple[KernelSocket, ...]:
        found = self._ask(request, protocol)
        if found.errno:
            raise TablesError(_reason(OSError(found.errno, os.strerror(found.errno))))
        return found.sockets

    def _ask(self, request: bytes, protocol: str) -> wire.Answer:
        """Send a request and collect what comes until its end."""
        sockets: list[KernelSocket] = []
        interrupted = False
        try:
            self._socket.send(request)
            while True:
                part = wire.answer(self._socket.recv(_BUFFER), protocol)
                sockets += part.sockets
                interrupted = interrupted or part.interrupted
                if part.done:
                    return wire.Answer(tuple(sockets), done=True, errno=part.errno, interrupted=interrupted)
        except OSError as error:
            raise TablesError(_reason(error)) from error
        except wire.WireError as error:
            raise TablesError(f"the kernel's answer cannot be read: {error}") from error


class DestroyEvents:
    """The kernel's word that a socket on one of these ports was destroyed; needs no privilege.

    An event means only: look again. None comes when a port becomes free in another way (a TIME_WAIT ends, a
    connection is reset under a descriptor that stays open). Subscribe only while waiting: the kernel builds a
    message for every socket of the namespace that closes as long as anyone listens.
    """

    def __init__(self, ranges: Sequence[Range]) -> None:
        """Subscribe, with a filter for these local ports in the kernel. Raises TablesError."""
        self._ranges: Sequence[Range] | None = None
        groups = (
            kernel.SKNLGRP_INET_TCP_DESTROY,
            kernel.SKNLGRP_INET_UDP_DESTROY,
            kernel.SKNLGRP_INET6_TCP_DESTROY,
            kernel.SKNLGRP_INET6_UDP_DESTROY,
        )
        try:
            self._socket = _socket.socket(
                _socket.AF_NETLINK,
                _socket.SOCK_RAW | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK,
                kernel.NETLINK_SOCK_DIAG,
            )
            try:
                self.watch(ranges)
                self._socket.bind((0, sum(1 << group - 1 for group in groups)))
            except BaseException:
                self._socket.close()
                raise
        except OSError as error:
            raise TablesError(_reason(error)) from error

    def watch(self, ranges: Sequence[Range]) -> None:
        """Want to hear of these local ports from now on, and of no others. Raises OSError."""
        if self._ranges != ranges:
            _attach_filter(self._socket, wire.event_filter(ranges))
            self._ranges = ranges

    def fileno(self) -> int:
        """The descriptor to poll for reading."""
        return self._socket.fileno()

    def drain(self) -> None:
        """Forget what has come so far; ENOBUFS, too many at once, is only one more reason to look."""
        while True:
            try:
                self._socket.recv(_BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    return

    def close(self) -> None:
        """Unsubscribe."""
        self._socket.close()


def _attach_filter(sock: _socket.socket, program: bytes) -> None:
    """Attach a classic BPF program; struct sock_fprog holds its length and its address (socket(7))."""
    instructions = array.array("B", program)
    address, size = instructions.buffer_info()
    sock.setsockopt(_socket.SOL_SOCKET, kernel.SO_ATTACH_FILTER, struct.pack("@HP", size // 8, address))


def _reason(error: OSError) -> str:
    if error.errno == errno.EAFNOSUPPORT:
        return "netlink is not allowed here (AF_NETLINK is missing in RestrictAddressFamilies=, say)"
    if error.errno == errno.ENOENT:
        return "the kernel has no tcp_diag or udp_diag module"
    return f"netlink failed: {error.strerror or error}"

"""The socket tables over netlink: dump, look up, destroy, subscribe. Bytes are `wire`'s business."""

from __future__ import annotations

import _socket
import errno
import os
import struct
import time

from portwait._linux import ends, kernel, wire
from portwait.errors import TablesError
from portwait.model.sockets import Connections
from portwait.model.targets import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType
    from typing import TypeVar

    from portwait.model.sockets import KernelSocket, Range

    _Part = TypeVar("_Part")

_EVERY_STATE = (1 << kernel.TCP_BOUND_INACTIVE + 1) - 2
_LISTENING = 1 << kernel.TCP_LISTEN
_ALL_BUT_LISTENING = _EVERY_STATE & ~_LISTENING
_PROTOCOLS = {"tcp": _socket.IPPROTO_TCP, "udp": _socket.IPPROTO_UDP}
GONE = (errno.ENOENT, errno.ESTALE)
"""No socket with these ends, or another one: its cookie is not the one that was asked for."""
_SILENCE, _PATIENCE = 10.0, 120.0
"""Seconds without an answer, and until the last: one of a million sockets takes some on a busy host."""
_KERNEL = 0
"""The kernel's port id; any process can send to a netlink socket."""
_LAST_SEQUENCE = (1 << 32) - 1
_LOOKS = 3
"""How often a dump is taken whose tables change meanwhile (NLM_F_DUMP_INTR); the last one counts as it is."""
_BUFFER = 1 << 17  # the kernel fills 32 KiB at a time (NLMSG_GOODSIZE and max_recvmsg_len)


class SockDiag:
    """One netlink socket for questions about the sockets of this network namespace; needs no privilege.

    Every method raises TablesError where the kernel does not answer: no such module, no AF_NETLINK in a service's
    RestrictAddressFamilies=, a seccomp filter.
    """

    def __init__(self, sock: _socket.socket | None = None) -> None:
        """Open it, or use one that is open."""
        try:
            self._socket = sock or _socket.socket(
                _socket.AF_NETLINK, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, kernel.NETLINK_SOCK_DIAG
            )
        except OSError as error:
            raise TablesError(_reason(error)) from error
        self._socket.settimeout(_SILENCE)
        self._sequence = 0

    def __enter__(self) -> SockDiag:
        """Use it for a while."""
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, traceback: TracebackType | None) -> None:
        """Close it."""
        self._socket.close()

    def sockets(self, protocol: str, ranges: Sequence[Range], *, listening: bool = False) -> tuple[KernelSocket, ...]:
        """Read all sockets of a protocol, both families, on these local ports (none given: all)."""
        states = _LISTENING if listening else _EVERY_STATE
        sockets: tuple[KernelSocket, ...] = ()
        if protocol == "tcp":
            sockets = self._dump(wire.tcp_dump_request(states, ranges), protocol)
        else:
            for family in (_socket.AF_INET, _socket.AF_INET6):
                sockets += self._dump(wire.dump_request(family, _PROTOCOLS[protocol], states, ranges), protocol)
        if len(ranges) <= wire.MOST_RANGES:
            return sockets
        wanted = {port for first, last in ranges for port in range(first, last + 1)}
        return tuple(sock for sock in sockets if sock.local_port in wanted)

    def listeners(self, ranges: Sequence[Range]) -> tuple[KernelSocket, ...]:
        """Read the TCP listeners on these ports; cheap at any number of connections."""
        return self.sockets("tcp", ranges, listening=True)

    def connections(self, served: Collection[int]) -> Connections:
        """Read all TCP connections; those on `served` ports are a server's.

        A tenth of the time that `sockets` takes: one loop over what `ends` reads, which keeps little of it.
        """
        clients: dict[bytes, set[int]] = {}
        accepted: set[int] = set()
        bound: set[int] = set()
        closed, no_port = kernel.TCP_CLOSE, bytes(2)
        request = wire.tcp_dump_request(_ALL_BUT_LISTENING, (), info=False)
        for part, done, error in self._answers(request, ends.read):
            for state, port, destination in part:
                if state == closed and destination[:2] == no_port:
                    bound.add(port)
                elif port in served:
                    accepted.add(port)
                elif destination in clients:
                    clients[destination].add(port)
                else:
                    clients[destination] = {port}
            if error:
                raise TablesError(_reason(OSError(error, os.strerror(error))))
            if done:
                break
        return Connections(clients, accepted, bound)

    def again(self, sock: KernelSocket) -> KernelSocket | None:
        """Look at one socket once more, by its cookie; None when it is gone."""
        return self._single(wire.exact_request(sock, _PROTOCOLS[sock.protocol]), sock.protocol)

    def other_end(self, sock: KernelSocket) -> KernelSocket | None:
        """Find the socket at the other end of a connection, where that is in this network namespace.

        Of UDP also one that is not connected and takes what comes for that port: for that address of this host, or for
        any address, this host's own or not.
        """
        local, remote = plain(sock.local_address), plain(sock.remote_address)
        family = _socket.AF_INET6 if ":" in local else _socket.AF_INET
        ends = (remote, sock.remote_port), (local, sock.local_port)
        peer = self.lookup(sock.protocol, family, *ends, interface=sock.interface)
        if peer is None or peer.local_port != sock.remote_port:
            return None
        answered = (plain(peer.remote_address), peer.remote_port) == (local, sock.local_port)
        return peer if answered or sock.protocol == "udp" else None  # else a listener, the lookup's second best

    def lookup(
        self, protocol: str, family: int, local: tuple[str, int], remote: tuple[str, int], interface: int = 0
    ) -> KernelSocket | None:
        """Find the one socket with these two ends, of this interface or of none; None when there is none."""
        return self._single(wire.lookup_request(family, _PROTOCOLS[protocol], local, remote, interface), protocol)

    def destroy(self, sock: KernelSocket) -> int:
        """Destroy one socket, by its cookie; the kernel's error number, 0 for done. Needs CAP_NET_ADMIN."""
        return self._ask(wire.exact_request(sock, _PROTOCOLS[sock.protocol], destroy=True), sock.protocol).errno

    def may_destroy(self) -> int:
        """Try `destroy` on a socket of our own that nobody knows: 0, or the error number that any socket would get.

        Capabilities do not say it: what counts is the user namespace that the network namespace belongs to. Our socket
        is known by its inode: a lookup by its end can answer with somebody else's, where a BPF program directs lookups
        (BPF_PROG_TYPE_SK_LOOKUP). The real thing will say what could be destroyed there.
        """
        own = _socket.socket()
        try:
            try:
                own.bind(("127.0.0.1", 0))
                own.listen(1)  # one that is only bound cannot be destroyed
            except OSError:  # no loopback, no port left: the real thing will say
                return 0
            inode, port = os.fstat(own.fileno()).st_ino, own.getsockname()[1]
            errors = [self.destroy(sock) for sock in self.listeners([(port, port)]) if sock.inode == inode]
            return 0 if not errors or errors[0] in GONE else errors[0]
        finally:
            own.close()

    def _single(self, request: bytes, protocol: str) -> KernelSocket | None:
        answer = self._ask(request, protocol)
        if answer.errno not in (0, *GONE):
            raise TablesError(_reason(OSError(answer.errno, os.strerror(answer.errno))))
        return answer.sockets[0] if answer.sockets else None

    def _dump(self, request: bytes, protocol: str) -> tuple[KernelSocket, ...]:
        for _ in range(_LOOKS):
            answer = self._ask(request, protocol)
            if answer.errno:
                raise TablesError(_reason(OSError(answer.errno, os.strerror(answer.errno))))
            if not answer.interrupted:
                break
        return answer.sockets

    def _ask(self, request: bytes, protocol: str) -> wire.Answer:
        """Send a request and collect the answer to it, until the end of that."""
        sockets: list[KernelSocket] = []
        interrupted = False
        error = 0
        for part in self._answers(request, lambda data, sequence: wire.answer(data, protocol, sequence)):
            sockets += part.sockets
            interrupted = interrupted or part.interrupted
            error = part.errno
            if part.done:
                break
        return wire.Answer(tuple(sockets), done=True, errno=error, interrupted=interrupted)

    def _answers(self, request: bytes, read: Callable[[bytes, int], _Part]) -> Iterator[_Part]:
        """Send a request and read what the kernel, and nobody else, answers; who has seen its end stops asking."""
        self._sequence = self._sequence % _LAST_SEQUENCE + 1
        heard = time.monotonic()
        end = heard + _PATIENCE
        try:
            self._socket.send(wire.numbered(request, self._sequence))
            while time.monotonic() < min(heard + _SILENCE, end):
                data, (sender, _) = self._socket.recvfrom(_BUFFER)
                if sender == _KERNEL:
                    heard = time.monotonic()
                    yield read(data, self._sequence)
        except OSError as error:
            raise TablesError(_reason(error)) from error
        except wire.WireError as error:
            raise TablesError(f"the kernel's answer cannot be read: {error}") from error
        raise TablesError("netlink failed: the kernel's answer has no end")


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
    import array

    instructions = array.array("B", program)
    address, size = instructions.buffer_info()
    sock.setsockopt(_socket.SOL_SOCKET, kernel.SO_ATTACH_FILTER, struct.pack("@HP", size // 8, address))


def _reason(error: OSError) -> str:
    if error.errno == errno.EAFNOSUPPORT:
        return "netlink is not allowed here (AF_NETLINK is missing in RestrictAddressFamilies=, say)"
    if error.errno == errno.ENOENT:
        return "the kernel has no tcp_diag or udp_diag module"
    return f"netlink failed: {error.strerror or error}"

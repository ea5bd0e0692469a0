"""Each state that a socket on a port can be in, made for real.

Every maker is a context manager for a private network namespace (the `net` fixture). It yields an immutable record
of the socket on the port and of its other end, once /proc/net says that the state is there. An OSError on the way is
the kernel's answer to whoever asked for that state.

Who chooses the source port of an outbound connection is `by`: the kernel at connect(), as in the incident, likewise
after the client has bound its address alone (IP_BIND_ADDRESS_NO_PORT), the kernel at bind(address, 0), or the client,
which binds it by number.

The address decides the family: "127.0.0.1", "::1", or MAPPED, an IPv4 connection of an AF_INET6 socket, as Java
makes it. Other ends take the first free port from 7000 on, so two makers can run at once and no choice is random.

Afterwards everything has been reset (RST, not FIN), so the port is free at once. Only a TIME_WAIT cannot be taken
back: it goes with the namespace.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import select
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from tests.support.netns import forced_source_port, sysctl
from tests.support.programs import DEADLINE, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

WILDCARD = "0.0.0.0"  # noqa: S104  # what services bind; here only ever in a private namespace
LOOPBACK = "127.0.0.1"
MAPPED = "::ffff:127.0.0.1"
Choice = Literal["connect", "address", "bind", "number"]
_FIRST_OTHER_PORT = 7000
_IPPROTO_MPTCP = 262
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
_TCP_REPAIR, _TCP_REPAIR_QUEUE, _TCP_QUEUE_SEQ, _TCP_REPAIR_WINDOW = 19, 20, 21, 29
_NO_QUEUE, _RECEIVE_QUEUE, _SEND_QUEUE = 0, 1, 2
_TCP_STATES = (  # include/net/tcp_states.h, in its order from 1 on; the names are the project's
    *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
    *("CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"),
)


class Bound(NamedTuple):
    """A socket on the port that has no other end."""

    local: str
    """`host:port`, IPv6 in brackets."""
    sock: socket.socket


class Connection(NamedTuple):
    """A socket on the port, and its other end."""

    state: str
    """What the kernel calls it: ESTABLISHED, TIME_WAIT..."""
    local: str
    remote: str
    sock: socket.socket
    """The socket on the port; a closed one where only the kernel still has it (TIME_WAIT, orphans)."""
    peer: socket.socket
    """The other end; of a SYN_SENT the listener that does not answer, of a self-connect the socket itself."""


def service_bind(
    port: int,
    address: str = WILDCARD,
    *,
    reuseaddr: bool = False,
    reuseport: bool = False,
    v6only: bool = False,
    udp: bool = False,
) -> str:
    """Bind once as a service would, and close: `ok`, or the name of the errno. "::" is dual-stack unless `v6only`."""
    with _socket(address, udp=udp) as sock:
        try:
            _bind(sock, address, port, reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only)
        except OSError as error:
            return errno.errorcode[error.errno or 0]
        return "ok"


def connects(port: int, address: str = LOOPBACK, *, udp: bool = False) -> bool:
    """Whether connect() can be given the port."""
    try:
        with (udp_connected if udp else outbound_established)(port, address=address):
            return True
    except OSError as error:
        if error.errno not in (errno.EADDRNOTAVAIL, errno.EAGAIN):  # TCP says the one, UDP the other
            raise
        return False


def states_on(port: int, remote_port: int | None = None, *, udp: bool = False) -> list[str]:
    """Every state that /proc/net shows on a local port, sorted; it shows all but bound-only TCP sockets."""
    return sorted(
        _TCP_STATES[int(words[3], 16) - 1]
        for family in ("", "6")
        for words in map(str.split, _table(("udp" if udp else "tcp") + family)[1:])
        if _port_of(words[1]) == port and (remote_port is None or _port_of(words[2]) == remote_port)
    )


def is_complete(unseen: str | None) -> bool:
    """Whether all owners of a socket of this process are known, by what its report says of those who are not.

    The other processes of a test run are relatives of this one, and can have more descriptors than are read.
    """
    return unseen is None or unseen.endswith("too many descriptors to search all of them, and may share it")


def reset(sock: socket.socket) -> None:
    """Close a TCP socket with RST instead of FIN: its port is free at once. A closed one stays closed."""
    if sock.fileno() != -1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def outbound_established(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a client's live connection: the incident."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        yield _connection("ESTABLISHED", client, peer)


@contextlib.contextmanager
def outbound_close_wait(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connection that the server has ended and the client has not noticed."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        peer.shutdown(socket.SHUT_WR)
        yield _connection("CLOSE_WAIT", client, peer)


@contextlib.contextmanager
def outbound_time_wait(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield what is left for 60 s of a connection that the client closed first; no process owns it."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        yield _time_wait(client, peer)


@contextlib.contextmanager
def fin_wait2(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connection that the client has shut down for writing and still owns; the server has not closed."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        client.shutdown(socket.SHUT_WR)
        yield _connection("FIN_WAIT2", client, peer)


@contextlib.contextmanager
def fin_wait2_orphan(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield the same after the client has closed it: no process owns it; closing `peer` makes it a TIME_WAIT."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        yield _connection("FIN_WAIT2", client, peer, close=True)


@contextlib.contextmanager
def fin_wait2_orphan_late(port: int) -> Iterator[Connection]:
    """Yield the same when its timer is one of a minute and a half, as on a slow path.

    What tcp_fin_timeout has above a minute, 4 s, goes by before the kernel starts that timer, with what the setting has
    above a minute by then, 90 s (tcp_fin_time, tcp_keepalive_timer).
    """
    sysctl("net.ipv4.tcp_fin_timeout", "64")
    with fin_wait2_orphan(port) as made:
        sysctl("net.ipv4.tcp_fin_timeout", "150")
        eventually(lambda: _has_time_wait_timer(port), "the timer of a minute and a half")
        yield made


@contextlib.contextmanager
def fin_wait1_orphan(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connection whose client has closed it while its last bytes find no room at the other end."""
    with _outbound(port, address, reuseaddr=reuseaddr, by=by) as (client, peer):
        _stuff(client)
        yield _connection("FIN_WAIT1", client, peer, close=True)


@contextlib.contextmanager
def closing_orphan(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connection that both ends have closed, the client first, its last bytes still on their way."""
    with fin_wait1_orphan(port, address=address, reuseaddr=reuseaddr, by=by) as made:
        made.peer.shutdown(socket.SHUT_WR)
        _await_state("CLOSING", made.local, made.remote)
        yield made._replace(state="CLOSING")


@contextlib.contextmanager
def last_ack_orphan(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connection that both ends have closed, the server first, the client's last bytes still on their way."""
    with outbound_close_wait(port, address=address, reuseaddr=reuseaddr, by=by) as made:
        _stuff(made.sock)
        yield _connection("LAST_ACK", made.sock, made.peer, close=True)


@contextlib.contextmanager
def syn_sent(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a connect() that nobody answers: the listener's backlog is full, so the kernel drops the SYN."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_server(address, backlog=0))  # 0 means one
        filler = stack.enter_context(_aborted(_socket(address)))
        _bind_first_free(filler, address)
        filler.connect(_as_seen_from(address, server))
        _await_readable(server)
        client = stack.enter_context(_aborted(_socket(address)))
        client.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            _connect_from(client, port, _as_seen_from(address, server), reuseaddr=reuseaddr, by=by)
        local = f"{_host(address)}:{port}"  # getpeername() has no answer yet, and this is what getsockname() says
        remote = f"{_host(address)}:{server.getsockname()[1]}"
        _await_state("SYN_SENT", local, remote)
        yield Connection("SYN_SENT", local, remote, client, server)


@contextlib.contextmanager
def self_connected(port: int, *, address: str = LOOPBACK, reuseaddr: bool = False) -> Iterator[Connection]:
    """Yield a client that called connect() on a dead local port, was given that port, and so reached itself."""
    with _aborted(_socket(address)) as client:
        _connect_from(client, port, (address, port), reuseaddr=reuseaddr, by="connect")
        yield _connection("ESTABLISHED", client, client)


@contextlib.contextmanager
def shared_local_port(port: int, connections: int, *, address: str = LOOPBACK) -> Iterator[tuple[Connection, ...]]:
    """Yield several outbound connections that the kernel has all given the same port, to different servers."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(outbound_established(port, address=address)) for _ in range(connections))


@contextlib.contextmanager
def restored(port: int, *, listener: bool = False) -> Iterator[Connection]:
    """Yield a connection put back from a checkpoint, as CRIU does: nothing was received, so no count says who called.

    `listener` is whether somebody listens where it goes to.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_server(LOOPBACK))
        client = stack.enter_context(_aborted(_socket(LOOPBACK)))
        client.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # it forces addresses to be shared
        client.bind((LOOPBACK, port))
        client.connect(server.getsockname())  # sends nothing, and nothing answers
        if not listener:
            server.close()
        yield _connection("ESTABLISHED", client, server)


@contextlib.contextmanager
def restored_accepted(port: int) -> Iterator[tuple[Bound, Connection]]:
    """Yield a live server and a connection of its own that was put back from a checkpoint, as CRIU does.

    One byte was sent and not acknowledged at the checkpoint. Its acknowledgement counts later, its sending does not, so
    the kernel's counts look as if this end had called connect().
    """
    with accepted(port) as (server, before):
        peer = before.peer
        sequences = {}
        before.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
        for queue in (_RECEIVE_QUEUE, _SEND_QUEUE):
            before.sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, queue)
            number = before.sock.getsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ)
            sequences[queue] = struct.pack("=I", number & 0xFFFFFFFF)
        window = before.sock.getsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_WINDOW, 20)
        before.sock.close()  # silently
        with _aborted(_socket(LOOPBACK)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 1)
            sock.bind((LOOPBACK, port))
            for queue, sequence in sequences.items():
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, queue)
                sock.setsockopt(socket.IPPROTO_TCP, _TCP_QUEUE_SEQ, sequence)
            sock.connect(peer.getsockname())
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _SEND_QUEUE)
            sock.send(b"x")
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_QUEUE, _NO_QUEUE)
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR_WINDOW, window)
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_REPAIR, 0)
            assert peer.recv(1) == b"x"
            yield server, _connection("ESTABLISHED", sock, peer)


@contextlib.contextmanager
def multipath(port: int) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a Multipath TCP client on the port, and its server's end."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP))
        except OSError as error:
            if error.errno != errno.EPROTONOSUPPORT:
                raise
            import pytest  # not where helpers run, which have nothing but the standard library

            pytest.skip("this kernel has no MPTCP")
        _bind_first_free(server, LOOPBACK)
        server.listen()
        client = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, _IPPROTO_MPTCP))
        client.settimeout(DEADLINE)
        with forced_source_port(port):
            client.connect(server.getsockname())
        peer = stack.enter_context(server.accept()[0])
        client.send(b"x")
        assert peer.recv(1) == b"x"  # only now do both ends know that it is more than TCP
        yield client, peer


@contextlib.contextmanager
def outbound_in_a_message(port: int) -> Iterator[None]:
    """Have a client's connection on its way between processes, sent and not received: nobody has it open."""
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there, outbound_established(port) as made:
        socket.send_fds(here, [b"x"], [made.sock.fileno()])
        made.sock.close()
        yield
        _, (received,), _, _ = socket.recv_fds(there, 1, 1)
        reset(socket.socket(fileno=received))


@contextlib.contextmanager
def listening(port: int, *, address: str = WILDCARD, reuseaddr: bool = True, v6only: bool = False) -> Iterator[Bound]:
    """Yield a server that nobody has connected to."""
    with bound_only(port, address=address, reuseaddr=reuseaddr, v6only=v6only) as made:
        made.sock.listen()
        yield made


@contextlib.contextmanager
def accepted(port: int, *, address: str = LOOPBACK, reuseaddr: bool = True) -> Iterator[tuple[Bound, Connection]]:
    """Yield a live server and one connection that it has accepted."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(listening(port, address=address, reuseaddr=reuseaddr))
        client = stack.enter_context(_aborted(_socket(address)))
        _bind_first_free(client, address)
        client.connect((address, port))
        answered = stack.enter_context(_aborted(server.sock.accept()[0]))
        yield server, _connection("ESTABLISHED", answered, client)


@contextlib.contextmanager
def accepted_leftover(port: int, *, address: str = LOOPBACK, reuseaddr: bool = True) -> Iterator[Connection]:
    """Yield an accepted connection whose server has closed its listener; `reuseaddr` was the listener's."""
    with accepted(port, address=address, reuseaddr=reuseaddr) as (server, connection):
        server.sock.close()
        yield connection


@contextlib.contextmanager
def accepted_time_wait(port: int, *, address: str = LOOPBACK, reuseaddr: bool = True) -> Iterator[Connection]:
    """Yield what is left for 60 s of a server that closed its connection first and is gone."""
    with accepted_leftover(port, address=address, reuseaddr=reuseaddr) as made:
        yield _time_wait(made.sock, made.peer)


@contextlib.contextmanager
def bound_only(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, reuseport: bool = False, v6only: bool = False
) -> Iterator[Bound]:
    """Yield a socket that is bound, and neither listens nor connects; /proc/net does not show it."""
    with _aborted(_socket(address)) as sock:
        _bind(sock, address, port, reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only)
        yield Bound(_end(sock.getsockname()), sock)


@contextlib.contextmanager
def udp_bound(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, reuseport: bool = False, v6only: bool = False
) -> Iterator[Bound]:
    """Yield a UDP server."""
    with _socket(address, udp=True) as sock:
        _bind(sock, address, port, reuseaddr=reuseaddr, reuseport=reuseport, v6only=v6only)
        yield Bound(_end(sock.getsockname()), sock)


@contextlib.contextmanager
def udp_connected(
    port: int, *, address: str = LOOPBACK, reuseaddr: bool = False, by: Choice = "connect"
) -> Iterator[Connection]:
    """Yield a UDP client that has connected its socket to a server, as resolvers and metrics clients do."""
    with _socket(address, udp=True) as server, _socket(address, udp=True) as client:
        _bind_first_free(server, address)
        _connect_from(client, port, server.getsockname(), reuseaddr=reuseaddr, by=by)
        yield _connection("ESTABLISHED", client, server, udp=True)


# What the makers are made of


@contextlib.contextmanager
def _outbound(port: int, address: str, *, reuseaddr: bool, by: Choice) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield a client on `port` and the server's end of its connection; the listener is gone."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(_aborted(_socket(address)))
        with _server(address) as server:
            _connect_from(client, port, _as_seen_from(address, server), reuseaddr=reuseaddr, by=by)
            peer = stack.enter_context(_aborted(server.accept()[0]))
        yield client, peer


def _connect_from(client: socket.socket, port: int, to: tuple[str, int], *, reuseaddr: bool, by: Choice) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
    with forced_source_port(port):
        if by == "address":
            client.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        if by != "connect":
            client.bind((to[0], port if by == "number" else 0))
        client.connect(to)


def _time_wait(first: socket.socket, second: socket.socket) -> Connection:
    """Close both ends in this order; the first one is left in TIME_WAIT."""
    made = _connection("FIN_WAIT2", first, second, close=True)
    second.close()
    _await_state("TIME_WAIT", made.local, made.remote)
    return made._replace(state="TIME_WAIT")


def _stuff(client: socket.socket) -> None:
    """Write until the peer's window is shut and bytes stay queued here, so that a FIN has to wait behind them."""
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while client.send(bytes(1 << 16)):
            pass


def _connection(
    state: str, sock: socket.socket, peer: socket.socket, *, close: bool = False, udp: bool = False
) -> Connection:
    """Record a connection, after closing its end on the port if so asked, as soon as it is in its state."""
    local, remote = _end(sock.getsockname()), _end(sock.getpeername())
    if close:
        sock.close()
    _await_state(state, local, remote, udp=udp)
    return Connection(state, local, remote, sock, peer)


def _await_state(state: str, local: str, remote: str, *, udp: bool = False) -> None:
    ports = int(local.rpartition(":")[2]), int(remote.rpartition(":")[2])
    eventually(lambda: states_on(*ports, udp=udp) == [state], f"{state} of {local} -> {remote}")


def _has_time_wait_timer(port: int) -> bool:
    """Whether the timer of a TIME_WAIT runs for a socket on a local port; /proc/net calls it 3."""
    rows = [line.split() for line in _table("tcp")[1:]]
    return any(_port_of(words[1]) == port and words[5].startswith("03:") for words in rows)


def _await_readable(sock: socket.socket) -> None:
    assert select.select([sock], [], [], DEADLINE)[0], "nothing came"


@contextlib.contextmanager
def _server(address: str, backlog: int = 16) -> Iterator[socket.socket]:
    """Yield a listener; what it accepts is IPv4 where the client's address is a mapped one, as a real server's is."""
    address = _unmapped(address)
    with _socket(address) as server:
        _bind_first_free(server, address)
        server.listen(backlog)
        yield server


@contextlib.contextmanager
def _aborted(sock: socket.socket) -> Iterator[socket.socket]:
    """Close a TCP socket with a reset in the end, so that neither side stays behind in TIME_WAIT."""
    try:
        yield sock
    finally:
        reset(sock)


def _socket(address: str, *, udp: bool = False) -> socket.socket:
    """Open a socket of the address's family; no operation on it can outlast the deadline."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)
    sock.settimeout(DEADLINE)
    return sock


def _bind(
    sock: socket.socket, address: str, port: int, *, reuseaddr: bool, v6only: bool, reuseport: bool = False
) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuseaddr)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuseport)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    sock.bind((address, port))


def _bind_first_free(sock: socket.socket, address: str) -> None:
    for port in itertools.count(_FIRST_OTHER_PORT):
        try:
            return sock.bind((address, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    return None


def _as_seen_from(address: str, server: socket.socket) -> tuple[str, int]:
    return address, server.getsockname()[1]


def _unmapped(address: str) -> str:
    return address.removeprefix("::ffff:")


def _end(name: tuple[str, int]) -> str:
    return f"{_host(name[0])}:{name[1]}"


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _table(name: str) -> list[str]:
    """Read the tables of the calling thread's own namespace: /proc/net is that of the process's first thread."""
    with contextlib.suppress(FileNotFoundError):  # no IPv6 here
        return Path("/proc/thread-self/net", name).read_text().splitlines()
    return []


def _port_of(end: str) -> int:
    return int(end.rpartition(":")[2], 16)

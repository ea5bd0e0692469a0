"""The sockets of a host at one moment, and what they mean for the kernel's choice of a port.

Judged are the TCP listeners, or the ports that are named. A UDP socket does not say whether it serves, so UDP counts on
named ports only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from portwait.audit.probability import Choice, Traffic, UdpChoice, part_by_bind, within
from portwait.diagnosis import owners
from portwait.model import ports

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from portwait.model.owner import Owner
    from portwait.model.port_settings import PortSettings
    from portwait.model.sockets import Connections, KernelSocket, Range

Origin = Literal["planned", "picked", "ignored"]
_DOCKER_DNS = "127.0.0.11"
_SYSTEMD = 1  # its sockets have the ports of .socket units


class Wanted(NamedTuple):
    """The ports to judge, by protocol; none: every TCP listener. On `tcp` ports a UDP socket counts too."""

    tcp: tuple[Range, ...] = ()
    udp: tuple[Range, ...] = ()
    ignored: tuple[Range, ...] = ()


class Finding(NamedTuple):
    """A port and what may happen to it. Probabilities are of TCP; of UDP only `per_client` is known."""

    port: int
    protocol: str
    named: bool
    """Whether it was asked for."""
    listening: bool
    processes: tuple[str, ...]
    in_range: bool
    reserved: bool
    preferred: bool
    """Whether connect() tries it first, as all odd or all even ports; UDP treats all ports alike."""
    taken: bool
    """Whether a connection has it now, and nobody listens there."""
    per_client: float
    """How probable it is that one new client is given the port."""
    probability: float | None
    """How probable it is that somebody is given it while it is free for the gap; None where no rate is known."""
    origin: Origin = "planned"
    """Whether somebody chose the number (`planned`), bind(0) did (`picked`), or the user ignores it (`ignored`)."""

    @property
    def at_risk(self) -> bool:
        """Whether the kernel may hand it out, or has done so."""
        return self.origin == "planned" and (self.taken or (self.in_range and not self.reserved))

    def __str__(self) -> str:
        """Write it as a target."""
        return f"{self.port}/{self.protocol}"


class Sample(NamedTuple):
    """How many ports of present clients tell how new clients get theirs."""

    preferred: int
    """Ports that connect() gave out, as far as odd and even tell."""
    other: int
    """Ports that bind(0) may have given out; a client that bound its port by number looks the same."""


class Scan:
    """The tables at one moment, sorted by what they mean for a choice."""

    def __init__(
        self,
        settings: PortSettings,
        connections: Connections,
        listeners: Sequence[KernelSocket],
        udp: Sequence[KernelSocket],
    ) -> None:
        """Sort the connections by who gave them their port."""
        self._settings = settings
        self._listeners = listeners
        self._udp = udp
        self._reserved = {port for first, last in settings.reserved for port in range(first, last + 1)}
        self._served = {sock.local_port for sock in listeners}
        low, high = self._span
        self._preferred, self._others = {*range(low, high + 1, 2)}, {*range(low + 1, high + 1, 2)}
        self._clients: set[int] = set().union(*connections.clients.values())
        self.traffic = self._traffic(connections)
        self.in_use = ports.join(self._clients | connections.accepted)

    def _traffic(self, connections: Connections) -> Traffic:
        """Tell clients of connect() from those of bind() by their odd or even ports: tables show no more.

        A port that connect() tries last is connect()'s where its destination has every port that it tries first. Where
        several connections are on it, bind(0) did not give it out: it was bound by number, or is a server's that ended.
        """
        bound = connections.bound | self._served
        useful = self._preferred.difference(self._reserved, bound)
        used: dict[Hashable, set[int]] = {}
        late: set[int] = set()
        once: set[int] = set()
        often: set[int] = set()
        for where, where_from in connections.clients.items():
            others = where_from & self._others
            used[where] = where_from & self._preferred
            if others and useful <= where_from:
                late |= others
                used[where] |= others
            often |= once & others
            once |= others
        others = once - late
        self.sample = Sample(len(self._clients & self._preferred) + len(late), len(others - often))
        return Traffic(bound | others, used, part_by_bind(self.sample.other, self.sample.preferred))

    @property
    def usable(self) -> tuple[int, int]:
        """Count the ports from which a new destination can be reached: those that connect() tries first, and last."""
        useless = self._reserved.union(self.traffic.bound)
        return len(self._preferred - useless), len(self._others - useless)

    def findings(self, wanted: Wanted, *, clients: float | None) -> tuple[Finding, ...]:
        """Judge every port that counts; `clients` are the new connections of one gap."""
        named = {("tcp", port) for first, last in wanted.tcp for port in range(first, last + 1)}
        named |= {("udp", port) for first, last in wanted.udp for port in range(first, last + 1)}
        serving = [*self._listeners, *(sock for sock in self._udp if not sock.remote_port)]
        named |= {
            ("udp", sock.local_port)
            for sock in serving
            if ports.contains(wanted.tcp, sock.local_port) and sock.protocol == "udp"
        }
        judged = named or {("tcp", port) for port in self._served}
        by_port: dict[tuple[str, int], list[KernelSocket]] = {}
        for sock in serving:
            if (sock.protocol, sock.local_port) in judged:
                by_port.setdefault((sock.protocol, sock.local_port), []).append(sock)
        sought = [sock for socks in by_port.values() for sock in socks if sock.inode]
        by_inode = owners.find(sought).by_inode
        choice = Choice(self._span, self._reserved, self.traffic)
        udp = UdpChoice(self._span, self._reserved, {sock.local_port for sock in self._udp})
        result = []
        for key in sorted(judged, key=lambda key: (key[1], key[0])):
            protocol, port = key
            socks = by_port.get(key, [])
            processes = [owner for sock in socks for owner in (*by_inode.get(sock.inode, ()), *_named_by(sock))]
            each = choice.picked(port) if protocol == "tcp" else udp.picked(port)
            result.append(
                Finding(
                    port=port,
                    protocol=protocol,
                    named=key in named,
                    listening=bool(socks),
                    processes=tuple(dict.fromkeys(owner.name for owner in processes)),
                    in_range=self._settings.covers(port),
                    reserved=port in self._reserved,
                    preferred=protocol == "tcp" and self._settings.prefers(port),
                    taken=not socks and self._is_taken(protocol, port),
                    per_client=each,
                    probability=None if clients is None or protocol == "udp" else within(clients, each),
                    origin="ignored"
                    if ports.contains(wanted.ignored, port)
                    else self._origin(port, key in named, socks, processes),
                )
            )
        return tuple(result)

    def _is_taken(self, protocol: str, port: int) -> bool:
        """Whether a connection has a port that nobody serves."""
        if protocol == "udp":
            return any(sock.local_port == port and sock.remote_port for sock in self._udp)
        return port in self._clients

    def _origin(self, port: int, named: bool, socks: Sequence[KernelSocket], processes: Sequence[Owner]) -> Origin:
        """Tell a number that somebody chose from one that bind(0) did: nobody has to be kept from the latter.

        bind(0) prefers the ports that connect() tries last. A server that takes such a port serves programs of this
        host, which learn the number after each start: it is on loopback, and its command line does not have the number.
        """
        if named or not socks or not self._settings.hands_out(port):
            return "planned"
        addresses = {sock.local_address for sock in socks}
        if addresses == {_DOCKER_DNS}:
            return "picked"
        local = all(address.startswith("127.") or address == "::1" for address in addresses)
        if not local or self._settings.prefers(port) or not processes:
            return "planned"
        chosen = any(owner.pid == _SYSTEMD or any(str(port) in word for word in owner.cmdline) for owner in processes)
        return "planned" if chosen else "picked"

    @property
    def _span(self) -> Range:
        return self._settings.ephemeral_range or (1, 0)


def _named_by(sock: KernelSocket) -> Iterator[Owner]:
    """Describe the owners that the tables themselves name, as those of psutil do."""
    for pid in sock.pids:
        owner = owners.describe(pid)
        if owner is not None:
            yield owner

"""Take a port for one `portwait pick` alone, so that no other pick and no other hold has it.

Ordinary holds can stand beside each other, because the service has to bind beside them. So a pick first binds sockets
without SO_REUSEADDR and SO_REUSEPORT on addresses that nobody uses: the kernel refuses these beside any other hold and
any other pick, but not beside what a server has left on its own addresses. Then it sets both options on them, binds the
hold beside them and closes them. A second pick on the same port is refused before and after.

Where no hold may stand beside the service (UDP, a dual-stack service without SO_REUSEADDR, --no-hold), a name in the
abstract Unix namespace keeps other picks away. Both kinds belong to the network namespace, need no privilege, hold
between users and between containers that share the network, and end with their last descriptor.
"""

from __future__ import annotations

import _socket
import errno
import os
from typing import TYPE_CHECKING

from portwait.bind import hold
from portwait.bind.probe import UNUSED, allow_any_address, bind_to_device, probe, verdict_of

if TYPE_CHECKING:
    from portwait.bind.hold import Mode
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict

_LOWEST_DESCRIPTOR = 100  # as the hold's own: out of the way of a script's `exec 3<file`
_NO_SUCH_SOCKET = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)  # no IPv6 here; lo is down


class Claim(hold.Hold):
    """A hold that no other pick and no other hold shares. It lasts until it is dropped, or with its descriptors."""

    def __init__(self, target: Target, mode: Mode = "default", *, reuseaddr: bool = True) -> None:
        """Plan it; nothing is bound yet."""
        super().__init__(target, mode, reuseaddr=reuseaddr)
        self._reuseaddr = reuseaddr
        self._name: _socket.socket | None = None
        self._unnamed: OSError | None = None

    @property
    def unkept(self) -> OSError | None:
        """Why nothing keeps other picks from the port; None where something does."""
        return self._unnamed if self.form is None else None

    @property
    def keeps(self) -> bool:
        """Whether a hold, or where none may stand the port's name, keeps other picks from it now."""
        return self.form is not None or self._name is not None

    def claim(self) -> Verdict:
        """Take the port, or say why not: `held` where anything has it, another pick and another hold included."""
        try:
            self._bind_name()
            verdict = self._bind()
        except OSError as error:
            verdict = verdict_of(error)
        if verdict.state != "free":
            self.drop()
        return verdict

    def _bind_name(self) -> None:
        """Bind the port's name, or note why not. Raises EADDRINUSE where another pick has it."""
        try:
            self._name = _bind_name(self.target)
        except OSError as error:  # RestrictAddressFamilies= without AF_UNIX, no descriptor
            if error.errno == errno.EADDRINUSE:
                raise
            self._unnamed = error

    def _bind(self) -> Verdict:
        if self.target.protocol == "udp":  # its probe is exclusive, and would meet our own hold
            verdict = probe(self.target, reuseaddr=self._reuseaddr)
            if verdict.state == "free" and self.possible:
                self._bind_sockets()
            return verdict
        self._bind_sockets()
        return probe(self.target, reuseaddr=self._reuseaddr)

    def _bind_sockets(self) -> None:
        """Bind what meets every other hold, and beside it, once shared, the hold that may stay beside the service."""
        if self.target.protocol == "udp":
            sock = hold.bind(self.target.port, "udp", self.target.device, exclusive=True)
            hold.share(sock, "udp")
            self.adopt(sock, "udp")
            return
        keepers = self._bind_keepers()
        try:
            for sock in keepers:
                hold.share(sock, "last")
            refused: OSError | None = None
            for form in self._forms.at_exec:
                try:
                    self.adopt(hold.bind(self.target.port, form, self.target.device), form)
                except OSError as error:
                    refused = refused if error.errno in _NO_SUCH_SOCKET else error
                else:
                    return
            if refused is not None:
                raise refused
        finally:
            for sock in keepers:
                sock.close()

    def _bind_keepers(self) -> list[_socket.socket]:
        """Bind the sockets that stand beside no other hold; a server's leftovers are at other addresses."""
        keepers: list[_socket.socket] = []
        try:
            for make in (_bind_unused_ipv6, _bind_last):
                try:
                    keepers.append(make(self.target.port, self.target.device))
                except OSError as error:
                    if error.errno not in _NO_SUCH_SOCKET:
                        raise
        except BaseException:
            for sock in keepers:
                sock.close()
            raise
        return keepers

    def drop(self) -> None:
        """Let go of the port."""
        super().drop()
        if self._name is not None:
            self._name.close()
        self._name = None

    def make_inheritable(self) -> int | None:
        """Make it last across exec: the hold, or the name where no hold may stand beside the service."""
        name, self._name = self._name, None
        try:
            number = super().make_inheritable()
            if number is None and name is not None:
                import fcntl  # Windows, which has the help too, lacks it

                number = fcntl.fcntl(name.fileno(), fcntl.F_DUPFD, _LOWEST_DESCRIPTOR)
        finally:
            if name is not None:
                name.close()
        return number


def _bind_last(port: int, device: str) -> _socket.socket:
    return hold.bind(port, "last", device, exclusive=True)


def _bind_unused_ipv6(port: int, device: str) -> _socket.socket:
    """Bind an address that nobody uses, which meets whoever is bound to [::]."""
    sock = _socket.socket(_socket.AF_INET6, _socket.SOCK_STREAM)
    try:
        allow_any_address(sock)
        bind_to_device(sock, device)
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, 1)
        sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_TCLASS, hold.MARK)
        sock.bind((UNUSED[_socket.AF_INET6], port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_name(target: Target) -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    try:
        sock.bind(b"\0portwait-pick/%s/%d" % (os.fsencode(target.protocol), target.port))
    except BaseException:
        sock.close()
        raise
    return sock

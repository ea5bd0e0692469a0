"""Keep a port from being given to anybody's connect() until the service has it: the hold.

A hold is a bound socket that never listens and stays open across exec. The kernel skips a port for connect() as
soon as any bound socket is on it, whatever the family; so the hold can be one that does not get in the service's
way. Which one that is depends on what the service will bind; `forms` says it, without a kernel. On the free path:
imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _socket
import errno
import os

from portwait.bind.probe import bind_to_device
from portwait.model.targets import ANY
from portwait.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from portwait.model.targets import Target

    Mode = Literal["default", "full", "none"]
    Form = Literal["v6only", "dual", "last", "any4", "udp"]

MARK = 0xBC
"""The traffic class (IPv4: TOS) of a hold, DSCP 47, from the pool for local use (RFC 2474, 6): a dump shows it."""

LAST = "127.255.255.254"
"""An address on loopback that no service binds by name: a hold on it conflicts with wildcard binds alone."""

MOST = 64
"""How many ports are held at most; descriptors are few, and select() breaks above 1024."""

_LOWEST, _ABOVE = 100, 1024  # descriptor numbers: out of a script's `exec 3<file`, within select()'s FD_SETSIZE


class Forms(Value):
    """The sockets that can hold a target, best first: `at_exec` harm no service, `meanwhile` are for the wait."""

    __slots__ = ("at_exec", "meanwhile")

    at_exec: tuple[Form, ...]
    meanwhile: tuple[Form, ...]

    def __init__(self, at_exec: tuple[Form, ...] = (), meanwhile: tuple[Form, ...] = ()) -> None:
        """Build it."""
        self._fill(at_exec=at_exec, meanwhile=meanwhile)


def forms(target: Target, mode: Mode = "default", *, reuseaddr: bool = True) -> Forms:
    """Say which sockets can hold a target whose service binds with or without SO_REUSEADDR.

    `v6only` is `[::]` with IPV6_V6ONLY, `dual` is `[::]` for both families, `last` is 127.255.255.254, `any4`
    0.0.0.0; all have SO_REUSEADDR and SO_REUSEPORT. `udp` is 127.255.255.254 with SO_REUSEADDR alone, because with
    SO_REUSEPORT a UDP hold takes the service's datagrams.
    """
    if mode == "none":
        return Forms()
    if target.protocol == "udp":
        return Forms(("udp",), ("udp",)) if mode == "full" else Forms()
    if mode == "full":
        return Forms(("dual", "any4"), ("dual", "any4", "v6only", "last"))
    if target.family == 6:  # conflicts with no IPv6 service, whatever flags that sets
        return Forms(("last", "v6only"), ("last", "v6only")) if reuseaddr else Forms(("last",), ("last",))
    if target.family == 4:
        if target.address not in (ANY, "0.0.0.0", LAST):
            return Forms(("v6only", "last"), ("v6only", "last"))
        return Forms(("v6only",), ("v6only", "last") if reuseaddr else ("v6only",))  # a plain probe would meet `last`
    return Forms(("v6only",), ("v6only", "last")) if reuseaddr else Forms()


def bind(port: int, form: Form, device: str = "", *, exclusive: bool = False) -> _socket.socket:
    """Bind a hold's socket; OSError where the kernel does not allow it beside what is there.

    `device` is the service's own: the kernel keeps the ports of each VRF apart. An exclusive one stands beside no other
    hold, and no other socket that it overlaps, until `share` is called.
    """
    inet6 = form in ("v6only", "dual")
    sock = _socket.socket(
        _socket.AF_INET6 if inet6 else _socket.AF_INET,
        _socket.SOCK_DGRAM if form == "udp" else _socket.SOCK_STREAM,  # Python makes it close-on-exec
    )
    try:
        if not exclusive:
            share(sock, form)
        bind_to_device(sock, device)
        if inet6:
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_V6ONLY, form == "v6only")
            sock.setsockopt(_socket.IPPROTO_IPV6, _socket.IPV6_TCLASS, MARK)
            sock.bind(("::", port))
        else:
            sock.setsockopt(_socket.IPPROTO_IP, _socket.IP_TOS, MARK)
            sock.bind(("0.0.0.0" if form == "any4" else LAST, port))
    except BaseException:
        sock.close()
        raise
    return sock


def share(sock: _socket.socket, form: Form) -> None:
    """Set what lets the service bind beside a hold's socket; the kernel takes it before bind() and after it."""
    sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
    if form != "udp":
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT, 1)


class Hold:
    """The hold on one target, from the moment that the kernel allows one until the service is started.

    `form` is the socket that stands now, or None.
    """

    def __init__(self, target: Target, mode: Mode = "default", *, reuseaddr: bool = True) -> None:
        """Plan it; nothing is bound yet."""
        self.target = target
        self.form: Form | None = None
        self.contested = False
        """Whether somebody binds the port by number, so that only a full hold keeps it."""
        self._forms = forms(target, mode, reuseaddr=reuseaddr)
        self._may_be_full = mode == "default" and reuseaddr and target.protocol == "tcp"
        self._socket: _socket.socket | None = None
        self._on_device = False
        """Whether what stands is bound to the target's device, if it has one."""

    @property
    def port(self) -> int:
        """The port that it keeps."""
        return self.target.port

    @property
    def possible(self) -> bool:
        """Whether a socket exists that holds this target without harm to its service."""
        return bool(self._forms.at_exec)

    @property
    def ready(self) -> bool:
        """Whether what stands may stay beside the service."""
        return self.form is not None and self.form in self._forms.at_exec

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptor that holds now, none where nothing stands."""
        return () if self._socket is None else (self._socket.fileno(),)

    def take(self) -> bool:
        """Bind the best socket that the kernel allows now, in place of a lesser one; whether one stands."""
        for form in self._forms.meanwhile:
            if (form == self.form and self._on_device) or self._put(form):
                break
        return self.form is not None

    def _put(self, form: Form) -> bool:
        """Put a socket of this form, on the target's device, in the place of what stands; whether one stands.

        As long as the device is missing, the socket is on none: that keeps the port as well, but in no VRF.
        """
        device = self.target.device
        try:
            better = bind(self.target.port, form, device)
        except OSError as error:
            if not device or error.errno not in (errno.ENODEV, errno.EPERM):
                return False
            if form == self.form:
                return True
            try:
                better, device = bind(self.target.port, form), ""
            except OSError:
                return False
        self.drop()
        self._socket, self.form, self._on_device = better, form, device == self.target.device
        return True

    def strengthen(self, *, lasting: bool) -> None:
        """Let a full hold stand during the wait, and where it is `lasting` beside the service too.

        A full hold is on all addresses, so a target with one address keeps its own: others may have the other ones.
        """
        if not self._may_be_full or self.target.address not in (ANY, "0.0.0.0", "::"):
            return
        full = forms(self.target, "full").at_exec
        kept = self._forms.at_exec
        self._forms = Forms((*full, *kept) if lasting else kept, (*full, *self._forms.meanwhile))
        self._may_be_full = False

    @property
    def shuts_out(self) -> bool:
        """Whether what stands keeps away whoever binds the port by number without SO_REUSEADDR."""
        return self.form in ("dual", "any4", "udp")

    def exchange(self) -> None:
        """Put what may stay beside the service in the place of what stood for the wait only, without a gap."""
        if self.ready:
            return
        for form in self._forms.at_exec:
            if self._put(form):
                return

    def adopt(self, sock: _socket.socket, form: str) -> bool:
        """Take over what an earlier hold of this form has left (`fdstore`); whether it may stay beside the service."""
        if sock.family not in (_socket.AF_INET, _socket.AF_INET6):
            return False
        for known in self._forms.at_exec:
            if known == form and sock.getsockname()[1] == self.target.port:
                self.drop()
                self._socket, self.form, self._on_device = sock, known, _is_on(sock, self.target.device)
                return True
        return False

    def drop(self) -> None:
        """Let go."""
        if self._socket is not None:
            self._socket.close()
        self._socket = self.form = None
        self._on_device = False

    def make_inheritable(self) -> int | None:
        """Make it last across exec; the descriptor's number, or None where no hold may stay beside the service.

        Raises OSError where there is no number for it (RLIMIT_NOFILE).
        """
        if self._socket is not None:
            self.exchange()
        if not self.ready or self._socket is None:
            self.drop()
            return None
        number = _free_descriptor()
        try:
            os.dup2(self._socket.fileno(), number, inheritable=True)
        except OSError as error:  # EBADF: RLIMIT_NOFILE forbids such a number
            raise _no_number() from error
        self._socket.close()
        self._socket = _socket.socket(fileno=number)
        return number


def _is_on(sock: _socket.socket, device: str) -> bool:
    """Whether a socket is bound to this device; to any or to none where none is named."""
    if not device:
        return True
    try:
        name = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, 16)
    except OSError:  # ENODEV: it has gone
        return False
    return name.rstrip(b"\0") == device.encode(errors="surrogateescape")


def make_all_inheritable(holds: Sequence[Hold]) -> tuple[int, ...]:
    """Make the holds last across exec, all or none; their descriptors. Raises OSError where one cannot."""
    try:
        return tuple(number for hold in holds if (number := hold.make_inheritable()) is not None)
    except OSError:
        for hold in holds:
            hold.drop()
        raise


def _free_descriptor() -> int:
    """Find a number that is not in use; OSError EMFILE where there is none in reach."""
    for number in range(_LOWEST, _ABOVE):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno == errno.EBADF:
                return number
    raise _no_number()


def _no_number() -> OSError:
    return OSError(errno.EMFILE, f"no descriptor from {_LOWEST} to {_ABOVE - 1} is free (see RLIMIT_NOFILE)")

"""What a service wants to bind: reading `127.0.0.1:30010/tcp`, `[::1]:8080`, `30000-30010`, `redis`.

Knows the words of the command line; asks the kernel nothing but the services database and never resolves a
name to an address. This module is on the free path: it imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import _socket

from portwait.errors import UsageError, quote
from portwait.model.value import Value

TYPE_CHECKING = False  # typing's own constant would cost its import, 5 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Literal

    Protocol = Literal["tcp", "udp"]
    Family = Literal[0, 4, 6]

ANY = "*"
VARIABLE = "PORTWAIT_TARGETS"
"""The environment variable that stands in where no TARGET is given."""

_FORMS = "PORT, FIRST-LAST, ADDRESS:PORT, [IPV6]:PORT or a service name, each with /tcp or /udp where that matters"


class Target(Value):
    """A protocol, an address and a port that a service wants to bind, and how it binds them; immutable.

    `address` is a canonical IP literal or `*`, which stands for every address of the family. `family` is 4 or 6
    where only that one is meant, and 0 for a dual-stack bind. `zone` is an IPv6 interface's name or number, or "".
    `device` is the interface or VRF that the service binds to (SO_BINDTODEVICE), or "". `reuseport` and `freebind` say
    that the service sets SO_REUSEPORT, IP_FREEBIND. `text` is the word that the user wrote, with the single port where
    that was a range.
    """

    __slots__ = ("address", "device", "family", "freebind", "port", "protocol", "reuseport", "text", "zone")

    text: str
    protocol: Protocol
    address: str
    port: int
    family: Family
    zone: str
    device: str
    reuseport: bool
    freebind: bool

    def __init__(  # noqa: PLR0917  # the order of the fields is the order of the word's parts
        self,
        text: str,
        port: int,
        protocol: Protocol = "tcp",
        address: str = ANY,
        family: Family = 0,
        zone: str = "",
        device: str = "",
        *,
        reuseport: bool = False,
        freebind: bool = False,
    ) -> None:
        """Build a target from parts that are known to be right; `parse` is for words."""
        self._fill(
            address=address,
            device=device,
            family=family,
            freebind=freebind,
            port=port,
            protocol=protocol,
            reuseport=reuseport,
            text=text,
            zone=zone,
        )

    def _key(self) -> tuple[object, ...]:
        """Two targets are the same when they bind the same, however they were written."""
        return (
            *(self.protocol, self.address, self.zone, self.device, self.port, self.family),
            *(self.reuseport, self.freebind),
        )

    def __str__(self) -> str:
        """Name it for a person: `30010/tcp`, `127.0.0.1:30010/tcp`, `*%eth0:67/udp`."""
        if self.address == ANY and not self.device:
            return f"{self.port}/{self.protocol}"
        host = self.address + (f"%{self.zone}" if self.zone else "")
        device = f"%{self.device}" if self.device else ""
        return f"{f'[{host}]' if ':' in host else host}{device}:{self.port}/{self.protocol}"


def parse(
    words: Iterable[str], family: Family = 0, *, reuseport: bool = False, freebind: bool = False
) -> tuple[Target, ...]:
    """Read TARGET words in their order, each target once; a word can be several with commas between them.

    `family` is 4 or 6 where the user allows only that one; `reuseport` and `freebind` are the same for all. Raises
    UsageError with one line that says what was expected, and TypeError for one string in place of several.
    """
    if isinstance(words, str):
        raise TypeError(f"parse() reads several words: parse([{quote(words)}]), not parse({quote(words)})")
    targets: dict[Target, None] = {}
    for list_of_words in words:
        for word in list_of_words.split(","):
            for target in _parse_word(word, family, reuseport=reuseport, freebind=freebind):
                targets.setdefault(target)
    return tuple(targets)


def asked_for(
    words: Sequence[str],
    variables: Mapping[str, str],
    family: Family = 0,
    *,
    reuseport: bool = False,
    freebind: bool = False,
) -> tuple[Target, ...]:
    """Read the TARGETs of a command line, or where it has none those of PORTWAIT_TARGETS; () where neither has any.

    Raises UsageError, which names the variable where that is what cannot be read.
    """
    text = variables.get(VARIABLE, "")
    if words or not text:
        return parse(words, family, reuseport=reuseport, freebind=freebind)
    listed = text.replace(",", " ").split()
    why: object = f"cannot read {quote(text)}: expected targets, as in 8080 or 8080,8443"
    try:
        if listed:
            return parse(listed, family, reuseport=reuseport, freebind=freebind)
    except UsageError as error:
        why = error
    raise UsageError(f"in the environment variable {VARIABLE}: {why}")


def _parse_word(word: str, family: Family, *, reuseport: bool, freebind: bool) -> Iterator[Target]:
    rest, protocol = _protocol(word)
    address, zone, device, ports = _split_address(word, rest)
    if address == ANY:
        own: Family = family
    else:
        own = 6 if ":" in address else 4
        if family not in (0, own):
            raise _bad(word, f"an IPv{own} address does not go with -{family}")
        if address == "::" and family == 0:
            own = 0  # a plain bind of [::] is dual-stack
    if rest and (not ports or (ports == rest and _is_host(rest))):
        raise _bad(word, f"the port is missing, as in {quote(rest.removesuffix(':'))[1:-1]}:30010")
    first, last = _ports(word, ports, protocol)
    head, _, _ = word.rpartition(ports)
    tail = word[len(head) + len(ports) :]
    for port in range(first, last + 1):
        text = word if first == last else f"{head}{port}{tail}"
        yield Target(text, port, protocol, address, own, zone, device, reuseport=reuseport, freebind=freebind)


def _bad(word: str, why: str) -> UsageError:
    return UsageError(f"cannot read target {quote(word)}: {why}")


def _protocol(word: str) -> tuple[str, Protocol]:
    rest, slash, name = word.rpartition("/")
    if not slash:
        return word, "tcp"
    if name.lower() == "tcp":
        return rest, "tcp"
    if name.lower() == "udp":
        return rest, "udp"
    raise _bad(word, f"the protocol is tcp or udp, not {quote(name)}")


def _split_address(word: str, rest: str) -> tuple[str, str, str, str]:
    """Split into address, zone, device and the text of the ports."""
    if rest.startswith("["):
        host, bracket, behind = rest[1:].partition("]")
        if not bracket:
            raise _bad(word, "the bracket is not closed; an IPv6 target looks like [::1]:30010")
        percent, colon, ports = behind.partition(":")
        if not colon or percent[:1] not in ("", "%"):
            raise _bad(word, f"a colon and a port follow the bracket, as in [{quote(host)[1:-1]}]:30010")
        literal, zoned, zone = host.partition("%")
        if zoned and not _is_zone(zone):
            raise _bad(word, "the zone behind % is an interface's name, as in [fe80::1%eth0]:30010")
        return _canonical(word, literal, _socket.AF_INET6), zone, _device(word, percent), ports
    host, colon, ports = rest.rpartition(":")
    if not colon:
        return ANY, "", "", rest
    if ":" in host:
        raise _bad(word, "an IPv6 address stands in brackets, as in [::1]:30010")
    host, percent, name = host.partition("%")
    device = _device(word, percent + name)
    if host == ANY or (not host and not device):  # `:8080`, as Go, Docker and many servers write it
        return ANY, "", device, ports
    return _canonical(word, host, _socket.AF_INET), "", device, ports


def _is_host(text: str) -> bool:
    """Whether this is an address without a port: `127.0.0.1`, `*`, `0.0.0.0%eth0`."""
    host, _, _ = text.partition("%")
    try:
        return host == ANY or bool(_socket.inet_pton(_socket.AF_INET, host))
    except (OSError, ValueError):  # ValueError: an embedded NUL
        return False


def _device(word: str, text: str) -> str:
    """Read a device with its percent sign, as ss(8) writes it; nothing is none."""
    if text and not (_is_name(text[1:])):
        raise _bad(word, "the device behind % is an interface's name, as in 0.0.0.0%eth0:67")
    return text[1:]


def _canonical(word: str, host: str, family: int) -> str:
    """Write an address as the kernel does; an IPv4-mapped one as IPv4, because that is what its bind claims."""
    try:
        return plain(_socket.inet_ntop(family, _socket.inet_pton(family, host)))
    except (OSError, ValueError):  # ValueError: an embedded NUL
        kind = "IPv6" if family == _socket.AF_INET6 else "IPv4"
        raise _bad(word, f"{quote(host)} is not an {kind} address (names are never resolved)") from None


def plain(address: str) -> str:
    """Write an IPv4-mapped address as the IPv4 address that it is."""
    return address.removeprefix("::ffff:") if address.startswith("::ffff:") and "." in address else address


def _is_zone(text: str) -> bool:
    """An interface's name (dev_valid_name in net/core/dev.c), or a number that fits into sin6_scope_id."""
    if _is_number(text):
        return len(text) <= 10 and int(text) < 1 << 32
    return _is_name(text)


def _is_name(text: str) -> bool:
    return 0 < len(text) < 16 and text.isprintable() and not any(mark in text for mark in "/: ")


def _ports(word: str, text: str, protocol: Protocol) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if _is_number(first) and (not dash or _is_number(last)):
        low = _port(word, first)
        high = _port(word, last) if dash else low
        if high < low:
            raise _bad(word, f"a range goes from low to high, as in {high}-{low}")
        return low, high
    try:
        port = _socket.getservbyname(text, protocol)
    except (OSError, ValueError):  # ValueError: an embedded NUL, or a character that no locale encodes
        if dash and (_is_number(first) or _is_number(last)):  # only now: there is a service x11-1
            raise _bad(word, "a range has two ends, as in 30000-30010") from None
        raise _bad(word, f"no {protocol} service is called {quote(text)}; expected {_FORMS}") from None
    return port, port


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _port(word: str, digits: str) -> int:
    port = int(digits) if len(digits) <= 9 else 0
    if not 0 < port < 65536:
        raise _bad(word, "a port is a number from 1 to 65535")
    return port

"""Whether this host has an address, and if it has but cannot be bound to it, why: asked of the kernel."""

from __future__ import annotations

import _socket
import errno
import os
import sys

from portwait.model.case import AddressState

_TENTATIVE, _DUPLICATE = 0x40, 0x08  # IFA_F_TENTATIVE, IFA_F_DADFAILED (linux/if_addr.h)


def is_here(address: str) -> bool:
    """Whether an address is one of this host's own; where the kernel does not say, it is taken for one."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        sock = _socket.socket(family, _socket.SOCK_DGRAM)
        try:
            sock.bind((address, 0))
        finally:
            sock.close()
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def why_unavailable(address: str, zone: str = "") -> AddressState:
    """Find out why a bind of this address says EADDRNOTAVAIL or EINVAL."""
    if sys.platform != "linux":
        return AddressState("absent")
    if ":" in address:
        if not zone and needs_zone(address):
            return AddressState("no-zone", _interface_of(address))
        packed = _socket.inet_pton(_socket.AF_INET6, address).hex()
        for listed, flags, interface in _addresses():
            if listed == packed and zone in ("", interface) and flags & (_TENTATIVE | _DUPLICATE):
                return AddressState("duplicate" if flags & _DUPLICATE else "tentative", interface)
        for interface in ("lo",) if address == "::1" else filter(None, (zone, "all")):
            if _text(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6") == "1":
                return AddressState("ipv6-off", interface)
    from portwait._linux import links

    if _is_loopback(address) and links.is_down("lo"):
        return AddressState("loopback-down", "lo")
    for vrf in links.vrfs():
        if _binds_in(address, vrf):
            return AddressState("vrf", vrf)
    return AddressState("loopback", "lo") if _is_loopback(address) else AddressState("absent", zone)


def needs_zone(address: str) -> bool:
    """Whether it is a link-local IPv6 address, of one host (fe80::/10) or of a group (ff02::1)."""
    return address.startswith(("fe8", "fe9", "fea", "feb")) or (address.startswith("ff") and address[3:4] == "2")


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _interface_of(address: str) -> str:
    packed = _socket.inet_pton(_socket.AF_INET6, address).hex()
    return next((interface for listed, _, interface in _addresses() if listed == packed), "")


def _addresses() -> list[tuple[str, int, str]]:
    """List this namespace's IPv6 addresses as hexadecimal digits, their flags, their interfaces."""
    lines = (line.split() for line in _text("/proc/net/if_inet6").splitlines())
    return [(words[0], int(words[4], 16), words[5]) for words in lines if len(words) == 6]


def _binds_in(address: str, device: str) -> bool:
    """Whether the address can be bound on a device: the kernel looks it up in that device's VRF."""
    family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
    try:
        sock = _socket.socket(family, _socket.SOCK_DGRAM)
        try:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_BINDTODEVICE, os.fsencode(device))
            sock.bind((address, 0))
        finally:
            sock.close()
    except OSError:
        return False
    return True


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20).strip()
    except OSError:
        return ""

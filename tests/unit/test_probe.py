"""What it means that the kernel refuses a bind."""

from __future__ import annotations

import errno
from typing import NoReturn

import pytest

from portwait.bind import probe
from portwait.model.targets import parse


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("0.0.0.0%absent0:30010", "unavailable"),
        ("[fe80::1%absent0]:30010", "unavailable"),
        ("30010", "unknown"),
        ("127.0.0.1:30010", "unknown"),
        ("30010/udp", "unknown"),
    ],
)
def test_a_missing_device_is_one_that_was_named(monkeypatch: pytest.MonkeyPatch, words: str, state: str) -> None:
    """ENODEV says of no other target that it waits for something; the guard starts what it cannot judge."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr(probe, "bind", refuse)
    (target,) = parse([words])
    assert probe.probe(target).state == state


@pytest.mark.parametrize(
    ("words", "with_ipv6", "without_ipv6"),
    [
        ("[::1]:30010", "unknown", "unavailable"),
        ("[::1]:30010/udp", "unknown", "unavailable"),
        ("127.0.0.1:30010", "unknown", "unknown"),
        ("30010", "unknown", "unknown"),
        ("30010/udp", "unknown", "unknown"),
        ("*%absent0:30010", "unknown", "unknown"),
        ("-6 30010", "unknown", "unavailable"),
    ],
)
def test_a_missing_family_is_one_that_the_kernel_lacks(
    monkeypatch: pytest.MonkeyPatch, words: str, with_ipv6: str, without_ipv6: str
) -> None:
    """EAFNOSUPPORT for any other is a filter's word: the guard starts what it cannot judge."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(probe, "bind", refuse)
    (target,) = parse([words.removeprefix("-6 ")], 6 if words.startswith("-6 ") else 0)
    monkeypatch.setattr(probe, "_IPV6_ADDRESSES", "/proc/self/stat")
    assert probe.probe(target).state == with_ipv6
    monkeypatch.setattr(probe, "_IPV6_ADDRESSES", "/proc/self/absent")
    assert probe.probe(target).state == without_ipv6

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

"""What systemd's descriptor store is told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from portwait.model.targets import parse
from portwait.systemd import fdstore
from tests.support.manager import Manager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """Stand in for systemd, and be its service."""
    made = Manager(tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", made.address)
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("word", "form", "name"),
    [
        ("30010", "v6only", "portwait-tcp-30010-v6only"),
        ("127.0.0.1:30010", "last", "portwait-tcp-30010-last"),
        ("[fe80::1%eth0]:30010/udp", "listen", "portwait-udp-30010-listen"),
    ],
    ids=["a port", "an address", "a zone"],
)
def test_a_name_says_what_the_socket_is(word: str, form: str, name: str) -> None:
    """And holds no colon, which systemd takes for the end of a name."""
    [target] = parse([word])
    assert fdstore.name_of(target, form) == name
    assert fdstore.is_ours(name)


@pytest.mark.parametrize("name", ["", "web", "unknown", "Portwait-x", "my-portwait-x"])
def test_what_is_not_ours(name: str) -> None:
    """A socket of the service's own is never taken away."""
    assert not fdstore.is_ours(name)


@pytest.mark.parametrize(("size", "wanted", "takes"), [(0, 1, 0), (1, 1, 1), (1, 3, 1), (3, 2, 2), (8, 8, 8)])
def test_the_store_is_asked_for_room(manager: Manager, size: int, wanted: int, takes: int) -> None:
    """By trying it; nothing of the trial stays, there or here."""
    manager.room = size
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is compared
    assert fdstore.room(wanted) == takes
    assert manager.names == []
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # likewise


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not known."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/proc/nonexistent")
    assert fdstore.room(1) is None


def test_in_and_out(manager: Manager) -> None:
    """By name, and without polling: a pipe without a writer would be dropped otherwise, as a bound socket is."""
    reader, writer = os.pipe()
    os.close(writer)
    for name in ("portwait-a", "portwait-b", "portwait-a"):
        fdstore.put(name, reader)
    os.close(reader)
    assert manager.names == ["portwait-a", "portwait-a", "portwait-b"]
    fdstore.remove(["portwait-a", "portwait-c"])
    assert manager.names == ["portwait-b"]

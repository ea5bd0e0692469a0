"""What portwait notes down about a network namespace's reserved ports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from portwait._linux import netns
from portwait.reserved import lock, notes

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_notes_of_past_networks_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: the newest are kept, with the one of the system's own network; nothing but notes is removed."""
    monkeypatch.setattr(lock, "FOLDER", str(tmp_path))
    monkeypatch.setattr(netns, "cookie", lambda: 7)
    monkeypatch.setattr(notes, "_MOST", 5)
    for number in (3, *range(100, 120)):
        (tmp_path / f"reserved-{number}").touch()
        os.utime(tmp_path / f"reserved-{number}", (number, number))
    for name in ("reserved-ports.lock", "releasing-100"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))
    assert notes.record(((5000, 5000),), reserved_now=True) is None
    assert notes.added() == ((5000, 5000),)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == [
        "releasing-100",
        *(f"reserved-{number}" for number in range(117, 120)),
        "reserved-3",
        "reserved-7",
        "reserved-ports.lock",
    ]

"""The lock of a change to the reserved ports: who cannot have it says so, and does the work all the same."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

import pytest

from portwait.reserved import lock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [None, errno.ENOLCK, errno.EINTR])
def test_a_lock_that_the_kernel_refuses_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    """The ports are on the list before it is asked for, so an error would deny what is done."""

    def refuse(_descriptor: int, _operation: int) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(lock, "FOLDER", str(tmp_path))
    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock.held("name", 1.0, lambda _: None) as locked:
        assert locked is (number is None)

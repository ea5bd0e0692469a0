"""A file is written whole or not at all, and what stood beside it meanwhile is gone, whatever fails."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from portwait.reserved import atomic_file


@pytest.mark.parametrize("call", ["fstat", "write", "fchmod", "fsync", "rename"])
@pytest.mark.parametrize("before", [None, "before\n"], ids=["absent", "there"])
def test_a_call_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, before: str | None
) -> None:
    """Each call that a write needs: the old text stays, no temporary file, no descriptor."""
    file = tmp_path / "file"
    if before is not None:
        file.write_text(before)
    open_before = _descriptors()

    def fail(*_words: object, **_options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, fail)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            atomic_file.write(str(file), "after\n")
    assert [path.name for path in tmp_path.iterdir()] == ([] if before is None else ["file"])
    assert before is None or file.read_text() == before
    assert _descriptors() == open_before


def _descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])

"""A file is written whole or not at all, and what stood beside it meanwhile is gone, whatever fails."""

from __future__ import annotations

import errno
import os
import stat
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


def test_what_is_done_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be synced has the new text, or no file, all the same: to raise would deny it."""
    file = tmp_path / "file"
    file.write_text("before\n")
    sync = os.fsync

    def fail_for_folders(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail_for_folders)
    atomic_file.write(str(file), "after\n")
    assert file.read_text() == "after\n"
    atomic_file.remove(str(file))
    assert [*tmp_path.iterdir()] == []


def _descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])

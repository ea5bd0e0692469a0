"""The network namespace that the machine starts with is told from others: its settings are the machine's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portwait._linux import netns
from tests.support.netns import private_network

KTHREADD = 2


@pytest.mark.kernel
def test_it_is_told_from_others() -> None:
    """By its inode or its cookie: which of the two, has changed. The kernel's own threads are in it."""
    threads, ours = (Path(f"/proc/{process}/ns/net") for process in (KTHREADD, "self"))
    if os.access(threads, os.F_OK):  # in our PID namespace
        assert netns.is_initial() == (threads.readlink() == ours.readlink())
    with private_network():
        assert netns.is_initial() is False

"""The network namespace that the machine starts with is told from others: its settings are the machine's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from portwait._linux import netns
from portwait.host.machine import machine
from tests.support.netns import private_network


@pytest.mark.kernel
def test_it_is_told_from_others() -> None:
    """By a setting that only the first one shows. The kernel's own threads are in it."""
    kthreadd = Path("/proc/2")
    if os.access(kthreadd / "comm", os.R_OK) and (kthreadd / "comm").read_text() == "kthreadd\n":
        theirs, ours = (kthreadd / "ns/net").readlink(), Path("/proc/self/ns/net").readlink()
        assert netns.is_initial() == (theirs == ours)
    with private_network():
        assert netns.is_initial() is False
        assert machine().sysctl_d is False

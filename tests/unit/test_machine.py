"""What the kernel says of this process, read out of /proc/self/status."""

from __future__ import annotations

import pytest

from portwait.host import machine


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nCapEff:\t000001ffffffffff\n", True),
        ("CapEff:\t0000000000001000\n", True),
        ("CapEff:\t0000000000000fff\n", False),
        ("CapPrm:\t000001ffffffffff\n", False),
        ("CapEff:\n", False),
        ("CapEff:\tno number\n", False),
        ("", False),
    ],
)
def test_a_capability(status: str, expected: bool) -> None:
    """A text that does not say it is a capability that the process does not have."""
    assert machine._has_capability(status, machine._CAP_NET_ADMIN) is expected

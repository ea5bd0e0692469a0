"""Read the settings that decide which ports the kernel hands out in this network namespace."""

from __future__ import annotations

import sys

from portwait.errors import UsageError
from portwait.model import ports
from portwait.model.port_settings import PortSettings


def port_settings() -> PortSettings:
    """Read them now."""
    if sys.platform != "linux":
        return PortSettings()
    from portwait._linux import sysctl

    try:
        reserved = ports.from_kernel(sysctl.read(sysctl.RESERVED) or "")
    except UsageError:  # the kernel would have to change its own format
        reserved = ()
    return PortSettings(sysctl.ephemeral_range(), reserved, sysctl.unprivileged_start())

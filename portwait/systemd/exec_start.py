"""ExecStart= of a unit, taken apart: the command, and what the characters in front of it take from the unit's settings.

systemd.service(5) has the characters; what `+` leaves in force was tried with systemd 252.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Settings = Mapping[str, Sequence[str]]

_USERS = ("User", "DynamicUser")
_PRIVILEGES = (
    *_USERS,
    *("AppArmorProfile", "CapabilityBoundingSet", "InaccessiblePaths", "NoExecPaths", "PrivateUsers"),
    *("ProtectHome", "ProtectKernelTunables", "ProtectProc", "RestrictAddressFamilies"),
)
"""What does not apply to a command behind `+`; RootDirectory=, RootImage= and TemporaryFileSystem= do apply."""


def command_of(settings: Settings) -> tuple[str, str]:
    """Take the one ExecStart= apart into the command and the characters in front of it; nothing where there is none."""
    lines = settings.get("ExecStart", ())
    if len(lines) != 1:
        return "", ""
    match = re.fullmatch(r"([-:+!]*)(.*)", lines[0], re.DOTALL)
    if match is None or match[2].startswith(("@", "|")):  # portwait cannot set argv[0]; a shell is to start it
        return "", ""
    return match[2], match[1]


def runs_as_root(prefix: str) -> bool:
    """Whether systemd starts the command behind these characters as root, whatever User= says.

    `!!` does so only where the kernel lacks ambient capabilities, which are as old as Linux 4.3.
    """
    return "+" in prefix or prefix.count("!") == 1


def applied(settings: Settings, prefix: str) -> Settings:
    """Leave out the settings that systemd does not apply to a command behind these characters."""
    ignored = _PRIVILEGES if "+" in prefix else _USERS if runs_as_root(prefix) else ()
    return {name: lines for name, lines in settings.items() if name not in ignored}

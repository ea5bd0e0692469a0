"""A service that shows what it was given: its LISTEN_* variables, and its descriptors with their sockets' inodes."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tests.support.programs import Program

_SHOW = """
import json, os, sys
kinds = {}
for number in map(int, os.listdir("/proc/self/fd")):
    try:
        kinds[number] = os.readlink(f"/proc/self/fd/{number}")
    except FileNotFoundError:  # that of the listing itself
        pass
variables = {name: value for name, value in os.environ.items() if name.startswith("LISTEN_")}
print(json.dumps({"pid": os.getpid(), "variables": variables, "descriptors": kinds}), flush=True)
sys.stdin.readline()
"""
SHOW = (sys.executable, "-ISc", _SHOW)
"""Its command line. It prints one line and stays until its standard input has another or ends."""


class Shown(NamedTuple):
    """What the service was given."""

    pid: int
    variables: dict[str, str]
    sockets: dict[int, str]
    """By descriptor number, `socket:[INODE]`."""

    @property
    def names(self) -> list[str]:
        """The names of what it shall serve."""
        text = self.variables.get("LISTEN_FDNAMES")
        return text.split(":") if text else []

    @property
    def served(self) -> list[str | None]:
        """The sockets that it shall serve, in their order."""
        count = int(self.variables.get("LISTEN_FDS", "0"))
        return [self.sockets.get(number) for number in range(3, 3 + count)]

    @property
    def held(self) -> list[str]:
        """The sockets out of the way of scripts."""
        return [kind for number, kind in sorted(self.sockets.items()) if 100 <= number < 1024]


def link_of(descriptor: int) -> str:
    """Name a socket of this process as `Shown` does."""
    return f"socket:[{os.fstat(descriptor).st_ino}]"


def shown(program: Program) -> Shown:
    """Read what the service says."""
    said: dict[str, Any] = json.loads(program.says("variables"))
    sockets = {int(number): kind for number, kind in said["descriptors"].items() if kind.startswith("socket:")}
    return Shown(said["pid"], said["variables"], sockets)

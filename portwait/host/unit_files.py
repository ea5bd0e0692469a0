"""What a unit's files say: its settings as they were written, quotes and specifiers included. Pure functions.

`systemctl show` has lost the quotes of ExecStart=, so a drop-in that repeats the command has to read the files.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

OWN_NAME = "portwait.conf"
"""The name of the drop-in that `portwait unit` prints; it is no part of the unit as it was before."""

_FIRST_OF_A_FILE = re.compile(r"# /\S+\.(?:service|socket|conf)")


def settings(text: str, *, without: str = OWN_NAME) -> Mapping[str, Sequence[str]]:
    """Read the output of `systemctl cat`: the values of each setting of [Service] and [Socket], in order.

    An empty value takes back those before it, as it does for settings that are lists; of CapabilityBoundingSet= it is
    kept, because it means no capability at all (systemd.exec(5)). Drop-ins of the name `without` are left out.
    """
    values: dict[str, list[str]] = {}
    for name, value in _assignments(text, without):
        if not value:
            values.pop(name, None)
        if value or name == "CapabilityBoundingSet":
            values.setdefault(name, []).append(value)
    return values


def is_guarded(command: str) -> bool:
    """Whether a line of ExecStart= has portwait in front of the service already, also behind env(1) or a Python.

    A folder that has portwait in its name, or a word of the service's own that is portwait, is no guard.
    """
    words = [word.strip("\"'") for word in re.findall(r"""(?:"[^"]*"|'[^']*'|\S)+""", command.lstrip("-@:+!|"))]
    at = next((index for index, word in enumerate(words) if word.rpartition("/")[2] == "portwait"), None)
    return at is not None and (at == 0 or "--" in words[at:])


def _assignments(text: str, without: str) -> Iterator[tuple[str, str]]:
    section, skipped = "", False
    for line in _logical_lines(text):
        if _FIRST_OF_A_FILE.fullmatch(line):
            skipped = posixpath.basename(line) == without
        elif line.startswith("["):
            section = line
        elif not skipped and section in ("[Service]", "[Socket]"):
            name, equals, value = line.partition("=")
            if equals:
                yield name.strip(), value.strip()


def _logical_lines(text: str) -> Iterator[str]:
    """Join the lines that end in a backslash, and leave comments out, but for those that name a file."""
    joined = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")):
            if _FIRST_OF_A_FILE.fullmatch(line) and not joined:
                yield line
            continue
        if line.endswith("\\"):
            joined += f"{line[:-1]} "
            continue
        if joined or line:
            yield f"{joined}{line}"
        joined = ""
    if joined:
        yield joined

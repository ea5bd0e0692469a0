"""What the files of sysctl.d say about one setting, and which of them decides at boot.

One key is one value: nothing is merged, and the last file that sets it decides alone. Two programs read the files:

- systemd-sysctl sorts the files of all folders by name, a name in an earlier folder hiding the same name in a later
  one, and writes only the last value of a key; if the kernel refuses that one, none is set;
- procps' `sysctl --system` does the same, then reads /etc/sysctl.conf, and writes every value in turn, so the last
  one that the kernel takes stays.

With both, a key that is spelled out beats every glob; globs are all written, in order. A line `-key` alone keeps
globs away from the key, and makes systemd-sysctl forget the values before it.
"""

from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from portwait.errors import UsageError
from portwait.host import untrusted_file
from portwait.model import ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.model.sockets import Range

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
CONF = "/etc/sysctl.conf"
_LARGEST = 1 << 20  # bytes of a file; with all ports one by one it would be half of that
_NUMBER = re.compile(r"\b(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,20})\b", re.ASCII)
READERS = ("systemd-sysctl", "sysctl --system")


class File(NamedTuple):
    """A file that is read at boot, or before the next `sysctl --system` ends."""

    path: str
    text: str
    problem: str | None = None
    """Why it could not be read, in words; its text is empty then."""


class Setting(NamedTuple):
    """A line that sets the key; `glob` is whether it names it by a pattern. Its value may be anything.

    The value of a line `-key` is None.
    """

    path: str
    line: int
    value: str | None
    glob: bool

    @property
    def ports(self) -> tuple[Range, ...] | None:
        """The ports of the value; None where the kernel would refuse it, or there is none."""
        if self.value is None:
            return None
        listed = self.value.removesuffix(",")
        if self.value and not listed:
            return None
        try:
            return ports.from_kernel(_NUMBER.sub(_in_base_10, listed))
        except (UsageError, ValueError):
            return None

    def __str__(self) -> str:
        """Name the place."""
        return f"{self.path}:{self.line}"


def _in_base_10(number: re.Match[str]) -> str:
    """Write a number as the kernel reads it: `010` is in base 8, `0x10` in base 16. Raises ValueError."""
    text = number[0]
    base = 16 if text[:2] in ("0x", "0X") else 8 if text[0] == "0" else 10
    return str(int(text, base))


def read(root: str = "") -> tuple[File, ...]:
    """Read the files below `root` in the order in which they count; what cannot be read says why."""
    by_name: dict[str, str] = {}
    for folder in FOLDERS:
        try:
            names = os.listdir(root + folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                by_name.setdefault(name, f"{folder}/{name}")
    paths = [*(by_name[name] for name in sorted(by_name, key=os.fsencode)), CONF]
    return tuple(file for path in paths if (file := _read(root, path)) is not None)


def _read(root: str, path: str) -> File | None:
    """Read one file; None where there is none, or a directory, which no reader reads."""
    try:
        data = untrusted_file.read_setting(root + path, _LARGEST)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except (OSError, untrusted_file.UntrustedFileError) as error:
        return File(path, "", getattr(error, "strerror", None) or str(error))
    return File(path, data.decode(errors="surrogateescape"))


def settings(files: Iterable[File], key: str) -> tuple[Setting, ...]:
    """Pick the lines that set the key, or that are `-key`, in order."""
    lines: list[Setting] = []
    for path, text, _ in files:
        for number, line in enumerate(text.split("\n"), 1):
            name, sign, value = line.strip().partition("=")
            if name.startswith(("#", ";")) or not (sign or name.startswith("-")):
                continue
            spelled = _names(name.removeprefix("-"), key)
            if spelled or (spelled is False and sign):
                lines.append(Setting(path, number, value.strip() if sign else None, glob=not spelled))
    return tuple(lines)


def last(files: Sequence[File], key: str, reader: str) -> Setting | None:
    """Find the line that decides for this reader; None where no line sets the key."""
    lines = settings((file for file in files if reader != READERS[0] or file.path != CONF), key)
    spelled = [line for line in lines if not line.glob]
    if spelled and reader == READERS[0]:
        return spelled[-1]
    return next((line for line in reversed(spelled or lines) if line.ports is not None), None)


def _names(name: str, key: str) -> bool | None:
    """Whether a name is the key spelled out (True), or a pattern that fits it (False), or neither (None)."""
    theirs, ours = _parts(name.strip()), _parts(key)
    if theirs == ours:
        return True
    fits = len(theirs) == len(ours) and all(map(fnmatchcase, ours, theirs))
    return False if fits and any(sign in name for sign in "*?[") else None


def _parts(name: str) -> list[str]:
    """Take a name apart; where a dot comes before any slash, dots separate and slashes stand for dots (sysctl.d(5))."""
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        name = name.translate({ord("."): "/", ord("/"): "."})
    return [part for part in name.split("/") if part]

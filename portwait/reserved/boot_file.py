"""Reserved ports that survive a reboot: one file of ours in sysctl.d, which wins and holds the union with the others.

At boot the last file wins whole (`sysctld`), so ours says again what the others say. That copy goes stale when they
change; it names its sources with a digest, so that `drift` can tell. What the kernel has now is `runtime`'s
business, and the files are those of the system's own network namespace: nobody reads them for another one.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from portwait.errors import PortwaitError, UsageError
from portwait.model import ports
from portwait.reserved import atomic_file, lock, sysctld
from portwait.reserved.runtime import KEY
from portwait.reserved.sysctld import READERS, File, Setting
from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from portwait.model.sockets import Range

PLACE = "/etc/sysctl.d/zzz-portwait.conf"
"""Above every other folder, and behind every name that anybody is likely to use."""

_UNITS = "/etc/systemd/system/*.wants/portwait-reserve@*.service"
"""The enabled ones: each reserves the ports that its name says."""

LONGEST = 4094
"""Bytes of a value: procps' sysctl hands the kernel 4,095 with the line's end, and the rest is lost."""

PATIENCE = 30.0  # seconds
_HEAD = "# Written by portwait: change it with `portwait reserve --persist` and `portwait release --persist`."
_WHY = "# The file that comes last sets the key alone, so this one repeats what the files below said."
_OURS, _FROM = "# ours: ", "# from: "
_WIDTH = 1000


class PersistError(PortwaitError):
    """The files cannot say what they should; nothing was changed."""


class Ours(NamedTuple):
    """What our file says: the ports that portwait was asked for, all ports, and digests of the others' sources."""

    asked: tuple[Range, ...] = ()
    written: tuple[Range, ...] = ()
    sources: Mapping[str, str] = {}


class Plan(NamedTuple):
    """Our file as it should be; `text` is None where there is nothing for it to say."""

    text: str | None
    asked: tuple[Range, ...]
    theirs: tuple[Range, ...]
    broken: tuple[Setting, ...]
    """Lines of other files that the kernel would refuse: nothing could be taken over from them."""
    unreadable: tuple[File, ...] = ()
    """Other files of which nothing could be taken over, because they cannot be read."""


class Persisted(NamedTuple):
    """What was done to our file."""

    plan: Plan
    changed: bool


class Drift(NamedTuple):
    """How our file differs from what it should repeat, and from what it should win against."""

    sources: tuple[str, ...]
    """Files that have changed, come or gone since, by name."""
    missing: tuple[Range, ...]
    stale: tuple[Range, ...]
    overridden: str | None


def reserve(wanted: tuple[Range, ...], *, root: str = "", say: Callable[[str], None] = lambda _: None) -> Persisted:
    """Put ports into our file. Raises PersistError, and has then changed nothing."""
    return _change(f"persist {ports.show(wanted)}", lambda asked: ports.merge([*asked, *wanted]), root, say)


def release(named: tuple[Range, ...], *, root: str = "", say: Callable[[str], None] = lambda _: None) -> Persisted:
    """Take ports out of our file; what other files say stays. Raises PersistError, and has then changed nothing."""
    return _change(f"release {ports.show(named)} at boot", lambda asked: ports.subtract(asked, named), root, say)


def ours(files: Sequence[File]) -> Ours | None:
    """Read our file out of those that are there; None where it is absent, or not ours."""
    text = next((file.text for file in files if file.path == PLACE), "")
    if not text.startswith(_HEAD):
        return None
    lines = text.splitlines()
    listed = "".join(line.removeprefix(_OURS) for line in lines if line.startswith(_OURS))
    sources = dict(line.removeprefix(_FROM).rpartition(" ")[::2] for line in lines if line.startswith(_FROM))
    written = [setting.ports or () for setting in sysctld.settings([File(PLACE, text)], KEY)]
    try:
        return Ours(ports.from_kernel(listed), written[-1] if written else (), sources)
    except UsageError:
        return None


def plan(files: Sequence[File], asked: tuple[Range, ...]) -> Plan:
    """Say what our file must hold beside the others, so that these ports are reserved after a boot.

    Raises PersistError where no file in our place could do it.
    """
    others = [file for file in files if file.path != PLACE]
    lines = sysctld.settings(others, KEY)
    theirs = ports.merge(span for line in lines for span in line.ports or ())
    broken = tuple(line for line in lines if line.ports is None and line.value is not None)
    unreadable = tuple(file for file in others if file.problem is not None)
    if not asked:
        return Plan(None, asked, theirs, broken, unreadable)
    for file in others:
        if os.path.basename(file.path) == os.path.basename(PLACE):
            raise PersistError(f"{file.path} has the name of portwait's own file, which would hide it")
    union = ports.merge([*asked, *theirs])
    value = ports.show(union)
    if len(value) > LONGEST:
        raise PersistError(
            f"the list of {ports.count(union)} ports is {len(value)} bytes long, and procps' sysctl loads no more "
            f"than {LONGEST}; reserve ranges, or use the unit of contrib/systemd, which knows no such limit"
        )
    text = "\n".join((_HEAD, _WHY, *_wrapped(asked), *_sources(others), f"{KEY}={value}", ""))
    after = sorted([*others, File(PLACE, text)], key=_order)
    if (line := _overriding(after, union)) is not None:
        raise PersistError(
            f"{escape(str(line))} is about {KEY} and is read after {PLACE}: move that line to a file "
            f"of {sysctld.FOLDERS[0]} whose name sorts before it, or add the ports there"
        )
    return Plan(text, asked, theirs, broken, unreadable)


def drift(files: Sequence[File]) -> Drift | None:
    """Compare our file with the others as they are now; None where there is none of ours."""
    mine = ours(files)
    if mine is None:
        return None
    others = [file for file in files if file.path != PLACE]
    now = _digests(others)
    changed = tuple(sorted(name for name in {*now, *mine.sources} if now.get(name) != mine.sources.get(name)))
    theirs = [span for line in sysctld.settings(others, KEY) for span in line.ports or ()]
    union = ports.merge([*mine.asked, *theirs])
    line = _overriding(files, mine.written)
    return Drift(
        changed,
        ports.subtract(union, mine.written),
        ports.subtract(mine.written, union),
        None if line is None else escape(str(line)),
    )


def at_boot(files: Sequence[File], root: str = "", *, systemd: bool = True) -> tuple[Range, ...]:
    """Say which ports are reserved after a boot: by the file that wins, and by the units of contrib/systemd.

    `systemd` is whether it boots this machine; procps, which does it elsewhere, reads /etc/sysctl.conf as well.
    """
    return ports.merge([*by_file(files, systemd=systemd), *by_units(root)])


def by_file(files: Sequence[File], *, systemd: bool = True) -> tuple[Range, ...]:
    """Say which ports the file that wins reserves at boot: it wins whole, whatever the others say."""
    line = sysctld.last(files, KEY, READERS[0 if systemd else 1])
    return (line and line.ports) or ()


def by_units(root: str = "") -> tuple[Range, ...]:
    """Say which ports the enabled units of contrib/systemd reserve at boot."""
    spans: list[Range] = []
    for path in glob.glob(root + _UNITS):
        with contextlib.suppress(UsageError):
            spans += ports.parse(path.rpartition("@")[2].removesuffix(".service"))
    return ports.merge(spans)


def _overriding(files: Sequence[File], union: tuple[Range, ...]) -> Setting | None:
    """Find the line that has the last word in place of ours, and does not say as much."""
    for reader in READERS:
        line = sysctld.last(files, KEY, reader)
        if line is not None and line.path != PLACE and ports.subtract(union, line.ports or ()):
            return line
    return None


def _order(file: File) -> tuple[bool, bytes]:
    return file.path == sysctld.CONF, os.fsencode(os.path.basename(file.path))


def _wrapped(asked: tuple[Range, ...]) -> list[str]:
    """Write our own ports in lines of a bearable length: cut behind a comma, joined again as they are."""
    spaced = ports.show(asked).replace(",", ", ")
    return [_OURS + line.replace(" ", "") for line in textwrap.wrap(spaced, _WIDTH, break_on_hyphens=False)]


def _sources(others: Sequence[File]) -> list[str]:
    return [f"{_FROM}{name} {digest}" for name, digest in _digests(others).items()]


def _digests(others: Sequence[File]) -> dict[str, str]:
    """Name each file that sets the key, with a checksum of what it says."""
    said: dict[str, list[str]] = {}
    for line in sysctld.settings(others, KEY):
        said.setdefault(escape(line.path), []).append("-" if line.value is None else line.value)
    return {name: _checksum("\n".join(values)) for name, values in said.items()}


def _checksum(text: str) -> str:
    """FNV-1a of 32 bits: hashlib prints a traceback about what it lacks, and the packed folder has no zlib."""
    number = 0x811C9DC5
    for byte in text.encode(errors="surrogateescape"):
        number = (number ^ byte) * 0x01000193 & 0xFFFFFFFF
    return f"{number:08x}"


def _change(
    what: str,
    change: Callable[[tuple[Range, ...]], tuple[Range, ...]],
    root: str,
    say: Callable[[str], None],
) -> Persisted:
    folder, path = root + os.path.dirname(PLACE), root + PLACE
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
        with lock.held("sysctl.d", PATIENCE, say):
            files = sysctld.read(root)
            before = next((file.text for file in files if file.path == PLACE), None)
            if before is not None and ours(files) is None and not os.path.islink(path):
                raise FileExistsError(errno.EEXIST, "is there and is not portwait's")
            planned = plan(files, change((ours(files) or Ours()).asked))
            if planned.text == before and (before is None or atomic_file.is_as(path, root=os.geteuid() == 0)):
                return Persisted(planned, changed=False)
            if planned.text is None:
                atomic_file.remove(path)
            else:
                atomic_file.write(path, planned.text, root=os.geteuid() == 0)
            return Persisted(planned, changed=True)
    except PersistError as error:
        raise PersistError(f"cannot {what}: {error}; nothing was changed") from error
    except OSError as error:
        cure = "; it requires root" if error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0 else ""
        raise PersistError(f"cannot {what}: {PLACE}: {error.strerror or error}{cure}; nothing was changed") from error

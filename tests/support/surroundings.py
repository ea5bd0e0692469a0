"""Where a program can be put: a cgroup that is called like a unit, a host with or without systemd, somebody's shoes.

Each answers what to put before a command line.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.programs import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
AS_STRANGER = ("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups")
"""A user who has no other process: what other tests run as nobody is nothing to it."""
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""A PID namespace of its own: it sees its own processes alone."""


def mounted(*commands: str) -> tuple[str, ...]:
    """Run these in a mount namespace of its own first."""
    script = "; ".join(("set -e", *commands, 'exec "$@"'))
    return ("unshare", "--mount", "--propagation=private", "sh", "-c", script, "sh")


_EMPTY_RUN = "mount -t tmpfs -o mode=755 tmpfs /run"
PLAIN_HOST = mounted(_EMPTY_RUN)
"""A host without systemd, whatever this one has; no sign of a container but Docker's own is left either."""
SYSTEMD_HOST = mounted(_EMPTY_RUN, "mkdir -p /run/systemd/system")
"""A host with systemd, as far as sd_booted(3) can tell."""
PODMAN_CONTAINER = mounted(
    _EMPTY_RUN, "touch /run/.containerenv", "mount --bind /proc/sys /proc/sys", "mount -o remount,ro,bind /proc/sys"
)
"""A container whose settings cannot be written; its network is its own."""
ALL_SEEN = mounted(_EMPTY_RUN, "mount -t tmpfs tmpfs /proc/1")
"""The same, and root can look into all that there is: a machine's PID 1 may be one that not even root may look into."""
NO_PROC = mounted("mount -t tmpfs none /proc")
HIDDEN_PROCESSES = mounted("mount -t proc -o hidepid=2 proc /proc")
"""A /proc that shows nobody but root the processes of others."""


def lacking(capability: str) -> tuple[str, ...]:
    """Take a capability away, `net_admin` say."""
    return ("setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}")


def in_cgroup(folder: Path) -> tuple[str, ...]:
    """Answer what puts a program into a cgroup."""
    return ("sh", "-c", f'echo $$ > {folder}/cgroup.procs; exec "$@"', "sh")


def cgroup_root() -> Path | None:
    """Find where cgroups of version 2 can be made."""
    for mount in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (mount / "cgroup.controllers").exists() and os.access(mount, os.W_OK):
            return mount
    return None


@contextlib.contextmanager
def cgroup(path: str) -> Iterator[Path]:
    """Make a cgroup, `system.slice/orders.service` say, for the length of the body, below a slice of this process's.

    A name that ends in `.slice` is of no unit, so nothing says that this one is there.
    """
    root = cgroup_root()
    if root is None:
        pytest.skip("cgroup v2 is not mounted, or cannot be written")
    made = []
    whole = Path(f"portwait-{os.getpid()}.slice", path)
    for part in (*reversed(whole.parents), whole):
        if not (root / part).exists():
            (root / part).mkdir()
            made.append(root / part)
    try:
        yield root / whole
    finally:
        for folder in reversed(made):
            eventually(functools.partial(_removed, folder), f"the end of all in {folder}")


@contextlib.contextmanager
def own_cgroup() -> Iterator[None]:
    """Have this process alone in its cgroup: portwait looks there for the other end, and among few processes only."""
    with cgroup("tests") as folder:
        root = folder.parents[1]
        before = re.search(r"^0::/(.*)$", Path("/proc/self/cgroup").read_text(), re.MULTILINE)
        (folder / "cgroup.procs").write_text(str(os.getpid()))
        try:
            yield
        finally:
            (root / (before[1] if before else "") / "cgroup.procs").write_text(str(os.getpid()))


def _removed(folder: Path) -> bool:
    """Remove a cgroup, unless a process is still about to end in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()
    return not folder.exists()

"""A private copy of the folders that sysctl.d lives in, for programs that read and write them for real.

On request the programs see no processes but their own, too.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.programs import DEADLINE, running, youngest
from tests.support.surroundings import ELSEWHERE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SCRIPT = """
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc
rm -f /etc/sysctl.conf
mkdir -p /etc/sysctl.d /usr/lib/sysctl.d
for folder in /etc/sysctl.d /usr/lib/sysctl.d /usr/local/lib /run; do
    mount -t tmpfs -o mode=755 tmpfs "$folder"
done
echo ready
cat
:
"""  # with a line behind it, so that the shell stays, and collects the orphans of its PID namespace


class Host:
    """Programs that share these folders, empty at first, with each other and with nobody else."""

    def __init__(self, pid: int, *, apart: bool = False) -> None:
        self._pid = pid
        self._apart = apart

    def path(self, name: str) -> Path:
        """Where the test itself finds a file of theirs."""
        return Path(f"/proc/{self._pid}/root{name}")

    def write(self, name: str, text: str) -> None:
        """Give them a file."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        self.path(name).write_text(text)

    def run(self, *argv: str | bytes, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program among them to its end."""
        done = subprocess.run(self.argv(argv), check=False, capture_output=True, text=True, timeout=DEADLINE)
        assert not check or done.returncode == 0, (argv, done)
        return done

    def argv(self, argv: Sequence[str | bytes]) -> list[str | bytes]:
        """How to run a program among them."""
        processes = [f"--pid=/proc/{self._pid}/ns/pid"] if self._apart else []
        return ["nsenter", f"--mount=/proc/{self._pid}/ns/mnt", *processes, "--", *argv]


@contextlib.contextmanager
def private_host(*, apart: bool = False) -> Iterator[Host]:
    """Make such folders for the length of the body, in a mount namespace of their own.

    `apart`: with a PID namespace of its own too, so that its programs see no processes but each other.
    """
    before = ELSEWHERE if apart else ("unshare", "--mount", "--propagation=private")
    with running([*before, "sh", "-c", _SCRIPT], stdin=subprocess.PIPE) as holder:
        holder.says("ready")
        yield Host(youngest(holder.pid), apart=apart)

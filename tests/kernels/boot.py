"""Run a command under one of Debian's kernels, in a machine that qemu emulates.

`python -m tests.kernels.boot -- python -m pytest -m kernel`: the guest's root is this machine's, read-only over 9p,
under a tmpfs that takes the writes. So the command finds the interpreters, the virtual environment and the working tree
of here under the same names, and changes nothing here. It starts as root in the top of the tree, with the directory of
the interpreter that runs this module first on PATH, an environment that is otherwise bare, and no network but lo.

With --machine arm64 or s390x the guest has another processor. Its root is one of Debian's, made of --packages, and has
the working tree under the same name; the command has to be one of that root's.

The kernel is this release's own, or with --suite=bullseye that of another. Its package is downloaded once into
.cache/kernels; nothing is installed, and apt's lists stay as they are. Exit status: the command's own,
124 at the deadline, 125 where the guest could not be started or died.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.kernels.debian import NATIVE, kernel, own_suite, release, root, run
from tests.kernels.machines import MACHINES

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
TIMED_OUT, FAILED = 124, 125
BASE = ("base-files", "base-passwd", "busybox-static", "coreutils", "dash", "util-linux")
"""What the root of another processor always has: its folders, the first programs, the shell."""

# The status goes into a file out here. qemu's own is no evidence: it is 0 after a panic too.
JOB = """\
export PATH=/run/bin
{mounts}
mkdir -p /lib/modules
mount --bind {modules} /lib/modules
stty -opost
cd {top}
{command} </dev/null
echo $? >/run/results/status
stty opost  # returns when all output has been sent
reboot -f
"""
MOUNT = "mkdir -p {path}; mount -t 9p -o {mode},trans=virtio,version=9p2000.L,msize=524288 {tag} {path}"


class BootError(Exception):
    """The guest could not be started, or it died."""


class Guest(NamedTuple):
    """What is asked for."""

    machine: str
    suite: str
    packages: tuple[str, ...]
    """Of the root; BASE and what these depend on come by themselves."""
    deadline: float
    results: Path | None
    """Where the guest's /run/results is kept."""


def in_order(modules: Path, wanted: tuple[str, ...]) -> list[Path]:
    """List the files of these modules and of all that they depend on, each behind what it depends on."""
    lines = (modules / "modules.dep").read_text().splitlines()
    needs = {path: words.split() for path, _, words in (line.partition(":") for line in lines)}
    order: list[str] = []

    def add(path: str) -> None:
        for other in needs[path]:
            add(other)
        if path not in order:
            order.append(path)

    for name in wanted:
        add(next(path for path in needs if Path(path).stem == name))
    return [modules / path for path in order]


def pack(archive: Path, modules: list[Path], busybox: Path, job: str) -> None:
    """Write the initramfs: busybox, the modules, the init script beside this file, and the job that it becomes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "bin").mkdir()
        (folder / "modules").mkdir()
        shutil.copy(HERE / "init", folder)
        (folder / "job").write_text(job)
        shutil.copy(busybox, folder / "bin" / "busybox")
        for applet in run("busybox", "--list").split():
            if applet != "busybox":
                (folder / "bin" / applet).symlink_to("busybox")
        for number, module in enumerate(modules):
            shutil.copy(module, folder / "modules" / f"{number:02}-{module.name}")
        names = "\n".join(str(path.relative_to(folder)) for path in sorted(folder.rglob("*")))
        run("busybox", "cpio", "-o", "-H", "newc", "-F", archive, cwd=folder, input=names, stderr=subprocess.DEVNULL)


def job_of(modules: Path, shares: dict[str, tuple[Path | str, str]], command: list[str]) -> str:
    """Write the script that mounts the shares (tag: path, mode), runs the command and ends the guest."""
    path = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
    bare = (f"PATH={path}", "HOME=/root", "TMPDIR=/run/tmp", "LANG=C.UTF-8", "TERM=dumb")
    mounts = (MOUNT.format(tag=tag, path=shlex.quote(str(path)), mode=mode) for tag, (path, mode) in shares.items())
    return JOB.format(
        mounts="\n".join(mounts),
        modules=shlex.quote(str(modules)),
        top=shlex.quote(str(TOP)),
        command=shlex.join(["/usr/bin/env", "-i", *bare, *command]),
    )


def boot(guest: Guest, command: list[str]) -> int:
    """Let a guest run the command with our standard output as its console; return the command's exit status."""
    machine = MACHINES[guest.machine]
    unpacked = kernel(guest.suite, guest.machine)
    modules = unpacked / "lib/modules" / release(unpacked)
    shares: dict[str, tuple[Path | str, str]] = {"results": ("/run/results", "rw")}
    files, busybox = Path("/"), Path(run("which", "busybox").strip())
    if guest.machine != NATIVE:
        files = root(own_suite(), guest.machine, (*BASE, *guest.packages))
        busybox = files / "bin/busybox"
        shares["tree"] = (TOP, "ro,cache=loose")
    with tempfile.TemporaryDirectory() as scratch:
        results = guest.results or Path(scratch)
        archive, status = Path(scratch, "initramfs"), results / "status"
        pack(archive, in_order(modules, machine.modules), busybox, job_of(modules.parent, shares, command))
        words = ("-kernel", unpacked / "boot" / f"vmlinuz-{modules.name}", "-initrd", archive)
        exported = [*machine.share("host", files), *machine.share("results", results, writable=True)]
        if "tree" in shares:
            exported += machine.share("tree", TOP)
        status.unlink(missing_ok=True)
        subprocess.run(machine.command(*words, *exported), stdin=subprocess.DEVNULL, check=True, timeout=guest.deadline)
        if not status.exists() or not (word := status.read_text().strip()):
            raise BootError("the guest died")
        return int(word)


def main() -> int:
    """Boot, and turn what went wrong into words and a status."""
    parser = argparse.ArgumentParser(
        prog="boot", description="Run a command under one of Debian's kernels, emulated by qemu."
    )
    parser.add_argument("--deadline", type=float, default=600, metavar="SECONDS", help="end the guest after this")
    parser.add_argument("--suite", default=own_suite(), help="the release of Debian whose kernel it is: %(default)s")
    parser.add_argument("--machine", default=NATIVE, choices=MACHINES, help="its processor: %(default)s")
    parser.add_argument("--packages", default="", help="what the root of another processor has, separated by commas")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep here what is in its /run/results")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    packages = tuple(filter(None, given.packages.split(",")))
    guest = Guest(given.machine, given.suite, packages, given.deadline, given.results)
    try:
        return boot(guest, given.command)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"boot: the guest has not ended after {given.deadline:g} s\n")
        return TIMED_OUT
    except (BootError, OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"boot: {error} (tests/packages.txt lists what it needs)\n")
        return FAILED


if __name__ == "__main__":
    sys.exit(main())

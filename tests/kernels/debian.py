"""Debian's kernels and root file systems for any processor, unpacked into .cache; nothing is installed here."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kernels"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
AS_ROOT = ("-o", "APT::Sandbox::User=root")  # the cache may be where nobody else can write
NATIVE = "amd64"
"""The architecture, in Debian's words, whose guest has this machine's own root."""


def run(*words: str | Path, **how: object) -> str:
    """Run a program and return what it printed; CalledProcessError where it fails."""
    done = subprocess.run(words, check=True, text=True, stdout=subprocess.PIPE, **how)  # type: ignore[call-overload]  # passes run's own keywords on
    return str(done.stdout)


def own_suite() -> str:
    """Answer the release of Debian that this machine runs."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "")


def kernel(suite: str, architecture: str) -> Path:
    """Find the unpacked package of the kernel that linux-image-ARCHITECTURE stands for, or fetch it into the cache."""
    options = () if (suite, architecture) == (own_suite(), NATIVE) else _lists_of(suite, architecture)
    newest = run("apt-cache", *options, "depends", f"linux-image-{architecture}")
    package = newest.partition("Depends:")[2].strip()
    unpacked = CACHE / package
    if not unpacked.exists():
        with tempfile.TemporaryDirectory(dir=made(CACHE)) as scratch:
            folder = Path(scratch, "root")
            run("apt-get", "download", "-qq", *AS_ROOT, *options, package, cwd=scratch)
            run("dpkg-deb", "--extract", *Path(scratch).glob("*.deb"), folder)
            run("busybox", "depmod", "-b", folder, release(folder))
            folder.rename(unpacked)  # whole or not at all
    return unpacked


def release(unpacked: Path) -> str:
    """Return what the kernel calls itself."""
    return next(unpacked.glob("lib/modules/*")).name


def root(suite: str, architecture: str, packages: tuple[str, ...]) -> Path:
    """Find the root file system with these packages, and what they depend on, unpacked; or make it in the cache.

    Python's library is compiled here, where that takes a fraction of the time: bytecode is the same on every processor.
    """
    listed = ",".join(sorted(packages))
    unpacked = CACHE / f"root-{suite}-{architecture}-{hashlib.sha256(listed.encode()).hexdigest()[:8]}"
    if not unpacked.exists():
        with tempfile.TemporaryDirectory(dir=made(CACHE)) as scratch:
            folder = Path(scratch, "root")
            options = ("--quiet", "--variant=extract", f"--architectures={architecture}", f"--include={listed}")
            run("mmdebstrap", *options, suite, folder)
            for name in ("mnt", "usr/local/lib"):  # which base-files makes when it is configured
                made(folder / name)
            for name in ("passwd", "group"):  # likewise base-passwd
                shutil.copy(folder / "usr/share/base-passwd" / f"{name}.master", folder / "etc" / name)
            for library in folder.glob("usr/lib/python3*"):
                run("/usr/bin/python3", "-m", "compileall", "-q", "-s", folder, library)
            folder.rename(unpacked)  # whole or not at all
    return unpacked


def made(folder: Path) -> Path:
    """Make a folder where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _lists_of(suite: str, architecture: str) -> tuple[str, ...]:
    """Fetch what another release or processor has; return the options that let apt read just that."""
    lists, source = CACHE / "lists" / f"{suite}-{architecture}", CACHE / "lists" / f"{suite}-{architecture}.list"
    here = {"Etc::SourceList": source, "Etc::SourceParts": "/dev/null", "Cache::pkgcache": "", "Cache::srcpkgcache": ""}
    words = [f"APT::Architecture={architecture}", f"APT::Architectures={architecture}"]
    words += [f"Dir::{name}={path}" for name, path in here.items()]
    options = tuple(word for setting in words for word in ("-o", setting))
    if not lists.exists():
        targets = ("Identifier: Packages", "Origin: Debian", "Label: Debian", "Component: main")
        archive = run("apt-get", "indextargets", "--format=$(REPO_URI)", *targets).split()[0]
        with tempfile.TemporaryDirectory(dir=made(lists.parent)) as scratch:
            source.write_text(f"deb [signed-by={KEYRING}] {archive} {suite} main\n")
            made(Path(scratch, "lists", "partial"))
            run("apt-get", "update", "-qq", *AS_ROOT, *options, "-o", f"Dir::State::Lists={scratch}/lists")
            Path(scratch, "lists").rename(lists)  # whole or not at all
    return *options, "-o", f"Dir::State::Lists={lists}"

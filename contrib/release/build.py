#!/usr/bin/env python3
"""Build everything that a release has: `python3 contrib/release/build.py [FOLDER]`, from a clean checkout.

FOLDER (default: dist) then has the wheel, the sdist, the packed folder as tar.gz, a .deb, a .rpm, the SBOM (CycloneDX)
and SHA256SUMS. The tar.gz, the .deb, the .rpm and the SBOM are for the processor of this machine and named after it:
where several machines build a release, put their files into one folder, and `--sums FOLDER` writes its SHA256SUMS anew.

Needs git, Python 3.10 or newer with venv, dpkg-deb, rpmbuild, and a package index for the build tools. What is built
is the commit that is checked out, so all changes must be committed. Dates inside come from the commit.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import machine
import packages
from packages import run

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
TOOLS = ("build", "check-wheel-contents", "cyclonedx-python-lib[json-validation]", "twine")


def main() -> int:
    """Build into a folder of its own, then move the files to where they were asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKOUT / "dist", metavar="FOLDER")
    parser.add_argument("--sums", action="store_true", help="build nothing; write SHA256SUMS of what is in FOLDER")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    if options.sums:
        sums(folder)
        return 0
    fault = fault_of(folder)
    if fault:
        parser.error(fault)
    with tempfile.TemporaryDirectory(prefix="portwait-release-") as name:
        work = Path(name)
        source = export(work / "source")
        made = work / "made"
        made.mkdir()
        os.environ["SOURCE_DATE_EPOCH"] = read("git", "-C", CHECKOUT, "log", "-1", "--format=%ct")
        version = version_of(source)
        tools = virtual_environment(work / "tools", *TOOLS)
        run(tools / "python", "-m", "build", "--outdir", made, source)
        run(tools / "twine", "check", "--strict", *made.iterdir())
        [wheel] = made.glob("*.whl")
        run(tools / "check-wheel-contents", "--ignore=W009", wheel)  # W009: more than one folder; bin is a script's
        packed = work / "portwait"
        run(sys.executable, source / "contrib" / "docker" / "pack.py", "--portwait", wheel, packed)
        packages.tarball(packed, made, version)
        packages.deb(packed, source, made, version, work)
        packages.rpm(packed, source, made, version, work)
        sbom = made / f"portwait-guard-{version}-linux-{machine.of(packed / 'portwait').uname}.cdx.json"
        run(tools / "python", HERE / "sbom.py", packed / "lib", version, sbom)
        sums(made)
        folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(made.iterdir()):
            shutil.move(file, folder / file.name)
            print(folder / file.name)
    return 0


def fault_of(folder: Path) -> str | None:
    """Say what keeps the release from being built, before anything is done."""
    if sys.version_info < (3, 10):
        return "needs Python 3.10 or newer"
    for program, package in (("git", "git"), ("dpkg-deb", "dpkg"), ("rpmbuild", "rpm")):
        if not shutil.which(program):
            return f"{program} is missing (Debian's package {package})"
    if folder.exists() and any(folder.iterdir()):
        return f"{folder} is not empty"
    changed = read("git", "-C", CHECKOUT, "status", "--porcelain")
    return f"the checkout has changes that are not committed:\n{changed}" if changed else None


def export(folder: Path) -> Path:
    """Write the commit that is checked out into a folder, and nothing else of the checkout."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    run("git", "-C", CHECKOUT, "archive", f"--output={archive}", "HEAD")
    run("tar", "-x", "-C", folder, "-f", archive)
    return folder


def version_of(source: Path) -> str:
    """Read the version."""
    [version] = re.findall(r'^__version__ = "(.+)"$', (source / "portwait" / "_version.py").read_text(), re.MULTILINE)
    return str(version)


def virtual_environment(folder: Path, *requirements: str | Path) -> Path:
    """Make a virtual environment with these in it; where its programs are."""
    venv.create(folder, symlinks=True, with_pip=True)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    return python.parent


def sums(folder: Path) -> None:
    """Write SHA256SUMS of a folder's files, for `sha256sum --check`."""
    written = folder / "SHA256SUMS"
    files = [file for file in sorted(folder.iterdir()) if file != written]
    written.write_text("".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files))


def read(*words: str | Path) -> str:
    """Run a program that has to succeed; what it prints."""
    return subprocess.run(list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"build.py: {error}")

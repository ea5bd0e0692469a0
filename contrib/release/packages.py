"""Make the tar.gz, the .deb and the .rpm of the packed folder: the same files, each where its system looks for them."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import machine

NAME = "portwait-guard"
SUMMARY = "guard that starts a service only when its port can be bound"
DESCRIPTION = """\
portwait runs just before a service. It asks the kernel whether the service
could bind its port now. If it could not, portwait says which connection and
which process are in the way, waits, or removes them where it was told to, and
then becomes the service. It brings its own Python."""
MAINTAINER = "The portwait developers <portwait@users.noreply.github.com>"
HOMEPAGE = "https://github.com/portwait/portwait"
HERE = Path(__file__).resolve().parent
UNITS = (
    "portwait-hold@.service",
    "portwait-reserve@.service",
    "portwait-audit.service",
    "portwait-audit.timer",
    "user/portwait-hold@.service",
)
"""Of contrib/systemd: the system's, and below user/ the users'."""

PLACES = (
    ("/usr/local/bin/portwait", "/usr/bin/portwait"),
    ("/opt/portwait /usr/bin/python3", "/usr/lib/portwait"),
    ("/opt/portwait", "/usr/lib/portwait"),
    ("it, its folder, its Python", "it, and its folder"),
    ("it, its folder and the Python that its first line names, as", "it and its folder, as"),
    (
        "portwait, its folder, and the Python that its first line names are allowed",
        "portwait and its folder are allowed",
    ),
)
"""What contrib/systemd says of a virtual environment in /opt, and what is true of a package with its own Python."""


def tarball(packed: Path, folder: Path, version: str) -> None:
    """Write the tar.gz, whose one folder `portwait` is meant for /opt."""
    file = folder / f"{NAME}-{version}-linux-{machine.of(packed / 'portwait').uname}.tar.gz"
    done = subprocess.run(
        ["tar", "-c", "--format=gnu", *_SAME, f"--mtime=@{_epoch()}", "-C", str(packed.parent), packed.name],
        check=True,
        stdout=subprocess.PIPE,
    )
    file.write_bytes(gzip.compress(done.stdout, mtime=_epoch()))


def deb(packed: Path, source: Path, folder: Path, version: str, work: Path) -> None:
    """Write the .deb."""
    root = work / "deb"
    _install(packed, root, documents=f"usr/share/doc/{NAME}", zsh="usr/share/zsh/vendor-completions")
    documents = root / "usr/share/doc" / NAME
    (documents / "copyright").write_text(_copyright(packed / "share" / "licenses"))
    (documents / "changelog.gz").write_bytes(
        _zipped(f"""\
{NAME} ({version}) unstable; urgency=medium

  * The changes are in CHANGELOG.md.gz.

 -- {MAINTAINER}  {time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(_epoch()))}
""")
    )
    (documents / "CHANGELOG.md.gz").write_bytes(_zipped((source / "CHANGELOG.md").read_text()))
    overrides = root / "usr/share/lintian/overrides" / NAME
    overrides.parent.mkdir(parents=True)
    shutil.copy(HERE / "deb" / "lintian-overrides", overrides)
    control = root / "DEBIAN"
    control.mkdir()
    size = sum(file.lstat().st_size for file in root.rglob("*") if file.is_file()) // 1024
    architecture = machine.of(packed / "portwait").debian
    paragraphs = "".join(f" {line}\n" for line in DESCRIPTION.splitlines())
    (control / "control").write_text(f"""\
Package: {NAME}
Version: {version}
Architecture: {architecture}
Maintainer: {MAINTAINER}
Installed-Size: {size}
Depends: libc6 (>= 2.17)
Section: admin
Priority: optional
Homepage: {HOMEPAGE}
Description: {SUMMARY}
{paragraphs}""")
    for script in ("postinst", "prerm", "postrm"):
        _copy(HERE / "deb" / script, control / script, 0o755)
    files = sorted(file for file in (root / "usr").rglob("*") if file.is_file() and not file.is_symlink())
    sums = [f"{hashlib.md5(file.read_bytes()).hexdigest()}  {file.relative_to(root)}\n" for file in files]  # noqa: S324
    (control / "md5sums").write_text("".join(sums))
    file = folder / f"{NAME}_{version}_{architecture}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "--build", root, file)


def rpm(packed: Path, source: Path, folder: Path, version: str, work: Path) -> None:
    """Write the .rpm."""
    root, top = work / "rpm", work / "rpmbuild"
    _install(packed, root, documents=f"usr/share/doc/{NAME}", zsh="usr/share/zsh/site-functions")
    shutil.copy(source / "CHANGELOG.md", root / "usr/share/doc" / NAME)
    shutil.copytree(packed / "share" / "licenses", root / "usr/share/licenses" / NAME)
    values = {
        "portwait_version": version,
        "portwait_root": str(root),
        "portwait_summary": SUMMARY,
        "portwait_description": DESCRIPTION.replace("\n", " "),
        "portwait_url": HOMEPAGE,
        "_topdir": str(top),
    }
    defines = [word for name, value in values.items() for word in ("--define", f"{name} {value}")]
    target = f"--target={machine.of(packed / 'portwait').rpm}-linux"
    run("rpmbuild", "-bb", "--quiet", target, *defines, HERE / "rpm" / f"{NAME}.spec")
    for file in (top / "RPMS").rglob("*.rpm"):
        shutil.move(file, folder / file.name)


def _install(packed: Path, root: Path, documents: str, zsh: str) -> None:
    """Put the packed folder and what belongs to it below the root of a package."""
    share = packed / "share"
    library = root / "usr/lib/portwait"
    shutil.copytree(packed, library, ignore=lambda folder, _: ["share"] if Path(folder) == packed else [])
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/portwait").symlink_to("../lib/portwait/portwait")
    manual = root / "usr/share/man/man1/portwait.1.gz"
    manual.parent.mkdir(parents=True)
    manual.write_bytes(_zipped((share / "man/man1/portwait.1").read_text()))
    shells = {
        "bash-completion/completions/portwait": "usr/share/bash-completion/completions/portwait",
        "zsh/site-functions/_portwait": f"{zsh}/_portwait",
        "fish/vendor_completions.d/portwait.fish": "usr/share/fish/vendor_completions.d/portwait.fish",
    }
    for name, place in shells.items():
        _copy(share / name, root / place)
    units = share / "portwait" / "systemd"
    shutil.copytree(units, root / documents / "systemd", ignore=shutil.ignore_patterns("user", *UNITS))
    for name in UNITS:
        _copy(units / name, root / "usr/lib/systemd" / (name if "/" in name else f"system/{name}"))
    for file in (*root.glob("usr/lib/systemd/*/*"), *root.glob(f"{documents}/systemd/**/*")):
        if file.is_file():
            file.write_text(_as_packaged(file.read_text()))
    for file in root.rglob("*"):
        if not file.is_symlink():
            file.chmod(0o755 if file.is_dir() or file == library / "portwait" else 0o644)


def _as_packaged(text: str) -> str:
    """Name the package's own paths in a unit, a drop-in or a document."""
    for elsewhere, here in PLACES:
        text = text.replace(elsewhere, here)
    return text


def _copy(source: Path, target: Path, mode: int = 0o644) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def _copyright(licences: Path) -> str:
    """Write Debian's copyright file: portwait's own licence, and those of what is packed with it."""
    text = f"This package has portwait and, in /usr/lib/portwait, the Python that runs it. Source: {HOMEPAGE}\n"
    for file in sorted(licences.glob("*/*")):
        licence = file.read_text()
        if "Apache License" in licence and "TERMS AND CONDITIONS" in licence:
            licence = "The Apache License, version 2.0: /usr/share/common-licenses/Apache-2.0\n"
        title = f"{file.parent.name}: {file.name}"
        text += f"\n\n{title}\n{'=' * len(title)}\n\n{licence}"
    return text


def _zipped(text: str) -> bytes:
    return gzip.compress(text.encode(), 9, mtime=0)


def _epoch() -> int:
    return int(os.environ["SOURCE_DATE_EPOCH"])


def run(*words: str | Path) -> None:
    """Run a program that has to succeed; what it says goes to stderr, because stdout is for the files' names."""
    subprocess.run(list(map(str, words)), check=True, stdout=sys.stderr)


_SAME = ("--sort=name", "--owner=0", "--group=0", "--numeric-owner")
"""So that two builds of one commit do not differ in dates and owners."""

"""What contrib/release/build.py makes, each piece installed and run in a root file system where it belongs."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.options.record import VERBS
from tests.support.guarding import run
from tests.support.packages import needs
from tests.support.release import ROOT, do
from tests.support.states import outbound_established

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.guarding import Outcome
    from tests.support.release import Release

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

PORT = 30010
WRITTEN = "etc/sysctl.d/zzz-portwait.conf"
LINK = "etc/systemd/system/sysinit.target.wants/portwait-hold@30010.service"


@pytest.fixture(scope="session")
def wheels(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the wheels that portwait stands on, for Python 3.9 (pip reads markers for its own); later is no network."""
    folder = tmp_path_factory.mktemp("wheels")
    options = ("--quiet", "--only-binary=:all:", "--python-version=3.9", f"--dest={folder}")
    do(sys.executable, "-m", "pip", "download", *options, str(release.wheel), "typing-extensions")
    return folder


@pytest.fixture(scope="session")
def debian() -> Iterator[Path]:
    """Debian 11, the oldest that is meant to work, with its own Python 3.9 and nothing of this machine."""
    needs("mmdebstrap", "mmdebstrap")
    with folder_in_memory() as folder:
        root = folder / "root"
        do("mmdebstrap", "--quiet", "--variant=essential", "--include=python3-venv", "bullseye", str(root))
        yield root


@pytest.fixture
def root(debian: Path) -> Iterator[Path]:
    """Yield the same for one test alone: what is written in it is gone afterwards."""
    with overlay(debian) as merged:
        yield merged


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Yield a folder on a tmpfs of its own."""
    folder = Path(tempfile.mkdtemp(prefix="portwait-release-"))
    folder.chmod(0o755)
    do("mount", "-t", "tmpfs", "-o", "mode=755", "portwait-release", str(folder))
    try:
        yield folder
    finally:
        do("umount", "--recursive", str(folder))
        folder.rmdir()


@contextlib.contextmanager
def overlay(lower: Path) -> Iterator[Path]:
    """Mount a layer in memory above a root file system, and the kernel's /proc in it."""
    with folder_in_memory() as folder:
        for name in ("upper", "work", "merged"):
            (folder / name).mkdir()
        options = f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work"
        do("mount", "-t", "overlay", "-o", options, "portwait-release", str(folder / "merged"))
        (folder / "merged" / "proc").mkdir(exist_ok=True)
        do("mount", "-t", "proc", "proc", str(folder / "merged" / "proc"))
        yield folder / "merged"


def inside(root: Path, *words: str) -> Outcome:
    """Run a program in a root file system, in the network of the test."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return run(["chroot", str(root), *words], env={"PATH": path, "DEBIAN_FRONTEND": "noninteractive"})


def succeeds(root: Path, *words: str) -> str:
    """Run it; it has to end with 0."""
    done = inside(root, *words)
    assert done.status == 0, (words, done)
    return done.out


def log_systemctl(root: Path) -> Path:
    """Put a systemctl in place that notes its words, under a systemd that seems to run; where it notes them."""
    (root / "run/systemd/system").mkdir(parents=True)
    program = root / "usr/bin/systemctl"
    program.write_text('#!/bin/sh\necho "$@" >>/systemctl.log\n')
    program.chmod(0o755)
    return root / "systemctl.log"


def files_of(root: Path) -> set[str]:
    """List the files and links in a root, package managers' own books and caches aside."""
    books = ("proc", "var/lib/dpkg", "var/lib/rpm", "var/log", "var/cache", "usr/lib/sysimage", "root/.rpmdb")
    found = do("find", str(root), "-xdev", "-mindepth", "1", "!", "-type", "d", "-printf", "%P\n").splitlines()
    return {name for name in found if not name.startswith(books)}


def it_guards(root: Path, portwait: str) -> None:
    """Each verb does its job: what all pieces have to do where they are installed."""
    assert re.fullmatch(r"portwait \d+\.\d+\.\d+\n", succeeds(root, portwait, "--version"))
    assert succeeds(root, portwait, str(PORT), "--", "echo", "started") == "started\n"
    with outbound_established(PORT) as blocker:
        explained = inside(root, portwait, "explain", "--json", str(PORT))
        assert explained.status == 1, explained
        assert json.loads(explained.out)["targets"][0]["blockers"][0]["local"] == blocker.local
        gave_up = inside(root, portwait, "--timeout=0", str(PORT), "--", "echo", "started")
        assert gave_up.status == 124
        assert "outbound connection" in gave_up.err
        assert succeeds(root, portwait, "--evict", str(PORT), "--", "echo", "started") == "started\n"
    assert str(PORT) in succeeds(root, portwait, "reserve", str(PORT))
    assert inside(root, portwait, "audit", str(PORT)).status == 0
    assert str(PORT) in succeeds(root, portwait, "release", str(PORT))
    assert re.fullmatch(r"\d+\n", succeeds(root, portwait, "pick", "20000-20010"))
    for verb in VERBS:
        assert f"portwait {verb}" in succeeds(root, portwait, verb, "--help")


# Python's own pieces


def test_the_wheel_has_everything(release: Release) -> None:
    """The man page, the completions, the units and drop-ins; its name is ours."""
    with zipfile.ZipFile(release.wheel) as wheel:
        names = wheel.namelist()
        [metadata] = (wheel.read(name).decode() for name in names if name.endswith("METADATA"))
    data = {name.partition(".data/data/")[2] for name in names}
    assert "share/man/man1/portwait.1" in data
    assert "share/bash-completion/completions/portwait" in data
    units = [file for file in (ROOT / "contrib" / "systemd").rglob("*.*") if file.is_file()]
    assert {f"share/portwait/{file.relative_to(ROOT / 'contrib')}" for file in units} <= data
    assert "\nName: portwait-guard\n" in metadata
    assert "\nRequires-Python: >=3.9\n" in metadata
    assert metadata.count("\nProject-URL: ") >= 3


def test_the_sdist_builds_what_the_checkout_builds(release: Release) -> None:
    """It has all that the wheel is made of."""
    with tarfile.open(release.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    listed = do("git", "-C", str(ROOT), "ls-files", "portwait", "bin", "man", "contrib", "pyproject.toml", "LICENSE")
    assert {name for name in listed.splitlines() if (ROOT / name).is_file()} <= names


def test_the_wheel_in_debian_11(release: Release, wheels: Path, root: Path) -> None:
    """With Python 3.9, the oldest that is meant to work, in a virtual environment; and it goes without a trace."""
    shutil.copytree(wheels, root / "wheels")
    before = files_of(root)
    succeeds(root, "python3", "-m", "venv", "/opt/portwait")
    pip = ("/opt/portwait/bin/pip", "--quiet", "install", "--no-index", "--find-links=/wheels")
    for _ in range(2):  # a second time changes nothing, and is no error
        succeeds(root, *pip, f"/wheels/{release.wheel.name}")
    it_guards(root, "/opt/portwait/bin/portwait")
    shutil.rmtree(root / "opt/portwait")
    left = {name for name in files_of(root) - before if not name.startswith(("root/.cache", "tmp"))}
    assert {name for name in left if not name.startswith("run/portwait/")} == set()  # /run goes with the next boot


# The packed folder


def test_the_tarball_anywhere(release: Release, root: Path) -> None:
    """Unpacked into /opt with a link, where no Python is: every verb works; it says whose licences it is under."""
    for python in (root / "usr/bin").glob("python*"):
        python.unlink()
    for _ in range(2):
        do("tar", "--extract", "--gzip", f"--file={release.tarball}", f"--directory={root}/opt")
        succeeds(root, "ln", "-sf", "/opt/portwait/portwait", "/usr/local/bin/portwait")
    it_guards(root, "portwait")
    packed = root / "opt/portwait"
    size = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file())
    assert size < 15_500_000
    licences = {file.parent.name for file in packed.glob("share/licenses/*/*")}
    assert licences >= {"portwait-guard", "python", "psutil", "structlog", "tenacity"}
    assert (packed / "share/man/man1/portwait.1").is_file()
    assert (packed / "frozen_application_license.txt").is_file()


# Packages


def test_the_deb(release: Release, root: Path) -> None:
    """Installed, upgraded, removed and purged: what it has, what it starts (nothing), what it leaves (nothing)."""
    log = log_systemctl(root)
    before = files_of(root)
    shutil.copy(release.deb, root / "portwait-guard.deb")
    for _ in range(2):
        succeeds(root, "dpkg", "--install", "/portwait-guard.deb")
    (root / "portwait-guard.deb").unlink()
    assert log.read_text() == "daemon-reload\n" * 3  # the upgrade's postrm and postinst
    assert succeeds(root, "dpkg", "--verify", "portwait-guard") == ""
    it_guards(root, "portwait")
    installed_files(root, zsh="vendor-completions")
    enable_and_write(root)
    log.unlink()
    succeeds(root, "dpkg", "--purge", "portwait-guard")
    assert "stop portwait-audit.timer" in log.read_text()
    log.unlink()
    assert files_of(root) == before
    assert not (root / "usr/lib/portwait").exists()


def test_the_deb_is_in_order(release: Release) -> None:
    """Debian's own judge finds no error that the package does not give a reason for."""
    done = run(["lintian", "--allow-root", "--fail-on=error", str(release.deb)])
    assert done.status == 0, done.out


def test_the_rpm(release: Release, root: Path) -> None:
    """By rpm in a root of its own: the same files, its scripts run, and it leaves nothing."""
    log = log_systemctl(root)
    before = files_of(root)
    rpm = ("rpm", f"--root={root}", "--nodeps")  # this root's /bin/sh and C library are dpkg's, not rpm's
    do(*rpm, "--upgrade", str(release.rpm))
    do(*rpm, "--upgrade", "--replacepkgs", "--oldpackage", str(release.rpm))
    assert set(log.read_text().splitlines()) == {"daemon-reload"}
    assert do(*rpm, "--verify", "portwait-guard") == ""
    it_guards(root, "portwait")
    installed_files(root, zsh="site-functions")
    enable_and_write(root)
    do(*rpm, "--erase", "portwait-guard")
    assert "stop portwait-audit.timer" in log.read_text()
    log.unlink()
    assert files_of(root) == before
    assert not (root / "usr/lib/portwait").exists()


def installed_files(root: Path, zsh: str) -> None:
    """Look at what belongs to the system: man page, completions, units that call the portwait of the package."""
    page = gzip.decompress((root / "usr/share/man/man1/portwait.1.gz").read_bytes()).decode()
    assert page == (ROOT / "man/portwait.1").read_text()
    assert (root / "usr/share/bash-completion/completions/portwait").is_file()
    assert (root / f"usr/share/zsh/{zsh}/_portwait").is_file()
    assert (root / "usr/share/fish/vendor_completions.d/portwait.fish").is_file()
    units = {file.name: file.read_text() for file in (root / "usr/lib/systemd/system").glob("portwait-*")}
    timer, service = "portwait-audit.timer", "portwait-audit.service"
    assert sorted(units) == [service, timer, "portwait-hold@.service", "portwait-reserve@.service"]
    assert all("/usr/local" not in text for text in units.values())
    assert all("ExecStart=/usr/bin/portwait " in text for name, text in units.items() if name != timer)
    assert list((root / "etc/systemd/system").glob("*.wants/portwait-*")) == []


def enable_and_write(root: Path) -> None:
    """Leave what an administrator leaves: a unit that is enabled, ports that are reserved for the next boot."""
    do("systemctl", "--quiet", f"--root={root}", "enable", "portwait-hold@30010.service")
    assert (root / LINK).is_symlink()
    succeeds(root, "portwait", "reserve", "--persist", str(PORT))
    assert (root / WRITTEN).is_file()


# Papers


def test_the_sums_are_right(release: Release) -> None:
    """Of every file, for `sha256sum --check`."""
    listed = (release.folder / "SHA256SUMS").read_text().splitlines()
    others = {file.name for file in release.folder.iterdir()} - {"SHA256SUMS"}
    assert {line.split("  ")[1] for line in listed} == others
    done = run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=release.folder)
    assert done.status == 0, done


def test_the_sbom_lists_what_is_packed(release: Release) -> None:
    """Every distribution whose metadata is in the packed folder, and Python, each with version and licence."""
    bom = json.loads(release.sbom.read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == ("CycloneDX", "portwait-guard")
    with tarfile.open(release.tarball) as packed:
        listed = set(re.findall(r"/([\w.]+)-[\d.]+\.dist-info\n", "\n".join(packed.getnames())))
    assert {part["name"] for part in bom["components"]} == (listed - {"portwait_guard"}) | {"cpython"}
    assert all(part["version"] and part["licenses"] for part in bom["components"])


def test_changes_that_are_not_committed_are_no_release(tmp_path: Path) -> None:
    """What is built is what is committed, so it says so instead of leaving them out."""
    shutil.copytree(ROOT / "contrib", tmp_path / "contrib")
    do("git", "-C", str(tmp_path), "init", "--quiet")
    done = run([sys.executable, str(tmp_path / "contrib/release/build.py"), str(tmp_path / "dist")])
    assert done.status == 2
    assert ("changes that are not committed" if sys.version_info >= (3, 10) else "needs Python 3.10") in done.err
    assert not (tmp_path / "dist").exists()

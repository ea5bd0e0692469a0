"""What contrib/release/build.py makes, each piece installed and run in a root file system where it belongs."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.options.record import VERBS
from tests.support.guarding import run
from tests.support.packages import needs
from tests.support.release import ROOT, do
from tests.support.roots import FILES, files_of, inside, lines_of, succeeds, typed
from tests.support.states import outbound_established

if TYPE_CHECKING:
    from tests.support.release import Release

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

PORT = 30010
WRITTEN = "etc/sysctl.d/zzz-portwait.conf"
LINK = "etc/systemd/system/sysinit.target.wants/portwait-hold@30010.service"


@pytest.fixture(scope="session")
def wheels(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fetch the wheels that portwait stands on (pip reads markers for its own Python); later is no network."""
    folder = tmp_path_factory.mktemp("wheels")
    for version in ("3.9", "3.14"):
        options = ("--quiet", "--only-binary=:all:", f"--python-version={version}", f"--dest={folder}")
        do(sys.executable, "-m", "pip", "download", *options, str(release.wheel), "typing-extensions")
    return folder


@pytest.fixture
def offline(root: Path, release: Release, wheels: Path) -> dict[str, str]:
    """Put the files of the release and the wheels into the root; what tells pip and uv of them."""
    shutil.copytree(release.folder, root / FILES.lstrip("/"))
    shutil.copytree(wheels, root / "wheels")
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/wheels", "UV_OFFLINE": "1", "UV_FIND_LINKS": "/wheels"}


def log_systemctl(root: Path) -> Path:
    """Put a systemctl in place that notes its words, under a systemd that seems to run; where it notes them."""
    (root / "run/systemd/system").mkdir(parents=True)
    program = root / "usr/bin/systemctl"
    program.write_text('#!/bin/sh\necho "$@" >>/systemctl.log\n')
    program.chmod(0o755)
    return root / "systemctl.log"


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


def readme_man_page() -> str:
    """Read the line of the README that puts the man page where `man` looks; uninstalling takes that away too."""
    [line] = re.findall(r"^mkdir -p /usr/local/share/man/.*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return str(line)


@pytest.mark.parametrize(
    ("root", "python"), [("bullseye", "3.9"), ("sid", "3.14")], indirect=["root"], ids=["Debian 11", "Debian sid"]
)
def test_the_wheel(release: Release, root: Path, offline: dict[str, str], python: str) -> None:
    """With the oldest and the newest Python that it runs with, in a virtual environment; it goes without a trace."""
    assert succeeds(root, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])") == f"{python}\n"
    before = files_of(root)
    install, link, upgrade, uninstall, *_ = lines_of("With Python 3.9 or newer", release)
    for _ in range(2):  # a second time changes nothing, and is no error
        typed(root, install, **offline)
        typed(root, link)
    for _ in range(2):
        typed(root, upgrade, **offline)
    it_guards(root, "portwait")
    typed(root, readme_man_page())
    typed(root, uninstall)
    left = {name for name in files_of(root) - before if not name.startswith(("root/.cache", "tmp"))}
    assert {name for name in left if not name.startswith("run/portwait/")} == set()  # /run goes with the next boot


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_the_wheel_by(tool: str, release: Release, wheels: Path, tmp_path: Path) -> None:
    """pipx, uv: for a user, in the user's home."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # uv is a package of Python's
    if tool == "pipx":
        needs(tool, tool)
    offline = ("PIP_NO_INDEX=1", f"PIP_FIND_LINKS={wheels}", "UV_OFFLINE=1", f"UV_FIND_LINKS={wheels}")
    here = ("env", f"--chdir={release.folder}", "--ignore-environment", f"HOME={tmp_path}", f"PATH={path}", *offline)
    lines = lines_of("With Python 3.9 or newer", release)
    install, uninstall = (line for line in lines if line.startswith(f"{tool} "))
    for _ in range(2):
        do(*here, "sh", "-c", install)
    installed = tmp_path / ".local/bin/portwait"
    assert do(str(installed), str(PORT), "--", "echo", "started") == "started\n"
    do(*here, "sh", "-c", uninstall)
    assert not installed.exists()


# The packed folder


@pytest.mark.usefixtures("offline")
def test_the_tarball_anywhere(release: Release, root: Path) -> None:
    """Unpacked into /opt with a link, where no Python is: every verb works; it says whose licences it is under."""
    for python in (root / "usr/bin").glob("python*"):
        python.unlink()
    before = files_of(root)
    install, link, uninstall = lines_of("Any Linux with glibc 2.17 or newer", release)
    for _ in range(2):
        typed(root, install)
        typed(root, link)
    it_guards(root, "portwait")
    packed = root / "opt/portwait"
    size = sum(file.stat().st_size for file in packed.rglob("*") if file.is_file())
    assert size < 15_500_000
    binaries = [data for file in packed.rglob("*") if file.is_file() and (data := file.read_bytes())[:4] == b"\x7fELF"]
    assert max(int(minor) for data in binaries for minor in re.findall(rb"GLIBC_2\.(\d+)", data)) <= 17  # as docs say
    licences = {file.parent.name for file in packed.glob("share/licenses/*/*")}
    assert licences >= {"portwait-guard", "python", "psutil", "structlog", "tenacity"}
    assert (packed / "share/man/man1/portwait.1").is_file()
    assert (packed / "frozen_application_license.txt").is_file()
    typed(root, uninstall)
    assert {name for name in files_of(root) - before if not name.startswith("run/portwait/")} == set()


# Packages


@pytest.mark.usefixtures("offline")
def test_the_deb(release: Release, root: Path) -> None:
    """By apt: what it has, what it starts (nothing), what it leaves when it is purged (nothing)."""
    log = log_systemctl(root)
    before = files_of(root)
    install, purge = lines_of("Debian 11 to 13, Ubuntu", release)
    for _ in range(2):
        typed(root, install)
    assert log.read_text() == "daemon-reload\n"  # the same version again is nothing to do
    typed(root, f"dpkg --install ./{release.deb.name}")  # but dpkg does what an upgrade is
    assert log.read_text() == "daemon-reload\n" * 3  # the upgrade's postrm and postinst
    assert succeeds(root, "dpkg", "--verify", "portwait-guard") == ""
    it_guards(root, "portwait")
    installed_files(root, zsh="vendor-completions")
    enable_and_write(root)
    log.unlink()
    typed(root, purge)
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


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an empty package that says it has /bin/sh: what bash is on every system of rpm's."""
    folder = tmp_path_factory.mktemp("shell")
    fields = {"Name": "shell", "Version": "1", "Release": "1", "Summary": "a shell", "License": "MIT"}
    fields |= {"BuildArch": "noarch", "Provides": "/bin/sh"}
    head = "".join(f"{name}: {value}\n" for name, value in fields.items())
    (folder / "shell.spec").write_text(f"{head}%description\nA shell.\n%files\n")
    do("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {folder}", str(folder / "shell.spec"))
    return folder / "RPMS/noarch/shell-1-1.noarch.rpm"


@pytest.mark.parametrize(
    ("tool", "options"),
    [("dnf", "--installroot={} --releasever=9 --assumeyes"), ("zypper", "--root={} --non-interactive")],
    ids=["RHEL", "SUSE"],
)
def test_the_rpm_by(tool: str, options: str, release: Release, root: Path, shell: Path) -> None:
    """dnf, zypper: what the package requires is there, its scripts run, and it leaves nothing."""
    needs(tool, tool)
    do("rpm", f"--root={root}", "--install", str(shell))
    log = log_systemctl(root)
    before = files_of(root)
    lines = [line for line in lines_of("RHEL 8 and newer, Fedora, SUSE", release) if line.startswith(f"{tool} ")]
    install, remove = (line.replace(tool, f"{tool} {options.format(root)}", 1) for line in lines)
    for _ in range(2):
        do("sh", "-c", f"cd {release.folder} && {install}")
    assert log.read_text() == "daemon-reload\n"
    it_guards(root, "portwait")
    enable_and_write(root)
    do("sh", "-c", remove)
    assert "stop portwait-audit.timer" in log.read_text()
    log.unlink()
    assert files_of(root) == before


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
    users = {file.name: file.read_text() for file in (root / "usr/lib/systemd/user").iterdir()}
    assert sorted(users) == ["portwait-hold@.service"]
    units |= {f"user/{name}": text for name, text in users.items()}
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


def test_the_sums_of_several_machines_files(tmp_path: Path) -> None:
    """The sums of the last machine give way to those of all files."""
    for name, text in (("one.deb", "one"), ("two.deb", "two"), ("SHA256SUMS", "0  two.deb\n")):
        (tmp_path / name).write_text(text)
    do(sys.executable, str(ROOT / "contrib" / "release" / "build.py"), "--sums", str(tmp_path))
    told = do("sh", "-c", 'cd "$1" && sha256sum --check --strict SHA256SUMS', "sh", str(tmp_path))
    assert told.splitlines() == ["one.deb: OK", "two.deb: OK"]


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

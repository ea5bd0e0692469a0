"""A tour of all verbs on other processors than this machine's, in guests that qemu emulates: see `tour`.

Each of the tour's steps, whose docstring is its rule, is a test here for each processor.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

import pytest

from tests.support.guests import KERNEL_TESTS, LACKING_6_1, assert_kernel_tests_passed, boot
from tests.support.packages import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.world, pytest.mark.processor]

TOP = Path(__file__).resolve().parents[2]
TOUR = Path(__file__).with_name("tour.py")
STEPS = [
    node.name
    for node in ast.parse(TOUR.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
]
DEADLINE = 600  # seconds; a tour takes from one to three minutes
DEBIAN = ("python3", "python3-psutil", "iproute2", "mount", "netbase", "procps")
"""What the guest's root has: psutil, which is compiled for its processor, is Debian's."""
PURE = ("structlog", "tenacity", "pytest", "pytest-xdist", "hatchling")
"""What is the same on every processor comes from the index of Python packages, as users get it."""


COMPILED = "tests/system/test_model.py"
"""What needs hypothesis, which is compiled for each processor, and states no fact of the kernel."""


class Processor(NamedTuple):
    """A processor, and what its guest has to say of itself."""

    uname: str
    byteorder: str
    emulator: str
    package: str
    """Debian's package of the emulator."""


PROCESSORS = {
    "arm64": Processor("aarch64", "little", "qemu-system-aarch64", "qemu-system-arm"),
    "s390x": Processor("s390x", "big", "qemu-system-s390x", "qemu-system-misc"),
}
"""By Debian's names."""


class Tour(NamedTuple):
    """How a tour went."""

    steps: dict[str, str]
    """What is wrong with each step that was made; nothing is the empty text."""
    status: int
    said: str


@pytest.fixture(scope="session")
def installed() -> Iterator[Path]:
    """Install portwait and the pure packages for the distribution's Python, in the tree that the guests share."""
    needs("/usr/share/python-wheels", "python3-venv")
    (cache := TOP / ".cache").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="processors-") as folder:
        Path(folder).chmod(0o755)  # one step is somebody else's
        python = Path(folder, "venv", "bin", "python")
        options = ("--system-site-packages", "--without-pip")
        subprocess.run(["/usr/bin/python3", "-m", "venv", *options, python.parents[1]], check=True)
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--python", python)
        subprocess.run([*pip, "install", *PURE], check=True)
        subprocess.run([*pip, "install", "--no-deps", TOP], check=True)
        yield python


@pytest.fixture(scope="module", params=PROCESSORS)
def name(request: pytest.FixtureRequest) -> str:
    """Name a processor whose emulator is here."""
    name: str = request.param
    needs(PROCESSORS[name].emulator, PROCESSORS[name].package)
    needs("busybox", "busybox-static")
    needs("mmdebstrap", "mmdebstrap")
    return name


def words(name: str, results: str) -> tuple[str, ...]:
    """Answer what `boot` is told for each guest."""
    return ("--machine", name, "--packages", ",".join(DEBIAN), "--deadline", str(DEADLINE), "--results", results, "--")


@pytest.fixture(scope="module")
def tour(name: str, installed: Path) -> Tour:
    """Let a guest make the tour."""
    itself = f"PROCESSOR={PROCESSORS[name].uname} {PROCESSORS[name].byteorder}"
    options = ("-p", "no:cacheprovider", "--verbose", "--junitxml=/run/results/tour.xml")
    with tempfile.TemporaryDirectory() as results:
        status, said = boot(*words(name, results), "env", itself, installed, "-m", "pytest", *options, TOUR)
        file = Path(results, "tour.xml")
        return Tour(dict(read(file)) if file.exists() else {}, status, said)


def read(file: Path) -> Iterator[tuple[str, str]]:
    """Read what pytest wrote of each step: a failure, an error and a skip are its children, with the text."""
    for case in ET.parse(file).iter("testcase"):  # noqa: S314  # our own pytest wrote it
        yield case.get("name", ""), "\n".join(f"{child.tag}: {child.text}" for child in case)


@pytest.mark.parametrize("step", STEPS)
def test_the_tour(tour: Tour, step: str) -> None:
    """Every step of the tour is made on that processor, and what it says holds there."""
    assert step in tour.steps, tour.said
    assert tour.steps[step] == ""


def test_the_tour_ends(tour: Tour) -> None:
    """The guest comes to its end, and no other step than these was made."""
    assert tour.status == 0, tour.said
    assert list(tour.steps) == STEPS
    assert re.search(rf"^=+ {len(STEPS)} passed in ", tour.said, re.MULTILINE), tour.said


@pytest.mark.parametrize("name", ["arm64"], indirect=True)
def test_the_kernel_tests_pass(name: str, installed: Path) -> None:
    """The facts that the code relies on hold on that processor too; what was skipped needs a newer kernel."""
    with tempfile.TemporaryDirectory() as results:
        status, said = boot(*words(name, results), installed, *KERNEL_TESTS, f"--ignore={COMPILED}")
    assert_kernel_tests_passed(status, said, LACKING_6_1)

"""What the tests of the system share: helper programs in C, a stand-in for systemd, and a host of one's own."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.manager import Manager
from tests.support.mounts import Host, private_host
from tests.support.packages import needs

if TYPE_CHECKING:
    from collections.abc import Iterator

HELPERS = Path(__file__).parent / "helpers"


class Tools(NamedTuple):
    """Compiled helpers; each says in its source what it does."""

    state: str
    launch: str


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """Compile helpers/*.c, once."""
    needs("gcc", "gcc")
    folder = tmp_path_factory.mktemp("tools")
    folder.chmod(0o755)
    for name in Tools._fields:
        flags = ("-O1", "-Wall", "-Wextra", "-Werror")
        subprocess.run(["gcc", *flags, "-o", folder / name, HELPERS / f"{name}.c"], check=True)
    return Tools(*(str(folder / name) for name in Tools._fields))


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    """Stand in for systemd."""
    made = Manager(tmp_path)
    yield made
    made.stop()


@pytest.fixture
def host() -> Iterator[Host]:
    """Give portwait files of its own, so that this machine's do not count and stay as they are."""
    with private_host() as made:
        yield made

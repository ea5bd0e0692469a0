"""Fixtures that every test may use, and how the tests are dealt out to several processes."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # it comes without types

pytest.register_assert_rewrite("tests.support")  # so that an assert says there, too, what was compared

from tests.support.netns import private_network  # noqa: E402
from tests.support.programs import portwait  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHARING = {
    "tests/world/test_containers": "images",
    "tests/world/test_docker.py": "a release, and a Docker engine",
    "tests/world/test_packed": "images",
    "tests/world/test_release": "a release, and a Docker engine",
    "tests/world/test_systemd": "a booted systemd",
    "tests/kernels/test_other_kernels.py::test_the_kernel_tests_pass[bullseye": "a kernel of its own",
}
"""What takes long to make and is shared by all tests whose names begin so; the others share their file's."""


class Dealer(LoadScopeScheduling):  # type: ignore[misc]  # likewise
    """Deals out the tests by what they share; in a shuffled run the tests of a file share nothing."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (shared for prefix, shared in _SHARING.items() if nodeid.startswith(prefix))
        return next(shared, nodeid if self.config.getoption("shuffle") is not None else nodeid.partition("::")[0])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that finds tests which need another test before them, or suffer from one."""
    text = "run the tests in an order that this number chooses, whatever file they are in"
    parser.addoption("--shuffle", type=int, metavar="SEED", help=text)


def pytest_configure() -> None:
    """Let no signal be ignored from the start, as a background job has it: what the tests start would inherit that.

    PATH finds the portwait under test, as it does where it is installed: commands to paste call it by its name then.
    """
    os.environ["PATH"] += f":{Path(str(portwait()[0])).parent}"
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Dealer:
    """Take this one, whatever --dist says."""
    return Dealer(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Start with the tests of the real world: they take longest. --shuffle mixes all."""
    seed = config.getoption("shuffle")
    if seed is None:
        items.sort(key=lambda item: item.get_closest_marker("world") is None)
    else:
        random.Random(seed).shuffle(items)  # noqa: S311  # any order does, and the same one again


@pytest.fixture
def net() -> Iterator[None]:
    """Put the test, and all that it starts, into a network namespace of its own with lo up."""
    with private_network():
        yield

"""What tests without a kernel share."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from portwait import cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# the same examples in every run, and a slow machine is no failure
settings.register_profile("deterministic", derandomize=True, deadline=None, database=None)
settings.load_profile("deterministic")


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """Yield the command line as a function, without variables of its own; it must not become a command."""

    def refuse(path: str, _argv: list[str]) -> None:
        pytest.fail(f"it became {path}")

    for name in list(os.environ):
        if name.startswith("PORTWAIT_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "execv", refuse)
    before = signal.getsignal(signal.SIGINT)
    yield lambda *words: cli.main(words)
    signal.signal(signal.SIGINT, before)

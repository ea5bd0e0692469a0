"""Fixtures that every test may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.netns import private_network

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def net() -> Iterator[None]:
    """Put the test, and all that it starts, into a network namespace of its own with lo up."""
    with private_network():
        yield

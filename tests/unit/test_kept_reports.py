"""No kind and no remedy goes without a report on the real thing: what tests.support.golden keeps, counted."""

from __future__ import annotations

import pytest

from portwait.reports import target as target_report
from tests.support.golden import TESTS, kept
from tests.unit.test_remedies import TABLES

KINDS = {kind for kind in target_report._WORDS if " " not in kind}  # those with a space are words for a part of a kind


@pytest.mark.parametrize(
    ("name", "all_of_them"),
    [("kinds", KINDS), ("remedies", set(TABLES)), ("verdict", {"free", "held", "denied", "unavailable"})],
)
def test_each_was_produced(name: str, all_of_them: set[str]) -> None:
    """By a real socket, process, unit, container or kernel; `unknown` takes a kernel that gives no answer."""
    assert set(kept(name)) == all_of_them


def test_none_is_left_over() -> None:
    """Each is named in a test beside its folder."""
    unnamed = [
        path
        for path in TESTS.glob("*/golden/*.txt")
        if not any(
            name in test.read_text()
            for test in path.parents[1].glob("test_*.py")
            for name in (f'"{path.stem}"', f'"{path.name}"')
        )
    ]
    assert unnamed == []

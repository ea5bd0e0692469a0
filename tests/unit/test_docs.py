"""What docs/ says of the code, its files and its floors is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.unit.test_structure import FLOORS

_ROOT = Path(__file__).parents[2]
_DOCS = _ROOT / "docs"
_PAGES = sorted([*_DOCS.glob("*.md"), *_ROOT.glob("README*.md"), *_ROOT.glob("CONTRIBUTING.md")])


def test_the_diagram_shows_the_floors() -> None:
    """Its numbered lines are the floors that the structure test holds, from the top down."""
    diagram = (_DOCS / "architecture.md").read_text().split("```")[1]
    lines = re.findall(r"^ *(\d+)  (\S+(?: {1,2}\S+)*?)(?:   .*)?$", diagram, re.MULTILINE)
    drawn = {int(number): tuple(names.split()) for number, names in lines}
    assert drawn == dict(enumerate(FLOORS, start=1))


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    """No page sends a reader to a file that has moved. Mend the page where you move a file."""
    named = set(re.findall(r"`((?:portwait|tests|contrib|benchmarks|docs|man)/[\w/.@-]+)`", page.read_text()))
    assert [name for name in sorted(named) if not (_ROOT / name).exists()] == []

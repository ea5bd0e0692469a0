"""Reports kept as text: what portwait says of the real thing, its volatile parts taken out.

After a change that was meant, run the tests with UPDATE_GOLDEN=1 and read what has changed with git diff.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UNBROKEN = {"COLUMNS": "2000"}
"""Makes portwait write each paragraph on one line: the length of a pid would else move words to other lines."""

_DURATION = r"\d+(?:ms|[smhd](?:\d+[smh])?)"
_VOLATILE = (
    (r"\bpid \d+", "pid PID"),
    (r"\bkill \d+", "kill PID"),
    (r"\d+ processes may not", "N processes may not"),
    (rf"(running|idle) for {_DURATION}", r"\1 for TIME"),
    (rf"\b(ends(?: by itself)? in|Wait) {_DURATION}", r"\1 TIME"),
    (rf"portwait -t {_DURATION}", "portwait -t TIME"),
    (r"^( +process +)(\d+: )?.*", lambda match: match[1] + ("PID: " if match[2] else "") + "COMMAND"),
)


def normal(report: str, names: Mapping[str, str]) -> str:
    """Take out what differs from run to run, and what each machine calls otherwise (`names`: that text by its name).

    Command lines go too: they hold the places of the interpreter and the checkout, and are cut by their length.
    """
    text = report
    for name, found in names.items():
        text = text.replace(found, name)
    for pattern, stands_for in _VOLATILE:
        text = re.sub(pattern, stands_for, text, flags=re.MULTILINE)
    return text


def assert_golden(path: Path, report: str, names: Mapping[str, str] | None = None) -> None:
    """Compare with the report that is kept."""
    said = normal(report, names or {})
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(said)
    assert said == path.read_text()

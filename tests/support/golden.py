"""Reports kept as text: what portwait says of the real thing, its volatile parts taken out.

The last lines of each are the codes of the same report as JSON: `kept` collects them, for no kind and no remedy may
lack a report. After a change that was meant, run the tests with UPDATE_GOLDEN=1 and read what has changed with git
diff.
"""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.support.guarding import Outcome, run
from tests.support.packages import needs
from tests.support.programs import portwait
from tests.support.surroundings import PLAIN_HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

TESTS = Path(__file__).parents[1]

UNBROKEN = {"COLUMNS": "2000"}
"""Makes portwait write each paragraph on one line: the length of a pid would else move words to other lines."""

_DURATION = r"\d+(?:ms|[smhd](?:\d+[smh])?)"
_VOLATILE = (
    (r"\bpid \d+", "pid PID"),
    (r"\bkill \d+", "kill PID"),
    (r"net:\\\[\d+", r"net:\\[NUMBER"),
    (r"\d+ processes may not", "N processes may not"),
    (rf"(running|idle) for {_DURATION}", r"\1 for TIME"),
    (rf"\b(ends(?: by itself)? in|Wait) {_DURATION}", r"\1 TIME"),
    (rf"portwait -t {_DURATION}", "portwait -t TIME"),
    (r"(?<=sudo )/\S+/portwait ", "PORTWAIT "),
    (r"^( +process +)(\d+: )?.*", lambda match: match[1] + ("PID: " if match[2] else "") + "COMMAND"),
)


def explain(*words: str) -> Outcome:
    """Explain on a host without systemd, to its end."""
    return run([*PLAIN_HOST, *portwait("explain", *words)], env={**os.environ, **UNBROKEN})


def service(port: int) -> dict[str, str]:
    """Name what the services database calls a port, which differs from release to release."""
    needs("/etc/services", "netbase")
    return {f"port {port} SERVICE": f"port {port} {socket.getservbyport(port)}"}


def normal(report: str, names: Mapping[str, str]) -> str:
    """Take out what differs from run to run, and what each machine calls otherwise (`names`: that text by its name).

    Command lines go too: they hold the places of the interpreter and the checkout, and are cut by their length.
    """
    text = report
    for name, found in names.items():
        text = re.sub(rf"(?<!\w){re.escape(found)}(?!\w)", name, text)  # 768 is not in 32768
    for pattern, stands_for in _VOLATILE:
        text = re.sub(pattern, stands_for, text, flags=re.MULTILINE)
    return text


class Explain(Protocol):
    """Runs `portwait explain` to its end with these words before its targets, UNBROKEN in its environment."""

    def __call__(self, *options: str) -> Outcome: ...


def assert_golden(path: Path, explain: Explain, names: Mapping[str, str] | None = None) -> None:
    """Ask for the report and for its JSON, and compare with what is kept."""
    said, told = explain(), explain("--json")
    (target,) = json.loads(told.out)["targets"]
    status = int(target["verdict"] == "held")
    assert [(each.status, each.err) for each in (said, told)] == [(status, "")] * 2
    text = normal(said.out, names or {}) + _codes(target)
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def _codes(target: Mapping[str, Any]) -> str:
    kinds = dict.fromkeys(one["kind"] for one in target["blockers"])
    lines = [
        ("verdict", [target["verdict"]]),
        ("kinds", kinds),
        ("remedies", [one["code"] for one in target["remedies"]]),
    ]
    return "\n" + "".join(f"{name}: {' '.join(found)}\n" for name, found in lines if found)


def kept(name: str) -> dict[str, set[str]]:
    """Read all the `kinds`, `remedies` or `verdict`s that reports are kept of: each with the texts' names."""
    found: dict[str, set[str]] = {}
    for path in TESTS.glob("*/golden/*.txt"):
        for line in path.read_text().splitlines():
            if line.startswith(f"{name}: "):
                for code in line.split()[1:]:
                    found.setdefault(code, set()).add(str(path.relative_to(TESTS)))
    return found

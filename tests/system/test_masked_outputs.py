"""Secrets of real processes that hold ports: no output of portwait shows one of them."""

from __future__ import annotations

import contextlib
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.support.guarding import run
from tests.support.programs import portwait, running

pytestmark = pytest.mark.usefixtures("net")

FIRST, PROCESSES = 30010, 16
ALL = f"127.0.0.1:{FIRST}-{FIRST + PROCESSES - 1}"
FOUR = f"127.0.0.1:{FIRST}-{FIRST + 3}"
"""As many as explain writes in full."""
HOLDER = (
    "import socket,sys\nheld=socket.create_server(('127.0.0.1',int(sys.argv[1])))\nprint('ready',flush=True)\ninput()"
)
PLANTED = "Hq7vXw2k"
ROWS = [
    row
    for row in (Path(__file__).parents[1] / "unit" / "command_lines_with_secrets.txt").read_text().splitlines()
    if not row.startswith("#")
]


@pytest.mark.parametrize(
    "words",
    [
        ("explain", FOUR),
        ("explain", "--json", ALL),
        ("evict", "--dry-run", ALL),
        ("-t", "0", ALL),
        ("-t", "0", "-v", "--terminate", "--dry-run", ALL),
        *(("-t", "0", f"--log-format={form}", ALL) for form in ("console", "logfmt", "json")),
    ],
    ids=" ".join,
)
def test_no_output_shows_a_secret_of_a_process_in_the_way(words: tuple[str, ...]) -> None:
    """Rule: reports, JSON and log lines show the processes, and of their secrets nothing."""
    with contextlib.ExitStack() as stack:
        for number in range(PROCESSES):
            secrets = [
                re.sub(r"(?<!_)SECRET(?!_)", PLANTED, word)
                for row in ROWS[number::PROCESSES]
                for word in shlex.split(row)
            ]
            argv = [sys.executable, "-c", HOLDER, str(FIRST + number), *secrets]
            stack.enter_context(running(argv, stdin=-1)).says("ready")
        outcome = run(portwait(*words))
    assert "***" in outcome.out + outcome.err
    assert PLANTED not in outcome.out + outcome.err

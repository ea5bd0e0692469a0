"""A client on the port of a service, in a process of its own that connects again whenever its connection ends."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.netns import forced_source_port
from tests.support.programs import Program, running
from tests.support.states import LOOPBACK, listening

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REMOTE = 7000
"""The port of its server."""
_PROGRAM = Path(__file__).resolve().parents[1] / "system" / "helpers" / "client.py"


@contextlib.contextmanager
def pooled_client(port: int, *words: str, before: Sequence[str] = ()) -> Iterator[Program]:
    """Start one to which the kernel gives this port, and no other can, with a server for it."""
    argv = [*before, sys.executable, "-IS", str(_PROGRAM), str(REMOTE), *words]
    with listening(REMOTE, address=LOOPBACK), contextlib.ExitStack() as stack:
        with forced_source_port(port):
            program = stack.enter_context(running(argv, stdin=subprocess.PIPE))
            assert program.says("ready") == f"ready {port}"
        yield program

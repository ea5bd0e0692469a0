"""What the guard costs a service whose port is free, beside an empty Python of the same environment."""

from __future__ import annotations

import socket
from typing import Any

from benchmarks import timing
from benchmarks.report import table
from benchmarks.timing import Contender

EMPTY = "python -c pass"
OTHER_PORT = 30099
CHECK = "ss -Htln sport = :30010 | grep -q . || exec true"


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Time whole processes."""
    runs = 15 if quick else 50
    portwait = f"{programs}/portwait"
    commands = {
        EMPTY: [f"{programs}/python", "-c", "pass"],
        "portwait 30010 -- true": [portwait, "30010", "--", "true"],
        "portwait 127.0.0.1:30010 30011 -- true": [portwait, "127.0.0.1:30010", "30011", "--", "true"],
        "portwait --timeout 2m 30010 -- true": [portwait, "--timeout", "2m", "30010", "--", "true"],
        "portwait --evict 30010 -- true": [portwait, "--evict", "30010", "--", "true"],
        "PORTWAIT_TIMEOUT=2m portwait 30010 -- true": ["env", "PORTWAIT_TIMEOUT=2m", portwait, "30010", "--", "true"],
        "portwait 30010": [portwait, "30010"],
        "timeout 60 true": ["timeout", "60", "true"],
        "tini -s -- true": ["tini", "-s", "--", "true"],
        "wait-for-it of a port that answers, then true": ["wait-for-it", "-q", f"127.0.0.1:{OTHER_PORT}", "--", "true"],
        "a shell that asks ss, then true": ["sh", "-c", CHECK],
        "true": ["true"],
    }
    contenders = {name: Contender(argv, runs) for name, argv in commands.items() if timing.is_here(argv[0])}
    with socket.create_server(("127.0.0.1", OTHER_PORT), backlog=1024):
        rows = {name: seconds * 1e3 for name, seconds in timing.measure(contenders).items()}
    goal = "at most 1.15, with options or variables 1.4"
    return [table("free_path", "Starting a command, the port free", "ms", EMPTY, rows, goal=goal)]

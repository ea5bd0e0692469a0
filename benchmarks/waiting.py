"""What the wait costs: from the blocker's close to the service, and the CPU meanwhile.

Beside it what people write today: a loop that tries bind() every 100 ms, and one that does every second.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import table
from tests.support.netns import forced_source_port
from tests.support.programs import Program, command_line, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PORT = 30010
_GOLDEN = 0.6180339887  # its multiples lie evenly over 1 s, and over each part of it

LOOP = f"""
import socket, sys, time, os
print("waiting", file=sys.stderr, flush=True)
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", {PORT}))
            break
        except OSError:
            time.sleep(float(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""

CLOSER = """
import socket, struct, sys, time
server = socket.create_server(("127.0.0.2", 7001), backlog=128)
began, done = time.monotonic(), 0
print("ready", flush=True)
while True:
    client = socket.create_connection(("127.0.0.2", 7001))
    accepted, _ = server.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    accepted.close()
    done += 2  # sockets
    ahead = began + done / 10000 - time.monotonic()
    if ahead > 0.01:
        time.sleep(ahead)
"""


@contextlib.contextmanager
def outbound() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Let a client have the port; both ends."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        with forced_source_port(PORT):
            client.connect(server.getsockname())
        accepted, _ = server.accept()
        with accepted:
            yield client, accepted


def reset(client: socket.socket, _accepted: socket.socket) -> None:
    """Close the client's end: the kernel sends an event."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def reset_by_peer(_client: socket.socket, accepted: socket.socket) -> None:
    """Let the other end send a reset: the port is free, the client's descriptor stays, and no event comes."""
    reset(accepted, accepted)


def latency(command: Sequence[str], runs: int, let_go: Callable[[socket.socket, socket.socket], None]) -> float:
    """Seconds from the blocker's close to the first line of the service; the median."""
    took: list[float] = []
    for run in range(runs):
        with outbound() as ends:
            program = Program(command)
            program.complains("waiting")
            time.sleep(0.1 + run * _GOLDEN % 1)  # evenly over the pauses of each, so that chance has no part in it
            begin = time.monotonic_ns()
            let_go(*ends)
            took.append((int(program.says("")) - begin) / 1e9)
            program.stop()
    return statistics.median(took)


def _service(folder: str) -> list[str]:
    """Compile the service, which says when it runs; the words that start it."""
    program = f"{folder}/now"
    subprocess.run(["cc", "-O2", "-static", "-o", program, Path(__file__).with_name("now.c")], check=True)
    return [program]


def cpu_share(command: Sequence[str], seconds: float = 10.0) -> float:
    """Share of one core that a wait of some seconds costs, its beginning aside."""
    with outbound(), running(command) as program:
        program.complains("waiting")
        time.sleep(1)
        pids = _forked_from(program.pid)
        before = _cpu(pids)
        time.sleep(seconds)
        return (_cpu(pids) - before) / seconds


def _forked_from(pid: int) -> list[int]:
    """Find a process and all that it has forked and that have the same command line: portwait's narrator, say."""
    command = command_line(pid)
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return [each for each in pids if command_line(each) == command]


def _cpu(pids: list[int]) -> float:
    """Seconds of CPU from the scheduler's own nanoseconds, because the ticks of /proc/PID/stat are too coarse."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Measure the wake-up and the CPU."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(programs, _service(folder), quick=quick)


def _measure(programs: str, service: list[str], *, quick: bool) -> list[dict[str, Any]]:
    runs, seconds = (3, 1.0) if quick else (25, 60.0)
    python = f"{programs}/python"
    ways = {
        "portwait": [f"{programs}/portwait", "--timeout", "inf", str(PORT), "--", *service],
        "a loop that tries bind() every 100 ms": [python, "-c", LOOP, "0.1", *service],
        "a loop that tries bind() every second": [python, "-c", LOOP, "1", *service],
    }
    tables = []
    for name, title, let_go, goal in (
        ("wake", "From the blocker's close to the first line of the service", reset, "under 3 ms to its exec"),
        ("wake_no_event", "The same where the kernel sends no event", reset_by_peer, "under 120 ms"),
    ):
        rows = {way: latency(command, runs, let_go) * 1e3 for way, command in ways.items()}
        tables.append(table(name, title, "ms", "portwait", rows, goal=goal))
    two = list(ways)[:2]
    shares = {f"{way}, quiet host": cpu_share(ways[way], seconds) * 100 for way in two}
    with running([python, "-c", CLOSER]) as closer:
        closer.says("ready")
        shares |= {f"{way}, 10,000 closing sockets a second": cpu_share(ways[way], seconds) * 100 for way in two}
    goal = "no more than the loop"
    return [*tables, table("cpu", "CPU while waiting", "% of a core", "portwait, quiet host", shares, goal=goal)]

"""What the wait costs: from the blocker's close to the service, and the CPU meanwhile.

    python benchmarks/waiting.py [RUNS]      as root; default 25

Beside it what people write today: a loop that tries bind() every 100 ms, and one that does every second.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

import timing

from tests.support.netns import forced_source_port, private_network
from tests.support.programs import Program, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PORT = 30010
SERVICE = ["cat", "/proc/uptime"]  # says when it runs; here its end is what is timed

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
    """Seconds from the blocker's close to the end of the service, which does next to nothing; the median."""
    took: list[float] = []
    for _ in range(runs):
        with outbound() as ends:
            program = Program(command)
            program.complains("waiting")
            time.sleep(random.uniform(0.1, 1.1))  # noqa: S311  # anywhere in the pause of each
            begin = time.perf_counter()
            let_go(*ends)
            program.process.wait()
            took.append(time.perf_counter() - begin)
            program.stop()
    return statistics.median(took)


def cpu_share(command: Sequence[str], seconds: float = 10.0) -> float:
    """Share of one core that a wait of some seconds costs, its beginning aside."""
    with outbound(), running(command) as program:
        program.complains("waiting")
        time.sleep(1)
        before = _cpu(program.pid)
        time.sleep(seconds)
        return (_cpu(program.pid) - before) / seconds


def _cpu(pid: int) -> float:
    """Seconds of CPU from the scheduler's own nanoseconds, for the ticks of /proc/PID/stat are too coarse."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> None:
    """Measure and print."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    with tempfile.TemporaryDirectory() as folder, private_network():
        programs = timing.fresh_environment(folder)
        python = f"{programs}/python"
        ways = {
            "portwait": [f"{programs}/portwait", "--timeout", "inf", str(PORT), "--", *SERVICE],
            "loop, 100 ms": [python, "-c", LOOP, "0.1", *SERVICE],
            "loop, 1 s": [python, "-c", LOOP, "1", *SERVICE],
        }
        begin = time.perf_counter()
        for _ in range(runs):
            subprocess.run(SERVICE, stdout=subprocess.DEVNULL, check=True)
        print(f"the service alone: {(time.perf_counter() - begin) / runs * 1e3:.2f} ms")
        for title, let_go in (("event", reset), ("no event", reset_by_peer)):
            figures = {name: latency(command, runs, let_go) for name, command in ways.items()}
            timing.show(f"from the blocker's close to the end of the service ({title})", figures, "portwait")
        print("\nCPU while waiting, share of a core")
        for name in ("portwait", "loop, 100 ms"):
            print(f"  quiet, {name}: {cpu_share(ways[name]):.3%}", flush=True)
        with running([python, "-c", CLOSER]) as closer:
            closer.says("ready")
            print(f"  beside 10,000 closing sockets a second, portwait: {cpu_share(ways['portwait']):.3%}")


if __name__ == "__main__":
    os.environ.pop("PORTWAIT", None)
    main()

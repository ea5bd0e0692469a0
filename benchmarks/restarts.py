"""Restarts under a storm of outbound connections that keeps landing on the service's port.

In a private network namespace whose range of ephemeral ports is 32 wide, clients connect, stay for a moment and connect
again, so that much of the time one of them has the service's port. The service is stopped and started again and again,
by each of several ways of starting; a start counts when the service has its port at the first try. (`--fdstore` needs a
systemd around it: tests/world/test_systemd_storm.py shows that one.)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from benchmarks import timing
from benchmarks.report import table
from tests.support.netns import private_network, sysctl
from tests.support.programs import running

PORT, RANGE = 30010, "30000 30031"

# Takes its time before it binds, as a JVM does, and serves for a moment.
SERVICE = f"""
import socket, sys, time
time.sleep(float(sys.argv[1]))
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind(("0.0.0.0", {PORT}))
except OSError:
    sys.exit(98)
s.listen()
"""

# A dozen clients without SO_REUSEADDR; each connection lasts up to half a second and ends with a reset, so that no
# TIME_WAIT is left behind.
STORM = """
import heapq, random, socket, struct, time
server = socket.create_server(("127.0.0.1", 7000), backlog=512)
connections = []
print("ready", flush=True)
for serial in range(10**9):
    while len(connections) >= 12:
        end, _, client, accepted = heapq.heappop(connections)
        time.sleep(max(0, end - time.monotonic()))
        client.close()
        accepted.close()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    try:
        client.connect(("127.0.0.1", 7000))
    except OSError:
        client.close()
        continue
    accepted, _ = server.accept()
    heapq.heappush(connections, (time.monotonic() + random.random() / 2, serial, client, accepted))
"""

# What a start script does that looks first: bind, let go, start.
CHECK = f"""
import os, socket, sys, time
while True:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("0.0.0.0", {PORT}))
            break
        except OSError:
            time.sleep(0.02)
os.execv(sys.argv[1], sys.argv[1:])
"""

PYTHON = [sys.executable, "-I", "-S", "-c"]


def _ways(programs: str, service: list[str]) -> dict[str, list[str]]:
    portwait = [f"{programs}/portwait", "--quiet"]
    ways = {
        "bare start": service,
        "check, then start": [*PYTHON, CHECK, *service],
        "wait-on -r, then start": ["sh", "-c", f'wait-on -r tcp:127.0.0.1:{PORT} && exec "$@"', "sh", *service],
        "portwait": [*portwait, str(PORT), "--", *service],
        "portwait --evict": [*portwait, "--evict", str(PORT), "--", *service],
        "portwait --reserve": [*portwait, "--reserve", str(PORT), "--", *service],
    }
    return ways if timing.is_here("wait-on") else {name: way for name, way in ways.items() if "wait-on" not in name}


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Start in every way; how many starts got the port, and how long one took."""
    tables = []
    fast, slow = int(os.environ.get("STARTS", "8" if quick else "1000")), int(os.environ.get("SLOW_STARTS", "100"))
    for name, words, delay, starts in (
        ("storm", "a service that binds at once", 0.03, fast),
        ("storm_slow", "a service that takes 2 s to bind", 2.0, slow),
    ):
        if quick and delay > 1:
            continue
        service = [*PYTHON, SERVICE, str(delay)]
        rows = {way: _restart(command, starts) for way, command in _ways(programs, service).items()}
        title = f"Restarts in a storm of connections: {words}"
        tables.append(table(name, title, "starts", "bare start", rows, goal="every start with portwait"))
    return tables


def _restart(command: list[str], starts: int) -> dict[str, float]:
    with private_network():
        sysctl("net.ipv4.ip_local_port_range", RANGE)
        with running([*PYTHON, STORM]) as storm:
            storm.says("ready")
            took: list[float] = []
            got = 0
            for _ in range(starts):
                began = time.perf_counter()
                got += subprocess.run(command, check=False, stdout=subprocess.DEVNULL).returncode == 0
                took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return {"got": got, "starts": starts, "median_ms": took[len(took) // 2], "slowest_ms": took[-1]}

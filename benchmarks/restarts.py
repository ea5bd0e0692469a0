"""Restarts under a storm of outbound connections that keeps landing on the service's port.

In a private network namespace whose range of ephemeral ports is 32 wide, clients connect, stay for a moment and connect
again, so that much of the time one of them has the service's port. The service is stopped and started again and again,
by each of several ways of starting; a start counts when the service has its port at the first try. The ways run side
by side, each in a namespace of its own.

`--fdstore` needs a systemd around it. A systemd is booted for it, which restarts a unit in the same kind of storm.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from benchmarks import timing
from benchmarks.report import table
from tests.support.netns import private_network, sysctl
from tests.support.programs import running

PORT, RANGE = 30010, "30000 30031"

# Binds, and serves for a moment.
SERVICE = f"""
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
try:
    s.bind(("0.0.0.0", {PORT}))
except OSError:
    sys.exit(98)
s.listen()
"""

# A JVM that binds in the second second after its start.
JAVA = f"""
public class Service {{
    public static void main(String[] words) throws Exception {{
        var began = ProcessHandle.current().info().startInstant().get();
        Thread.sleep(Math.max(0, 2000 - java.time.Duration.between(began, java.time.Instant.now()).toMillis()));
        try {{
            new java.net.ServerSocket({PORT}).close();
        }} catch (java.net.BindException error) {{
            System.exit(98);
        }}
    }}
}}
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
SLOW_WAY = ("wait-on -r, then start", 4)
"""It takes more than a second each time, so that this number of namespaces share its starts."""


def _ways(programs: str, service: list[str]) -> dict[str, list[str]]:
    portwait = [f"{programs}/portwait", "--quiet"]
    ways = {
        "bare start": service,
        "check, then start": [*PYTHON, CHECK, *service],
        SLOW_WAY[0]: ["sh", "-c", f'wait-on -r tcp:127.0.0.1:{PORT} && exec "$@"', "sh", *service],
        "portwait": [*portwait, str(PORT), "--", *service],
        "portwait --evict": [*portwait, "--evict", str(PORT), "--", *service],
        "portwait --reserve": [*portwait, "--reserve", str(PORT), "--", *service],
    }
    return ways if timing.is_here("wait-on") else {name: way for name, way in ways.items() if name != SLOW_WAY[0]}


def measure(programs: str, *, quick: bool) -> list[dict[str, Any]]:
    """Start in every way; how many starts got the port, and how long one took."""
    fast, slow = int(os.environ.get("STARTS", "8" if quick else "1000")), int(os.environ.get("SLOW_STARTS", "100"))
    with tempfile.TemporaryDirectory() as folder:
        services = {"storm": ("a service that binds at once", [*PYTHON, SERVICE], fast)}
        if not quick and timing.is_here("javac"):
            services["storm_slow"] = ("a JVM, which takes more than a second to bind", _java(folder), slow)
        tables = []
        for name, (words, service, starts) in services.items():
            ways = _ways(programs, service)
            with ProcessPoolExecutor(len(ways) + SLOW_WAY[1]) as pool:
                lanes = {way: SLOW_WAY[1] if way == SLOW_WAY[0] else 1 for way in ways}
                tried = {
                    way: [pool.submit(_restart, command, starts // lanes[way]) for _ in range(lanes[way])]
                    for way, command in ways.items()
                }
                rows = {way: _summary([lane.result() for lane in tried[way]]) for way in ways}
            title = f"Restarts in a storm of connections: {words}"
            tables.append(table(name, title, "starts", "bare start", rows, goal="every start with portwait"))
    return tables if quick else [*tables, *_under_systemd(fast)]


def _java(folder: str) -> list[str]:
    """Compile the JVM's service; the words that start it."""
    source = Path(folder, "Service.java")
    source.write_text(JAVA)
    subprocess.run(["javac", str(source)], check=True)
    return [shutil.which("java") or "java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", folder, "Service"]


def _under_systemd(starts: int) -> list[dict[str, Any]]:
    """Run the test that boots a systemd and restarts a unit, with more restarts, and read what it prints."""
    test = "tests/world/test_systemd_storm.py"
    argv = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", test]
    try:
        done = subprocess.run(
            argv, env={**os.environ, "RESTARTS": str(starts)}, capture_output=True, text=True, check=False
        )
    except OSError:
        return []
    said = re.findall(r"(bare|--\w+): (\d+) of (\d+) restarts started, \d+ had to wait; (\d+) s", done.stdout)
    if not said:
        print(f"no systemd could be booted: {done.stdout[-300:]}")
        return []
    rows = {
        "bare start" if way == "bare" else f"portwait {way}": {
            "got": int(got),
            "starts": int(of),
            "median_ms": 1000 * int(seconds) / int(of),
            "slowest_ms": None,
        }
        for way, got, of, seconds in said
    }
    title = "Restarts of a unit in a storm of connections, by a systemd that is PID 1"
    return [table("storm_systemd", title, "starts", "bare start", rows, goal="every start with portwait")]


def _restart(command: list[str], starts: int) -> tuple[int, list[float]]:
    """Start it again and again in a storm; how many starts got the port, and the milliseconds of each."""
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
    return got, took


def _summary(lanes: list[tuple[int, list[float]]]) -> dict[str, Any]:
    took = sorted(each for _, lane in lanes for each in lane)
    got = sum(got for got, _ in lanes)
    return {"got": got, "starts": len(took), "median_ms": took[len(took) // 2], "slowest_ms": took[-1]}

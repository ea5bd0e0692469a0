"""Restarts under a storm of outbound connections that keeps landing on the service's port.

Run as root: `python benchmarks/restarts.py [--starts 1000]`. In a private network namespace whose range of ephemeral
ports is 32 wide, clients connect, stay for a moment and connect again, so that much of the time one of them has the
service's port. The service is stopped and started again and again, by each of several ways of starting; a start
counts when the service has its port at the first try. (`--fdstore` needs a systemd around it:
tests/world/test_systemd_storm.py shows that one.)
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.support.netns import private_network, sysctl
from tests.support.programs import running

PORT, RANGE = 30010, "30000 30031"
PORTWAIT = os.environ.get("PORTWAIT", str(Path(sys.executable).with_name("portwait")))

# Takes its time before it binds, as a JVM does, and serves for a moment.
SERVICE = f"""
import socket, sys, time
time.sleep(0.03)
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
os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", sys.argv[1]])
"""

PYTHON = [sys.executable, "-I", "-S", "-c"]
WAYS = {
    "bare start": [*PYTHON, SERVICE],
    "check, then start": [*PYTHON, CHECK, SERVICE],
    "portwait": [PORTWAIT, "--quiet", str(PORT), "--", *PYTHON, SERVICE],
    "portwait --evict": [PORTWAIT, "--quiet", "--evict", str(PORT), "--", *PYTHON, SERVICE],
    "portwait --reserve": [PORTWAIT, "--quiet", "--reserve", str(PORT), "--", *PYTHON, SERVICE],
}


def main() -> None:
    """Start in every way, print how many starts got the port and how long one took."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    options.add_argument("--starts", type=int, default=100, help="how many starts in each way (default: 100)")
    starts = options.parse_args().starts
    print(f"{'way':<22} {'got the port':>16} {'median':>10} {'slowest':>10}")
    for name, command in WAYS.items():
        with private_network():
            sysctl("net.ipv4.ip_local_port_range", RANGE)
            with running([*PYTHON, STORM]) as storm:
                storm.says("ready")
                took: list[float] = []
                got = 0
                for _ in range(starts):
                    began = time.perf_counter()
                    got += subprocess.run(command, check=False).returncode == 0
                    took.append((time.perf_counter() - began) * 1000)
        took.sort()
        print(f"{name:<22} {got:>6} of {starts:>6} {took[len(took) // 2]:>7.0f} ms {took[-1]:>7.0f} ms", flush=True)


if __name__ == "__main__":
    main()

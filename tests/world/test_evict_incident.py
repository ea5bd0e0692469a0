"""The incident's way out: the connection goes, the process behind it does not even notice much.

With the software that it happened to: Redis, a client with a real connection pool, Tomcat.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import http
from tests.support.netns import forced_source_port, sysctl
from tests.support.packages import needs
from tests.support.programs import portwait, running
from tests.support.states import states_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.programs import Program
    from tests.world.conftest import Workshop

pytestmark = pytest.mark.world

PORT = 30010
REDIS = 7000
HELPERS = Path(__file__).parent / "helpers"
DEBIANS_PYTHON = "/usr/bin/python3"
ROUNDS = 200
SERVES = f"""
import socket
with socket.create_server(("", {PORT})):
    print("served")
"""


@pytest.fixture
def pool(redis: Program) -> Iterator[Program]:
    """Start a client of Redis to which the kernel gives the port, and no other can."""
    assert redis.process.poll() is None
    needs("/usr/lib/python3/dist-packages/redis", "python3-redis")
    argv = [DEBIANS_PYTHON, str(HELPERS / "redis_pool.py"), "127.0.0.1", str(REDIS)]
    with contextlib.ExitStack() as stack:
        with forced_source_port(PORT):
            client = stack.enter_context(running(argv, stdin=subprocess.PIPE))
            assert client.says("ready") == f"ready {PORT}"
        yield client


def test_tomcat_starts_and_the_pool_reconnects(pool: Program, workshop: Workshop, tmp_path: Path) -> None:
    """Case 1, with one option: same client process, another port, and its next command works."""
    tomcat = workshop.java("TomcatService", str(PORT), str(tmp_path))
    with running(portwait("--evict", str(PORT), "--", *tomcat)) as service:
        service.complains(f"evicted 127.0.0.1:{PORT} -> 127.0.0.1:{REDIS} ESTABLISHED of python3 (pid {pool.pid}, ")
        assert service.says("ready") == f"ready {PORT}"
        assert http(PORT) == b"HTTP/1.1 200 \nhello from tomcat\n"
        assert Path(f"/proc/{service.pid}/exe").resolve().name == "java", "the guard's own process became it"
        pool.tell("once-more")
        answer, _, port = pool.says("answer").rpartition(" from ")
        assert answer == "answer once-more"
        assert int(port) != PORT
        assert pool.process.poll() is None
        assert pool.err == []
        assert states_on(int(port), REDIS) == ["ESTABLISHED"]
        assert http(PORT) == b"HTTP/1.1 200 \nhello from tomcat\n"


@pytest.mark.usefixtures("net")
def test_a_client_that_reconnects_without_pause_never_wins(tmp_path: Path) -> None:
    """In a range of two ports, of which it has the service's every time: the service starts 200 times of 200."""
    sysctl("net.ipv4.ip_local_port_range", f"{PORT} {PORT + 1}")
    argv = portwait("--evict", str(PORT), "--", sys.executable, "-IS", "-c", SERVES)
    # Hundreds of starts: let the interpreter keep what it compiles, as an installed one does.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = {**kept, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    evicted = 0
    with running([sys.executable, "-IS", str(HELPERS / "aggressive.py"), str(PORT)], stdin=subprocess.PIPE) as client:
        client.says("ready")
        for _ in range(ROUNDS):
            client.out.clear()
            client.tell("again")
            client.says("holding")
            done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
            assert (done.returncode, done.stdout) == (0, "served\n"), done.stderr
            evicted += "evicted" in done.stderr
        assert client.process.poll() is None
    assert evicted == ROUNDS, "each time the port was held, and each time it was given back"

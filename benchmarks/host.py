"""A busy host to measure on: connections and processes by the thousand, in namespaces of their own.

`python -m benchmarks` runs each part as the first process of private network and PID namespaces, so that nothing
outside is touched or measured and everything ends with it. `populate` then fills them.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from tests.support.surroundings import cgroup_root

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = (30010, 30012, 30014, 30016)
"""Of the blockers, one each."""
EACH = 50  # connections of one process, both ends: 100 descriptors
PROGRAMS = "BENCHMARK_PROGRAMS"
"""The variable that says where the programs of the fresh environment are. (One of PORTWAIT_... would be named.)"""
_CGROUP = "portwait-benchmark"


def populate(first: int, end: int) -> None:
    """Start idle processes with these numbers, each with EACH connections on loopback; they end with the namespace.

    A C program does it, because Python takes two minutes for 100,000 connections.
    """
    _set("net/ipv4/ip_local_port_range", "1024 65000")
    _set("net/ipv4/ip_local_reserved_ports", ",".join(map(str, PORTS)))
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/crowd"
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("crowd.c")], check=True)
        command = [program, str(first), str(end), str(EACH)]
        crowd = subprocess.Popen(command, stdout=subprocess.PIPE, close_fds=True)
        assert crowd.stdout is not None
        if crowd.stdout.readline() != b"ready\n":
            sys.exit("a process of the host failed")
        _crowds.append(crowd)


_crowds: list[subprocess.Popen[bytes]] = []
"""They are never waited for: the namespace ends them."""


@contextlib.contextmanager
def siblings(cgroup: str, processes: int = 8, descriptors: int = 5000) -> Iterator[None]:
    """Start processes in that cgroup that have thousands of descriptors each, none of them a socket."""
    _raise_limits()
    pids = []
    for _ in range(processes):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                join(cgroup)
                null = os.open(os.devnull, os.O_RDONLY)
                for _ in range(descriptors):
                    os.dup(null)
                os.write(writer, b"+")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(writer)
        if os.read(reader, 1) != b"+":
            sys.exit("a sibling failed")
        os.close(reader)
        pids.append(pid)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@contextlib.contextmanager
def blocker(port: int, *, cgroup: str | None = None, uid: int = 0) -> Iterator[int]:
    """Start a client, in a cgroup or as a user of its own, whose connection has this port; its pid.

    The other end is this process, which is one among the many.
    """
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        pid = os.fork()
        if pid == 0:
            _hold_port(server, port, cgroup, uid)
        with server.accept()[0] as other_end:
            _reset_when_closed(other_end)
            try:
                yield pid
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _hold_port(server: socket.socket, port: int, cgroup: str | None, uid: int) -> NoReturn:
    try:
        os.setpgid(0, 0)
        if cgroup is not None:
            join(cgroup)
        os.setuid(uid)
        with socket.socket() as client:
            _reset_when_closed(client)
            client.bind(("127.0.0.1", port))
            client.connect(server.getsockname())
            server.close()
            while True:
                signal.pause()
    except OSError:
        traceback.print_exc()
    finally:
        os._exit(1)


def _reset_when_closed(sock: socket.socket) -> None:
    """Leave no TIME_WAIT, which would be in the next one's way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def join(name: str) -> None:
    """Move this process into a cgroup of the benchmark's, which is made if need be; children come along."""
    group = (cgroup_root() or Path()) / _CGROUP / name
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text("0")


def remove_cgroups() -> None:
    """Remove the benchmark's cgroups, where it made any."""
    root = cgroup_root()
    if root is None or not (root / _CGROUP).exists():
        return
    for group in sorted((root / _CGROUP).glob("**/"), reverse=True):
        with contextlib.suppress(OSError):
            group.rmdir()


def _set(name: str, value: str) -> None:
    Path("/proc/sys", name).write_text(value)


def _raise_limits() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""A busy host to measure on: connections and processes by the thousand, in namespaces of their own.

`enclosed` runs this interpreter's program again as the first process of private network and PID namespaces, so that
nothing outside is touched or measured and everything ends with it. `populate` then fills them.
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
from typing import TYPE_CHECKING

import timing

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 30010
EACH = 50  # connections of one process, both ends: 100 descriptors
_INSIDE = "PORTWAIT_BENCHMARK_PROGRAMS"
_CGROUP = "portwait-benchmark"


def enclosed() -> str | None:
    """Answer where the run inside finds the programs of a fresh environment; None to the run outside, when all is over.

    The one outside makes that environment, starts the other, waits for it and cleans up.
    """
    if _INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return os.environ[_INSIDE]
    argv = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--", sys.executable, *sys.argv]
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        environment = {**os.environ, _INSIDE: timing.fresh_environment(folder)}
        try:
            status = subprocess.run(argv, env=environment, check=False).returncode
        finally:
            _remove_cgroups()
    if status:
        sys.exit(status)
    return None


def populate(first: int, end: int) -> None:
    """Start idle processes with these numbers, each with EACH connections on loopback; they end with the namespace."""
    _set("net/ipv4/ip_local_port_range", "1024 65000")
    _set("net/ipv4/ip_local_reserved_ports", str(PORT))  # nobody but the blocker gets it
    _raise_limits()
    batch = 50
    for start in range(first, end, batch):
        pipes = [_start(number) for number in range(start, min(start + batch, end))]
        for reader in pipes:
            assert os.read(reader, 1) == b"+", "a process of the host failed"
            os.close(reader)


def _start(number: int) -> int:
    """Fork one process of the host; a descriptor that can be read once its connections stand."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            os.setpgid(0, 0)  # as services are: in groups of their own
            os.close(reader)
            sockets = _connect(f"127.1.{number >> 8}.{number & 255}")
            os.write(writer, b"+")
            while sockets:
                signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    return reader


def _connect(address: str) -> list[socket.socket]:
    listener = socket.socket()
    listener.bind((address, 0))
    listener.listen(EACH)
    sockets = [listener]
    for _ in range(EACH):
        sockets.append(socket.create_connection(listener.getsockname(), source_address=(address, 0)))
        sockets.append(listener.accept()[0])
    return sockets


@contextlib.contextmanager
def blocker(cgroup: str | None = None, uid: int = 0) -> Iterator[int]:
    """Start a client, in a cgroup or as a user of its own, whose connection has PORT; its pid."""
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            with socket.socket() as server:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind(("127.0.0.1", 7000))
                server.listen()
                if cgroup is not None:
                    join(cgroup)
                os.setuid(uid)
                client = socket.socket()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT
                client.bind(("127.0.0.1", PORT))
                client.connect(("127.0.0.1", 7000))
                kept = server.accept()[0]
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.write(told, b"+")
            while kept:
                signal.pause()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(told)
    try:
        assert os.read(ready, 1) == b"+", "the blocker failed"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def cgroup_root() -> Path | None:
    """Find the cgroup v2 mount where groups can be made."""
    for mount in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (mount / "cgroup.controllers").exists() and os.access(mount, os.W_OK):
            return mount
    return None


def join(name: str) -> None:
    """Move this process into a cgroup of the benchmark's, which is made if need be; children come along."""
    root = cgroup_root()
    assert root is not None
    group = root / _CGROUP / name
    group.mkdir(parents=True, exist_ok=True)
    (group / "cgroup.procs").write_text("0")


def _remove_cgroups() -> None:
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

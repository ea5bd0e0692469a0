"""Run portwait again and again, each time in a fork that waits until strace has attached to it.

So strace counts the calls from portwait's first line on, not those of the interpreter's own start-up. A line of JSON on
standard input has the words, the variables, and the files for standard output and error. Prints the fork's pid, and its
wait status when it has ended; a line in between lets it run. Descriptors that are to be passed as LISTEN_FDS come with
their names through the Unix socket whose number is the first argument.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import socket
import sys
from pathlib import Path


def receive(names: list[str]) -> list[int]:
    """Take the descriptors that are waiting, if any, and close the channel: this fork needs it no more."""
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        received = socket.recv_fds(channel, 1, len(names))[1] if names else []
    copies = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 500) for number in received]
    for number in received:
        os.close(number)
    return copies


def pass_on(descriptors: list[int], names: list[str]) -> None:
    """Give them the numbers from 3 on, as systemd does."""
    for index, number in enumerate(descriptors):
        os.dup2(number, 3 + index)
        os.close(number)
    os.environ.update(
        {"LISTEN_FDS": str(len(names)), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": ":".join(names)}
    )


def run(order: dict[str, object], ready: int, gate: int) -> None:
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(str(order[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, number)
        os.close(file)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    high = [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 600) for number in (ready, gate)]
    os.close(ready)
    os.close(gate)
    ready, gate = high
    names: list[str] = order["passed"]  # type: ignore[assignment]  # from JSON
    descriptors = receive(names)
    os.environ.update(order["variables"])  # type: ignore[call-overload]  # likewise
    if names:
        pass_on(descriptors, names)
    sys.argv = ["portwait", *order["words"]]  # type: ignore[misc]  # likewise
    os.close(ready)
    select.select([gate], [], [])
    os.close(gate)
    exec(SCRIPT, {"__name__": "__main__"})  # noqa: S102  # the installed script, which ends the process


SCRIPT = compile(Path(sys.executable).with_name("portwait").read_bytes(), "portwait", "exec")
for line in sys.stdin:
    reader, writer = os.pipe()
    was_made, ready = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(writer)
        os.close(was_made)
        try:
            run(json.loads(line), ready, reader)
        except SystemExit as ended:  # argparse's, behind help
            os._exit(int(ended.code or 0))
        finally:
            os._exit(99)
    os.close(reader)
    os.close(ready)
    os.read(was_made, 1)
    os.close(was_made)
    print(pid, flush=True)
    sys.stdin.readline()
    os.close(writer)
    print(os.waitpid(pid, 0)[1], flush=True)

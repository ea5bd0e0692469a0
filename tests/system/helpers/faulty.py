"""Run portwait again and again, each time in a fork that waits until strace has attached to it.

So strace counts the calls from portwait's first line on, not those of the interpreter's own start-up. A line of JSON on
standard input has the words, the variables, and the files for standard output and error; the latter is a terminal
whose text goes to that file, where that is asked for. Prints the fork's pid, and its
wait status when it has ended; a line in between lets it run. Descriptors that are to be passed as LISTEN_FDS come with
their names through the Unix socket whose number is the first argument.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import socket
import struct
import sys
import termios
import threading
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


def write_to(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


def make_terminal() -> tuple[int, int]:
    """Open one of an ordinary size: this end, and portwait's."""
    ends = os.openpty()
    fcntl.ioctl(ends[1], termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    return ends


def keep(terminal: int, name: str) -> None:
    """Write what is said on a terminal into a file as it comes, until nobody has it any more."""
    with open(name, "wb", buffering=0) as file, contextlib.suppress(OSError):  # noqa: PTH123  # as it comes
        while text := os.read(terminal, 65536):
            file.write(text)
    os.close(terminal)


def run(order: dict[str, object], ready: int, gate: int, terminal: int) -> None:
    for number, name in ((1, "out"), (2, "err")):
        file = terminal if number == 2 and terminal >= 0 else write_to(str(order[name]))
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
    order = json.loads(line)
    reader, writer = os.pipe()
    was_made, ready = os.pipe()
    ours, terminal = make_terminal() if order["terminal"] else (-1, -1)
    pid = os.fork()
    if not pid:
        for number in (writer, was_made, ours):
            if number >= 0:
                os.close(number)
        try:
            run(order, ready, reader, terminal)
        except SystemExit as ended:  # argparse's, behind help
            os._exit(int(ended.code or 0))
        finally:
            os._exit(99)
    os.close(reader)
    os.close(ready)
    os.read(was_made, 1)
    os.close(was_made)
    keeper = threading.Thread(target=keep, args=(ours, order["err"]), daemon=True)
    if order["terminal"]:
        os.close(terminal)
        keeper.start()
    print(pid, flush=True)
    sys.stdin.readline()
    os.close(writer)
    status = os.waitpid(pid, 0)[1]
    if order["terminal"]:
        keeper.join(5)  # the narrator may have it a moment longer
    print(status, flush=True)

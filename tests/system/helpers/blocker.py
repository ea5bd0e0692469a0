"""Have a port in one way or another, each time in a fork of this process: `blocker.py REMOTE`.

A word on standard input says how: `connect` to the port REMOTE of this host from whichever port the kernel picks,
`stubborn` likewise, ignoring SIGTERM. Prints `ready`, and `done` after the next line, when the fork has ended and its
sockets with it, by RST.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys

ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that no TIME_WAIT is left


def connected(remote: int) -> list[socket.socket]:
    """Connect; both ends of it."""
    client = socket.socket()
    with socket.create_server(("127.0.0.1", remote)) as server:
        client.connect(("127.0.0.1", remote))
        ends = [client, server.accept()[0]]
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    return ends


def have(how: str, remote: int, ready: int, end: int) -> None:
    """Have it until the other end of the pipe `end` is closed."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else signal.SIG_DFL)
    kept = connected(remote)
    os.write(ready, b"x")
    os.read(end, 1)
    for sock in kept:
        sock.close()


def main() -> None:
    remote = int(sys.argv[1])
    for line in sys.stdin:
        was_made, ready = os.pipe()
        end, alive = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(was_made)
            os.close(alive)
            try:
                have(line.strip(), remote, ready, end)
            finally:
                os._exit(0)
        os.close(ready)
        os.close(end)
        print("ready" if os.read(was_made, 1) else "failed", flush=True)
        os.close(was_made)
        sys.stdin.readline()
        os.close(alive)
        os.waitpid(pid, 0)
        print("done", flush=True)


main()

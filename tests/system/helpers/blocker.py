"""Have a port in one way or another, each time in a fork of this process: `blocker.py REMOTE PORT`.

A word on standard input says how, as `WAYS` has it. Prints `ready`, and `done` after the next line, when the fork has
ended. TCP connections end with it by RST, so that nothing is left of them.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys

REMOTE, PORT = (int(word) for word in sys.argv[1:])
LOOPBACK = "127.0.0.1"
ABORT = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST, so that no TIME_WAIT is left
crowd: list[int] = []


def both_ends() -> list[socket.socket]:
    """Connect to REMOTE, from whichever port the kernel picks; the client's end comes first."""
    client = socket.socket()
    with socket.create_server((LOOPBACK, REMOTE)) as server:
        client.connect((LOOPBACK, REMOTE))
        return [client, server.accept()[0]]


def connected() -> list[socket.socket]:
    """Keep such a connection."""
    ends = both_ends()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    return ends


def stubborn() -> list[socket.socket]:
    """Keep one, whatever SIGTERM says."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return connected()


def in_time_wait() -> list[socket.socket]:
    """Leave one in TIME_WAIT: nobody has it open any more."""
    for end in both_ends():
        end.close()
    return []


def listening() -> list[socket.socket]:
    """Listen."""
    return [socket.create_server(("", PORT))]


def udp_client() -> list[socket.socket]:
    """Keep a connected UDP socket."""
    client = socket.socket(type=socket.SOCK_DGRAM)
    client.connect((LOOPBACK, REMOTE))
    return [client]


WAYS = {
    "connect": connected,
    "stubborn": stubborn,
    "time-wait": in_time_wait,
    "listen": listening,
    "udp": udp_client,
    "crowd": connected,  # of one of many processes, which stay
}


def gather(count: int) -> None:
    """Start that many processes that do nothing until this one ends."""
    end, alive = os.pipe()
    for _ in range(count):
        pid = os.fork()
        if not pid:
            os.close(alive)
            os.read(end, 1)
            os._exit(0)
        crowd.append(pid)
    os.close(end)


def have(how: str, ready: int, end: int) -> None:
    """Have the port until the other end of the pipe `end` is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    kept = WAYS[how]()
    os.write(ready, b"x")
    os.read(end, 1)
    for sock in kept:
        sock.close()


def main() -> None:
    for line in sys.stdin:
        how, *count = line.split()
        if count and not crowd:
            gather(int(count[0]))
        was_made, ready = os.pipe()
        end, alive = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(was_made)
            os.close(alive)
            try:
                have(how, ready, end)
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

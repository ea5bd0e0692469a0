"""A Redis client that keeps its connection, as a pool does: arguments HOST PORT.

It prints `ready LOCAL REMOTE` and then obeys the words on its standard input: `ping` (asks Redis), `follow` (closes
after the other end has closed), `reset` (closes with RST). Neither way of closing leaves a TIME_WAIT on this side.
"""

from __future__ import annotations

import socket
import struct
import sys


def main() -> None:
    host, port = sys.argv[1:]
    redis = socket.create_connection((host, int(port)))
    ends = ("{}:{}".format(*end[:2]) for end in (redis.getsockname(), redis.getpeername()))
    print("ready", *ends, flush=True)
    for order in sys.stdin:
        word = order.strip()
        if word == "ping":
            redis.sendall(b"PING\r\n")
            print("answer", redis.recv(64).decode().strip(), flush=True)
        elif word in ("follow", "reset"):
            if word == "follow":
                redis.recv(64)
            else:
                redis.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            redis.close()
            print("closed", flush=True)
        else:
            raise ValueError(word)


main()

"""A service that takes its time: says `started`, binds when it reads a line, then says how that went.

`slow_service.py PORT [ADDRESS [plain]]`: the address decides the family, `::` is dual-stack; `plain` leaves
SO_REUSEADDR out.
"""

from __future__ import annotations

import errno
import socket
import sys


def main() -> None:
    port, address, *plain = sys.argv[1:] if len(sys.argv) > 2 else (sys.argv[1], "::")
    print("started", flush=True)
    sys.stdin.readline()
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        try:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, not plain)
            server.bind((address, int(port)))
            server.listen()
        except OSError as error:
            print(errno.errorcode[error.errno or 0], flush=True)
        else:
            print("listening", flush=True)
        sys.stdin.readline()


main()

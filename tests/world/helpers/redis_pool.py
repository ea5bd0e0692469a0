"""A client of Redis with redis-py's own connection pool: arguments HOST PORT.

It prints `ready LOCALPORT` of the one connection in its pool. For each line on its standard input it sends a command
and prints the answer, with the port that it was sent from.
"""

from __future__ import annotations

import sys

import redis  # type: ignore[import-not-found]  # Debian's, for Debian's interpreter


def main() -> None:
    client = redis.Redis(sys.argv[1], int(sys.argv[2]))

    def port() -> int:
        (pooled,) = client.connection_pool._available_connections
        number: int = pooled._sock.getsockname()[1]
        return number

    client.ping()
    print("ready", port(), flush=True)
    for line in sys.stdin:
        print("answer", client.echo(line.strip()).decode(), "from", port(), flush=True)


main()

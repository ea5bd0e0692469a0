"""A stand-in for the part of systemd that passes sockets to a service and keeps descriptors for it.

As systemd 252 does: FDSTORE=1 stores what there is room for and drops the rest, and drops what polls EPOLLHUP unless
FDPOLL=0 was said; FDSTOREREMOVE=1 takes out by name; BARRIER=1 is answered by closing. A start gets the service's own
sockets first and then the store, the youngest first, as descriptors from 3 on.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from tests.support.programs import Program, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import Any


class Stored(NamedTuple):
    """A descriptor in the store, and the name it was given."""

    name: str
    descriptor: int


class Manager:
    """Receives datagrams in a thread, and starts programs with what it keeps."""

    def __init__(self, folder: Path, room: int = 8) -> None:
        self.room = room
        self.told: list[str] = []
        """Every assignment, in the order of arrival."""
        self.store: list[Stored] = []
        self.address = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def settled(self) -> None:
        """Wait until all that was sent before has been dealt with."""
        reader, writer = os.pipe()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self.address)
            socket.send_fds(sock, [b"BARRIER=1"], [writer])
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)

    @property
    def names(self) -> list[str]:
        """What the store holds now."""
        self.settled()
        return sorted(one.name for one in self.store)

    @contextlib.contextmanager
    def running(
        self, *argv: str | bytes, sockets: Sequence[tuple[str, socket.socket]] = (), **how: Any
    ) -> Iterator[Program]:
        """Start a program with its sockets and the store, as a unit is started again."""
        self.settled()
        passed = [*((name, sock.fileno()) for name, sock in sockets), *reversed(self.store)]
        numbers, names = [number for _, number in passed], ":".join(name for name, _ in passed)
        launcher = [sys.executable, "-ISc", _LAUNCHER, names, *map(str, numbers), "--"] if passed else []
        environment = {**os.environ, "NOTIFY_SOCKET": self.address}
        with running([*launcher, *argv], environment, pass_fds=numbers, **how) as program:
            yield program

    def forget(self) -> None:
        """Empty the store."""
        self.settled()
        self._remove("")

    def stop(self) -> None:
        """As when the unit has been stopped: the store is emptied."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", self.address)
        self._thread.join()
        self._socket.close()
        self._remove("")

    def _receive(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 253)
            if not data:
                return
            lines = data.decode().split("\n")
            self.told += lines
            said = dict(line.split("=", 1) for line in lines)
            if "FDSTORE" in said:
                for number in descriptors:
                    self._put(said["FDNAME"], number, poll=said.get("FDPOLL") != "0")
                continue
            if "FDSTOREREMOVE" in said:
                self._remove(said["FDNAME"])
            for number in descriptors:
                os.close(number)

    def _put(self, name: str, number: int, *, poll: bool) -> None:
        poller = select.poll()
        poller.register(number, 0)
        if len(self.store) >= self.room or (poll and poller.poll(0)):
            os.close(number)
        else:
            self.store.append(Stored(name, number))

    def _remove(self, name: str) -> None:
        gone = [one for one in self.store if name in ("", one.name)]
        self.store = [one for one in self.store if one not in gone]
        for one in gone:
            os.close(one.descriptor)


_LAUNCHER = """
import fcntl, os, sys
cut = sys.argv.index("--")
high = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 500) for word in sys.argv[2:cut]]
for word in sys.argv[2:cut]:
    os.close(int(word))
for index, number in enumerate(high):
    os.dup2(number, 3 + index)
    os.close(number)
os.environ |= {"LISTEN_FDS": str(len(high)), "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": sys.argv[1]}
os.execv(sys.argv[cut + 1], sys.argv[cut + 1:])
"""

"""What is fuzzed: one function for each kind of input, from any bytes to nothing, or to an exception that is a fault.

A function catches the errors that the code documents for such an input, and nothing else. What it asserts holds for
every input. `python -m tests.fuzz NAME` drives one with atheris; tests/unit/test_fuzz_corpus.py replays the seeds.
"""

from __future__ import annotations

import contextlib
import io
import posixpath
from typing import TYPE_CHECKING
from unittest import mock

from portwait._linux import cgroups, ends, kernel, links, procfs, snmp, socket_owners, wire
from portwait._linux.sockdiag import SockDiag
from portwait.advice.tanuki import config
from portwait.diagnosis import kinds
from portwait.errors import TablesError, UsageError
from portwait.host import machine, systemd_units, unit_files
from portwait.model import ports, targets
from portwait.model.owner import forwarded
from portwait.options import environment, parser, reader
from portwait.options.record import GUARD, VERBS
from portwait.reserved import runtime, sysctld
from portwait.systemd import dropin
from portwait.text import durations, masking
from portwait.text.escape import escape, shell
from tests.fuzz.bounds import linear

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.model.sockets import Range


def _is_one_line(error: Exception) -> None:
    assert str(error).isprintable()


def _is_help(end: SystemExit) -> None:
    assert end.code in (0, None)


def netlink(data: bytes) -> None:
    """Datagrams of sock_diag and rtnetlink: WireError and TablesError, or values that the rest can work with."""
    with linear(len(data)):
        links.parse(data)
        wire.tcp_info(data, kernel.TCP_LISTEN)
        answer = _answer(data)
        summary = _ends(data)
        if answer is not None:
            assert summary is not None, "the reader of ends refuses what the reader of sockets takes"
            found, done, errno = summary
            assert (done, errno) == (answer.done, answer.errno)
            names = [(kernel.STATE_NAMES.get(state, str(state)), port) for state, port, _ in found]
            assert names == [(sock.state, sock.local_port) for sock in answer.sockets]
            for sock in answer.sockets:
                kinds.classify(sock, sock)
                kinds.by_listener(sock, kinds.by_port(answer.sockets))
                wire.exact_request(sock, 6)
                wire.exact_request(sock, 17, destroy=True)
                assert targets.plain(sock.local_address)
        _tables(data)


def _answer(data: bytes) -> wire.Answer | None:
    with contextlib.suppress(wire.WireError):
        return wire.answer(data, "tcp", 1)
    return None


def _ends(data: bytes) -> tuple[list[tuple[int, int, bytes]], bool, int] | None:
    with contextlib.suppress(wire.WireError):
        return ends.read(data, 1)
    return None


class _Kernel:
    """A netlink socket whose datagrams are parts of the input; afterwards it is silent."""

    def __init__(self, data: bytes) -> None:
        half = len(data) // 2 & ~3
        self._datagrams = [data[:half], data[half:], data]

    def send(self, _request: bytes) -> None:
        """Take a question."""

    def settimeout(self, _seconds: float) -> None:
        """Never wait."""

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        """Give the next datagram."""
        if not self._datagrams:
            raise TimeoutError("timed out")
        return self._datagrams.pop(0), (0, 0)

    def close(self) -> None:
        """Nothing to close."""


def _tables(data: bytes) -> None:
    for ask in (
        lambda tables: tables.sockets("tcp", [(1, 65535)]),
        lambda tables: tables.sockets("udp", []),
        lambda tables: tables.connections(()),
        lambda tables: tables.lookup("udp", 2, ("127.0.0.1", 1), ("127.0.0.1", 2)),
    ):
        with contextlib.suppress(TablesError):
            ask(SockDiag(_Kernel(data)))  # type: ignore[arg-type, no-untyped-call]  # all that is asked of a socket


def proc(data: bytes) -> None:
    """Texts of /proc, whatever a process has written there: an answer or none."""
    text = data.decode(errors="surrogateescape")
    with linear(len(data)):
        procfs.parse_stat(data)
        words = procfs.command_line(data)
        assert "\0" not in "".join(words)
        place = cgroups.place(text)
        if place.unit is not None:
            assert place.unit.isascii()
            assert place.unit.isprintable()
        snmp.parse(text)
        machine._has_capability(text, 12)
        forwarded(words)
        _relatives(data)


def _relatives(data: bytes) -> None:
    """Walk a tree of processes that changes while it is walked, with parents that are their own children."""
    parents = dict(zip(data[::2], data[1::2]))
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)

    def stat(pid: int) -> procfs.Stat | None:
        return procfs.Stat("x", parents[pid], pid, 1) if pid in parents else None

    with (
        mock.patch.object(procfs, "stat_of", stat),
        mock.patch.object(procfs, "children", lambda pid: children.get(pid, [])),
    ):
        found = socket_owners.relatives(list(data[:3]))
    assert set(data[:3]) <= set(found)


def sysctl(data: bytes) -> None:
    """Files of sysctl.d and lists of ports: the value that counts, and ports that say the same when written again."""
    text = data.decode(errors="surrogateescape")
    with linear(len(data)):
        pieces = text.split("\0")
        files = [sysctld.File(f"/etc/sysctl.d/{at}.conf", piece) for at, piece in enumerate(pieces[:-1])]
        files.append(sysctld.File(sysctld.CONF, pieces[-1]))
        for line in sysctld.settings(files, runtime.KEY):
            if line.ports is not None:
                _same_again(line.ports)
        for name in sysctld.READERS:
            sysctld.last(files, runtime.KEY, name)
        merged = [_ports(piece) for piece in pieces]
        one, other = merged[0], merged[-1]
        assert ports.subtract(one, ()) == one
        both = ports.intersect(one, other)
        assert ports.count(ports.subtract(one, other)) + ports.count(both) == ports.count(one)
        assert ports.count(ports.merge([*one, *other])) == ports.count(one) + ports.count(other) - ports.count(both)


def _ports(text: str) -> tuple[Range, ...]:
    try:
        found = ports.from_kernel(text)
    except UsageError as error:
        _is_one_line(error)
        return ()
    _same_again(found)
    return found


def _same_again(found: tuple[Range, ...]) -> None:
    assert ports.merge(found) == found
    assert ports.from_kernel(ports.show(found)) == found
    assert all(0 <= first <= last < 65536 for first, last in found)


def options(data: bytes) -> None:
    """Words and variables: one meaning for both readers, within its bounds, or one printable line."""
    pieces = data.decode(errors="surrogateescape").split("\0")
    verb = (GUARD, *VERBS)[len(pieces[0]) % (len(VERBS) + 1)]
    words = [piece for piece in pieces[1:] if not piece.startswith("PORTWAIT_")]
    variables = dict(piece.partition("=")[::2] for piece in pieces[1:] if piece.startswith("PORTWAIT_"))
    with linear(len(data)), contextlib.redirect_stdout(io.StringIO()):
        said = reader.exact(verb, words)
        assert said is None or said == _by_argparse(verb, words)
        try:
            read = {**environment.read(verb, variables), **(said or {})}
        except UsageError as error:
            _is_one_line(error)
            return
        environment.unknown(variables)
    for key in ("timeout", "kill_after", "gap", "window", "rate"):
        value = read.get(key, 1.0)
        assert isinstance(value, float)
        assert 0 <= value <= durations.INF
        durations.show(value)
    assert read.get("count", 1) in range(1, 65)
    assert read.get("signal", 1) in range(1, 65)


def _by_argparse(verb: str, words: list[str]) -> dict[str, object] | None:
    try:
        return parser.read(verb, words)
    except UsageError as error:
        _is_one_line(error)
    except SystemExit as end:
        _is_help(end)
    return None


def target(data: bytes) -> None:
    """Words that name targets: targets that read the same when written again, or one printable line."""
    text = data.decode(errors="surrogateescape")
    with linear(len(data)) as ports:
        with contextlib.suppress(UsageError):
            assert durations.parse(text) >= 0
        try:
            found = targets.parse(text.split("\0"))
        except UsageError as error:
            _is_one_line(error)
            return
        ports.append(len(found))
        for each in (*found[:5], *found[-5:]):
            assert 0 < each.port < 65536
            assert targets.parse([str(each)]) == (each,)
            assert targets.parse([each.text]) == (each,)


def wrapper(data: bytes) -> None:
    """Read a wrapper.conf and the command line of whoever says that it is its wrapper."""
    head, _, tail = data.partition(b"\0\0")
    text, command = tail.decode(errors="replace"), procfs.command_line(head)
    with linear(len(data)):
        config.is_jvm(command)
        assert set(config.settings(text, command)) <= set(config.KEYS)
        conf = config.configuration(command)
        if conf is None:
            return
        assert conf in command
        for folder in (None, "/somewhere", "C:\\somewhere"):
            path = config.absolute(conf, command, folder)
            found = config.Wrapper((1,), path, config.settings(text, command), trusted=True)
            assert found.script is None or posixpath.basename(found.script).endswith(".script")
            assert not (found.script and found.windows_service)
            assert isinstance(found.uses_pipe, bool)
        config.other_ports([(len(head), len(head) + len(tail))])


def mask(data: bytes) -> None:
    """Mask a command line: as many words, one printable line, in time that grows with its length alone."""
    words = procfs.command_line(data)
    with linear(len(data)):
        assert len(masking.mask(words)) == len(words)
        line = masking.command_line(words, 80)
    assert "\n" not in line
    assert len(line) <= 80
    many = [word * (1000 // max(1, len(word))) for word in words[:4]]
    with linear(sum(map(len, many))):
        masking.mask(many)
    escape(line)
    shell(words)


def unit(data: bytes) -> None:
    """Read what systemctl shows and the texts of units: their settings, and a drop-in or one printable line."""
    text = data.decode(errors="surrogateescape")
    with linear(len(data)), mock.patch.object(systemd_units, "_pids", return_value=set()):
        for block in systemd_units._blocks(text):
            shown = systemd_units._unit(block)
            if shown is not None:
                shown.listens_on("tcp", 80)
        settings = unit_files.settings(text)
        for user in (False, True):
            for template in (None, *dropin.GENERAL):
                facts = dropin.Facts("orders.service", settings, ("80", "[::1]:53/udp"), "orders.socket", user)
                try:
                    made = dropin.fit(facts, template)
                except UsageError as error:
                    _is_one_line(error)
                    continue
                assert made.body.startswith("#") or "[" in made.body


BODIES: dict[str, Callable[[bytes], None]] = {
    body.__name__: body for body in (netlink, proc, sysctl, options, target, wrapper, mask, unit)
}

"""What a receiver of sd_notify(3) datagrams gets to read."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from typing import TYPE_CHECKING

import pytest

from portwait.systemd import notify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["path", "abstract"])
def receiver(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Stand in for systemd, at either kind of address."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@portwait-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name.replace("@", "\0"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        yield sock


class Clock:
    """A time that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def received(sock: socket.socket) -> list[str]:
    """Take all datagrams that are there."""
    datagrams = []
    with contextlib.suppress(BlockingIOError):
        while True:
            datagrams.append(sock.recv(65536).decode())
    return datagrams


def test_a_wait_says_for_what_and_asks_for_time(receiver: socket.socket) -> None:
    """One datagram has both, and nothing ever claims that the service is ready."""
    notify.Progress(Clock()).tell("waiting: 30010/tcp is held")
    assert received(receiver) == ["STATUS=waiting: 30010/tcp is held\nEXTEND_TIMEOUT_USEC=90000000"]


def test_the_same_words_are_told_again_only_when_the_start_needs_more_time(receiver: socket.socket) -> None:
    """A third of the extension is the rhythm, so that two lost datagrams do no harm."""
    clock = Clock()
    progress = notify.Progress(clock)
    counts = []
    for clock.now in (1000.0, 1000.1, 1029.9, 1030.0, 1059.9, 1060.0):
        progress.tell("waiting")
        counts.append(len(received(receiver)))
    assert counts == [1, 0, 0, 1, 0, 1]


def test_other_words_are_told_at_once(receiver: socket.socket) -> None:
    """The status is that of now."""
    progress = notify.Progress(Clock())
    progress.tell("held by a connection")
    progress.tell("held by a listener")
    assert [text.splitlines()[0] for text in received(receiver)] == [
        "STATUS=held by a connection",
        "STATUS=held by a listener",
    ]


def test_the_end_takes_the_words_back_and_leaves_the_service_its_time(receiver: socket.socket) -> None:
    """The service's own start may still take as long as if it had not had to wait."""
    progress = notify.Progress(Clock())
    progress.tell("waiting")
    progress.end()
    progress.end()
    assert received(receiver)[1:] == ["STATUS=\nEXTEND_TIMEOUT_USEC=90000000"]


def test_where_nothing_was_told_nothing_is_taken_back(receiver: socket.socket) -> None:
    """A port that is free costs no datagram."""
    notify.Progress(Clock()).end()
    assert received(receiver) == []


@pytest.mark.parametrize(
    "hostile", ["java\nREADY=1", "java\0READY=1", "\n\nMAINPID=1\n"], ids=["newline", "nul", "several"]
)
def test_no_text_of_another_process_becomes_an_assignment(receiver: socket.socket, hostile: str) -> None:
    """Whatever a process calls itself stays within STATUS=."""
    notify.Progress(Clock()).tell(f"held by {hostile}")
    [text] = received(receiver)
    assert [line.partition("=")[0] for line in text.split("\n")] == ["STATUS", "EXTEND_TIMEOUT_USEC"]
    assert "\0" not in text


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 100_000, "\udcff" * 100_000], ids=["ascii", "wide", "no text"])
def test_a_status_of_any_length_fits_what_systemd_reads(receiver: socket.socket, text: str) -> None:
    """It drops a datagram of more than PIPE_BUF bytes, the extension with it."""
    notify.Progress(Clock()).tell(text)
    [got] = received(receiver)
    assert len(got.encode()) < 4096
    assert got.endswith("EXTEND_TIMEOUT_USEC=90000000")


def test_descriptors_travel_with_the_words(receiver: socket.socket) -> None:
    """As FDSTORE=1 needs it."""
    reader, writer = os.pipe()
    assert notify.send("FDSTORE=1", "FDNAME=portwait-x", descriptors=[reader, writer])
    data, ancillary, _, _ = receiver.recvmsg(4096, socket.CMSG_SPACE(8))
    [(level, kind, numbers)] = ancillary
    got = array.array("i", numbers)
    same = [os.path.sameopenfile(mine, theirs) for mine, theirs in zip((reader, writer), got)]
    for number in (reader, writer, *got):
        os.close(number)
    assert (data, level, kind) == (b"FDSTORE=1\nFDNAME=portwait-x", socket.SOL_SOCKET, socket.SCM_RIGHTS)
    assert same == [True, True]


def test_a_barrier_is_over_when_the_receiver_drops_it(receiver: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a receiver that never looks is not waited for much longer than a moment."""
    monkeypatch.setattr(notify, "_PATIENCE_MS", 10)
    assert not notify.settled()
    data, ancillary, _, _ = receiver.recvmsg(4096, socket.CMSG_SPACE(4))
    assert data == b"BARRIER=1"
    os.close(array.array("i", ancillary[0][2])[0])
    monkeypatch.setattr(
        notify, "send", lambda *_, **__: True
    )  # the descriptor is closed by whoever got it: here at once
    assert notify.settled()


@pytest.mark.parametrize(
    "name",
    ["", "/proc/nonexistent/notify", "@portwait-nobody-is-here", "vsock:2:1234", "notify", "/" + "x" * 200, "@"],
    ids=["empty", "no such path", "no such name", "another family", "relative", "too long", "no name"],
)
def test_a_receiver_that_is_not_there_is_nobodys_trouble(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Nothing is raised, nothing is waited for."""
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    assert not notify.send("STATUS=x")
    assert not notify.settled()
    progress = notify.Progress(Clock())
    progress.tell("waiting")
    progress.end()


def test_a_receiver_that_reads_nothing_does_not_block(receiver: socket.socket) -> None:
    """Its queue fills up, and then telling fails at once."""
    assert receiver.fileno() >= 0
    assert any(not notify.send("STATUS=x") for _ in range(100_000))

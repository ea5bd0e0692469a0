"""What systemd passes in, read from the environment, and how sockets are passed on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from portwait.errors import UsageError
from portwait.model.targets import parse
from portwait.systemd import listen, listen_fds
from portwait.systemd.listen_fds import Passed

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, []),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me"}, [(3, "unknown"), (4, "unknown")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me", "LISTEN_FDNAMES": "web:"}, [(3, "web"), (4, "")]),
        ({"LISTEN_FDS": "2", "LISTEN_PID": "me", "LISTEN_FDNAMES": "web"}, [(3, "unknown"), (4, "unknown")]),
        ({"LISTEN_FDS": "1", "LISTEN_PID": "1"}, []),
        ({"LISTEN_FDS": "1"}, []),
        ({"LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "0", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "-1", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "²", "LISTEN_PID": "me"}, []),
        ({"LISTEN_FDS": "123456", "LISTEN_PID": "me"}, []),
    ],
    ids=[
        *("none", "without names", "with names", "too few names", "another process's", "no PID", "no count"),
        *("zero", "negative", "no digit", "absurd"),
    ],
)
def test_what_was_received(
    monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: list[tuple[int, str]]
) -> None:
    """Only what is meant for this process, and only what makes sense."""
    for name in ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "me" else value)
    assert [(one.number, one.name) for one in listen_fds.received()] == expected


@pytest.mark.parametrize("ours", [True, False], ids=["passed to us", "inherited from another process"])
@pytest.mark.parametrize(
    ("order", "names"),
    [([], []), ([3, 4, 5], "abc"), ([5, 4, 3], "cba"), ([4], "b"), ([5, 3], "ca"), ([9, 3, 4], "xab"), ([3, 9], "ax")],
    ids=["none", "as they are", "turned round", "one of three", "two of three", "one in front", "one behind"],
)
def test_sockets_are_passed_on_from_descriptor_3_on(order: list[int], names: str, ours: bool) -> None:
    """Each keeps its name wherever it stood before, the rest is closed or not ours, and the next program sees it so.

    It looks at LISTEN_PIDFDID too (systemd 259), so another process's must not stay beside our LISTEN_PID.
    """
    done = subprocess.run(
        [sys.executable, "-c", _HAND_ON, json.dumps(order), json.dumps(list(names)), json.dumps(ours)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "LISTEN_FDS": "3", "LISTEN_PID": "0", "LISTEN_FDNAMES": "a:b:c", "LISTEN_PIDFDID": "1"},
    )
    seen = json.loads(done.stdout)
    assert seen["content"] == list(names)
    assert seen["names"] == (list(names) if names else None)
    assert seen["mine"] == bool(names)
    assert seen["pidfdid"] == (bool(names) and ours)
    assert seen["more"] == 0


def test_no_room_for_a_copy_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that is not there, say: the variables stay as they were."""
    monkeypatch.setenv("LISTEN_FDS", "1")
    reader, writer = os.pipe()
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all that is compared
    with pytest.raises(OSError, match="Bad file descriptor"):
        listen_fds.hand_on([Passed(reader), Passed(999)])
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208  # likewise
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("number", [errno.EINTR, errno.EBUSY, errno.EMFILE])
def test_a_bad_moment_for_dup2_is_none_for_the_service(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Its sockets are passed on: these errors go by."""
    monkeypatch.setenv("LISTEN_FDS", "0")
    real = os.dup2
    failures = [OSError(number, os.strerror(number))]

    def dup2(old: int, new: int) -> int:
        if failures:
            raise failures.pop()
        return real(old, new)

    monkeypatch.setattr(os, "dup2", dup2)
    reader, writer = os.pipe()
    wanted = os.dup(reader)
    listen_fds._renumber(writer, wanted)
    assert os.fstat(wanted).st_ino == os.fstat(writer).st_ino
    for one in (reader, writer, wanted):
        os.close(one)


_HAND_ON = """
import json, os, sys, tempfile
from portwait.systemd import listen_fds
order, names, ours = map(json.loads, sys.argv[1:])
if ours:
    os.environ["LISTEN_PID"] = str(os.getpid())
for number, content in ((3, "a"), (4, "b"), (5, "c"), (9, "x")):
    with tempfile.TemporaryFile() as file:
        file.write(content.encode())
        file.flush()
        os.dup2(file.fileno(), 20 + number)
for number in (3, 4, 5, 9):
    os.dup2(20 + number, number)
    os.close(20 + number)
for number in {3, 4, 5, 9} - set(order):
    os.close(number)
listen_fds.hand_on([listen_fds.Passed(*one) for one in zip(order, names)])
os.execv(sys.executable, [sys.executable, "-ISc", '''
import json, os
count = int(os.environ.get("LISTEN_FDS", "0"))
listed = os.environ.get("LISTEN_FDNAMES")
print(json.dumps({
    "content": [os.pread(3 + index, 9, 0).decode() for index in range(count)],
    "names": listed if listed is None else listed.split(":"),
    "mine": os.environ.get("LISTEN_PID") == str(os.getpid()),
    "pidfdid": "LISTEN_PIDFDID" in os.environ,
    "more": sum(1 for number in range(3 + count, 30) if os.path.exists(f"/proc/self/fd/{number}")),
}))
'''])
"""


class TestApart:
    """Targets that --listen binds side by side."""

    @pytest.mark.parametrize(
        ("words", "families"),
        [
            (["0.0.0.0:5000", "[::]:5000"], [4, 6]),
            (["[::]:5000", "0.0.0.0:5000"], [6, 4]),
            (["5000", "0.0.0.0:5000"], [6, 4]),
            (["127.0.0.1:5000", "[::1]:5000"], [4, 6]),
            (["127.0.0.1:5000", "127.0.0.2:5000"], [4, 4]),
            (["5000", "5001"], [0, 0]),
            (["5000/tcp", "5000/udp"], [0, 0]),
            (["0.0.0.0%eth0:5000", "0.0.0.0%eth1:5000"], [4, 4]),
        ],
    )
    def test_these_can_stand_side_by_side(self, words: list[str], families: list[int]) -> None:
        """A dual-stack wildcard beside 0.0.0.0 is left IPv6."""
        assert [one.family for one in listen.apart(parse(words))] == families

    @pytest.mark.parametrize(
        "words",
        [
            ["5001", "127.0.0.1:5001"],
            ["127.0.0.1:5001", "0.0.0.0:5001"],
            ["[::]:5001", "[::1]:5001"],
            ["[::]:5001", "127.0.0.1:5001"],
            ["0.0.0.0:5001", "0.0.0.0%eth0:5001"],
        ],
    )
    def test_these_cannot(self, words: list[str]) -> None:
        """It would wait for itself until the deadline."""
        with pytest.raises(UsageError, match="one includes the other"):
            listen.apart(parse(words))


def test_the_sockets_of_another_process_are_not_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN_PID names somebody else, so that neither names nor numbers are ours to hide."""
    for name, value in {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "portwait-tcp-1-v6only"}.items():
        monkeypatch.setenv(name, value)
    assert not listen_fds.has_ours()
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    assert listen_fds.has_ours()

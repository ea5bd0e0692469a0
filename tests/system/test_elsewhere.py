"""Elsewhere than on Linux: what works, works with what Python has there; the rest is refused in words.

No such machine was at hand. What those systems lack is taken away (`support/elsewhere.py`), and Linux's kernel answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.options.record import VERBS
from tests.support.descriptors import sockets_of
from tests.support.guarding import GAVE_UP, STARTED, WRONG, Outcome, run
from tests.support.programs import running
from tests.support.states import listening, outbound_established, reset

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import Any

pytestmark = pytest.mark.usefixtures("net")

PORT = 30010
POSIX, WINDOWS = ("darwin", "freebsd14"), "win32"
SYSTEMS = (*POSIX, WINDOWS)
PROGRAM = Path(__file__).parents[1] / "support" / "elsewhere.py"


def argv(system: str, *words: str) -> list[str]:
    """Answer how to run portwait there."""
    return [sys.executable, str(PROGRAM), system, *words]


def elsewhere(system: str, *words: str) -> Outcome:
    """Run portwait there, to its end."""
    return run(argv(system, *words))


class TestExplain:
    @pytest.mark.parametrize("system", SYSTEMS)
    @pytest.mark.parametrize("there", [listening, outbound_established])
    def test_held(self, system: str, there: Callable[..., AbstractContextManager[Any]]) -> None:
        """Bind decides; psutil names the owner, and one line says what cannot be seen."""
        with there(PORT):
            done = elsewhere(system, "explain", str(PORT))
            (target,) = json.loads(elsewhere(system, "explain", "--json", str(PORT)).out)["targets"]
        assert done.status == 1
        assert done.out.startswith("cannot see everything: ")
        assert f"(pid {os.getpid()}, " in done.out
        assert done.err == ""
        assert (target["verdict"], target["by"]) == ("held", "bind")
        assert {owner["pid"] for one in target["blockers"] for owner in one["owners"]} == {os.getpid()}
        for of_linux in ("evict", "portwait reserve", "ip_local_port_range", "systemctl"):
            assert of_linux not in done.out

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_free(self, system: str) -> None:
        assert elsewhere(system, "explain", str(PORT)) == (0, f"{PORT}/tcp is free\n", "")

    @pytest.mark.parametrize("system", SYSTEMS)
    def test_udp_is_explained_too(self, system: str) -> None:
        """By psutil's table of UDP sockets."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", PORT))
            done = elsewhere(system, "explain", f"{PORT}/udp")
        assert done.status == 1
        assert f"(pid {os.getpid()}, " in done.out

    @pytest.mark.parametrize("system", SYSTEMS)
    @pytest.mark.parametrize("word", [f"0.0.0.0%lo:{PORT}", f"192.0.2.1:{PORT}"])
    def test_what_is_neither_free_nor_held(self, system: str, word: str) -> None:
        """A device that bind() cannot be asked for, an address that is not there: in words, and not `held`."""
        done = elsewhere(system, "explain", word)
        assert (done.status, done.err) == (0, "")
        assert re.search("the kernel gave no verdict|is unavailable", done.out)

    def test_what_ends_a_process_of_windows(self) -> None:
        with listening(PORT):
            out = elsewhere(WINDOWS, "explain", str(PORT)).out
        assert f"taskkill /PID {os.getpid()}" in out
        assert "sudo" not in out


@pytest.mark.parametrize("system", POSIX)
class TestGuard:
    """It waits by bind(), with psutil's word on who is in the way; there is no hold."""

    def test_free(self, system: str) -> None:
        """It starts without a word, and leaves nothing behind."""
        with running(argv(system, str(PORT), "--", "sh", "-c", "echo started; read line"), stdin=-1) as service:
            service.says("started")
            assert sockets_of(service.pid) == []
            assert service.err == []

    def test_never_over_a_live_listener(self, system: str) -> None:
        """It names the listener, waits, and gives up."""
        with listening(PORT):
            done = elsewhere(system, "-t", "10", str(PORT), "--", *STARTED)
        assert (done.status, done.out) == (GAVE_UP, "")
        assert f"(pid {os.getpid()}, " in done.err
        assert "failed" not in done.err

    @pytest.mark.parametrize("there", [listening, outbound_established])
    def test_it_becomes_free(self, system: str, there: Callable[..., AbstractContextManager[Any]]) -> None:
        with contextlib.ExitStack() as stack:
            with there(PORT) as made:
                service = stack.enter_context(running(argv(system, str(PORT), "--", *STARTED)))
                service.complains("waiting for")
                assert service.out == []
                if there is outbound_established:
                    reset(made.sock)
            service.says("started")
            assert service.status() == 0

    def test_a_wide_range(self, system: str) -> None:
        """The tables decide there."""
        with listening(PORT):
            done = elsewhere(system, "-t", "0", "30000-30100", "--", *STARTED)
        assert (done.status, done.out) == (GAVE_UP, "")

    def test_a_signal_ends_the_wait(self, system: str) -> None:
        with listening(PORT), running(argv(system, str(PORT), "--", *STARTED)) as waiting:
            waiting.complains("waiting for")
            waiting.signal(signal.SIGTERM)
            assert waiting.status() == -signal.SIGTERM
            assert waiting.out == []

    @pytest.mark.parametrize("option", ["--hold", "--hold=full", "--evict", "--terminate", "--reserve", "--fdstore"])
    def test_wishes_that_are_linux_s(self, system: str, option: str) -> None:
        """One line says that this system lacks it, and the service starts."""
        done = elsewhere(system, option, str(PORT), "--", *STARTED)
        assert (done.status, done.out) == (0, "started\n")
        (line,) = done.err.splitlines()
        assert line.endswith("only Linux has the means for it; continuing without it")

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (("--freebind", f"192.0.2.1:{PORT}"), "ENOPROTOOPT"),
            ((f"0.0.0.0%lo:{PORT}",), "ENOPROTOOPT"),
        ],
        ids=["--freebind", "a device"],
    )
    def test_what_cannot_be_asked_for_there(self, system: str, words: tuple[str, ...], error: str) -> None:
        """These options of a socket have other numbers there, or none: one line says that bind() cannot be asked."""
        done = elsewhere(system, *words, "--", *STARTED)
        assert (done.status, done.out) == (0, "started\n")
        assert error in done.err
        assert "Traceback" not in done.err
        assert "not all there" not in done.err

    def test_a_udp_service_that_shares_its_port(self, system: str) -> None:
        """Whether it can join cannot be asked there without taking datagrams, so it starts."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.bind(("127.0.0.1", PORT))
            assert elsewhere(system, "--reuseport", f"127.0.0.1:{PORT}/udp", "--", *STARTED) == (0, "started\n", "")

    def test_terminate_does_nothing(self, system: str) -> None:
        """There is nothing to hold a process by, so it lives."""
        server = f"import socket; s = socket.create_server(('', {PORT})); print('ready', flush=True); s.accept()"
        with running([sys.executable, "-ISc", server]) as listener:
            listener.says("ready")
            done = elsewhere(system, "--terminate=listener", "-t", "10", str(PORT), "--", *STARTED)
            assert listener.process.poll() is None
        assert (done.status, done.out) == (GAVE_UP, "")
        assert "failed to terminate who is in the way: only Linux has the means for it" in done.err

    def test_listen(self, system: str) -> None:
        """The service takes the socket over, by LISTEN_FDS as on Linux."""
        show = (sys.executable, "-ISc", "import os; print('has', os.environ['LISTEN_FDS'], os.fstat(3).st_mode >> 12)")
        done = elsewhere(system, "--listen", str(PORT), "--", *show)
        assert done == (0, "has 1 12\n", "")  # S_IFSOCK

    @pytest.mark.parametrize(
        ("words", "status", "out"),
        [
            ((str(PORT),), 0, ""),
            (("-4", str(PORT), "--", *STARTED), 0, "started\n"),
            (("-6", str(PORT), "--", *STARTED), 0, "started\n"),
            (("--reuseport", str(PORT), "--", *STARTED), 0, "started\n"),
            (("--no-reuseaddr", f"{PORT}/udp", "--", *STARTED), 0, "started\n"),
            (("--no-hold", "--no-evict", str(PORT), "--", *STARTED), 0, "started\n"),
            ((str(PORT), "--", "no-such-command"), 127, ""),
            ((str(PORT), "--", "/etc/passwd"), 126, ""),
            ((str(PORT), "--"), WRONG, ""),
        ],
        ids=str,
    )
    def test_a_free_port(self, system: str, words: tuple[str, ...], status: int, out: str) -> None:
        """The options that are everybody's, and the exit statuses, are those of Linux."""
        done = elsewhere(system, *words)
        assert (done.status, done.out) == (status, out)
        assert (done.err == "") == (status == 0)

    @pytest.mark.parametrize(
        ("words", "status", "out"),
        [
            (("--anyway", str(PORT)), 0, "started\n"),
            (("-4", "-q", str(PORT)), GAVE_UP, ""),
            (("--log-format=json", str(PORT)), GAVE_UP, ""),
            (("--dry-run", str(PORT)), GAVE_UP, ""),
            ((f"192.0.2.1:{PORT}",), GAVE_UP, ""),
        ],
        ids=str,
    )
    def test_a_held_port(self, system: str, words: tuple[str, ...], status: int, out: str) -> None:
        with listening(PORT):
            done = elsewhere(system, "-t", "0", *words, "--", *STARTED)
        assert (done.status, done.out) == (status, out)
        assert "failed" not in done.err

    def test_evict_does_nothing(self, system: str) -> None:
        with outbound_established(PORT) as made:
            done = elsewhere(system, "--evict", "-t", "0.3", str(PORT), "--", *STARTED)
            assert made.sock.send(b"x") == 1
        assert (done.status, done.out) == (GAVE_UP, "")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "words",
    [
        ("evict", "30010"),
        ("reserve", "30010"),
        ("release", "30010"),
        ("audit",),
        ("pick", "30000-30010"),
        ("pick", "30000-30010", "--", *STARTED),
        ("unit", "orders.service"),
    ],
    ids=lambda words: " ".join(words[:1]),
)
def test_other_verbs_refuse(system: str, words: tuple[str, ...]) -> None:
    """In one line, with the status of what could not be done."""
    done = elsewhere(system, *words)
    assert (done.status, done.out) == (WRONG, "")
    (line,) = done.err.splitlines()
    assert line.startswith(f"portwait: cannot {words[0]}: only Linux has the means for it; here portwait can explain")


@pytest.mark.parametrize("words", [(str(PORT), "--", *STARTED), (str(PORT),), ("--evict", str(PORT), "--", *STARTED)])
def test_no_guard_on_windows(words: tuple[str, ...]) -> None:
    """Nothing is started, over a free port neither."""
    done = elsewhere(WINDOWS, *words)
    assert (done.status, done.out) == (WRONG, "")
    assert done.err == (
        "portwait: cannot guard: on Windows no process becomes another one (exec); here portwait can explain\n"
    )


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("verb", [(), *((verb,) for verb in VERBS)], ids=str)
def test_help_is_everybodys(system: str, verb: tuple[str, ...]) -> None:
    """Of each verb, also where it can do nothing."""
    done = elsewhere(system, *verb, "--help")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(" ".join(("usage: portwait", *verb)))


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize(
    "words", [("--version",), ("completion", "bash"), ("completion", "zsh"), ("completion", "fish")]
)
def test_so_are_these(system: str, words: tuple[str, ...]) -> None:
    done = elsewhere(system, *words)
    assert (done.status, done.err) == (0, "")
    assert done.out

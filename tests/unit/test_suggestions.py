"""Words that people type by habit, and the right answer to each."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from portwait.commands import guard
from portwait.errors import CommandNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

OTHER_HOST = "portwait frees a port of this host, and resolves no names; to wait for a server use wait-for-it or wait4x"
LOCALHOST = "names are never resolved: try 127.0.0.1:8080, [::1]:8080 or 8080"

ANSWERS = {
    "localhost:8080 -- cmd": LOCALHOST,
    "localhost:8080 -t 30 -- cmd": LOCALHOST,
    "-t 30 localhost:8080 -- cmd": LOCALHOST,
    "explain localhost:8080": LOCALHOST,
    "localhost -- cmd": "names are never resolved, and the port is missing: try 127.0.0.1:30010",
    "127.0.0.1 -- cmd": "the port is missing, as in 127.0.0.1:30010",
    "explain 192.168.1.1": "the port is missing, as in 192.168.1.1:30010",
    "db:5432 -- cmd": OTHER_HOST,
    "-t 30 my-db.example.org:5432 -- cmd": OTHER_HOST,
    "http://localhost:8080": OTHER_HOST,
    "explain https://example.org/": OTHER_HOST,
    "wait 8080": "the guard has no verb: portwait 8080",
    "wait -t 5 8080 -- cmd": "the guard has no verb: portwait -t 5 8080 -- ...",
    "run 8080 -- cmd": "a command stands behind --",
    "run": "the guard has no verb: portwait TARGET",
    "run 8080 serve --quick": "the guard has no verb: portwait 8080 -- serve --quick",
    "run 8080 8081": "the guard has no verb: portwait 8080 8081;",
    "kill 8080": "did you mean portwait evict?",
    "kill -9 8080": "did you mean portwait evict?",
    "check 8080": "did you mean portwait explain?",
    "status 8080": "did you mean portwait explain?",
    "status": "did you mean portwait explain?",
    "who 8080": "did you mean portwait explain?",
    "show 8080": "did you mean portwait explain?",
    "list": "did you mean portwait audit?",
    "ls": "did you mean portwait audit?",
    "help": "did you mean portwait --help?",
    "unreserve 8080": "did you mean portwait release?",
    "explian 8080": "did you mean portwait explain?",
    "8080 explain": "explain is a verb and comes first: portwait explain ...",
    "evict 8080 -- java -jar app.jar": "the guard does that: portwait --evict 8080 -- java ...",
    "evict --json --evict-user app 8080 -- java": "portwait --evict --evict-user app 8080 -- java ...",
    "explain -6 8080 -- java": "cannot explain and start a command: the guard does that: portwait -6 8080 -- java ...",
    "explain 8080 -- nosuch 8081": "the guard does that: portwait 8080 -- nosuch ...",
    "explain 8080 nosuch -- cmd": "no tcp service is called 'nosuch'",
    "-p 8080": "a port stands alone: portwait 8080",
    "-p 8080 -- cmd": "a port stands alone: portwait 8080",
    "--port 8080": "a port stands alone: portwait 8080",
    "--port=8080 -- cmd": "a port stands alone: portwait 8080",
    "explain -p 8080": "a port stands alone: portwait explain 8080",
    "-p8080 -- cmd": "a port has no dash in front: portwait 8080",
    "-40012": "a port has no dash in front: portwait 40012",
    "-6379 -- cmd": "a port has no dash in front: portwait 6379",
    "--8080": "a port has no dash in front: portwait 8080",
    "-t 5 -8080/udp": "a port has no dash in front: portwait -t 5 8080/udp",
    "-8080-8090": "a port has no dash in front: portwait 8080-8090",
    "explain -8080": "a port has no dash in front: portwait explain 8080",
    "reserve -8080": "a port has no dash in front: portwait reserve 8080",
    "--quiet=x 8080": "the option -q/--quiet takes no value, and 'x' is one",
    "--no-evict=yes 8080": "the option --no-evict takes no value, and 'yes' is one",
    "explain --json=yes 8080": "the option --json takes no value, and 'yes' is one",
    "-t 8080 -- true": "(8080 was read as the --timeout)",
    "--timeout=8080 -- true": "(8080 was read as the --timeout)",
    "--timeout -1 8080": "in the option -t/--timeout: cannot read duration '-1'",
    "--timeout=-1 8080": "in the option -t/--timeout: cannot read duration '-1'",
    "-t -1 8080": "in the option -t/--timeout: cannot read duration '-1'",
    "-t abc 8080": "in the option -t/--timeout: cannot read duration 'abc'",
    "audit --gap soon": "in the option --gap: cannot read duration 'soon'",
    "--json 8080": "it is an option of portwait explain and portwait evict: portwait explain --json 8080",
    "--persist 8080": "it is an option of portwait reserve and portwait release: portwait reserve --persist 8080",
    "explain --evict 30010": "cannot use option '--evict': it is an option of the guard and portwait evict",
    "explain --no-evict 30010": "cannot use option '--no-evict': it is an option of the guard and portwait evict",
    "--tiemout 5 8080": "did you mean --timeout?",
    "--terminate=TERM 8080": "the signal is --signal=TERM",
    "8080 --": "cannot start nothing: a COMMAND follows --; to wait only, leave out the --",
    "--": "cannot start nothing: a COMMAND follows --; to wait only, leave out the --",
    "8080 true": "a command stands behind --: portwait 8080 -- true",
    "8080 sh -c x": "a command stands behind --: portwait 8080 -- sh ...",
}
"""What is typed: what the one line on stderr says."""


@pytest.mark.parametrize(("typed", "answer"), ANSWERS.items())
def test_what_people_type(typed: str, answer: str, main: Callable[..., int], capfd: pytest.CaptureFixture[str]) -> None:
    """One line, status 125, and nothing is started."""
    assert main(*typed.split()) == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert answer in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("typed", [":8080", "8080,8081", ":8080 8081,8082"])
def test_other_spellings_of_targets_are_accepted(
    typed: str, main: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Go and Docker write a port, and as lists of ports are written."""
    monkeypatch.setattr(guard, "run", lambda options, _command: len(options.targets))
    assert main(*typed.split(), "--", "true") == len(typed.split())


class TestServiceAndCommand:
    """A bare word behind a TARGET that is a service's name and a command alike is an error."""

    @pytest.fixture(autouse=True)
    def _commands(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shutil, "which", lambda word, *_: f"/bin/{word}" if word in ("ssh", "cmd") else None)
        monkeypatch.setattr(guard, "run", lambda _options, _command: 77)

    @pytest.mark.parametrize("words", [["8080", "ssh"], ["-t", "5", "8080", "ssh"], ["8080", "redis", "ssh"]])
    def test_is_refused(
        self, words: Sequence[str], main: Callable[..., int], capfd: pytest.CaptureFixture[str]
    ) -> None:
        """With both spellings that say which is meant."""
        assert main(*words) == 125
        err = capfd.readouterr().err
        assert "write ssh/tcp for the port" in err
        assert re.search(r"portwait .* -- ssh for the command", err)

    @pytest.mark.parametrize(
        "words",
        [
            ["ssh"],
            ["ssh", "8080"],
            ["8080", "ssh/tcp"],
            ["8080", "redis"],
            ["8080", "ssh", "--", "cmd"],
            ["8080", ":ssh"],
        ],
    )
    def test_is_accepted_where_it_can_only_be_the_service(self, words: Sequence[str], main: Callable[..., int]) -> None:
        """In front, with a protocol, or with a command behind `--`."""
        assert main(*words) == 77


@pytest.mark.parametrize(
    ("command", "cure"),
    [
        (["cd", "/srv"], "only a shell understands that: portwait 8080 -- sh -c 'cd /srv'"),
        (["a && b"], "only a shell understands that: portwait 8080 -- sh -c 'a && b'"),
        (["FOO=$BAR run"], "only a shell understands that: portwait 8080 -- sh -c 'FOO=$BAR run'"),
        (["export"], "only a shell understands that: portwait 8080 -- sh -c export"),
        (["a\n&& b"], "only a shell understands that: portwait 8080 -- sh -c '...'"),
        (["nosuchcommand", "a && b"], "no such command in PATH"),
    ],
    ids=lambda value: ascii(" ".join(value)) if isinstance(value, list) else "",
)
def test_what_only_a_shell_understands(
    command: list[str],
    cure: str,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The status is that of a command that is not found."""

    def missing(_options: object, command: Sequence[str]) -> int:
        raise CommandNotFoundError(f"cannot run {command[0]!r}: no such command in PATH")

    monkeypatch.setattr(guard, "run", missing)
    assert main("8080", "--", *command) == 127
    err = capfd.readouterr().err
    assert cure in err
    assert err[:-1].isprintable()


def test_the_port_as_timeout_is_fine_where_the_environment_has_targets(
    main: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-t 8080` is a timeout then."""
    monkeypatch.setenv("PORTWAIT_TARGETS", "30010")
    monkeypatch.setattr(guard, "run", lambda options, _command: int(options.timeout == 8080.0) + os.EX_USAGE)
    assert main("-t", "8080", "--", "true") == os.EX_USAGE + 1

"""Other people's text: nothing that moves a cursor gets through, no secret does, and what is quoted stays one word."""

from __future__ import annotations

import shlex
import subprocess
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.text.escape import columns, cut, escape, shell
from portwait.text.masking import command_line, mask
from portwait.text.secret_names import MASK

ESC = "\x1b"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("orders.jar --name='ä 日本 🐍'", "orders.jar --name='ä 日本 🐍'"),
        (f"{ESC}[2J{ESC}]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("one\ntwo\r\tthree\x00", r"one\x0atwo\x0d\x09three\x00"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202ecba\u2066\u200f", r"abc\u202ecba\u2066\u200f"),
        ("a\u2028b\u2029c\u00a0d", r"a\u2028b\u2029c\xa0d"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\udcff\udce4", r"\xff\xe4"),
        ("\ud800", r"\ud800"),
        ("\U000e0001tag", r"\U000e0001tag"),
        ("e\u0301", "e\u0301"),
        ("e" + "\u0301" * 5, "e" + "\u0301" * 3 + r"\u0301\u0301"),
        ("", ""),
    ],
    ids=[
        "plain",
        "terminal",
        "lines",
        "C1",
        "bidi",
        "separators",
        "zero width",
        "no text",
        "half",
        "tag",
        "accent",
        "tower",
        "empty",
    ],
)
def test_what_is_shown_is_safe(text: str, shown: str) -> None:
    """Escaped is what steers a terminal, breaks a line, turns text round, hides, or is no text; the rest stays."""
    assert escape(text) == shown


@given(some.text(some.characters()))
def test_nothing_that_steers_gets_through(text: str) -> None:
    """Whatever it is: one line of visible characters and plain spaces that every terminal and file can take."""
    shown = escape(text)
    assert all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in shown)
    shown.encode()
    assert len(shown) <= 400 * 10


def test_what_is_endless_is_cut() -> None:
    """Megabytes become a few hundred characters, and the cut shows."""
    assert escape("x" * 5_000_000) == "x" * 399 + "…"
    assert escape("abcdef", longest=4) == "abc…"


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--password=hunter2", "--password=***"),
        ("--password=a=b,c;d&e f", "--password=***"),
        ("-Dwrapper.key=s3cret", "-Dwrapper.key=***"),
        ("-Djavax.net.ssl.keyStorePassword=x", "-Djavax.net.ssl.keyStorePassword=***"),
        ("/password:hunter2", "/password:***"),
        ("DB_PASSWORD=x", "DB_PASSWORD=***"),
        ("--api-key=x", "--api-key=***"),
        ("API_KEY=x", "API_KEY=***"),
        ("--client-secret=x", "--client-secret=***"),
        ("redis://:hunter2@10.0.0.1:6379/0", "redis://:***@10.0.0.1:6379/0"),
        ("postgres://app:hunter2@db/orders", "postgres://app:***@db/orders"),
        ("--url=amqp://u:p@host", "--url=amqp://u:***@host"),
        ("https://h/x?user=a&token=abc&b=c", "https://h/x?user=a&token=***&b=c"),
        ("jdbc:mysql://h/db?user=a&password=b,c", "jdbc:mysql://h/db?user=a&password=***"),
        ("Authorization: Bearer abc.def", "Authorization:***"),
        ("X-Header: Bearer abc", "X-Header: Bearer ***"),
        ("mysql --password=hunter2 -h db", "mysql --password=*** -h db"),
        ("tool --token abc --verbose", "tool --token *** --verbose"),
        ('{"user": "a", "password": "hunter2"}', '{"user": "a", "password": "***"}'),
        ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
        ("cd /x; /usr/bin/mysql -phunter2 db", "cd /x; /usr/bin/mysql -p*** db"),
        ("exec curl  -u 'me:hunter two' http://h", "exec curl  -u *** http://h"),
        ("mkdir -p /x && redis-cli ping", "mkdir -p /x && redis-cli ping"),
        ("ghp_0123456789abcdefghij", "***"),
        ("--with=AKIAIOSFODNN7EXAMPLE", "--with=***"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc-_", "***"),
        # and these are none
        ("--password-file=/run/secrets/db", "--password-file=/run/secrets/db"),
        ("-Dwrapper.port=32000", "-Dwrapper.port=32000"),
        ("http://host:8080/path", "http://host:8080/path"),
        ("10.0.0.1:6379", "10.0.0.1:6379"),
        ("/opt/CloudResetPwdAgent/lib/a.jar:/opt/b.jar", "/opt/CloudResetPwdAgent/lib/a.jar:/opt/b.jar"),
        ("--keyspace=orders", "--keyspace=orders"),
    ],
)
def test_a_word_with_a_secret(word: str, shown: str) -> None:
    """The value goes, the name stays, so that one sees which option it was."""
    assert mask([word]) == (shown,)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("app --password hunter2 -v", "app --password *** -v"),
        ("app --password -hunter2", "app --password ***"),
        ("app --no-password --verbose", "app --no-password --verbose"),
        ("curl -H Authorization: x", "curl -H Authorization: ***"),
        ("curl -u me:hunter2 http://h", "curl -u *** http://h"),
        ("/usr/bin/mysql -phunter2 db", "/usr/bin/mysql -p*** db"),
        ("mysql -p db", "mysql -p db"),
        ("docker -p8080:80", "docker -p8080:80"),
        ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
        ("sshpass -p hunter2 ssh h", "sshpass -p *** ssh h"),
        ("app --password", "app --password"),
        ("app --password --hunter2", "app --password ***"),
        ("app --password --token hunter2", "app --password *** ***"),
        ("curl --user me:hunter2 http://h", "curl --user *** http://h"),
        ("curl -ume:hunter2 --proxy-user me:hunter2", "curl -u*** --proxy-user ***"),
        ("sudo mysql -phunter2", "sudo mysql -p***"),
        ("/usr/bin/env sshpass -p hunter2 ssh h", "/usr/bin/env sshpass -p *** ssh h"),
        ("sshpass -p hunter2 mysql -phunter2", "sshpass -p *** mysql -p***"),
        ("docker run -p8080:80 mysql", "docker run -p8080:80 mysql"),
    ],
)
def test_a_secret_in_the_next_word(command: str, shown: str) -> None:
    """The option is in one word, its value in the next; some programs have short options for it."""
    assert mask(command.split()) == tuple(shown.split())


@given(
    some.sampled_from(["--password", "--db-password", "-Dapi.key", "token", "SECRET", "--auth"]),
    some.text(some.characters(), min_size=8).filter(lambda text: text.strip("*")),
)
def test_a_named_secret_is_never_shown(name: str, secret: str) -> None:
    """Whatever is in it: spaces, quotes, line breaks, half characters."""
    assert mask([f"{name}={secret}"]) == (f"{name}={MASK}",)
    if name.startswith("-"):
        assert mask([name, secret]) == (name, MASK)


@pytest.mark.parametrize(
    "word",
    [
        "password" * 100_000,
        "a." * 500_000 + "=",
        "://a:" * 200_000,
        "bearer " * 200_000,
        "--token " * 100_000,
        "eyJ" + "a." * 500_000,
        "e\u0301" * 500_000,
        '"password":' * 100_000,
        "mysql -p'" * 100_000,
        "curl -u " * 100_000,
    ],
    ids=lambda word: word[:8],
)
def test_no_word_takes_long(word: str) -> None:
    """Time grows with what is shown, not with what is given: sixty such words are done at once."""
    began = time.process_time()
    assert len(command_line([word] * 1000, 150)) == 150
    assert time.process_time() - began < 10  # in truth some 20 ms; quadratic time would be hours


def test_a_long_command_line_keeps_both_ends() -> None:
    """A JVM's first words say that it is one, its last ones which service it is."""
    line = command_line(["java", *(f"-Dnumber={number}" for number in range(50)), "orders.jar"], 60)
    assert len(line) == 60
    assert line.startswith("java ")
    assert "…" in line
    assert line.endswith(" orders.jar")
    assert command_line(["x"] * 100).endswith("x …")


@given(some.lists(some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_the_shell_reads_back_what_was_quoted(words: list[str]) -> None:
    """Each word is one word again, and nothing in it is expanded, split or run; and it can be seen what is pasted."""
    line = shell(words)
    assert all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in line)
    if "$'" not in line:
        assert shlex.split(line) == words


@pytest.mark.parametrize(
    "word",
    [
        "",
        "plain-1.0_x",
        "a b",
        "it's",
        "$HOME `id` $(id) \\ ! *",
        "two\nlines",
        f"{ESC}[2J'\\",
        "ä\u202e",
        "\udcff\udc80",
        "-rf",
        "~",
        "#",
        "a'\n",
    ],
)
def test_bash_reads_back_what_was_quoted(word: str) -> None:
    """The real shell, with every kind of quoting."""
    line = f"printf %s {shell([word])}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert done.stdout == word.encode(errors="surrogateescape")


@pytest.mark.parametrize(("text", "width"), [("", 0), ("abc", 3), ("日本", 4), ("e\u0301", 1), ("ä…", 2)])
def test_columns_are_those_of_a_terminal(text: str, width: int) -> None:
    """Wide characters take two, accents that stand alone none."""
    assert columns(text) == width


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("abc", 3, "abc"),
        ("abc", 2, "ab"),
        ("日本", 4, "日本"),
        ("日本", 3, "日"),
        ("e\u0301f", 1, "e\u0301"),
        ("日", 1, ""),
    ],
)
def test_a_line_is_cut_by_columns(text: str, room: int, shown: str) -> None:
    """A wide character goes as a whole, and an accent stays with its letter."""
    assert cut(text, room) == shown

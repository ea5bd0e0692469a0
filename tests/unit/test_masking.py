"""No secret of a command line is shown, in any output; ports, hosts and files stay readable."""

from __future__ import annotations

import json
import re
import shlex
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait.text import secret_names, secret_words
from portwait.text.escape import escape
from portwait.text.masking import command_line, mask, may_have_secret

ROWS = [
    row
    for row in Path(__file__).with_name("command_lines_with_secrets.txt").read_text().splitlines()
    if not row.startswith("#")
]
PLACE = re.compile(r"(?<!_)SECRET(?!_)")
SECRETS = ("Hq7vXw2k", "1234567890", "a.b-c_d+e", "p%ss!w0rd^", "x#y*z~q?w", "pa$$w@rd", "abc=defg==", "s:e:c:r:e:t")
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def planted(row: str, secret: str) -> list[str]:
    """Put a secret into its place in a row, and split that into words."""
    return [PLACE.sub(lambda _: secret, word) for word in shlex.split(row)]


def test_the_table_is_large_and_every_row_has_a_secret() -> None:
    """Rule: 200 ways of real programs at least, each one of them different."""
    assert len(set(ROWS)) == len(ROWS) >= 200
    assert all(PLACE.search(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_real_program_gets_its_secret_unseen(row: str) -> None:
    """Rule: of each program's way no part of the secret is shown; the program's name is."""
    for secret in SECRETS:
        words = planted(row, secret)
        shown = mask(words)
        assert not any(secret in word for word in shown)
        assert len(shown) == len(words)
        assert shown[0].partition("=")[0] == words[0].partition("=")[0]


WRAPPERS = ("{}", "sudo -u app {}", "/usr/bin/env A=b {}", "nice -n 5 {}", "sh -c {!r}", "bash -lc {!r}")


@given(
    some.sampled_from([row for row in ROWS if "'" not in row]),
    some.text(PLAIN + "._-+^~%!", min_size=6, max_size=40).filter(lambda text: text[0] in PLAIN and text[-1] in PLAIN),
    some.sampled_from(WRAPPERS),
)
def test_no_planted_secret_comes_out(row: str, secret: str, wrapper: str) -> None:
    """Rule: whatever the secret, behind `sudo`, `env` or within a shell's script: not in words, lines, or JSON."""
    words = planted(row, secret)
    if any(secret in PLACE.sub("", word) for word in shlex.split(row)):
        return  # by chance it is a part of the program's own words
    before, _, _ = wrapper.partition("{")
    command = [*before.split(), shlex.join(words)] if "!r" in wrapper else [*before.split(), *words]
    shown = mask(command)
    for output in (
        " ".join(shown),
        command_line(command),
        command_line(command, 150),
        json.dumps([*map(escape, shown)]),
    ):
        assert secret not in output


@pytest.mark.parametrize(
    "line",
    [
        "java -jar /opt/orders/orders.jar --server.port=8080",
        "java -cp /opt/CloudResetPwdAgent/lib/a.jar:/opt/b.jar Main",
        "/usr/sbin/wrapper /opt/secret-agent/conf/wrapper.conf wrapper.pidfile=/run/w.pid",
        "java -Dwrapper.port=32000 -Dwrapper.jvm.port.min=31000 -Dwrapper.pid=4711",
        "redis-server *:6379",
        "nginx: worker process",
        "postgres: app orders 10.0.0.1(40000) idle",
        "sshd: me@pts/0",
        "docker-proxy -proto tcp -host-ip 0.0.0.0 -host-port 8080 -container-ip 172.17.0.2 -container-port 80",
        "docker run -p 8080:80 nginx:1.25@sha256:0123456789abcdef",
        "docker exec -it web sh",
        "mysql -h db -P 3306 -p orders",
        "ssh -N -R 127.0.0.1:19999:localhost:22 me@host",
        "scp -P 22 me@host:/tmp/x y",
        "curl http://host:8080/path?page=2",
        "git clone ssh://git@github.com/a/b.git",
        "npm install https://registry.npmjs.org/@scope/x",
        "psql postgres://app@db:5432/orders",
        "socat TCP-LISTEN:8080,fork TCP:10.0.0.1:80",
        "haproxy -f /etc/haproxy/haproxy.cfg -p /run/haproxy.pid",
        "app --password-file /run/secrets/db --port 30010",
        "mosquitto_pub -h h -p 1883 -t x -m y",
        "python3 -m http.server 8000 --bind 127.0.0.1",
        "kubectl get secret db",
        "kafka --listeners PLAINTEXT://0.0.0.0:9092",
        "java -agentlib:jdwp=transport=dt_socket,server=y,address=*:5005 -jar app.jar",
        "sh -c 'exec java -jar app.jar --port 30010 > /var/log/app.log'",
        "chown app:app /srv",
        "consul agent -bootstrap -data-dir /x",
        "curl -sSfL http://host:8080/",
        "java -Dmode=exp -Dformat=zip -jar /opt/a.jar -P 8080",
    ],
)
def test_what_helps_stays_readable(line: str) -> None:
    """Rule: ports, hosts, users, jars and configuration files are what a reader looks for."""
    words = shlex.split(line)
    assert mask(words) == tuple(words)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("app --env=DB_PASSWORD=S", "app --env=DB_PASSWORD=***"),
        ("app --set=db.password=S", "app --set=db.password=***"),
        ("app -var=token=S", "app -var=token=***"),
        ("app 'Server=s;Password=S;Encrypt=true'", "app Server=s;Password=***;Encrypt=true"),
        ("app 'jdbc:sqlserver://h;user=a;password=S'", "app jdbc:sqlserver://h;user=a;password=***"),
        ("app --header=X-Auth-Token:S", "app --header=X-Auth-Token:***"),
        ("app 'https://h/?token=S'", "app https://h/?token=***"),
        ("git clone https://S@github.com/a", "git clone https://***@github.com/a"),
        ("app redis://:p@ss@h:6379/0", "app redis://:***@h:6379/0"),
        ("mysql -uroot -pS orders", "mysql -uroot -p*** orders"),
        ("docker login -u me -p S r:5000", "docker login -u me -p *** r:5000"),
        ("mosquitto_pub -h h -u me -P S", "mosquitto_pub -h h -u me -P ***"),
        ("curl -ume:S http://h:8080/", "curl -u*** http://h:8080/"),
        ("sh -c 'mysql -pS -h db orders'", "sh -c mysql -p*** -h db orders"),
        ("sh -c 'echo S | sudo -S reboot'", "sh -c echo *** | sudo -S reboot"),
        ("app --a=x,db.password=S,c=d", "app --a=x,db.password=***,c=d"),
    ],
)
def test_what_is_shown_of_a_secret(line: str, shown: str) -> None:
    """Rule: the option, the host and what follows stay, so that one sees which secret it was."""
    assert " ".join(mask(shlex.split(line))) == shown


def test_a_url_that_is_cut_shows_no_beginning_of_a_password() -> None:
    """Rule: a word is cut at 1,000 characters; what stands before the cut may be half a password."""
    word = "x" * 970 + " redis://u:" + "Hq7vXw2k" * 10 + "@h"
    assert "Hq7v" not in mask([word])[0]


@pytest.mark.parametrize(
    "word",
    [
        "a=" * 500,
        "a:b@" * 250,
        "eyJ-" * 250,
        "'\"" * 500,
        "sh -c '" * 150,
        "://u:p@" * 150,
        "password = " * 100,
        "echo " * 200,
        "%3D" * 300,
        '{"key":"' * 120,
        " " * 999 + "=",
        "\\" * 999,
    ],
    ids=lambda word: word[:8],
)
def test_no_word_of_the_greatest_length_takes_long(word: str) -> None:
    """Rule: sixty words made to be slow are masked in less than a second (some 50 ms in truth)."""
    began = time.process_time()
    mask([word] * 60)
    assert time.process_time() - began < 3


def test_tokens_of_known_forms_are_masked() -> None:
    """Rule: tokens that can be told by their form alone, without a name beside them, are masked wherever they stand."""
    for token in TOKENS:
        for word in (token, f"--with={token}", f"x {token} y", f"https://h/{token}/x", f"a,{token}"):
            assert token not in mask([word])[0]


TOKENS = (
    "ghp_" + "a1B2" * 9,
    "glpat-" + "a1B2c" * 4,
    "xoxb-" + "1234567890-" * 2 + "abcdef",
    "AKIA" + "ABCD1234EFGH5678",
    "AIza" + "a1B2c3D" * 5,
    "sk_live_" + "a1B2" * 6,
    "SG." + "a1B2c" * 4 + "." + "d3E4f" * 8,
    "npm_" + "a1B2" * 9,
    "pypi-" + "AgEIcHlwaS5vcmc" * 3,
    "hvs." + "a1B2c" * 6,
    "123456789:AA" + "a1B2c" * 7,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.abc-_",
    "$6$abcdefgh$" + "a1B2" * 10,
    "dckr_pat_" + "a1B2c" * 6,
    "hf_" + "a1B2c" * 6,
)
"""One of each form, by hand; put together from parts, so that no scanner takes this file for a leak."""


PIECES = some.one_of(
    some.sampled_from(
        (
            *("=", ":", "%3D", "@", "://", " ", "/", "-", "--", "-u", "-U", "'", '"'),
            *("by", "identified", "x", "user", "é"),
            *("\u2003", "\x1c", "]", "\\", ">", ":=", "?", "&", ";", ",", "{", "no-", "token", "secret", "1234567890"),
            *(*secret_names.BARE, *secret_names.USERS, *secret_names._PARTS, *secret_names._ENDINGS),
            *(*secret_names._WHOLE, *secret_names.NEXT, *secret_names.GLUED, *secret_names.POSITIONAL),
            *(option for options in secret_names.NEXT.values() for option in options),
        )
    ),
    some.text(PLAIN + ":=@%-_./", max_size=8),
    some.from_regex(secret_names.SHAPES, fullmatch=True),
)
COMMANDS = some.lists(some.lists(PIECES, max_size=4).map("".join), max_size=6)


@given(COMMANDS)
def test_what_is_not_looked_at_has_no_secret(command: list[str]) -> None:
    """Rule: the quick test for "no secret here" never holds for words that the patterns would change."""
    if not may_have_secret(command):
        assert secret_words.mask_words(command) == command


@pytest.mark.parametrize("row", ROWS)
def test_a_command_line_with_a_secret_is_looked_at(row: str) -> None:
    """Rule: that holds for each real program's too."""
    for secret in SECRETS:
        words = planted(row, secret)
        if secret_words.mask_words(words) != words:
            assert may_have_secret(words)


@pytest.mark.parametrize(
    "line",
    [
        "java -Xmx512m -jar /opt/orders/orders.jar --server.port=8080",
        "/usr/bin/python3 -u -m http.server 8000",
        "nginx: master process /usr/sbin/nginx -g daemon",
        "/usr/bin/redis-server 127.0.0.1:6379",
        "postgres: 15/main: checkpointer",
    ],
)
def test_most_command_lines_need_no_patterns(line: str) -> None:
    """Rule: what most servers are called with is shown without compiling a pattern."""
    assert not may_have_secret(line.split())

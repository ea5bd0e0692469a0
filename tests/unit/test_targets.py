"""What the words of the command line mean, and what is said of those that mean nothing."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from portwait.errors import UsageError
from portwait.model.targets import ANY, Target, asked_for, parse, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from portwait.model.targets import Family, Protocol

DEVICES = {
    "0.0.0.0%eth0:67/udp": Target("", 67, "udp", "0.0.0.0", 4, "", "eth0"),  # noqa: S104  # read, not bound
    "*%eth0:67": Target("", 67, device="eth0"),
    "127.0.0.53%lo:53/udp": Target("", 53, "udp", "127.0.0.53", 4, "", "lo"),
    "[::]%eth0:546/udp": Target("", 546, "udp", "::", 0, "", "eth0"),
    "[fe80::1%eth0]%vrf-blue:80": Target("", 80, "tcp", "fe80::1", 6, "eth0", "vrf-blue"),
}
"""Words with a device behind the address, as ss writes them."""

GOOD: dict[str, tuple[int, Protocol, str, Family, str]] = {
    ":8080": (8080, "tcp", ANY, 0, ""),
    ":8080/udp": (8080, "udp", ANY, 0, ""),
    ":redis": (6379, "tcp", ANY, 0, ""),
    "1": (1, "tcp", ANY, 0, ""),
    "65535": (65535, "tcp", ANY, 0, ""),
    "030010": (30010, "tcp", ANY, 0, ""),
    "30010": (30010, "tcp", ANY, 0, ""),
    "30010/tcp": (30010, "tcp", ANY, 0, ""),
    "30010/TCP": (30010, "tcp", ANY, 0, ""),
    "30010/udp": (30010, "udp", ANY, 0, ""),
    "*:30010": (30010, "tcp", ANY, 0, ""),
    "*:30010/udp": (30010, "udp", ANY, 0, ""),
    "127.0.0.1:30010": (30010, "tcp", "127.0.0.1", 4, ""),
    "127.0.0.1:30010/udp": (30010, "udp", "127.0.0.1", 4, ""),
    "0.0.0.0:30010": (30010, "tcp", "0.0.0.0", 4, ""),  # noqa: S104  # read, not bound
    "[::]:30010": (30010, "tcp", "::", 0, ""),
    "[::1]:30010": (30010, "tcp", "::1", 6, ""),
    "[::1]:30010/udp": (30010, "udp", "::1", 6, ""),
    "[0:0:0:0:0:0:0:1]:30010": (30010, "tcp", "::1", 6, ""),
    "[2001:DB8::0A]:30010": (30010, "tcp", "2001:db8::a", 6, ""),
    "[fe80::1%eth0]:30010": (30010, "tcp", "fe80::1", 6, "eth0"),
    "[fe80::1%2]:30010/udp": (30010, "udp", "fe80::1", 6, "2"),
    "[fe80::1%br-0a.7]:30010": (30010, "tcp", "fe80::1", 6, "br-0a.7"),
    "[::ffff:127.0.0.1]:30010": (30010, "tcp", "127.0.0.1", 4, ""),
    "[::ffff:7f00:1]:30010": (30010, "tcp", "127.0.0.1", 4, ""),
    "redis": (6379, "tcp", ANY, 0, ""),
    "https/tcp": (443, "tcp", ANY, 0, ""),
    "domain/udp": (53, "udp", ANY, 0, ""),
    "127.0.0.1:redis": (6379, "tcp", "127.0.0.1", 4, ""),
    "[::1]:domain/udp": (53, "udp", "::1", 6, ""),
    "afs3-fileserver/udp": (7000, "udp", ANY, 0, ""),
    "x11-1": (6001, "tcp", ANY, 0, ""),
}
"""Word: port, protocol, address, family, zone."""

BAD = {
    "": "a service name",
    " ": "a service name",
    "0": "1 to 65535",
    "00": "1 to 65535",
    "65536": "1 to 65535",
    "70000": "1 to 65535",
    "9" * 5000: "1 to 65535",
    "127.0.0.1:0": "1 to 65535",
    "-1": "two ends",
    "1-": "two ends",
    "1-redis": "two ends",
    "redis-1": "two ends",
    "1-2-3": "two ends",
    "1--2": "two ends",
    "-": "a service name",
    "--": "a service name",
    "30010-30000": "30000-30010",
    "0-5": "1 to 65535",
    "1-70000": "1 to 65535",
    "nosuchservice": "a service name",
    "nosuchservice/udp": "a service name",
    "redis/udp/tcp": "a service name",
    "+30010": "a service name",
    "30_010": "a service name",
    "0x7530": "a service name",
    "3e4": "a service name",
    " 30010": "a service name",
    "30010 ": "a service name",
    "30 010": "a service name",
    "30010\n": "a service name",
    "30010\0": "a service name",
    "\0": "a service name",
    "\x1b[31m30010": "a service name",
    "\N{RIGHT-TO-LEFT OVERRIDE}30010": "a service name",
    "\udcff30010": "a service name",
    "\ud800": "a service name",
    "\N{FULLWIDTH DIGIT THREE}0010": "a service name",
    "\N{ARABIC-INDIC DIGIT ONE}": "a service name",
    "\N{SUPERSCRIPT TWO}": "a service name",
    "30010/": "tcp or udp",
    "30010/sctp": "tcp or udp",
    "30010/tcp ": "tcp or udp",
    "30010/\x1b]0;title\x07": "tcp or udp",
    "/": "tcp or udp",
    "/tcp": "a service name",
    ":": "the port is missing, as in :30010",
    "30010,": "a service name",
    ",": "a service name",
    "30010,,8080": "a service name",
    "0.0.0.0%:67": "interface's name",
    "*%:67": "interface's name",
    "%eth0:67": "IPv4 address",
    "*%eth 0:67": "interface's name",
    "*%a0123456789abcdef:67": "interface's name",
    "[::]%:67": "interface's name",
    "[::]eth0:67": "follow the bracket",
    "127.0.0.1:": "the port is missing, as in 127.0.0.1:30010",
    "127.0.0.1": "the port is missing, as in 127.0.0.1:30010",
    "192.168.1.1/udp": "the port is missing, as in 192.168.1.1:30010",
    "0.0.0.0%eth0": "the port is missing, as in 0.0.0.0%eth0:30010",
    "127.0.0.1\0": "a service name",
    "256.0.0.1": "a service name",
    "127.1:30010": "IPv4 address",
    "256.0.0.1:30010": "IPv4 address",
    "localhost:30010": "never resolved",
    "example.org:30010": "never resolved",
    "127.0.0.1\0:30010": "IPv4 address",
    "**:30010": "IPv4 address",
    "*": "the port is missing, as in *:30010",
    "*:": "the port is missing, as in *:30010",
    "*%eth0": "the port is missing, as in *%eth0:30010",
    "**": "a service name",
    "*:*": "a service name",
    "::1": "in brackets",
    "::1:30010": "in brackets",
    "::": "in brackets",
    "fe80::1%eth0:30010": "in brackets",
    "a:b:c": "in brackets",
    "[::1": "not closed",
    "[::1:30010": "not closed",
    "[": "not closed",
    "::1]:30010": "in brackets",
    "[]:30010": "IPv6 address",
    "[*]:30010": "IPv6 address",
    "[127.0.0.1]:30010": "IPv6 address",
    "[::1]": "follow the bracket",
    "[::1]30010": "follow the bracket, as in [::1]:30010",
    "[::1] :30010": "follow the bracket",
    "[\x1b[31m]": "follow the bracket",
    "[::1]:": "the port is missing, as in [::1]:30010",
    "[[::1]]:30010": "follow the bracket",
    "[::g]:30010": "IPv6 address",
    "[::1\0]:30010": "IPv6 address",
    "[fe80::1%]:30010": "interface",
    "[fe80::1%eth 0]:30010": "interface",
    "[fe80::1%et/h0]:30010": "tcp or udp",
    "[fe80::1%et/h0]:30010/tcp": "interface",
    "[fe80::1%eth0\n]:30010": "interface",
    "[fe80::1%a0123456789abcdef]:30010": "interface",
    "[fe80::1%4294967296]:30010": "interface",
    f"[fe80::1%{'9' * 5000}]:30010": "interface",
    "[::1]:30010/udp/udp": "a service name",
    "x" * 100_000: "a service name",
    "[" * 100_000: "not closed",
    f"30010/{'x' * 100_000}": "tcp or udp",
    f"{'x' * 100_000}:30010": "IPv4 address",
    f"[{'x' * 100_000}]": "follow the bracket",
}
"""Word: what the one line about it says was expected."""


def _short(word: str) -> str:
    return ascii(word)[:40]


@pytest.mark.parametrize(("word", "parts"), GOOD.items(), ids=map(_short, GOOD))
def test_a_word_means_one_target(word: str, parts: tuple[int, Protocol, str, Family, str]) -> None:
    """Every form of the contract is read; addresses are in the kernel's own spelling."""
    port, protocol, address, family, zone = parts
    (target,) = parse([word])
    assert (target.port, target.protocol, target.address, target.family, target.zone) == parts
    assert target == Target("however it was written", port, protocol, address, family, zone)
    assert target.text == word


@pytest.mark.parametrize(("word", "expected"), DEVICES.items())
def test_a_device_behind_the_address(word: str, expected: Target) -> None:
    """It is part of the target, and of its name."""
    assert parse([word]) == (expected,)
    assert parse([str(expected)]) == (expected,)
    assert str(expected) == (word if "/" in word else f"{word}/tcp")


def test_how_the_service_binds_is_part_of_the_target() -> None:
    """SO_REUSEPORT and IP_FREEBIND are the same for all words, and make it another target."""
    (plain_one,) = parse(["30010"])
    (shared,), (anywhere,) = parse(["30010"], reuseport=True), parse(["30010"], freebind=True)
    assert (shared, anywhere) == (Target("", 30010, reuseport=True), Target("", 30010, freebind=True))
    assert len({plain_one, shared, anywhere}) == 3


@pytest.mark.parametrize(("word", "expected"), BAD.items(), ids=map(_short, BAD))
def test_a_bad_word_gets_one_line(word: str, expected: str) -> None:
    """What is wrong is said in one line of decent length, without control characters, with what was expected."""
    with pytest.raises(UsageError) as caught:
        parse([word])
    said = str(caught.value)
    assert said.startswith("cannot read target ")
    assert expected in said
    assert said.isprintable()
    assert said.isascii()
    assert len(said) < 400
    assert said.partition(": ")[2]


@pytest.mark.parametrize("word", BAD, ids=map(_short, BAD))
def test_a_bad_word_ends_portwait_with_125(
    word: str, main: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """The command line says it on stderr, says nothing on stdout, and starts nothing."""
    assert main(word, "--", "false") == 125
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"portwait: [ -~]+\n", err)


@pytest.mark.parametrize(
    ("word", "family", "expected"),
    [
        ("30010", 4, Target("", 30010, family=4)),
        ("30010", 6, Target("", 30010, family=6)),
        ("*:30010/udp", 6, Target("", 30010, "udp", family=6)),
        ("redis", 4, Target("", 6379, family=4)),
        ("127.0.0.1:30010", 4, Target("", 30010, address="127.0.0.1", family=4)),
        ("[::ffff:127.0.0.1]:30010", 4, Target("", 30010, address="127.0.0.1", family=4)),
        ("[::1]:30010", 6, Target("", 30010, address="::1", family=6)),
        ("[::]:30010", 6, Target("", 30010, address="::", family=6)),
    ],
    ids=str,
)
def test_one_family_only(word: str, family: Family, expected: Target) -> None:
    """-4 and -6 narrow a target without an address; -6 makes [::] IPv6 only."""
    assert parse([word], family) == (expected,)


@pytest.mark.parametrize(
    ("word", "family"),
    [("127.0.0.1:30010", 6), ("0.0.0.0:30010", 6), ("[::1]:30010", 4), ("[::]:30010", 4), ("[::ffff:1.2.3.4]:1", 6)],
    ids=str,
)
def test_an_address_of_the_other_family(word: str, family: Family) -> None:
    """-4 with an IPv6 address asks for two things at once."""
    with pytest.raises(UsageError, match=f"does not go with -{family}"):
        parse([word], family)


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("30000-30002", ["30000", "30001", "30002"]),
        ("30000-30001/udp", ["30000/udp", "30001/udp"]),
        ("127.0.0.1:30000-30001", ["127.0.0.1:30000", "127.0.0.1:30001"]),
        ("[fe80::1%eth0]:1-2/udp", ["[fe80::1%eth0]:1/udp", "[fe80::1%eth0]:2/udp"]),
        ("7-7", ["7-7"]),
    ],
)
def test_a_range_is_a_target_a_port(word: str, texts: list[str]) -> None:
    """A range stands for its ports in their order, both ends included, each written as a word of its own."""
    targets = parse([word])
    assert [target.text for target in targets] == texts
    assert [target.port for target in targets] == list(range(targets[0].port, targets[0].port + len(texts)))
    assert targets == parse(texts)


def test_the_widest_range() -> None:
    """Every port there is."""
    assert [target.port for target in parse(["1-65535"])] == list(range(1, 65536))


@pytest.mark.parametrize("word", ["8080,8081", "8080,:8081/tcp,8080"])
def test_commas_stand_between_words(word: str) -> None:
    """As in PORTWAIT_TARGETS and in `reserve`."""
    assert parse([word]) == parse(["8080", "8081"])


def test_several_words_keep_their_order_and_each_target_is_named_once() -> None:
    """Targets are the same when they bind the same, however they were written; the first word stays."""
    targets = parse(["8080", "redis", "8079-8081", "6379/tcp", "*:8080", "8080/udp", "[::1]:1", "[0::1]:1"])
    assert [target.text for target in targets] == ["8080", "redis", "8079", "8081", "8080/udp", "[::1]:1"]


@pytest.mark.parametrize("word", ["30010", "8080,8081", ""])
def test_one_string_in_place_of_several(word: str) -> None:
    """Rule: its characters are not taken for words; the error names the mistake."""
    with pytest.raises(TypeError, match="parse\\(\\['"):
        parse(word)


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        (["80"], "8080", ["80"]),
        (["80"], ";", ["80"]),
        ([], "8080", ["8080"]),
        ([], "8080 8081,8082/udp, [::1]:80", ["8080", "8081", "8082/udp", "[::1]:80"]),
        ([], "", []),
        ([], None, []),
    ],
)
def test_the_variable_stands_in(words: list[str], variable: str | None, expected: list[str]) -> None:
    """PORTWAIT_TARGETS counts where there is no word, and is not even read where there is one."""
    variables = {} if variable is None else {"PORTWAIT_TARGETS": variable}
    assert [target.text for target in asked_for(words, variables)] == expected


def test_nothing_is_no_target() -> None:
    """It is the guard that says that nothing was asked for."""
    assert parse([]) == ()


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("30010", "30010/tcp"),
        ("*:30010/udp", "30010/udp"),
        ("redis", "6379/tcp"),
        ("127.0.0.1:30010", "127.0.0.1:30010/tcp"),
        ("[::]:30010", "[::]:30010/tcp"),
        ("[fe80::1%eth0]:30010/udp", "[fe80::1%eth0]:30010/udp"),
    ],
)
def test_a_name_for_people(word: str, name: str) -> None:
    """A target's name has its protocol, and brackets around IPv6."""
    assert str(parse([word])[0]) == name


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("::ffff:127.0.0.1", "127.0.0.1"),
        ("::ffff:0:102:304", "::ffff:0:102:304"),  # six groups: SIIT, not mapped
        ("::1", "::1"),
        ("127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_mapped_address_is_plain_ipv4(address: str, expected: str) -> None:
    """Only ::ffff:0:0/96 is mapped (RFC 4291, 2.5.5.2)."""
    assert plain(address) == expected


_parts = st.sampled_from(
    ["", "1", "30010", "65535", "-", "/", "tcp", "udp", ":", "*", "[", "]", "::1", "%", "lo", "redis"]
)
_words = st.one_of(st.text(), st.lists(_parts, max_size=7).map("".join))
_addresses = st.one_of(
    st.just(ANY),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.ip_addresses(v=6).map(lambda address: f"[{address.exploded.upper()}]"),
)
_ports = st.integers(1, 65535)


@given(_words, st.sampled_from([0, 4, 6]))
@example("\0", 0)
@example("1-65535", 6)
def test_any_text_is_a_target_or_a_usage_error(word: str, family: Family) -> None:
    """No text makes the reader fail in another way, and none gives a target that cannot be bound by its parts."""
    try:
        targets = parse([word], family)
    except UsageError as error:
        assert str(error).isprintable()  # noqa: PT017  # both outcomes are right, each in its own way
        return
    for target in targets:
        assert 0 < target.port < 65536
        assert target.protocol in ("tcp", "udp")
        assert family in (0, target.family)
        if target.address != ANY:
            kind = socket.AF_INET6 if ":" in target.address else socket.AF_INET
            assert socket.inet_ntop(kind, socket.inet_pton(kind, target.address)) == target.address


@given(_addresses, _ports, st.sampled_from(["", "/tcp", "/udp"]))
def test_a_name_reads_as_its_target(address: str, port: int, suffix: str) -> None:
    """What portwait calls a target can be given back to it."""
    (target,) = parse([f"{address}:{port}{suffix}"])
    assert parse([str(target)]) == parse([target.text]) == (target,)


@given(_ports, st.integers(0, 300))
def test_a_range_has_the_ports_between_its_ends(low: int, more: int) -> None:
    """Backwards it is refused, with the range that was meant."""
    high = min(low + more, 65535)
    assert [target.port for target in parse([f"{low}-{high}"])] == list(range(low, high + 1))
    if low < high:
        with pytest.raises(UsageError, match=f"as in {low}-{high}"):
            parse([f"{high}-{low}"])

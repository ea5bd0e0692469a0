"""The texts of /proc, broken in every way: a process half described, or none; never an exception, never a hang."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import cgroups, procfs
from portwait.advice.tanuki import config
from portwait.model.owner import forwarded
from portwait.text.masking import command_line

STAT = (
    b"1988719 (java) S 1 1988719 1988719 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 31 0 4711 100 200 18446744073709551615 1\n"
)
WORDS = some.lists(
    some.one_of(
        some.text(some.characters(), max_size=30),
        some.sampled_from(
            [
                "wrapper",
                "/x/wrapper.conf",
                "-c",
                "wrapper.port=1",
                "-Dwrapper.key=x",
                "docker-proxy",
                "-container-ip",
                "-s",
            ]
        ),
    ),
    max_size=8,
)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (STAT, "java"),
        (STAT.replace(b"java", b"a) S 9 (b"), "a) S 9 (b"),
        (STAT.replace(b"java", b")) R 1 1"), ")) R 1 1"),
        (STAT.replace(b"java", b"\n\x1b[2J\xff"), "\n\x1b[2J\udcff"),
        (STAT.replace(b"java", b""), ""),
    ],
    ids=["plain", "parenthesis", "a line of its own", "hostile", "empty"],
)
def test_a_name_may_hold_anything(data: bytes, name: str) -> None:
    """What stands behind the last parenthesis is the kernel's."""
    found = procfs.parse_stat(data)
    assert found is not None
    assert (found.name, found.state, found.parent, found.group, found.birth) == (name, "S", 1, 1988719, 4711)


@given(some.binary(max_size=300))
def test_stat_of_noise(data: bytes) -> None:
    """Bytes that are no such text are None."""
    assert procfs.parse_stat(data) is None


@given(some.integers(0, len(STAT)))
def test_stat_cut_anywhere(cut: int) -> None:
    """Cut before the start time it says nothing."""
    found = procfs.parse_stat(STAT[:cut])
    assert found is None or found.name == "java"
    assert found is None or b" 4711".startswith(b" " + str(found.birth).encode())


@given(some.permutations(STAT.split()))
def test_stat_reordered(words: list[bytes]) -> None:
    """Another order is an answer or none."""
    procfs.parse_stat(b" ".join(words))


@given(some.binary(max_size=300))
def test_command_lines_of_noise(data: bytes) -> None:
    """Any bytes are words; those that are no text survive as they are."""
    words = procfs.command_line(data)
    assert b"\0".join(map(os.fsencode, words)) == data.rstrip(b"\0")


def test_a_command_line_of_megabytes_is_cut() -> None:
    """And says so."""
    words = procfs.command_line(b"x\0" * 5_000_000)
    assert words[-1] == "…"
    assert len(words) < 20_000


@given(WORDS)
def test_any_command_line_can_be_asked(words: list[str]) -> None:
    """Who reads meaning out of other people's words finds some, or none."""
    conf = config.configuration(words)
    assert conf is None or conf in words
    config.is_jvm(words)
    forwarded(words)
    if conf is not None:
        config.absolute(conf, words, "/somewhere")
    assert command_line(words, 80).isprintable()


@given(some.text(some.characters(), max_size=400), WORDS)
def test_any_wrapper_conf_can_be_read(text: str, words: list[str]) -> None:
    """What it says of the keys that count, and of no others."""
    assert set(config.settings(text, words)) <= set(config.KEYS)


@given(
    some.lists(
        some.sampled_from(["0", "1", ":", "name=systemd", "/", "a.service", "x.slice", "\n", "docker", "f" * 64]),
        max_size=20,
    )
)
def test_any_cgroup_text_has_an_answer(parts: list[str]) -> None:
    """Lines in any order, with any colons."""
    cgroups.place("".join(parts))

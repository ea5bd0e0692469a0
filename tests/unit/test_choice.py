"""What of picking a port is pure: the order of the candidates, and the places of the ports in a command."""

from __future__ import annotations

import errno
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portwait.bind import hold
from portwait.bind.choice import choose, order
from portwait.model.port_settings import PortSettings
from portwait.model.targets import parse
from portwait.text.placeholders import fill

ORDERS = [
    (("10000-10002",), (32768, 60999), [10000, 10001, 10002]),
    (("32766-32769",), (32768, 60999), [32766, 32767, 32768, 32769]),
    (("60998-61001",), (32768, 60999), [61000, 61001, 60998, 60999]),
    (("40000", "10000", "40001"), (32768, 60999), [10000, 40000, 40001]),
    (("40000-40001",), (32768, 60999), [40000, 40001]),
    (("40000-40001",), None, [40000, 40001]),
    (("10002", "10000-10002"), (1024, 65000), [10002, 10000, 10001]),
]


@pytest.mark.parametrize(
    ("number", "state"),
    {errno.EADDRINUSE: "held", errno.EACCES: "denied", errno.EPERM: "denied", errno.EMFILE: "unknown"}.items(),
)
def test_what_a_refused_bind_means(number: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same as where a target is probed; EPERM is a security policy's."""

    def refuse(*_arguments: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(hold, "bind", refuse)
    (target,) = parse(["10000"])
    (verdict,) = choose([target]).refused.values()
    assert (verdict.state, verdict.errno) == (state, number)


@pytest.mark.parametrize(("words", "span", "expected"), ORDERS)
def test_ports_outside_of_the_range_come_first(
    words: tuple[str, ...], span: tuple[int, int] | None, expected: list[int]
) -> None:
    """The kernel gives nobody a port that lies outside of ip_local_port_range; otherwise the user's order counts."""
    assert [target.port for target in order(parse(words), PortSettings(span))] == expected


@given(st.integers(1, 65500), st.integers(0, 35), st.tuples(st.integers(1, 65535), st.integers(1, 65535)))
def test_shuffled_it_is_the_same_ports_and_the_same_preference(first: int, more: int, span: tuple[int, int]) -> None:
    """Chance decides among equals only."""
    candidates, settings = parse([f"{first}-{first + more}"]), PortSettings((min(span), max(span)))
    mixed = order(candidates, settings, shuffled=True)
    assert sorted(target.port for target in mixed) == [target.port for target in candidates]
    covered = [settings.covers(target.port) for target in mixed]
    assert covered == sorted(covered)


FILLED = [
    # word, ports, the word afterwards, the places that were used
    ("{}", [80], "80", {1}),
    ("--port={}", [80], "--port=80", {1}),
    ("{1}", [80], "80", {1}),
    ("{}{}", [80], "8080", {1}),
    ("{{}}", [80], "{}", set()),
    ("{{1}}", [80], "{1}", set()),
    ("{{2}}", [80], "{{2}}", set()),
    ("{2}", [80], "{2}", set()),
    ("{0}", [80], "{0}", set()),
    ("[0-9]{1,3}", [80], "[0-9]{1,3}", set()),
    ("{1}:{2}", [80, 81], "80:81", {1, 2}),
    ("{02}", [80, 81], "81", {2}),
    ("{3}", [80, 81], "{3}", set()),
    ("{}", [80, 81], "{}", {0}),
    ("{{}}", [80, 81], "{}", set()),
    ('{"port": {}}', [80], '{"port": 80}', {1}),
    ('{"a": {{}}}', [80], '{"a": {}}', set()),
    ("{name}", [80], "{name}", set()),
    ("{\u0661}", [80], "{\u0661}", set()),
    ("{" + "1" * 5000 + "}", [80], "{" + "1" * 5000 + "}", set()),
    ("", [80], "", set()),
]


@pytest.mark.parametrize(("word", "ports", "expected", "used"), FILLED)
def test_ports_go_where_the_braces_are(word: str, ports: list[int], expected: str, used: set[int]) -> None:
    """`{}` is the only port, `{2}` the second, doubled braces are literal, and other braces stay."""
    assert fill([word], ports) == ([expected], used)


@given(st.lists(st.text("ab{}=/ \udc80")), st.integers(1, 3))
def test_doubled_braces_never_lose_anything(words: list[str], count: int) -> None:
    """A word without braces comes back as it is, and there are as many words as before."""
    filled, _ = fill(words, range(8000, 8000 + count))
    assert len(filled) == len(words)
    assert all(after == word for word, after in zip(words, filled) if "{" not in word)

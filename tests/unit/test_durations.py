"""Durations as people write them, and as portwait writes them for people."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portwait.errors import UsageError
from portwait.text import durations

READ = {
    "0": 0,
    "90": 90,
    "1.5": 1.5,
    "90s": 90,
    "2m": 120,
    "1h": 3600,
    "1h30m": 5400,
    "1h30m15s": 5415,
    "2m500ms": 120.5,
    "500ms": 0.5,
    "5m5ms": 300.005,
    "1h1m1s1ms": 3661.001,
    "0.5h": 1800,
    "0s": 0,
    "010": 10,
    "100h": 360_000,
    "inf": math.inf,
    "9" * 5000: math.inf,
}

UNREADABLE = [
    *("", " ", "s", "ms", "h", ".", "..", "1.", ".5", "1..5", "1.2.3", "-1", "+1", "-0", "1e3", "0x10", "1_000", "1,5"),
    *("1 s", " 1", "1 ", "1\n", "1s\n", "1\0", "1m 3s", "1s1s", "3m1h", "1s1m", "1ms1s", "1m30", "1h30", "1sm", "1mm"),
    *("1d", "1w", "1us", "1min", "1sec", "1S", "1H", "INF", "infinity", "nan", "-inf", "infs", "s1", "1s!", "abc"),
    *("\N{FULLWIDTH DIGIT ONE}", "\N{ARABIC-INDIC DIGIT ONE}s", "\N{SUPERSCRIPT TWO}", "\ud800", "\x1b[31m", "1\u0301"),
    "1s" * 50_000,
    "x" * 100_000,
]

SHOWN = [
    (0, "0ms"),
    (0.0004, "0ms"),
    (0.45, "450ms"),
    (0.999, "999ms"),
    (0.9996, "1s"),
    (1, "1s"),
    (1.4, "1s"),
    (4, "4s"),
    (59.4, "59s"),
    (59.5, "1m"),
    (60, "1m"),
    (61, "1m1s"),
    (119.6, "2m"),
    (3599.6, "1h"),
    (3600, "1h"),
    (3659, "1h"),
    (3660, "1h1m"),
    (11520, "3h12m"),
    (86399, "23h59m"),
    (86400, "1d"),
    (187200, "2d4h"),
    (400 * 86400, "400d"),
    (math.inf, "inf"),
]


@pytest.mark.parametrize(("text", "seconds"), READ.items(), ids=lambda value: str(value)[:20])
def test_a_duration_is_read_into_seconds(text: str, seconds: float) -> None:
    """A plain number is seconds; units go from large to small, each once."""
    assert durations.parse(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: ascii(text)[:20])
def test_what_is_no_duration_gets_one_line(text: str) -> None:
    """It says what was expected, without control characters and without repeating megabytes."""
    with pytest.raises(UsageError, match=r"expected one like 90, 90s, 2m, 1h30m, 500ms or inf$") as caught:
        durations.parse(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("seconds", "text"), SHOWN, ids=str)
def test_a_duration_is_shown_in_two_units_at_most(seconds: float, text: str) -> None:
    """People read the largest two; a unit that is nought is left out."""
    assert durations.show(seconds) == text


def test_a_wait_without_end_has_words_of_its_own() -> None:
    """Nobody reads `at most inf`."""
    assert [durations.limit(seconds) for seconds in (75, math.inf)] == ["for at most 1m15s", "as long as it takes"]


@given(st.text(st.sampled_from("0123456789.hms inf-"), max_size=12) | st.text())
def test_any_text_is_a_duration_or_a_usage_error(text: str) -> None:
    """No text makes the reader fail in another way; a duration is never negative and always a number."""
    try:
        seconds = durations.parse(text)
    except UsageError:
        return
    assert seconds >= 0


@given(st.floats(0, 86399))
def test_what_is_shown_reads_as_nearly_the_same(seconds: float) -> None:
    """Below a day portwait reads what it writes, to the accuracy of the smaller of the two units."""
    accuracy = 60 if seconds >= 3599 else 1 if seconds >= 0.9 else 0.001
    assert abs(durations.parse(durations.show(seconds)) - seconds) <= accuracy


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 999))
def test_units_add_up(hours: int, minutes: int, seconds: int, milliseconds: int) -> None:
    """Each unit counts by itself, also beyond the next larger one."""
    text = f"{hours}h{minutes}m{seconds}s{milliseconds}ms"
    assert durations.parse(text) == pytest.approx(hours * 3600 + minutes * 60 + seconds + milliseconds / 1000)

"""What every value on the free path promises, whatever its fields."""

from __future__ import annotations

import copy
import pickle

import pytest

from portwait.model.targets import Target
from portwait.model.verdict import Verdict

VALUES = [Target("30010/udp", 30010, "udp", "fe80::1", 6, "eth0"), Verdict("held", 98), Verdict("free")]
by_value = pytest.mark.parametrize("value", VALUES, ids=str)


@by_value
def test_a_value_does_not_change(value: Target | Verdict) -> None:
    """No field can be set, deleted or added: values are shared freely."""
    for name in (*value.__slots__, "another"):
        with pytest.raises(AttributeError, match=f"^{type(value).__name__} is immutable: {name}$"):
            setattr(value, name, 1)
        with pytest.raises(AttributeError, match=f"^{type(value).__name__} is immutable: {name}$"):
            delattr(value, name)
    assert not hasattr(value, "__dict__")


@by_value
def test_a_copy_is_equal(value: Target | Verdict) -> None:
    """Other programs copy values and send them to other processes, where hashes are other numbers."""
    assert hash(value) == value._hash
    assert not hasattr(pickle.loads(pickle.dumps(value)), "_hash")  # noqa: S301  # our own
    for other in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301  # our own
        assert other == value
        assert hash(other) == hash(value)
        assert repr(other) == repr(value)


@by_value
def test_a_value_shows_every_field(value: Target | Verdict) -> None:
    """A value in an error message says all."""
    shown = repr(value)
    assert shown.startswith(f"{type(value).__name__}(")
    for name in value.__slots__:
        assert f"{name}={getattr(value, name)!r}" in shown


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Target("30010", 30010), Target("*:30010/tcp", 30010), True),
        (Target("30010", 30010), Target("30010", 30011), False),
        (Target("30010", 30010), Target("30010", 30010, "udp"), False),
        (Target("30010", 30010), Target("30010", 30010, family=6), False),
        (Target("30010", 30010, address="::", family=6), Target("30010", 30010, family=6), False),
        (Target("1", 1, address="fe80::1", zone="a"), Target("1", 1, address="fe80::1", zone="b"), False),
        (Verdict("held", 98), Verdict("held", 98), True),
        (Verdict("held", 98), Verdict("held", 98, "tables"), False),
        (Verdict("held", 98), Verdict("free"), False),
        (Verdict("held", 98), Target("30010", 30010), False),
        (Verdict("held", 98), ("bind", 98, "held"), False),
    ],
)
def test_values_are_equal_by_what_they_say(one: object, other: object, equal: bool) -> None:
    """Equal values have equal hashes; a target's text is how it was written, not what it is."""
    assert (one == other) is equal
    assert (len({one, other}) == 1) is equal

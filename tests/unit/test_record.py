"""The base of the values that a report is made of."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from portwait.model.record import Record


class Point(Record):
    """Two fields, and one with a default."""

    x: int
    y: int
    name: str = "point"

    @property
    def sum(self) -> int:
        return self.x + self.y


class Space(Point):
    """Has its base's fields, then its own."""

    z: int = 0


def test_fields_by_position_and_by_name() -> None:
    """In the order of the annotations; what has a default may be left out."""
    assert (Point(1, 2).x, Point(1, y=2).y, Point(y=2, x=1).name) == (1, 2, "point")
    assert Space(1, 2, "there", 3).z == 3
    assert Point(1, 2).sum == 3


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((1,), {}), ((1, 2, "a", 4), {}), ((1, 2), {"x": 1}), ((1, 2), {"colour": 1}), ((1,), {"name": "a"})],
)
def test_what_does_not_fit(values: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Too few, too many, one twice, one unknown."""
    with pytest.raises(TypeError):
        Point(*values, **named)


def test_it_does_not_change() -> None:
    point: Any = Point(1, 2)
    with pytest.raises(AttributeError):
        point.x = 3
    with pytest.raises(AttributeError):
        del point.x
    other = point._replace(x=3)
    assert (point.x, other.x, other.y) == (1, 3, 2)
    with pytest.raises(TypeError):
        point._replace(colour=1)


def test_equality_is_by_field_and_by_class() -> None:
    """A default counts as if it had been given."""
    assert Point(1, 2) == Point(1, 2, "point")
    assert hash(Point(1, 2)) == hash(Point(1, 2, "point"))
    assert Point(1, 2) != Point(2, 1)
    assert Point(1, 2) != Space(1, 2)
    assert repr(Point(1, 2)) == "Point(x=1, y=2, name='point')"


def test_copies() -> None:
    """It goes from process to process."""
    point = Point(1, 2)
    for duplicate in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):  # noqa: S301  # our own
        assert duplicate == point

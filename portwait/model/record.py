"""The base of the values that a report is made of: like a NamedTuple, at a tenth of what defining one costs.

Each NamedTuple takes 0.2 to 0.4 ms to define, and `typing` 5 ms to import: half of what explaining a held port imports.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_options: object) -> object:
        """Tell a type checker that `__init__` takes the annotated fields."""
        return lambda kind: kind


@dataclass_transform(frozen_default=True)
class Record:
    """An immutable value whose fields are the annotations of its class, in their order, with their defaults."""

    _fields = tuple[str, ...]()  # not annotated: they are no fields themselves
    _required = frozenset[str]()
    _known = frozenset[str]()

    def __init_subclass__(cls) -> None:
        """Read the fields; those without a default have to be given."""
        cls._fields = tuple(dict.fromkeys((*cls._fields, *getattr(cls, "__annotations__", ()))))
        cls._required = frozenset(name for name in cls._fields if not hasattr(cls, name))
        cls._known = frozenset(cls._fields)

    def __init__(self, *values: object, **named: object) -> None:
        """Fill the fields, by position or by name."""
        fields = self.__dict__
        if values:
            fields.update(zip(self._fields, values))
        fields.update(named)
        if len(fields) != len(values) + len(named):
            raise TypeError(f"{type(self).__name__}() got more values than fields, or one twice")
        if not self._required <= fields.keys() <= self._known:
            wrong = (self._required - fields.keys()) | (fields.keys() - self._known)
            raise TypeError(f"{type(self).__name__}() lacks, or does not know: {', '.join(sorted(wrong))}")

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: values do not change."""
        raise AttributeError(f"{type(self).__name__} is immutable: {name}")

    def __delattr__(self, name: str) -> None:
        """Refuse likewise."""
        raise AttributeError(f"{type(self).__name__} is immutable: {name}")

    def _replace(self, **changes: object) -> Self:
        """Copy it with other values in some fields."""
        unknown = changes.keys() - set(self._fields)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no field {', '.join(sorted(unknown))}")
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy

    def _values(self) -> tuple[object, ...]:
        return tuple([getattr(self, name) for name in self._fields])

    def __eq__(self, other: object) -> bool:
        """Compare the fields."""
        return type(other) is type(self) and other._values() == self._values()

    def __hash__(self) -> int:
        """Hash what is compared."""
        return hash(self._values())

    def __repr__(self) -> str:
        """Show every field."""
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"

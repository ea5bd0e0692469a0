"""The base of the values on the free path, where dataclasses and typing would cost more than the guard itself."""

from __future__ import annotations


class Value:
    """An immutable value: its fields are its slots, equality and hash are theirs unless a subclass says otherwise."""

    __slots__: tuple[str, ...] = ("_hash",)

    _hash: int
    """Computed when it is first asked for: 50,000 targets are looked up millions of times."""

    def _fill(self, **fields: object) -> None:
        """Set the fields, once, from a subclass's own `__init__`."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse: values do not change."""
        message = f"{type(self).__name__} is immutable: {name}"
        raise AttributeError(message)

    def __delattr__(self, name: str) -> None:
        """Refuse likewise."""
        self.__setattr__(name, None)

    def __setstate__(self, state: tuple[None, dict[str, object]]) -> None:
        """Fill a copy, or what comes out of a pickle."""
        self._fill(**{name: value for name, value in state[1].items() if name != "_hash"})

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        """Compare the fields."""
        return type(other) is type(self) and other._key() == self._key()

    def __hash__(self) -> int:
        """Hash what is compared."""
        try:
            return self._hash
        except AttributeError:
            self._fill(_hash=hash(self._key()))
            return self._hash

    def __repr__(self) -> str:
        """Show every field."""
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"

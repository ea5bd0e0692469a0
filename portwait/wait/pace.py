"""Say little of what happens often: the first few, then one at widening intervals, with a count of the others."""

from __future__ import annotations

_FIRST = 8  # reports are long
_SHORTEST, _LONGEST = 1.0, 60.0  # seconds; each is twice the one before


class Pace:
    """One kind of news, of one target. Its memory does not grow."""

    def __init__(self, first: int = _FIRST) -> None:
        """Nothing has happened yet; the `first` ones are told at once."""
        self.untold = 0
        """How many were left out since the last one that was told."""
        self._left = first
        self._interval = _SHORTEST
        self._next = 0.0

    def admits(self, now: float) -> bool:
        """Whether to tell what happens now, a monotonic time. Counts it where not."""
        if not self._left:
            if now < self._next:
                self.untold += 1
                return False
            self._next = now + self._interval
            self._interval = min(self._interval * 2, _LONGEST)
            return True
        self._left -= 1
        return True

    def take_untold(self) -> int:
        """Answer how many were left out, and begin to count again."""
        untold, self.untold = self.untold, 0
        return untold

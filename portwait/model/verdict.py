"""What the kernel says of a target: free, held, denied, unavailable or unknown. Values only; on the free path."""

from __future__ import annotations

import errno

from portwait.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    State = Literal["free", "held", "denied", "unavailable", "unknown"]
    Source = Literal["bind", "tables"]


class Verdict(Value):
    """What the kernel says of a target; immutable.

    `state` is `free`, `held`, `denied` (EACCES, EPERM), `unavailable` (the address is not on this host) or
    `unknown`. `errno` is the number of the error that said so, 0 for none. `by` is `bind`, or `tables` where the
    socket tables had to decide.
    """

    __slots__ = ("by", "errno", "state")

    state: State
    errno: int
    by: Source

    def __init__(self, state: State, errno: int = 0, by: Source = "bind") -> None:
        """Build a verdict."""
        self._fill(by=by, errno=errno, state=state)

    @property
    def starved(self) -> bool:
        """Whether bind could not be asked because no file descriptor was left: this process's, or the system's."""
        return self.errno in (errno.EMFILE, errno.ENFILE)

    @property
    def errno_name(self) -> str | None:
        """The error's name, `EADDRINUSE`, or None for none."""
        return errno.errorcode.get(self.errno, str(self.errno)) if self.errno else None

"""The guard's options as a record with its defaults; having none costs nothing.

On the free path: imports nothing. `arguments` reads words and environment into it.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.bind.hold import Mode
    from portwait.log import Format
    from portwait.model.targets import Family

EVICTED = ("outbound", "self-connect", "time-wait", "closing")
"""The kinds that a plain --evict may evict."""

EVICTABLE = (*EVICTED, "accepted", "listener", "unknown", "udp", "unseen")
"""What --evict can name: kinds, and udp and unseen (no owner is visible), which come on top of a kind."""


class Options:
    """What the user asked of the guard, by flag, environment or default."""

    targets: tuple[str, ...] = ()
    timeout: float = 75.0
    """Seconds; longer than a TIME_WAIT, shorter than systemd's 90 s."""
    hold: Mode | None = None
    """None: on where there is a command."""
    reuseaddr: bool = True
    family: Family = 0
    listen: bool = False
    fdstore: bool = False
    evict: frozenset[str] | None = None
    """What may be evicted, nothing where it is empty; None: nothing was said."""
    evict_user: tuple[str, ...] = ()
    evict_unit: tuple[str, ...] = ()
    terminate: int = 0
    """The signal's number."""
    reserve: bool = False
    anyway: bool = False
    dry_run: bool = False
    log_format: Format = "auto"
    quiet: bool = False
    verbose: bool = False

    @property
    def talks(self) -> bool:
        """Whether even a free port is worth a word."""
        return self.verbose or self.dry_run

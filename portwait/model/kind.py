"""What kind of socket is in the way, and how that is known. Values only."""

from __future__ import annotations

from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Name = Literal[
        "outbound", "accepted", "self-connect", "listener", "time-wait", "closing", "bound", "hold", "unknown"
    ]
    Evidence = Literal[
        "state", "ends", "syn-count", "peer", "listener", "remote-listener", "beside-listener", "mark", "none"
    ]
    # beside-listener: the kernel's count says that it called connect(), but somebody listens at its address and port


class Kind(Record):
    """A kind and what it is known by; `proved` is whether that leaves no other."""

    name: Name
    evidence: Evidence

    @property
    def proved(self) -> bool:
        """Whether the evidence is the kernel's own word and not an inference."""
        return self.evidence in ("state", "ends", "syn-count", "peer", "mark")

"""Choose ports out of ranges: in which order they are tried, and the first that can be had alone."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from portwait.bind.claim import Claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.bind.hold import Mode
    from portwait.model.port_settings import PortSettings
    from portwait.model.targets import Target
    from portwait.model.verdict import Verdict


class Choice:
    """The ports that were taken, and what the kernel said of those that were tried in vain."""

    def __init__(self) -> None:
        """Nothing is tried yet."""
        self.claims: list[Claim] = []
        self.refused: dict[Target, Verdict] = {}

    @property
    def can_wait(self) -> bool:
        """Whether waiting can help: a port that is held may become free, and an address may come up."""
        return any(verdict.state in ("held", "unavailable") for verdict in self.refused.values())

    def drop(self) -> None:
        """Let go of all ports."""
        for claim in self.claims:
            claim.drop()
        self.claims = []


def order(candidates: Sequence[Target], settings: PortSettings, *, shuffled: bool = False) -> tuple[Target, ...]:
    """Sort the candidates as they are tried: those outside ip_local_port_range first, else as they were named.

    The kernel gives ports of that range to anybody's connect(), as soon as nothing is bound there.
    """
    mixed = random.sample(candidates, len(candidates)) if shuffled else candidates
    return tuple(sorted(mixed, key=lambda target: settings.covers(target.port)))


def choose(candidates: Sequence[Target], count: int = 1, mode: Mode = "default", *, reuseaddr: bool = True) -> Choice:
    """Take the first candidates that can be had, `count` different ports; where there are fewer, none is kept."""
    choice = Choice()
    taken: set[int] = set()
    try:
        for target in candidates:
            if len(taken) == count:
                break
            if target.port in taken:
                continue
            claim = Claim(target, mode, reuseaddr=reuseaddr)
            verdict = claim.claim()
            if verdict.state == "free":
                choice.claims.append(claim)
                taken.add(target.port)
            else:
                choice.refused[target] = verdict
    finally:
        if len(taken) < count:
            choice.drop()
    return choice

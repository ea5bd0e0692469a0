"""Probe all targets of one guard: their verdicts, and the holds that the kernel allows beside what is there.

Asks bind() and nothing else, so that it cannot block. What only the socket tables know is read elsewhere
(`wait.inspection`) and told to it. On the free path: imports only what the interpreter has loaded anyway.
"""

from __future__ import annotations

import os

from portwait.bind import hold
from portwait.bind.probe import attempt, probe
from portwait.model.verdict import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Collection, Mapping, Sequence

    from portwait.model.targets import Target
    from portwait.model.verdict import State

WIDEST = 64
"""The most ports that bind is asked about: a probe is a bound socket and could fail somebody's start.

Of more targets the socket tables say which are free, and bind is asked about the others where those are not too many.
"""


class Survey:
    """The targets of one guard, their latest verdicts and their holds."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        reuseaddr: bool = True,
        mode: hold.Mode = "none",
        passed_in: Collection[Target] = (),
        surely_reuseaddr: bool = False,
    ) -> None:
        """Plan it; `passed_in` are targets that systemd has bound for us already.

        `surely_reuseaddr`: the service sets it for certain, so that no hold is in its way.
        """
        self.targets = tuple(target for target in targets if target not in passed_in)
        self.passed_in = tuple(target for target in targets if target in passed_in)
        """The other targets: the service has them already."""
        self.reuseaddr = reuseaddr
        self.verdicts: dict[Target, Verdict] = {}
        self.wide = len(self.targets) > WIDEST
        self.holds = [
            hold.Hold(target, mode if reuseaddr or self._is_alone(target) else "none", reuseaddr=reuseaddr)
            for target in (() if self.wide else self.targets)
        ]
        for each in self.holds if surely_reuseaddr and reuseaddr else ():
            each.strengthen(lasting=True)
        self.served: Collection[int] | None = None
        """Ports that somebody listens on: no hold beside a listener, it would fail its restart. None: not known yet."""
        self._by_tables: Mapping[Target, Verdict] = {}

    def _is_alone(self, target: Target) -> bool:
        """Whether no other target has its port: a plain probe of one would meet the hold of the other."""
        return [other.port for other in self.targets].count(target.port) == 1

    def learn(
        self, by_tables: Mapping[Target, Verdict], served: Collection[int] | None, contested: Collection[int] = ()
    ) -> None:
        """Take the socket tables' word: on targets that bind cannot or must not be asked about, and on listeners.

        Bind is asked about the targets that are not in `by_tables`, but about none where these are more than WIDEST.
        `contested` are ports that somebody seems to bind by number: until the start a full hold keeps them.
        """
        self._by_tables, self.served = by_tables, served
        for each in self.holds:
            if each.port in contested:
                each.contested = True
                each.strengthen(lasting=False)

    def forget_held(self) -> None:
        """Take back the socket tables' word on what is held, where nobody reads them again: it would stand for good.

        What had no socket stays free: of more than WIDEST targets bind must not be asked about all.
        """
        self._by_tables = {target: said for target, said in self._by_tables.items() if said.state == "free"}

    def probe(self) -> bool:
        """Ask for every target again and take what holds are allowed; whether the service can start.

        The sockets of the free targets stay open until the holds stand, so that nobody can step in between.
        """
        tables = self._by_tables
        probes: list[_socket.socket] = []
        too_many = len(self.targets) - len(tables) > WIDEST
        for each in self.holds:
            if each.target.protocol == "udp":  # its probe has no SO_REUSEADDR, and would meet our own hold
                each.drop()
        try:
            for target in self.targets:
                if target in tables:
                    self.verdicts[target] = tables[target]
                elif too_many:
                    self.verdicts[target] = Verdict("unknown", by="tables")
                else:
                    verdict, sock = attempt(target, reuseaddr=self.reuseaddr)
                    if not self._evades(target, verdict):
                        self.verdicts[target] = verdict
                    if sock is not None and self.reuseaddr and target.protocol == "tcp":
                        probes.append(sock)
                    elif sock is not None:  # it would be in the way of the hold, and of the next target's probe
                        sock.close()
            for each in self.holds:
                if self.verdicts[each.target].state == "free" or not self._may_be_served(each.target):
                    each.take()
                else:
                    each.drop()
        finally:
            for sock in probes:
                sock.close()
        return not self.obstructed

    def ask(self, targets: Collection[Target]) -> dict[Target, Verdict]:
        """Ask bind about these targets now; takes no hold and changes nothing."""
        said = {target: probe(target, reuseaddr=self.reuseaddr) for target in targets}
        return {
            target: self.verdicts[target] if self._evades(target, verdict) else verdict
            for target, verdict in said.items()
        }

    def changed(self) -> bool:
        """Whether bind says something else of what is obstructed than it did; takes no hold and changes nothing."""
        for target in self.obstructed:
            said = self.verdicts[target]
            if said.by == "bind" and probe(target, reuseaddr=self.reuseaddr).state != said.state:
                return True
        return False

    def _may_be_served(self, target: Target) -> bool:
        """Whether somebody may be listening on its port, as a bound UDP socket does."""
        return target.protocol == "udp" or self.served is None or target.port in self.served

    def own_inodes(self) -> frozenset[int]:
        """The inodes of the sockets that hold, as the socket tables show them."""
        return frozenset(os.fstat(number).st_ino for each in self.holds for number in each.descriptors)

    def _evades(self, target: Target, verdict: Verdict) -> bool:
        """Whether bind has said `held` or `unavailable` before, and now cannot say: EMFILE, say, takes no word back."""
        unsure = verdict.state in ("denied", "unknown")
        return unsure and target in self.obstructed and self.verdicts[target].by == "bind"

    @property
    def obstructed(self) -> tuple[Target, ...]:
        """The targets that the service cannot have now, by the kernel's word."""
        return tuple(
            target
            for target in self.targets
            if target in self.verdicts and self.verdicts[target].state in ("held", "unavailable")
        )

    @property
    def states(self) -> dict[Target, State]:
        """What each obstructed target is, held or unavailable."""
        return {target: self.verdicts[target].state for target in self.obstructed}

    @property
    def held(self) -> tuple[Target, ...]:
        """The targets that sockets are in the way of; not those whose address or interface is missing."""
        return tuple(target for target, state in self.states.items() if state == "held")

    @property
    def undecided(self) -> tuple[Target, ...]:
        """The targets that the socket tables have to be read for, each time: bind is denied, or they are too many."""
        return tuple(
            target
            for target in self.targets
            if self.wide or (verdict := self.verdicts[target]).by == "tables" or verdict.state in ("denied", "unknown")
        )

"""What to do about a port that is held or at risk: `advise` asks every rule that `rules.RULES` lists.

A rule is a pure function from facts to a remedy, or to None where it does not fit. `gather` reads the facts.
"""

from __future__ import annotations

import sys

from portwait.advice import shell_commands, stopping, trust
from portwait.advice.facts import Facts
from portwait.diagnosis import owners, tables
from portwait.errors import TablesError
from portwait.host import supervisors, systemd_units
from portwait.host.machine import machine
from portwait.model import ports
from portwait.model.case import Remedy
from portwait.text.plural import abbreviate

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from portwait.host.machine import Machine
    from portwait.host.supervisors import Supervisor
    from portwait.host.systemd_units import Unit, UnitsOf
    from portwait.model.case import Case
    from portwait.model.owner import Owner

_MOST_ANCESTORS = 8

__all__ = ("Facts", "Remedy", "advise", "for_many", "gather", "units_of")


def advise(facts: Facts) -> tuple[Remedy, ...]:
    """Ask every rule."""
    from portwait.advice.rules import RULES

    return tuple(remedy for rule in RULES if (remedy := rule(facts)) is not None)


def for_many(cases: Sequence[Case], where: Machine) -> tuple[Remedy, ...]:
    """Say what keeps the kernel from handing out any of many targets' ports, where it may do so."""
    exposed = ports.merge((case.target.port,) * 2 for case in cases if case.settings.hands_out(case.target.port))
    if not exposed:
        return ()
    settings = cases[0].settings
    leftover = settings.after_reserving(exposed)
    if not leftover.suffices():
        words = (
            f"Do not reserve all that the kernel may hand out of these: that would leave {leftover}. Reserve only the "
            "ports that services bind, or move the services out of ip_local_port_range."
        )
        return (Remedy("reserve-fewer", words),)
    if where.may_set:
        words = (
            "Reserve what the kernel may hand out, so that it never picks one of them by itself again."
            f"{leftover.price}{shell_commands.lasting(where)}"
        )
        return (Remedy("reserve-port", words, (shell_commands.reserve(where, exposed),)),)
    summary, lines = shell_commands.reserved_from_outside(where, abbreviate(exposed), exposed, settings.reserved)
    return (Remedy("container-sysctl", f"{summary}{leftover.price}", lines),)


def units_of(cases: Iterable[Case]) -> UnitsOf:
    """Prepare one question to systemd for all owners of several cases; it is asked when a rule needs it."""
    return systemd_units.UnitsOf(
        owner for case in cases for blocker in case.blockers for owner in blocker.owners if owner.container is None
    )


def gather(
    case: Case, where: Machine | None = None, *, units: UnitsOf | None = None, guard: int | None = None
) -> Facts:
    """Read what the rules look at; `where` and `units` are for a caller that has them for several cases.

    `guard` is the PID of the guard in /proc, where another process asks for it.
    """
    from portwait.advice.tanuki.rules import wrappers_of

    here = where or machine()
    known = {owner.pid: owner for blocker in case.blockers for owner in blocker.owners if owner.container is None}
    above = {owner.pid: _supervisor(owner, by_root=here.root) for owner in known.values()}
    managed = _managed(case, known.values()) if here.systemd else {}
    units = units_of([case]) if units is None else units
    units.also_stops(unit for several in managed.values() for unit in several)
    return Facts(
        case,
        here,
        wrappers_of(case.blockers),
        units if here.systemd else {},
        _published(case, known.values()),
        _listening(case),
        managed,
        {pid: supervisor for pid, supervisor in above.items() if supervisor is not None},
        *(_above(guard or owners.this_process(), here.unit) if known else ()),
    )


def _published(case: Case, known: Iterable[Owner]) -> bool | None:
    """Ask Docker about a port that its proxy has open."""
    if not any(owner.forwards for owner in known):
        return None
    from portwait.host.ask import publishes

    return publishes(case.target.protocol, case.target.port)


def _listening(case: Case) -> frozenset[int]:
    """Read who listens on ports that the kernel may hand out; nobody where that does not matter or cannot be read."""
    span = case.settings.ephemeral_range
    if span is None or not case.blockers or not case.settings.hands_out(case.target.port):
        return frozenset()
    try:
        opened, _ = tables.open_tables()
        with opened:
            return frozenset(sock.local_port for sock in opened.listeners([span]))
    except TablesError:
        return frozenset()


def _managed(case: Case, known: Iterable[Owner]) -> dict[int, tuple[Unit, ...]]:
    """Ask each service manager among the owners for which units it has the port open."""
    target = case.target
    return {
        owner.pid: systemd_units.held_by_manager(
            target.protocol, target.port, user=None if owner.pid == 1 else owner.user
        )
        for owner in known
        if stopping.is_manager(owner)
    }


def _supervisor(owner: Owner, *, by_root: bool) -> Supervisor | None:
    """Find a process's supervisor; root is told to use its command only where that is not another user's word."""
    ancestors = tuple(_ancestors(owner))
    supervisor = supervisors.supervisor_of(owner, ancestors)
    if supervisor is None or supervisor.stop is None or not by_root:
        return supervisor
    trusted = any(trust.is_roots_word(each) for each in ancestors if each.pid == supervisor.pid)
    return supervisor if trusted else supervisor._replace(stop=None)


def _ancestors(owner: Owner) -> Iterator[Owner]:
    """Go up from a process, the nearest first."""
    parent = owner.parent
    for _ in range(_MOST_ANCESTORS):
        ancestor = owners.describe(parent) if parent > 1 else None
        if ancestor is None:
            return
        yield ancestor
        parent = ancestor.parent


def _above(portwait: int, unit: str | None) -> tuple[frozenset[int], int]:
    """Find the processes that started this portwait, and when the first of them in its own unit was born."""
    if sys.platform != "linux":
        return frozenset(), 0
    from portwait._linux import cgroups, procfs

    above: set[int] = set()
    pid, began = portwait, 0
    while pid > 1 and pid not in above and (stat := procfs.stat_of(pid)) is not None:
        above.add(pid)
        if unit is not None and cgroups.place(procfs.read_text(f"/proc/{pid}/cgroup")).unit == unit:
            began = stat.birth
        pid = stat.parent
    return frozenset(above - {portwait}), began

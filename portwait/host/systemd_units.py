"""What systemd knows of units: main process, KillMode, state, the other processes, what a socket unit listens on.

Everything is asked of `systemctl show`, which answers every user. It gets one second; where there is no systemd, no
way to it or no answer in time, there is nothing to know, and nothing here raises.
"""

from __future__ import annotations

import os
import sys

from portwait.host.ask import ask
from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from portwait.model.owner import Owner

_MOST_PROCESSES = 4096  # of one unit
_CGROUP_MOUNTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")
_PROPERTIES = (
    *("Id", "LoadState", "ActiveState", "MainPID", "KillMode", "ControlGroup", "Listen", "Triggers", "TriggeredBy"),
    *("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo", "Before", "UnitFileState"),
    *("NFileDescriptorStore", "FileDescriptorStorePreserve", "FreeBind", "Transparent"),
)
_DEPENDENTS = ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf")


class Member(Record):
    """A process of a unit's control group."""

    pid: int
    name: str
    parent: int


class Unit(Record):
    """A unit as its manager describes it."""

    name: str
    active_state: str = "inactive"
    """`active`, `reloading`, `inactive`, `failed`, `activating` or `deactivating`."""
    main_pid: int = 0
    """0 where there is none: the service is not active, or its main process has ended."""
    kill_mode: str = "control-group"
    """Whom stopping it ends: `control-group` and `mixed` all its processes, `process` the main one, `none` nobody."""
    processes: tuple[Member, ...] = ()
    """All processes in its control group, by pid."""
    listens: tuple[str, ...] = ()
    """What a socket unit listens on, as `Listen=` has it: `0.0.0.0:8080 (Stream)`."""
    freebind: bool = False
    """Whether a socket unit binds addresses that are not on this host yet: its FreeBind= or Transparent=."""
    triggers: tuple[str, ...] = ()
    """The units that it starts: those of a socket unit or a timer."""
    triggered_by: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    """The units that stop and restart with it: Requires=, Requisite=, BindsTo= and PartOf= of theirs."""
    stops: tuple[str, ...] = ()
    """Those that only stop with it: StopPropagatedFrom= of theirs."""
    before: tuple[str, ...] = ()
    """The units that it starts before and stops after: its Before=, and After= of theirs."""
    stored: int = 0
    """How many descriptors its manager keeps for it."""
    file_state: str = ""
    """Whether it starts by itself, as `systemctl is-enabled` says: `enabled`, `disabled`, `static`, `masked`..."""
    keeps_stored: bool = False
    """Whether its manager keeps them when it is stopped."""
    user: str | None = None
    """Whose own manager has it; None for the system's."""

    @property
    def active(self) -> bool:
        """Whether `systemctl stop` does anything to it."""
        return self.active_state not in ("inactive", "failed")

    def listens_on(self, protocol: str, port: int) -> bool:
        """Whether it is a socket unit that listens on this port now."""
        kind = "Stream" if protocol == "tcp" else "Datagram"
        return self.active and any(
            (line.rpartition(" ")[2], line.rpartition(" ")[0].rpartition(":")[2]) == (f"({kind})", str(port))
            for line in self.listens
        )


def read(names: Iterable[str], *, user: str | None = None) -> dict[str, Unit]:
    """Describe units by their names, those that are loaded; patterns like `*.socket` match what is loaded.

    `user` is whose own manager to ask instead of the system's.
    """
    units = (_unit(shown, user) for shown in show(names, _PROPERTIES, user=user))
    return {unit.name: unit for unit in units if unit is not None}


class UnitsOf:
    """The services that these processes are in, and the units that start or stop with them, by name and user.

    The user is None for the system's own units. systemd is asked when the first one is looked up, once for all
    services of a manager. Where another unit is looked up, systemd is asked for those that start or stop with one of
    them, and for those that stop with these, until there are no more.
    """

    def __init__(self, owners: Iterable[Owner]) -> None:
        """Nothing is asked yet."""
        self._names: dict[str | None, dict[str, None]] = {}
        for owner in owners:
            if owner.unit is not None and owner.unit.endswith(".service") and owner.container is None:
                self._names.setdefault(owner.user if owner.user_unit else None, {}).setdefault(owner.unit)
        self._stopped: list[Unit] = []
        self._services: dict[tuple[str, str | None], Unit] | None = None
        self._related: dict[tuple[str, str | None], Unit] | None = None

    def also_stops(self, units: Iterable[Unit]) -> None:
        """Take in units that are no owner's own, and that a command stops too: socket units."""
        self._stopped += units
        self._related = None

    def get(self, key: tuple[str, str | None]) -> Unit | None:
        """Look one up, and ask systemd where that was not done yet; None where systemd does not know it."""
        if self._services is None:
            self._services = _by_user(self._names)
        if key not in self._services and self._related is None:
            self._related = _related_to(self._services, self._stopped)
        return self._services.get(key) or (self._related or {}).get(key)


def _related_to(
    services: Mapping[tuple[str, str | None], Unit], others: Iterable[Unit]
) -> dict[tuple[str, str | None], Unit]:
    """Describe the units that start these services, and all that stop with any of these."""
    related: dict[tuple[str, str | None], Unit] = {}
    asked = {*services}
    level = [
        *((user, (*unit.triggered_by, *unit.dependents, *unit.stops)) for (_, user), unit in services.items()),
        *((unit.user, (*unit.dependents, *unit.stops)) for unit in others),
    ]
    while level:
        wanted: dict[str | None, dict[str, None]] = {}
        for user, names in level:
            wanted.setdefault(user, {}).update((name, None) for name in names if (name, user) not in asked)
        asked |= {(name, user) for user, names in wanted.items() for name in names}
        units = _by_user(wanted)
        related.update(units)
        level = [(user, (*unit.dependents, *unit.stops)) for (_, user), unit in units.items()]
    return related


def _by_user(names: Mapping[str | None, Iterable[str]]) -> dict[tuple[str, str | None], Unit]:
    return {(name, user): unit for user, wanted in names.items() for name, unit in read(wanted, user=user).items()}


def held_by_manager(protocol: str, port: int, *, user: str | None = None) -> tuple[Unit, ...]:
    """Say for which units a service manager has a port open: socket units that listen there, else descriptor stores.

    A store does not say what is in it, so all services that have one are named, but for systemd's own (its journal's
    streams, its login sessions), which keep no port there.
    """
    sockets = tuple(unit for unit in read(["*.socket"], user=user).values() if unit.listens_on(protocol, port))
    return sockets or tuple(_storing(user))


def _storing(user: str | None) -> Iterator[Unit]:
    for unit in read(["*.service"], user=user).values():
        if unit.stored and not unit.name.startswith("systemd-"):
            yield unit


def show(names: Iterable[str], properties: Sequence[str], *, user: str | None = None) -> list[dict[str, str]]:
    """Ask for properties of units, of each one dictionary; lines of a property that comes several times are joined."""
    wanted = list(names)
    asked = (f"-p{name}" for name in properties)
    return list(_blocks(_ask("show", *asked, "--", *wanted, user=user))) if wanted else []


def cat(name: str, *, user: str | None = None) -> str:
    """Answer the files that make up a unit, drop-ins included, each behind a line `# PATH`; "" where there are none."""
    return _ask("cat", "--", name, user=user)


def is_running() -> bool:
    """Whether systemd runs here, as sd_booted(3) has it."""
    return sys.platform == "linux" and os.path.isdir("/run/systemd/system")


def _ask(*words: str, user: str | None) -> str:
    if not is_running():
        return ""
    manager = () if user is None else ("--user", *(() if _is_own(user) else ("-M", f"{user}@")))
    return ask(("systemctl", *manager, "--no-pager", "--no-ask-password", *words)) or ""


def _is_own(user: str) -> bool:
    """Whether we are this user, whose manager answers us directly; `-M` is for others and requires root.

    A user without a name is a number.
    """
    import pwd

    try:
        uid = pwd.getpwnam(user).pw_uid
    except KeyError:
        uid = int(user) if user.isascii() and user.isdigit() else -1
    return uid == os.geteuid() and bool(os.environ.get("XDG_RUNTIME_DIR"))


def _blocks(text: str) -> Iterator[dict[str, str]]:
    """Take the output of `systemctl show` apart: one block for each unit, an empty line between them."""
    for block in text.split("\n\n"):
        properties: dict[str, str] = {}
        for line in block.splitlines():
            name, equals, value = line.partition("=")
            if equals:
                properties[name] = f"{properties[name]}\n{value}" if name in properties else value
        if properties:
            yield properties


def _unit(shown: Mapping[str, str], user: str | None = None) -> Unit | None:
    if not shown.get("Id") or shown.get("LoadState") == "not-found":
        return None
    lists = {name: tuple(shown.get(name, "").split()) for name in ("Triggers", "TriggeredBy", "Before")}
    dependents = " ".join(shown.get(name, "") for name in _DEPENDENTS).split()
    return Unit(
        name=shown["Id"],
        active_state=shown.get("ActiveState", "inactive"),
        main_pid=_number(shown.get("MainPID", "")),
        kill_mode=shown.get("KillMode") or "control-group",
        processes=tuple(_members(shown.get("ControlGroup", ""))),
        listens=tuple(shown["Listen"].splitlines()) if shown.get("Listen") else (),
        freebind="yes" in (shown.get("FreeBind"), shown.get("Transparent")),
        triggers=lists["Triggers"],
        triggered_by=lists["TriggeredBy"],
        dependents=tuple(dict.fromkeys(dependents)),
        stops=tuple(shown.get("PropagatesStopTo", "").split()),
        before=lists["Before"],
        stored=_number(shown.get("NFileDescriptorStore", "")),
        file_state=shown.get("UnitFileState", ""),
        keeps_stored=shown.get("FileDescriptorStorePreserve") == "yes",
        user=user,
    )


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0


def _members(control_group: str) -> Iterator[Member]:
    """List the processes of a control group and of the groups below it."""
    from portwait._linux import procfs

    if control_group in ("", "/") or not procfs.numbers_are_ours():  # a control group lists the numbers of here
        return
    for pid in sorted(_pids(control_group))[:_MOST_PROCESSES]:
        stat = procfs.stat_of(pid)
        if stat is not None:
            yield Member(pid, stat.name, stat.parent)


def _pids(control_group: str) -> set[int]:
    from contextlib import suppress

    for mount in _CGROUP_MOUNTS:
        pids: set[int] = set()
        for folder, _, _ in os.walk(mount + control_group):
            with suppress(OSError, ValueError), open(f"{folder}/cgroup.procs", encoding="ascii") as file:
                pids.update(int(line) for line in file)
        if pids - {0}:
            return pids - {0}
    return set()

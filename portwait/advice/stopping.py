"""How to stop whoever has a port open, by what systemd and the process tree say: pure functions of the facts.

A printed command has to free the port and to end nothing that the sentence beside it does not name. So a unit is
stopped only where the owner is what that unit runs; a helper of something larger, a process that has outlived its unit
and one that stopping the unit would leave alone are ended by their pid. Where /proc has the numbers of another PID
namespace nothing is: these numbers are other processes' here, and they cannot be told from those of systemd.
"""

from __future__ import annotations

from portwait.advice import own_settings, shell_commands
from portwait.model.record import Record
from portwait.text.escape import escape
from portwait.text.plural import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from portwait.advice.facts import Facts
    from portwait.host.systemd_units import Unit
    from portwait.model.owner import Owner

_WRAPPERS = frozenset(
    (
        *("sh", "bash", "dash", "ash", "ksh", "zsh", "busybox", "env", "su", "sudo", "doas", "runuser", "setpriv"),
        *("gosu", "su-exec", "chroot", "nice", "ionice", "timeout", "nohup", "flock", "start-stop-daem", "tini"),
        *("dumb-init", "catatonit", "wrapper", "jsvc", "npm", "yarn", "make", "xargs", "script", "strace", "time"),
    )
)
"""Programs that start another one and are nothing without it, as /proc/PID/comm has them."""

_WAYS_IN = {
    "sshd": "Nobody can log in through it then; logins that exist go on.",
    "NetworkManager": "This host's network is not managed then.",
    "dockerd": "Containers cannot be started or stopped then.",
}
"""What stopping a main process means where that is more than the port."""
_FOREIGN = (
    "/proc has the PIDs of another PID namespace, and here other processes have these numbers, so no command is "
    "printed: run portwait explain in that namespace."
)
_KUBELET = "The kubelet starts it again: to keep it stopped, delete the pod or scale down what made it (kubectl)."
_STOPS, _RESTARTS = ("stops", "stop"), ("restarts", "restart")
_CURE = "KillMode=control-group in the [Service] of that unit ends such processes together with it."


class Stop(Record):
    """Commands that stop or restart some processes, and the sentences that have to stand beside them."""

    commands: tuple[str, ...]
    words: str = ""


class _Plan:
    """What was decided for one owner after another, sorted by means."""

    def __init__(self) -> None:
        self.commands: dict[str, None] = {}
        self.killed: list[Owner] = []
        self.words: dict[str, None] = {}

    def say(self, text: str) -> None:
        self.words.setdefault(text)

    def finished(self, kill: Sequence[str] = ()) -> Stop:
        return Stop((*self.commands, *kill), "".join(f" {text}" for text in self.words))


def stop(facts: Facts, owners: Sequence[Owner]) -> Stop:
    """Say how all these processes are stopped."""
    plan = _Plan()
    for owner in owners:
        engine = shell_commands.stop_container(facts.machine, owner)
        if engine is not None:
            plan.commands.setdefault(engine)
            if owner.pod is not None:
                plan.say(_KUBELET)
        elif owner.foreign_pid:
            plan.say(_FOREIGN)
        elif owner.pid == 1 or is_manager(owner):
            _by_manager(facts, owner, plan)
        elif not own_settings.instead_of_stopping(facts, owner, plan):
            if not (_by_supervisor(facts, owner, plan) or _by_unit(facts, owner, owners, plan)):
                plan.killed.append(owner)
                _about_killing(facts, owner, plan)
            if owner.pid in facts.above:
                who = f"{escape(owner.name, 40)} (pid {owner.pid})"
                plan.say(f"This portwait runs below {who}, so your own session may end with it.")
    return plan.finished(shell_commands.kill(facts.machine, plan.killed))


def restart(facts: Facts, owners: Sequence[Owner], *, beside: Collection[int] = ()) -> Stop:
    """Say how these processes are restarted; without a command where nothing is known that would start them again.

    `beside` are pids of others that the caller has named.
    """
    plan = _Plan()
    for owner in owners:
        line = shell_commands.restart_container(facts.machine, owner)
        unit = None if owner.foreign_pid else facts.unit_of(owner)
        if line is None and unit is not None and _starts_exactly(facts, unit, owner):
            line = shell_commands.control(facts.machine, owner, "restart")
            rest = unit._replace(processes=tuple(each for each in unit.processes if each.pid not in beside))
            _about_ending(rest, owners, plan)
            _about_dependents(facts, [unit], plan, _RESTARTS)
        if line is not None:
            plan.commands.setdefault(line)
    return plan.finished()


def _starts_exactly(facts: Facts, unit: Unit, owner: Owner) -> bool:
    return unit.active and _is_what_it_runs(unit, owner, [owner]) and not _is_in_our_unit(facts, owner)


def is_manager(owner: Owner) -> bool:
    """Whether it is a systemd that manages units: the system's, or a user's own."""
    return owner.name == "systemd" and (owner.pid == 1 or "--user" in owner.cmdline)


def _by_manager(facts: Facts, owner: Owner, plan: _Plan) -> None:
    """Stop the unit that a service manager has the port open for; never the manager."""
    if not is_manager(owner):
        plan.say(f"{escape(owner.name, 40)} is process 1 of this container: the container ends with it.")
        return
    who = "systemd" if owner.pid == 1 else f"The systemd of user {escape(owner.user or '?', 40)} (pid {owner.pid})"
    units = facts.managed.get(owner.pid, ())
    names = listed([escape(unit.name) for unit in units], most=4)
    if not units:
        plan.say(f"{who} has it open for one of its units; which one is not known here.")
    elif any(unit.listens for unit in units):
        started = [name for unit in units for name in unit.triggers if facts.is_active(name, unit.user)]
        for unit in units:
            plan.commands.setdefault(
                shell_commands.systemctl(facts.machine, unit.user, ("stop",), *dict.fromkeys((unit.name, *started)))
            )
        plan.say(f"{who} listens for {names}.")
        if started:
            plan.say(f"{listed([escape(name) for name in started], most=4)} has the socket from it and ends too.")
        ended = [known for name in started for unit in units if (known := facts.units.get((name, unit.user)))]
        _about_dependents(facts, [*units, *ended], plan, _STOPS)
    elif len(units) > 1:
        plan.say(f"{who} keeps it in the descriptor store of one of {names}.")
    else:
        plan.say(f"{who} keeps it in the descriptor store of {names}, which is emptied when that unit is stopped.")
        [unit] = units
        _about_dependents(facts, [unit], plan, _STOPS)
        plan.commands.setdefault(shell_commands.systemctl(facts.machine, unit.user, ("stop",), unit.name))
        if unit.keeps_stored:
            clean = shell_commands.systemctl(facts.machine, unit.user, ("clean", "--what=fdstore"), unit.name)
            plan.commands.setdefault(clean)


def _by_unit(facts: Facts, owner: Owner, owners: Sequence[Owner], plan: _Plan) -> bool:
    """Stop the owner's unit, where that is what it runs and where that ends the owner."""
    unit = facts.unit_of(owner)
    if unit is None:
        return False
    name = escape(unit.name)
    if _is_in_our_unit(facts, owner):
        if owner.birth >= facts.began:
            plan.say(f"{escape(owner.name, 40)} belongs to the same run of {name} as this portwait.")
            return False
        plan.say(f"{escape(owner.name, 40)} is left over from an earlier run of {name}, the very unit that starts now.")
    elif not unit.active:
        plan.say(
            f"{escape(owner.name, 40)} is left over from an earlier run of {name}, which is {unit.active_state} now, "
            "so stopping that unit does nothing."
        )
    elif not _is_what_it_runs(unit, owner, owners):
        others = _others(unit, owners)
        plan.say(
            f"{escape(owner.name, 40)} is only a part of {name}."
            + (
                f" Stopping the whole unit would also end {others}."
                if unit.kill_mode in ("control-group", "mixed")
                else ""
            )
        )
        return False
    elif unit.kill_mode in ("process", "none") and owner.pid != unit.main_pid:
        plan.say(f"{name} has KillMode={unit.kill_mode}, so stopping it leaves {escape(owner.name, 40)} alone.")
        return False
    else:
        sockets = _sockets(facts, unit)
        line = shell_commands.control(facts.machine, owner, "stop", *(sock.name for sock in sockets))
        if line is None:
            return False
        plan.commands.setdefault(line)
        _about_ending(unit, owners, plan)
        _about_dependents(facts, [unit, *sockets], plan, _STOPS)
        if owner.name in _WAYS_IN:
            plan.say(_WAYS_IN[owner.name])
        return True
    if unit.kill_mode in ("process", "none"):
        plan.say(f"KillMode={unit.kill_mode} let it live: {_CURE}")
    return False


def _is_in_our_unit(facts: Facts, owner: Owner) -> bool:
    """Whether the owner is in the unit that this very process is a part of."""
    return facts.machine.unit is not None and owner.unit == facts.machine.unit and not owner.user_unit


def _is_what_it_runs(unit: Unit, owner: Owner, owners: Sequence[Owner]) -> bool:
    """Whether an owner is what a unit is for: its main process, a worker of it, or what a wrapper started."""
    main = next((member for member in unit.processes if member.pid == unit.main_pid), None)
    if unit.main_pid in {owner.pid, *(owner.pid for owner in owners)}:
        return True
    if unit.kill_mode in ("process", "none"):
        return False
    if main is None:
        return not _strangers(unit, owners)
    return main.name in _WRAPPERS or main.name == owner.name[:15]


def _strangers(unit: Unit, owners: Sequence[Owner]) -> list[str]:
    """Name a unit's processes that are neither owners nor their descendants."""
    ours = {owner.pid for owner in owners}
    for member in sorted(unit.processes, key=lambda member: member.pid):
        if member.parent in ours:
            ours.add(member.pid)
    return [f"{escape(member.name, 40)} (pid {member.pid})" for member in unit.processes if member.pid not in ours]


def _others(unit: Unit, owners: Sequence[Owner]) -> str:
    """Name a unit's processes beside these, in a sentence."""
    ours = {owner.pid for owner in owners}
    return listed(
        [f"{escape(member.name, 40)} (pid {member.pid})" for member in unit.processes if member.pid not in ours], most=4
    )


def _sockets(facts: Facts, unit: Unit) -> tuple[Unit, ...]:
    """Choose the socket units that would keep the port, or start the unit again."""
    known = (facts.units.get((name, unit.user)) for name in unit.triggered_by if name.endswith(".socket"))
    return tuple(sock for sock in known if sock and sock.active)


def _about_ending(unit: Unit, owners: Sequence[Owner], plan: _Plan) -> None:
    """Say what else stopping or restarting a unit ends."""
    others = _others(unit, owners) if unit.kill_mode in ("control-group", "mixed") else ""
    if others:
        plan.say(f"That ends {others} of {escape(unit.name)} too.")


def _about_dependents(facts: Facts, units: Sequence[Unit], plan: _Plan, verb: tuple[str, str]) -> None:
    """Name the units that stop or restart with these, and with those in turn; `verb` is of one unit and of several."""
    reached, chain = {unit.name for unit in units}, [*units]
    for unit in chain:
        for name in (*unit.dependents, *(unit.stops if verb == _STOPS else ())):
            dependent = None if name in reached else facts.units.get((name, unit.user))
            reached.add(name)
            if dependent is not None:
                chain.append(dependent)
    active = [escape(unit.name) for unit in chain[len(units) :] if unit.active]
    if active:
        with_these = listed([escape(unit.name) for unit in units], most=4)
        plan.say(f"{listed(active, most=4)} {verb[len(active) > 1]} with {with_these}.")


def _by_supervisor(facts: Facts, owner: Owner, plan: _Plan) -> bool:
    supervisor = facts.supervisors.get(owner.pid)
    if supervisor is None:
        return False
    who = f"{escape(supervisor.name)} (pid {supervisor.pid})"
    if supervisor.stop is None:
        plan.say(f"{who} starts {escape(owner.name, 40)} again when it ends: stop it there.")
        return False
    plan.say(f"{who} runs {escape(owner.name, 40)} and would start it again.")
    plan.commands.setdefault(shell_commands.as_root(facts.machine, *supervisor.stop))
    return True


def _about_killing(facts: Facts, owner: Owner, plan: _Plan) -> None:
    """Say what ending one process means."""
    if owner.state in ("T", "t"):
        plan.say(
            f"{escape(owner.name, 40)} (pid {owner.pid}) is stopped (Ctrl-Z, SIGSTOP): a signal waits until it is "
            "continued."
        )
    engine, _, name = (owner.container or "").partition(":")
    if engine in ("docker", "podman") and owner.user_unit:
        plan.say(
            f"{escape(owner.name, 40)} runs in a rootless container: the user whose it is stops all of it with "
            f"{engine} stop {escape(name)}."
        )
    unit, service = facts.unit_of(owner), shell_commands.service_of(owner)
    if unit is None and service is not None:
        where = "" if facts.machine.systemd else " on the host"
        stop = f"systemctl {'--user ' if owner.user_unit else ''}stop {escape(service)}"
        plan.say(
            f"{escape(owner.name, 40)} is in {escape(service)}, whose systemd does not answer here and may start it "
            f"again. To keep it stopped, stop that unit{where}: {stop}."
        )
    if owner.name in ("sshd", "sshd-session") and not (unit is not None and unit.main_pid == owner.pid):
        plan.say(
            "It is the sshd of one login or tunnel, which ends with it. ClientAliveInterval in /etc/ssh/sshd_config "
            "lets sshd end those whose client is gone."
        )

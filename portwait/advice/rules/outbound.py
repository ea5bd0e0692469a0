"""The port was given to a client: what keeps the kernel from doing that again, and what else helps."""

from __future__ import annotations

from portwait.advice import port_range, shell_commands, stopping
from portwait.model.case import Remedy
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts
    from portwait.model.blocker import Blocker
    from portwait.model.port_settings import Leftover


def _picked(facts: Facts) -> list[Blocker]:
    """Choose the blockers that can have got the port by the kernel's choice, which is what these cures prevent."""
    kinds = ("outbound", "self-connect", "time-wait", "closing", "unknown")
    if not facts.settings.hands_out(facts.target.port):
        return []
    return [
        blocker
        for blocker in facts.blockers
        if (blocker.kind.name in kinds and not facts.by_number(blocker) and facts.is_from_here(blocker))
        or _may_have_asked_for_any(facts, blocker)
    ]


def _may_have_asked_for_any(facts: Facts, blocker: Blocker) -> bool:
    """Whether a socket that is no connection may have been given its port by bind(0).

    Its command line does not name the port, and no service manager or proxy has it for another one; who listens has to
    be seen for that.
    """
    port = str(facts.target.port)
    kind = blocker.kind.name
    return (
        ((kind == "listener" and bool(blocker.owners)) or (kind == "bound" and not facts.surely_by_number(blocker)))
        and not any(stopping.is_manager(owner) or owner.forwards or owner.pid == 1 for owner in blocker.owners)
        and not any(port in word for owner in blocker.owners for word in owner.cmdline)
    )


def _clients(facts: Facts) -> list[Blocker]:
    """Choose those that are surely not servers with a port of their own: moving the range is for them."""
    return [blocker for blocker in _picked(facts) if blocker.kind.name != "listener"]


def _can_be_picked(facts: Facts) -> bool:
    """Whether the kernel has given the port away, or may do so at any time."""
    return bool(_picked(facts)) or (facts.verdict.state == "free" and facts.settings.hands_out(facts.target.port))


def reserve(facts: Facts) -> Remedy | None:
    """Reserve the port."""
    if not _can_be_picked(facts) or not facts.machine.may_set or not _leftover(facts).suffices():
        return None
    words = f"{_reserve_words(facts)}{_leftover(facts).price}{shell_commands.lasting(facts.machine)}{_stays(facts)}"
    return Remedy("reserve-port", words, (shell_commands.reserve(facts.machine, [(facts.target.port,) * 2]),))


def _leftover(facts: Facts) -> Leftover:
    return facts.settings.after_reserving([(facts.target.port,) * 2])


def _reserve_words(facts: Facts) -> str:
    """Say what reserving does; for a listener only if it was given the port because it asked for any."""
    picked = _picked(facts)
    if picked and all(blocker.kind.name == "listener" for blocker in picked):
        who = shell_commands.called(shell_commands.owners(picked))
        return (
            f"If {who} asked for any port (bind to port 0) and was given {facts.target.port}, reserve it, so that the "
            "kernel never picks it by itself again."
        )
    return f"Reserve {facts.target.port}, so that the kernel never picks it by itself again."


def _stays(facts: Facts) -> str:
    """Say that this cure does not move what does not end by itself."""
    lasting = [blocker for blocker in facts.blockers if blocker.expires_in is None]
    if all(blocker.kind.name in ("bound", "listener") for blocker in lasting):
        return " What is bound stays until it is closed." if lasting else ""
    return " A connection that exists stays until it is closed or evicted."


def reserve_from_outside(facts: Facts) -> Remedy | None:
    """In a container whose /proc/sys is read-only, say how it is started with the port reserved."""
    machine, port = facts.machine, facts.target.port
    if not _can_be_picked(facts) or machine.may_set or not _leftover(facts).suffices():
        return None
    words, lines = shell_commands.reserved_from_outside(machine, str(port), [(port, port)], facts.settings.reserved)
    return Remedy(
        "node-sysctl" if machine.host_network else "container-sysctl",
        f"{words}{_leftover(facts).price}{_stays(facts)}",
        lines,
    )


def narrow_range(facts: Facts) -> Remedy | None:
    """Take the port out of the range."""
    if not _clients(facts) or not facts.machine.may_set or facts.settings.ephemeral_range is None:
        return None
    services = {port for port in facts.listening if facts.settings.hands_out(port)}
    span, reserved = facts.settings.ephemeral_range, facts.settings.reserved
    narrower = port_range.narrower(span, {facts.target.port, *services}, reserved=reserved)
    if narrower is None:
        return None
    gain = f"all services below {narrower[0]} are" if narrower[0] > facts.target.port else f"{facts.target.port} is"
    return Remedy(
        "narrow-range",
        f"Or narrow ip_local_port_range from {'{}-{}'.format(*span)} to "
        f"{'{}-{}'.format(*narrower)}, so that {gain} out of its reach."
        f"{shell_commands.lasting(facts.machine)}{_stays(facts)}",
        shell_commands.port_range(facts.machine, *narrower),
    )


def other_parity(facts: Facts) -> Remedy | None:
    """Give the service a port that connect() tries last; UDP treats all ports alike."""
    settings, port = facts.settings, facts.target.port
    connected = facts.target.protocol == "tcp" and any(blocker.kind.name != "bound" for blocker in _clients(facts))
    if not connected or not settings.prefers(port) or settings.ephemeral_range is None:
        return None
    if settings.ephemeral_range[0] == settings.ephemeral_range[1]:  # every other port is outside of it
        return None
    other = port + 1 if port < settings.ephemeral_range[1] else port - 1
    names = ("even", "odd")
    return Remedy(
        "other-parity",
        f"Or move the service to an {names[other % 2]} port such as {other}: connect() tries {names[port % 2]} ports "
        "first here. That makes it less likely and is no guarantee.",
    )


_LAST = {"multi-user.target", "graphical.target", "shutdown.target"}
"""What every service starts before, if anything; the service that wants the port comes after none of these."""


def _may_start_later(facts: Facts, unit: str) -> bool:
    """Whether a unit can wait for one more service: nothing that the service may itself wait for comes after the unit.

    systemd breaks a cycle of such orders by not starting one of the units, at boot too.
    """
    known = facts.units.get((unit, None))
    return known is not None and _LAST.issuperset(known.before)


def order_units(facts: Facts) -> Remedy | None:
    """Start the service before its client's unit."""
    clients = [blocker for blocker in facts.blockers if blocker.kind.name in ("outbound", "self-connect")]
    units = list(
        dict.fromkeys(
            unit
            for owner in shell_commands.owners(clients)
            if (unit := shell_commands.service_of(owner)) and unit != facts.machine.unit and not owner.user_unit
        )
    )
    if not units or not facts.machine.systemd:
        return None
    named = escape(" ".join(units))
    line = f"Before={named}"
    price = "It couples the services, and a restart of the service alone opens the gap again."
    own = facts.machine.unit
    if own is None:
        return Remedy(
            "order-units",
            f"Or start the service before {named}, in its unit's file, unless it waits for that itself, directly or "
            f"through others: systemd would start only one of them. {price}",
            ("[Unit]", line),
        )
    if not all(_may_start_later(facts, unit) for unit in units):
        return None
    folder = f"/etc/systemd/system/{own}.d"
    return Remedy(
        "order-units",
        f"Or start {escape(own)} before {named}. {price}",
        (
            shell_commands.as_root(facts.machine, "mkdir", "-p", folder),
            shell_commands.append(facts.machine, f"{folder}/before.conf", ["[Unit]", line]),
            shell_commands.as_root(facts.machine, "systemctl", "daemon-reload"),
        ),
    )


def fix_self_connect(facts: Facts) -> Remedy | None:
    """Name the bug behind a connection to itself."""
    blockers = [blocker for blocker in facts.blockers if blocker.kind.name == "self-connect"]
    if not blockers:
        return None
    by_number = any(map(facts.by_number, blockers))
    got, cure = ("had", "") if by_number else ("was given", ", or reserve the port")
    return Remedy(
        "self-connect",
        f"{shell_commands.called(shell_commands.owners(blockers))} called connect() on {facts.target.port} of this "
        f"host while nobody listened there, {got} that very port as its own, and so reached itself. Start the "
        f"service first{cure}: then it cannot happen.",
    )

"""What several rules and the audit share: how an owner is named, and how a command is quoted that root has to run."""

from __future__ import annotations

from portwait.advice import container_sysctl
from portwait.model import ports
from portwait.model.targets import ANY
from portwait.text.escape import escape, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.advice.facts import Facts
    from portwait.host.machine import Machine
    from portwait.model.blocker import Blocker
    from portwait.model.case import Case
    from portwait.model.owner import Owner
    from portwait.model.sockets import Range
    from portwait.model.targets import Target

_RESERVED = "net.ipv4.ip_local_reserved_ports"
_RANGE = "net.ipv4.ip_local_port_range"
_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "zsh", "fish"))
_STOP: dict[str, tuple[str, ...]] = {
    "docker": ("docker", "stop"),
    "podman": ("podman", "stop"),
    "containerd": ("nerdctl", "stop"),
    "cri-o": ("crictl", "stop"),
    "kubernetes": ("crictl", "stop"),
    "nspawn": ("machinectl", "poweroff"),
    "lxc": ("lxc-stop",),
}


def as_root(machine: Machine, *words: str) -> str:
    """Quote a command that only root may run."""
    return shell(("sudo", *words) if _takes_sudo(machine) else words)


def about_network(machine: Machine, *words: str, requires_root: bool = True) -> str:
    """Quote a command that reads or changes this very network, wherever it is pasted."""
    if machine.way_in:
        return f"{machine.way_in} {shell(words)}"
    return as_root(machine, *words) if requires_root else shell(words)


def _takes_sudo(machine: Machine) -> bool:
    """Whether this user has to become root first, and can: a container has no sudo, and Windows has none."""
    return not (machine.root or machine.contained or machine.system == "win32")


def started_with(machine: Machine, name: str, value: str) -> tuple[str, ...]:
    """Write the lines with which whoever starts this container gives it a setting."""
    if machine.container == "kubernetes":
        return container_sysctl.kubernetes(name, value)
    if machine.container in ("docker", "podman"):
        return (*container_sysctl.docker(name, value), *container_sysctl.compose(name, value))
    return container_sysctl.lines(name, value)


def reserved_from_outside(
    machine: Machine, named: str, wanted: Sequence[Range], already: Sequence[Range]
) -> tuple[str, tuple[str, ...]]:
    """Say how ports, called `named`, are reserved where /proc/sys is read-only, in words and in lines."""
    if machine.host_network:
        why = "this container uses the host's network, so the setting is the host's, and the engines refuse it here."
        return f"Reserve {named} on the node: {why}", (f"sudo portwait reserve --persist {ports.show(wanted)}",)
    return (
        f"Reserve {named} from outside, because /proc/sys is read-only in this container. Start it with these lines.",
        started_with(machine, _RESERVED, ports.show(ports.merge([*already, *wanted]))),
    )


def missing_right_to_evict(machine: Machine) -> str:
    """Say behind an advice to evict what the command requires, where even root lacks it."""
    if not machine.may_evict and machine.contained:
        return " Root with CAP_NET_ADMIN may: start the container with --cap-add=NET_ADMIN, or do it on the host."
    if not machine.may_evict and machine.root:
        return " It requires CAP_NET_ADMIN, which is missing here."
    return ""


def lasting(machine: Machine) -> str:
    """Say behind an advice how long a setting lasts, where no file can make it last."""
    if machine.sysctl_d:
        return ""
    return " It lasts as long as this network namespace: sysctl.d is not read for it."


def reserve(machine: Machine, wanted: Sequence[Range]) -> str:
    """Quote what reserves ports, now and, where that is possible, at boot."""
    return portwait(machine, "reserve", *(["--persist"] if machine.sysctl_d else []), ports.show(wanted))


def port_range(machine: Machine, low: int, high: int) -> tuple[str, ...]:
    """Quote what sets ip_local_port_range: one file for whoever advises it, whose last line counts."""
    return setting(machine, _RANGE, f"{low} {high}", "zz-port-range.conf")


def setting(machine: Machine, name: str, value: str, file: str) -> tuple[str, ...]:
    """Quote what gives a setting of the network a value, now and, where that is possible, at boot.

    The last file that sets it decides at boot, and somebody's may set it already. So `file` has a name that sorts
    behind those that are usual; without systemd, /etc/sysctl.conf is the last (`sysctl --system`).
    """
    now = about_network(machine, "sysctl", "-w", f"{name}={value}")
    last = f"/etc/sysctl.d/{file}" if machine.systemd else "/etc/sysctl.conf"
    return (now, append(machine, last, [f"{name} = {value}"])) if machine.sysctl_d else (now,)


def portwait(machine: Machine, *words: str) -> str:
    """Quote a command of ours that only root may run."""
    return about_network(machine, machine.portwait, *words)


def on_target(facts: Facts, verb: str, *words: str) -> str:
    """Quote a command of ours on the target that only root may run."""
    return portwait(facts.machine, verb, *words, *asked(facts.case))


def asked(case: Case) -> tuple[str, ...]:
    """Write a target with the options that it was asked with: another bind has other blockers."""
    return asked_for([case.target], reuseaddr=case.reuseaddr)


def asked_for(targets: Sequence[Target], *, reuseaddr: bool) -> tuple[str, ...]:
    """Write targets of one call, with the options that they were asked with."""
    flags = {
        **{f"-{target.family}": True for target in targets if target.family and target.address == ANY},
        "--no-reuseaddr": not reuseaddr,
        "--reuseport": any(target.reuseport for target in targets),
        "--freebind": any(target.freebind for target in targets),
    }
    return (*(flag for flag, is_set in flags.items() if is_set), *(target.text for target in targets))


def append(machine: Machine, path: str, lines: Sequence[str]) -> str:
    """Quote a command that appends lines to a file, whose last line may lack its end."""
    text = shell(("printf", r"\n%s" * len(lines) + r"\n", *lines))
    return f"{text} | {as_root(machine, 'tee', '-a', path)}" if _takes_sudo(machine) else f"{text} >> {shell([path])}"


def owners(blockers: Iterable[Blocker]) -> list[Owner]:
    """Name each owner of some blockers once."""
    return list({owner.pid: owner for blocker in blockers for owner in blocker.owners}.values())


def called(named: Sequence[Owner], nobody: str = "its owner") -> str:
    """Name owners in a sentence."""
    names = list(dict.fromkeys(escape(owner.name, 40) for owner in named))
    if not names:
        return nobody
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def verb(named: Sequence[Owner], singular: str, plural: str) -> str:
    """Choose the verb that goes with `called(named)`."""
    return plural if len({owner.name for owner in named}) > 1 else singular


def pronoun(named: Sequence[Owner]) -> str:
    """Choose the pronoun that goes with `called(named)`."""
    return verb(named, "it", "them")


def service_of(owner: Owner) -> str | None:
    """Name the service unit of an owner: what can be stopped and started again by that name. Not a login session."""
    unit = owner.unit or ""
    return unit if unit.endswith(".service") and not unit.startswith("user@") else None


def control(machine: Machine, owner: Owner, verb: str, *others: str) -> str | None:
    """Quote `systemctl VERB OTHERS UNIT` for an owner's unit; None where it is in no service."""
    unit = service_of(owner)
    if unit is None or not machine.systemd:
        return None
    return systemctl(machine, owner.user if owner.user_unit else None, (verb,), *others, unit)


def systemctl(machine: Machine, user: str | None, verb: Sequence[str], *units: str) -> str:
    """Quote a command to the system's service manager, or to a user's own: a verb with its options, and units."""
    words = (*verb, *_operands(*units))
    if user is not None:
        return shell(("systemctl", "--user", "-M", f"{user}@", *words))
    return as_root(machine, "systemctl", *words)


def _operands(*names: str) -> tuple[str, ...]:
    """Keep names that begin with a hyphen from being read as options."""
    return ("--", *names) if any(name.startswith("-") for name in names) else names


def kill(machine: Machine, owners: Sequence[Owner]) -> list[str]:
    """Quote what ends processes by their pids, parents first; a shell at a terminal ignores TERM."""
    lines = []
    pids = {owner.pid for owner in owners}
    ordered = sorted(owners, key=lambda owner: (owner.parent in pids, owner.pid))
    shells = [owner for owner in ordered if owner.name in _SHELLS and len(owner.cmdline) < 2]
    others = [owner for owner in ordered if owner not in shells]
    for signal, group in (((), others), (("-HUP",), shells)):
        if group:
            line = _signal(machine, signal, group)
            stopped = [owner for owner in group if owner.state in ("T", "t")]
            lines.append(f"{line}; {_signal(machine, ('-CONT',), stopped)}" if stopped else line)
    return lines


def _signal(machine: Machine, signal: Iterable[str], owners: Iterable[Owner]) -> str:
    if machine.system == "win32":
        return as_root(machine, "taskkill", *(word for owner in owners for word in ("/PID", str(owner.pid))))
    return as_root(machine, "kill", *signal, *(str(owner.pid) for owner in owners))


def stop_container(machine: Machine, owner: Owner) -> str | None:
    """Quote the command that stops the container that an owner is in; None where it is in none that is known."""
    engine, _, name = _container(owner)
    if engine == "containerd" and owner.pod is not None:
        engine = "kubernetes"  # nerdctl does not see the kubelet's containers, which have a namespace of their own
    if engine in _STOP:
        return as_root(machine, *_STOP[engine], *_operands(name))
    return None


def restart_container(machine: Machine, owner: Owner) -> str | None:
    """Quote the command that restarts the container that an owner is in; None where it is in none that is known."""
    engine, _, name = _container(owner)
    if engine in ("docker", "podman"):
        return as_root(machine, engine, "restart", *_operands(name))
    return None


def _container(owner: Owner) -> tuple[str, str, str]:
    """Take a container apart into engine and name; nothing of one of a user's own, which root's engine does not see."""
    return ("" if owner.user_unit else owner.container or "").partition(":")

"""Binding is denied: to this user, or by a policy."""

from __future__ import annotations

from portwait.advice import shell_commands
from portwait.model.case import Remedy
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts

_START = "net.ipv4.ip_unprivileged_port_start"


def _is_privileged(facts: Facts) -> bool:
    start = facts.settings.unprivileged_start
    return facts.target.port < (1024 if start is None else start)


def bind_capability(facts: Facts) -> Remedy | None:
    """Give the service the right to bind a low port."""
    if facts.verdict.state != "denied" or not _is_privileged(facts):
        return None
    start = facts.settings.unprivileged_start
    own = facts.machine.unit
    if facts.machine.contained:
        return Remedy(
            "bind-capability",
            f"Ports below {1024 if start is None else start} require CAP_NET_BIND_SERVICE. Root of a container has it, "
            "other users do not.",
        )
    return Remedy(
        "bind-capability",
        f"Ports below {1024 if start is None else start} require CAP_NET_BIND_SERVICE. Give it to "
        f"{escape(own) if own else 'the service'} in its unit's file:",
        ("[Service]", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
    )


def unprivileged_ports(facts: Facts) -> Remedy | None:
    """Let everybody bind from this port on."""
    if facts.verdict.state != "denied" or not _is_privileged(facts) or facts.machine.host_network:
        return None
    if not facts.machine.may_set:
        return Remedy(
            "unprivileged-ports",
            f"Or let everybody in this container bind ports from {facts.target.port} on. Start it with these lines.",
            shell_commands.started_with(facts.machine, _START, str(facts.target.port)),
        )
    where = "on this host" if facts.machine.sysctl_d else "in this network namespace"
    return Remedy(
        "unprivileged-ports",
        f"Or let everybody {where} bind ports from {facts.target.port} on.{shell_commands.lasting(facts.machine)}",
        shell_commands.setting(facts.machine, _START, str(facts.target.port), "zz-unprivileged-ports.conf"),
    )


def bind_policy(facts: Facts) -> Remedy | None:
    """A port that anybody may bind is denied: somebody wrote a rule."""
    if facts.verdict.state != "denied" or _is_privileged(facts):
        return None
    own = facts.machine.unit
    where = f" of {escape(own)}" if own else ""
    commands = [shell_commands.as_root(facts.machine, "journalctl", "-k", "-g", "denied", "-n", "20")]
    if own:
        commands.insert(0, shell_commands.as_root(facts.machine, "systemctl", "show", "-p", "SocketBindDeny", own))
    return Remedy(
        "bind-policy",
        f"The port needs no privilege, so a policy denies it: SocketBindDeny={where}, SELinux, AppArmor or a BPF "
        "program.",
        tuple(commands),
    )

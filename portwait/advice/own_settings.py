"""Well-known programs that have a setting of their own for a port that they have open: better than stopping them."""

from __future__ import annotations

from portwait.advice import shell_commands
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from portwait.advice.facts import Facts
    from portwait.model.owner import Owner
else:
    Protocol = object

_RESOLVED = {53: "DNSStubListener=no", 5353: "MulticastDNS=no", 5355: "LLMNR=no"}
_SHARED = "dnsmasq-shared.d"
_LIBVIRT = "/var/lib/libvirt/dnsmasq/"
_NETWORK_MANAGER = "NetworkManager.service"


class Plan(Protocol):
    """What collects commands and sentences (`stopping`)."""

    commands: dict[str, None]

    def say(self, text: str) -> None:
        """Put a sentence beside the commands."""


def instead_of_stopping(facts: Facts, owner: Owner, plan: Plan) -> bool:
    """Plan the setting; whether that replaces stopping the owner. Of a helper the setting is only named."""
    port, machine = facts.target.port, facts.machine
    if owner.name == "systemd-resolve" and port in _RESOLVED and _is_in(owner, "systemd-resolved.service"):
        folder = "/etc/systemd/resolved.conf.d"
        plan.say(f"systemd-resolved has a setting for that port and need not be stopped: {_RESOLVED[port]}.")
        for line in (
            shell_commands.as_root(machine, "mkdir", "-p", folder),
            shell_commands.append(machine, f"{folder}/portwait.conf", ["[Resolve]", _RESOLVED[port]]),
            shell_commands.as_root(machine, "systemctl", "restart", "systemd-resolved.service"),
        ):
            plan.commands.setdefault(line)
        return True
    if owner.name == "dockerd":
        plan.say("dockerd has it open for a container that publishes it: find that container and stop it, not dockerd.")
        find = ("docker", "ps", "--filter", f"publish={port}/{facts.target.protocol}")
        plan.commands.setdefault(shell_commands.as_root(machine, *find))
        return True
    return owner.name == "dnsmasq" and _by_whoever_started(facts, owner, plan)


def _is_in(owner: Owner, unit: str) -> bool:
    """Whether it is a process of this system unit: anybody can write a name and a command line, and not a cgroup."""
    return owner.unit == unit and not owner.user_unit


def _by_whoever_started(facts: Facts, owner: Owner, plan: Plan) -> bool:
    """Plan the setting of whoever started a dnsmasq, or only name it."""
    network = next((word.partition(_LIBVIRT)[2] for word in owner.cmdline if _LIBVIRT in word), "")
    if network:
        name = escape(network.removesuffix(".conf"), 40)
        plan.say(
            f"libvirt starts it for its network {name}. With <dns enable='no'/> in that network's XML (virsh net-edit) "
            "it leaves port 53 alone from the network's next start on."
        )
    elif any(_SHARED in word for word in owner.cmdline) and _is_in(owner, _NETWORK_MANAGER):
        plan.say("NetworkManager starts it for a connection that it shares, which fails when this ends.")
    elif any("NetworkManager" in word for word in owner.cmdline) and _is_in(owner, _NETWORK_MANAGER):
        plan.say(
            "NetworkManager runs it (dns=dnsmasq) and starts it again when it ends. With dns=default it ends it, and "
            "programs ask the DNS servers of the network directly."
        )
        folder = "/etc/NetworkManager/conf.d"
        for line in (
            shell_commands.as_root(facts.machine, "mkdir", "-p", folder),
            shell_commands.append(facts.machine, f"{folder}/zz-portwait.conf", ["[main]", "dns=default"]),
            shell_commands.as_root(facts.machine, "systemctl", "reload", _NETWORK_MANAGER),
        ):
            plan.commands.setdefault(line)
        return True
    return False

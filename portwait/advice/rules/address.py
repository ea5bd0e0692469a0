"""The address is not on this host: not yet, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.advice import shell_commands
from portwait.model.case import Remedy
from portwait.model.targets import ANY
from portwait.text.escape import escape

if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def _missing(facts: Facts) -> bool:
    return facts.verdict.state == "unavailable" and facts.target.address != ANY


def look_at_addresses(facts: Facts) -> Remedy | None:
    """Show which addresses there are."""
    if not _missing(facts) or facts.machine.system != "linux":
        return None
    return Remedy("list-addresses", "See which addresses this host has:", ("ip -brief address",))


def network_online(facts: Facts) -> Remedy | None:
    """Start after the network is up."""
    if not _missing(facts) or not facts.machine.systemd:
        return None
    return Remedy(
        "network-online",
        f"If {facts.target.address} comes up with the network, start the service after it, in its unit's file:",
        ("[Unit]", "Wants=network-online.target", "After=network-online.target"),
    )


def nonlocal_bind(facts: Facts) -> Remedy | None:
    """Bind an address that is not there yet: a floating one."""
    if not _missing(facts) or not facts.machine.may_set or facts.target.zone:
        return None
    setting = f"net.ipv{facts.target.family or 6}.ip_nonlocal_bind=1"
    return Remedy(
        "nonlocal-bind",
        f"If {escape(facts.target.address)} moves between hosts (VRRP, keepalived), let services bind it before it is "
        "here:",
        (
            shell_commands.as_root(facts.machine, "sysctl", "-w", setting),
            shell_commands.append(facts.machine, "/etc/sysctl.d/90-nonlocal-bind.conf", [setting]),
        ),
    )

"""The address cannot be bound: not there yet, there and not usable, or not there at all."""

from __future__ import annotations

from portwait.advice import shell_commands
from portwait.model.case import Remedy
from portwait.model.targets import ANY
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def _state(facts: Facts) -> str:
    """Say what is the matter with the target's address; empty where nothing is."""
    if facts.verdict.state not in ("unavailable", "unknown"):
        return ""
    if facts.case.address is None:
        return "absent" if facts.verdict.state == "unavailable" and facts.target.address != ANY else ""
    return facts.case.address.code


def look_at_addresses(facts: Facts) -> Remedy | None:
    """Show which addresses there are, or what is the matter with this one."""
    state = _state(facts)
    if state in ("", "no-family") or facts.machine.system != "linux":
        return None
    if state in ("loopback-down", "loopback"):
        return _loopback(facts, state)
    device = facts.case.address.device if facts.case.address is not None else ""
    if state in ("tentative", "duplicate"):
        flag = "tentative" if state == "tentative" else "dadfailed"
        more = (
            " It can be bound when that is over, in a second or two."
            if state == "tentative"
            else " Give one of the two hosts another address."
        )
        return Remedy(
            "list-addresses", f"See the address and its state.{more}", (_ip(facts, "-6", "address", "show", flag),)
        )
    if state == "vrf":
        return Remedy(
            "list-addresses",
            f"Let the service bind to the device {escape(device)} (SO_BINDTODEVICE), or start it there:",
            (_ip(facts, "vrf", "exec", device, "COMMAND"),),
        )
    if state == "no-zone":
        word = f"[{facts.target.address}%{device or 'INTERFACE'}]:{facts.target.port}"
        return Remedy(
            "list-addresses",
            f"Name the interface with the address, {escape(word)}. See which it is on:",
            (_ip(facts, "-6", "-brief", "address"),),
        )
    if state == "no-interface":
        return Remedy(
            "list-addresses",
            f"There is no interface {escape(device)} here. See which there are:",
            (_ip(facts, "-brief", "link"),),
        )
    return Remedy("list-addresses", "See which addresses this host has:", (_ip(facts, "-brief", "address"),))


def _ip(facts: Facts, *words: str) -> str:
    return shell_commands.about_network(facts.machine, "ip", *words, requires_root=False)


def _loopback(facts: Facts, state: str) -> Remedy:
    """Give the loopback interface back what every host has."""
    if state == "loopback-down":
        words = "The loopback interface lo is down, as it is in a new network namespace. Bring it up:"
        command = shell_commands.about_network(facts.machine, "ip", "link", "set", "lo", "up")
    else:
        words = "Every host has this address on its loopback interface, and somebody has removed it. Add it again:"
        usual = "::1/128" if facts.target.family == 6 else "127.0.0.1/8"
        command = shell_commands.about_network(facts.machine, "ip", "address", "add", usual, "dev", "lo")
    return Remedy("list-addresses", words, (command,))


def switch_ipv6_on(facts: Facts) -> Remedy | None:
    """IPv6 is switched off by a setting."""
    if _state(facts) != "ipv6-off" or facts.case.address is None or not facts.machine.may_set:
        return None
    lasts = shell_commands.lasting(facts.machine)
    at_boot = " At boot the setting comes from /etc/sysctl.d, or from ipv6.disable_ipv6 on the kernel's command line."
    interface = facts.case.address.device.replace(".", "/")  # sysctl(8) takes it for the dot of eth0.100
    setting = f"net.ipv6.conf.{interface}.disable_ipv6=0"
    return Remedy(
        "switch-ipv6-on",
        f"Let the service bind an IPv4 address, or switch IPv6 on.{lasts or at_boot}",
        (shell_commands.about_network(facts.machine, "sysctl", "-w", setting),),
    )


def network_online(facts: Facts) -> Remedy | None:
    """Start after the network is up."""
    if _state(facts) not in ("absent", "tentative") or not facts.machine.systemd:
        return None
    return Remedy(
        "network-online",
        f"If {facts.target.address} comes up with the network, start the service after it, in its unit's file:",
        ("[Unit]", "Wants=network-online.target", "After=network-online.target"),
    )


def nonlocal_bind(facts: Facts) -> Remedy | None:
    """Bind an address that is not there yet: a floating one."""
    if _state(facts) != "absent" or not facts.machine.may_set or facts.target.zone:
        return None
    name = f"net.ipv{facts.target.family or 6}.ip_nonlocal_bind"
    return Remedy(
        "nonlocal-bind",
        f"If {escape(facts.target.address)} moves between hosts (VRRP, keepalived), let services bind it before it is "
        f"here.{shell_commands.lasting(facts.machine)}",
        shell_commands.setting(facts.machine, name, "1", "zz-nonlocal-bind.conf"),
    )

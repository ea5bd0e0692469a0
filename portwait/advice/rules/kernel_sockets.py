"""Sockets of the kernel's own: NFS and whatever else speaks RPC, and tunnels."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping
from portwait.model.case import Remedy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts

_RPC = ("nfs", "sunrpc", "mountd", "nlockmgr")
_RESERVED_PORT_TAKERS = ("rpc.", "rpcbind", "ypbind", "ypserv", "automount", "amd", "mount.nfs", "rsh", "rlogin")
_BINDRESVPORT = range(512, 1024)
_PRIVILEGED = range(665, 1024)  # sunrpc.min_resvport to sunrpc.max_resvport (RPC_DEF_MIN_RESVPORT)


def kernel_rpc(facts: Facts) -> Remedy | None:
    """The kernel's RPC client binds low ports by number, one at random, so reserving does not keep it away."""
    if not any(
        not blocker.is_owned
        and blocker.socket.inode
        and blocker.socket.uid == 0
        and (blocker.remote_service in _RPC or blocker.socket.remote_port == 2049)
        and blocker.socket.local_port in _PRIVILEGED
        for blocker in facts.blockers
    ):
        return None
    port = facts.target.port
    below, above = port - _PRIVILEGED.start, _PRIVILEGED.stop - 1 - port  # how many ports are on either side
    setting = f"min_resvport={port + 1}" if below < above else f"max_resvport={port - 1}"
    machine, where = facts.machine, ""
    if machine.contained:  # the setting is the kernel's, of no namespace, and read-only here; so is /etc another one
        machine, where = machine._replace(container=None, root=False), " All of it is done on the container's host."
    return Remedy(
        "kernel-rpc",
        "This is the kernel's own NFS or RPC client. It takes a port from sunrpc.min_resvport to max_resvport by "
        "number, so reserving does not keep it away. Let it take others, now and at boot, then unmount and mount "
        f"again; or mount with noresvport, where the server allows it.{where}",
        (
            "findmnt -t nfs,nfs4",
            shell_commands.as_root(machine, "sysctl", "-w", f"sunrpc.{setting}"),
            shell_commands.append(machine, "/etc/modprobe.d/sunrpc.conf", [f"options sunrpc {setting}"]),
        ),
    )


def bindresvport(facts: Facts) -> Remedy | None:
    """Some programs let libtirpc pick a low port; /etc/bindresvport.blacklist lists those that it leaves alone."""
    takers = [
        owner
        for owner in shell_commands.owners(facts.blockers)
        if owner.name.startswith(_RESERVED_PORT_TAKERS) and facts.target.port in _BINDRESVPORT
    ]
    if not takers:
        return None
    who, port = shell_commands.called(takers), facts.target.port
    restart = stopping.restart(facts, takers)
    return Remedy(
        "bindresvport",
        f"{who} was given {port} by bindresvport(3), which tries ports from 512 to 1023 by number, so reserving does "
        "not keep it away. Put the port on the list of those that it leaves alone, and restart it."
        f"{restart.words}",
        (shell_commands.append(facts.machine, "/etc/bindresvport.blacklist", [str(port)]), *restart.commands),
    )


def kernel_tunnel(facts: Facts) -> Remedy | None:
    """A tunnel receives by a UDP socket that no process has."""
    blockers = [
        blocker for blocker in facts.blockers if blocker.kind.name == "bound" and blocker.socket.protocol == "udp"
    ]
    if not any(not blocker.is_owned and blocker.socket.inode and blocker.socket.uid == 0 for blocker in blockers):
        return None
    list_links = shell_commands.about_network(facts.machine, "ip", "-details", "-oneline", "link", requires_root=False)
    return Remedy(
        "kernel-tunnel",
        "If no process has it, it is the kernel's own, of a tunnel: VXLAN, Geneve, WireGuard. Find the device, and "
        "give it another port or remove it.",
        (f"{list_links} | grep -w -e {facts.target.port} -e wireguard",),
    )

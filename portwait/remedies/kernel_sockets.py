"""Sockets of the kernel's own: NFS and whatever else speaks RPC."""

from __future__ import annotations

from portwait.remedies import phrases
from portwait.remedies.registry import Facts, Remedy, rule

_RPC = ("nfs", "sunrpc", "mountd", "nlockmgr")
_PRIVILEGED = range(665, 1024)  # sunrpc.min_resvport to sunrpc.max_resvport (RPC_DEF_MIN_RESVPORT)


@rule
def kernel_rpc(facts: Facts) -> Remedy | None:
    """The kernel's RPC client binds low ports by number, from the top down, so reserving does not keep it away."""
    if not any(
        not one.owners
        and one.socket.inode
        and one.socket.uid == 0
        and (one.remote_service in _RPC or one.socket.remote_port == 2049)
        and one.socket.local_port in _PRIVILEGED
        for one in facts.blockers
    ):
        return None
    lowest = facts.target.port + 1
    commands = ["noresvport"]
    if lowest < 1000:
        commands.insert(0, phrases.as_root(facts.machine, "sysctl", "-w", f"sunrpc.min_resvport={lowest}"))
    return Remedy(
        "kernel-rpc",
        "This is the kernel's own NFS or RPC client. It takes ports from 1023 downwards by number, so reserving does "
        "not keep it away. Raise its lowest port, or mount with noresvport where the server allows it; mount again.",
        tuple(commands),
    )

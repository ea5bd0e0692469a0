"""Somebody serves on the port: which unit or container that is, and how it is stopped."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping
from portwait.model.case import Remedy
from portwait.text.escape import escape, shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.advice.facts import Facts
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner


def _servers(facts: Facts) -> list[Blocker]:
    """Choose the sockets that serve; a UDP server is bound and no more."""
    return [
        blocker
        for blocker in facts.blockers
        if blocker.kind.name == "listener" or (blocker.kind.name == "bound" and blocker.socket.protocol == "udp")
    ]


def _is_proxy(owner: Owner) -> bool:
    return owner.forwards is not None


def docker_proxy(facts: Facts) -> Remedy | None:
    """Name the container behind Docker's proxy."""
    proxies = [owner for owner in shell_commands.owners(_servers(facts)) if _is_proxy(owner)]
    if not proxies:
        return None
    where = " and ".join(dict.fromkeys(escape(owner.forwards or "") for owner in proxies))
    port = facts.target.port
    find = ("docker", "ps", "--filter", f"publish={port}/{facts.target.protocol}")
    if facts.published is False:
        stop = stopping.stop(facts, [owner._replace(unit=None) for owner in proxies])
        return Remedy(
            "docker-proxy",
            f"Docker's proxy forwards {port} to {where}, but no running container publishes {port}: it is left over "
            f"from one that is gone. End it.{stop.words}",
            stop.commands,
        )
    return Remedy(
        "docker-proxy",
        f"Docker publishes {port} for the container at {where}. Find the container, stop it or publish another port.",
        (shell_commands.as_root(facts.machine, *find),),
    )


def socket_unit(facts: Facts) -> Remedy | None:
    """A systemd itself has the port: for a socket unit, or in the descriptor store of a service."""
    managers = [owner for owner in shell_commands.owners(facts.blockers) if stopping.is_manager(owner)]
    if not managers:
        return None
    stop = stopping.stop(facts, managers)
    listens = any(unit.listens for units in facts.managed.values() for unit in units)
    take = " Or let the service take the socket from it (LISTEN_FDS)." if listens else ""
    find = (shell(("systemctl", "list-sockets", "--full")) + f" | grep -w {facts.target.port}",)
    return Remedy("socket-unit", f"{stop.words.strip()} Stop that unit.{take}", stop.commands or find)


def _does(facts: Facts, servers: Sequence[Owner]) -> str:
    """Say `serves` only where somebody accepts: no connection waits, and a process runs."""
    waiting = max((blocker.socket.queue or 0 for blocker in _servers(facts)), default=0)
    if waiting or all(owner.state in ("T", "t", "Z") for owner in servers):
        has = shell_commands.verb(servers, "has this port open", "have this port open")
        wait = f" and {waiting} {'connection waits' if waiting == 1 else 'connections wait'} to be accepted"
        return has + (wait if waiting else "")
    return shell_commands.verb(servers, "serves on this port", "serve on this port")


def stop_listener(facts: Facts) -> Remedy | None:
    """Stop who listens."""
    restarted = {pid for wrapper in facts.wrappers for pid in wrapper.pids}  # the JVM by its wrapper, at once
    servers = [
        owner
        for owner in shell_commands.owners(_servers(facts))
        if owner.pid not in restarted and not _is_proxy(owner) and not stopping.is_manager(owner)
    ]
    activated = {name for units in facts.managed.values() for unit in units for name in unit.triggers}
    servers = [owner for owner in servers if owner.unit not in activated]  # `socket_unit` stops them too
    if not servers:
        return None
    stop = stopping.stop(facts, servers)
    return Remedy(
        "stop-listener",
        f"{shell_commands.called(servers)} {_does(facts, servers)}. Stop {shell_commands.pronoun(servers)}, or give "
        f"one of the two another port.{stop.words}",
        stop.commands,
    )

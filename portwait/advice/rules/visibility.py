"""How to see an owner that is not seen from here."""

from __future__ import annotations

from portwait._linux import netns
from portwait.advice import shell_commands
from portwait.model.case import Remedy
from portwait.text.escape import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from portwait.advice.facts import Facts


def look_as_root(facts: Facts) -> Remedy | None:
    """Root sees the descriptors of all users' processes."""
    if not _helps(facts, "run as root"):
        return None
    how = "See the owner:"
    if facts.machine.hides_processes:
        how = "See the owner, if it is a process of this container, as root of this container:"
    elif facts.machine.contained:
        how = "See the owner, as root of this container:"
    return Remedy("look-as-root", how, (shell_commands.on_target(facts, "explain"),))


def look_from_host(facts: Facts) -> Remedy | None:
    """Run portwait among the host's processes, and in this very network: another one has other sockets."""
    if not _helps(facts, "look from the host"):
        return None
    command = shell(("portwait", "explain", *shell_commands.asked(facts.case)))
    if not facts.machine.network:
        words = "The processes outside of this container are not seen from here. On the host, whose network it uses:"
        return Remedy("look-from-host", words, (f"sudo {command}",))
    words = (
        "The processes outside of this container are not seen from here, those of another container of the same pod "
        "for example. On the host, whose own network is another one, this looks into the network of this container:"
    )
    return Remedy("look-from-host", words, (f"{netns.way_in(facts.machine.network, sudo=True)} {command}",))


def share_processes(facts: Facts) -> Remedy | None:
    """Start the container so that it sees the processes it shares its network with."""
    if not facts.machine.contained or not _helps(facts, "look from the host"):
        return None
    shared = facts.machine.network != 0
    if facts.machine.container == "kubernetes":
        setting = "shareProcessNamespace: true" if shared else "hostPID: true"
        whose = "the pod's other containers" if shared else "the node"
        return Remedy(
            "share-processes",
            f"Or let this container see the processes of {whose}, those of other users as root with the capability "
            "SYS_PTRACE. In the pod's spec:",
            ("spec:", f"  {setting}"),
        )
    option = "--pid container:OTHER" if shared else "--pid host"
    whose = "the container that it shares its network with" if shared else "the host"
    return Remedy(
        "share-processes",
        f"Or start this container so that it sees the processes of {whose}, those of other users as root. Options of "
        "docker run and podman run:",
        (f"{option} --cap-add SYS_PTRACE --user 0",),
    )


def _helps(facts: Facts, cure: str) -> bool:
    """Whether an owner is missing, and the reason that is given for it names this cure."""
    return any(cure in (blocker.unseen or "") and not blocker.is_owned for blocker in facts.blockers)

"""Where portwait runs, and what it may do there: what decides which advice is right for this machine."""

from __future__ import annotations

import os
import sys

from portwait.model.record import Record
from portwait.text.escape import shell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from portwait.model.owner import Place

_CAP_NET_ADMIN = 12  # linux/capability.h
_NAME = "portwait"
_OF_SUDO = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""Where every sudo looks, whatever PATH says (secure_path in sudoers(5)); RHEL's leaves out /usr/local/bin."""
_OF_THE_SYSTEM = (*_OF_SUDO, "/usr/local/sbin", "/usr/local/bin")
"""Folders that nobody has to wait for; others can be on a mount that does not answer."""


class Machine(Record):
    """What is known of the host or container that this process runs in."""

    system: str = "linux"
    """As sys.platform: linux, darwin, win32."""
    root: bool = True
    may_evict: bool = True
    """Whether this process has CAP_NET_ADMIN."""
    may_set: bool = True
    """Whether the net.* settings can be written here, by root at least; of a unit: on its machine."""
    sysctl_d: bool = True
    """Whether the files of sysctl.d that are seen here are read at boot for this network namespace: not for a
    container's, nor for one of `ip netns`."""
    container: str | None = None
    """`kubernetes`, `podman`, `docker` or `container` where this process is in one."""
    host_network: bool = False
    """Whether this is a container with the host's network (--network host, hostNetwork: true); looked up only where it
    counts, where the settings cannot be written here."""
    hides_processes: bool = False
    """Whether this is a PID namespace of its own: the processes outside of it are not seen here."""
    network: int = 0
    """The number of this network namespace, as lsns(8) lists it, where processes are hidden and the network is not the
    host's; else 0."""
    way_in: str = ""
    """How a command about the network begins (`nsenter`) where it is pasted outside of this network namespace: what a
    unit says is read in the journal."""
    systemd: bool = True
    unit: str | None = None
    """The system unit that this process is a part of: the service's own, where the guard runs in it."""
    portwait: str = _NAME
    """How portwait is called in a command of root's to paste (`program`)."""

    @property
    def contained(self) -> bool:
        """Whether this is a container as most are: its settings come from outside, and there is no sudo."""
        return self.container is not None and not self.may_set


def machine() -> Machine:
    """Read it now."""
    root = _is_root()
    if sys.platform != "linux":
        return Machine(
            sys.platform, root=root, may_evict=False, may_set=False, systemd=False, portwait=program(by_sudo=not root)
        )
    from portwait._linux import procfs

    place, container = _surroundings()
    service = _service(place)
    # ProtectKernelTunables= makes it read-only for the unit alone, and nobody pastes a line in there
    in_unit = _is_in_unit(place, container)
    may_set = in_unit or not _is_read_only("/proc/sys/net")  # systemd-nspawn mounts this one apart, writable
    unit = None if place.user_unit else service
    hides_processes = procfs.shows_all_processes() is False
    systemd = os.path.isdir("/run/systemd/system")
    return Machine(
        root=root,
        may_evict=_has_capability(_read("/proc/self/status"), _CAP_NET_ADMIN),
        may_set=may_set,
        sysctl_d=_has_host_network() if container is None else systemd and may_set and _is_network_of_pid_1(),
        container=container,
        host_network=container is not None and not may_set and _has_host_network(),
        hides_processes=hides_processes,
        network=_own_network() if hides_processes else 0,
        way_in=_way_in(sudo=not root) if in_unit else "",
        systemd=systemd,
        unit=None if unit is not None and unit.startswith("user@") else unit,
        portwait=program(by_sudo=not root and (container is None or may_set)),  # there is no sudo in a container
    )


def call(*words: str, patient: bool = True) -> str:
    """Quote a call of portwait that is to be pasted: it asks about this very network, whoever pastes it where.

    `patient`: as `program` has it.
    """
    sudo = not _is_root()
    way_in = _way_in(sudo=sudo) if sys.platform == "linux" and _is_in_unit(*_surroundings()) else ""
    called = shell((program(by_sudo=sudo and way_in != "", patient=patient), *words))
    return f"{way_in} {called}" if way_in else called


def program(*, by_sudo: bool = False, patient: bool = True) -> str:
    """Say how portwait is called in a command to paste: by its name where that finds this very one, else by its path.

    `by_sudo`: whether sudo looks for it. `patient`: whether this process can be abandoned, so that it may look into any
    folder of PATH.
    """
    along = os.environ.get("PATH", os.defpath).split(":")
    if not patient:
        along = along[: next((at for at, folder in enumerate(along) if folder not in _OF_THE_SYSTEM), None)]
    own = own_path() or (_first(along) if sys.argv[0] == _NAME else None)
    found = _first(_OF_SUDO if by_sudo else along)
    try:
        return _NAME if own is None or (found is not None and os.path.samefile(found, own)) else own
    except OSError:  # an upgrade has just replaced it
        return _NAME


def own_path() -> str | None:
    """Say where this very portwait is; None where a shell found it by its name, or where a program imports it."""
    said = sys.argv[0]
    if said.endswith(f"/{_NAME}/__main__.py"):  # python -m portwait: the command is installed beside that Python
        said = _first([os.path.dirname(sys.executable)]) or said
    if sys.platform == "win32" or os.path.basename(said) != _NAME or "/" not in said:
        return None
    return os.path.abspath(said)


def _first(folders: Sequence[str]) -> str | None:
    return next((path for folder in folders if os.access(path := f"{folder or '.'}/{_NAME}", os.X_OK)), None)


def _surroundings() -> tuple[Place, str | None]:
    """Read the place of this process among the cgroups, and in which container it is."""
    from portwait._linux import cgroups

    place = cgroups.place(_read("/proc/self/cgroup"))
    return place, _container(os.environ, _read("/run/systemd/container"))


def _service(place: Place) -> str | None:
    return place.unit if place.unit is not None and place.unit.endswith(".service") else None


def _is_in_unit(place: Place, container: str | None) -> bool:
    """Whether this process is a part of a service of the host: nobody pastes a line in there."""
    return _service(place) is not None and container is None and place.container is None


def _way_in(*, sudo: bool) -> str:
    """Write how a command begins that is to run in this network; empty where that is the host's."""
    from portwait._linux import netns

    number = _own_network()
    return netns.way_in(number, netns.path_of(number), sudo=sudo) if number else ""


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _has_host_network() -> bool:
    """Whether this is the network that the machine starts with; so it is said where that is not seen."""
    from portwait._linux import netns

    return netns.is_initial() is not False


def _is_network_of_pid_1() -> bool:
    """Whether PID 1 of this container is in this network; so it is said where that is not seen.

    A container that boots systemd (systemd-nspawn, LXC) reads its own files, for the network of its PID 1.
    """
    from portwait._linux import netns

    return netns.number(1) in (None, netns.number())


def _own_network() -> int:
    """Answer the number of this network namespace; 0 where it is the host's, or does not tell."""
    from portwait._linux import netns

    return 0 if netns.is_initial() else netns.number() or 0


def _has_capability(status: str, number: int) -> bool:
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            try:
                return bool(int(line.partition(":")[2], 16) >> number & 1)
            except ValueError:
                return False
    return False


def _is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _container(environment: Mapping[str, str], told: str) -> str | None:
    """Name what we are contained in; the marks are those that systemd-detect-virt(1) reads."""
    if "KUBERNETES_SERVICE_HOST" in environment:
        return "kubernetes"
    if os.path.exists("/run/.containerenv"):
        return "podman"
    if os.path.exists("/.dockerenv"):
        return "docker"
    return "container" if environment.get("container") or told.strip() else None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(1 << 16)
    except OSError:
        return ""

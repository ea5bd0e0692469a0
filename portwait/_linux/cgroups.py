"""What a cgroup path says of a process: its systemd unit, its container, its pod. Pure functions of the text."""

from __future__ import annotations

from portwait.model.owner import Place

_ENGINES = {
    "docker": "docker",
    "libpod": "podman",
    "libpod-conmon": "podman",
    "crio": "cri-o",
    "crio-conmon": "cri-o",
    "cri-containerd": "containerd",
    "containerd": "containerd",
    "nerdctl": "containerd",
    "buildkit": "buildkit",
}
_NAMED = {"lxc.payload.": "lxc", "machine-": "nspawn", "systemd-nspawn@": "nspawn"}
_HEXADECIMAL = frozenset("0123456789abcdef")
_VALID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@")


def place(text: str) -> Place:
    """Read the text of /proc/PID/cgroup, v1, v2 or both."""
    paths = paths_of(text)
    units = place_of(paths[0]) if paths else Place()
    for path in paths:
        place = place_of(path)
        if place.container is not None:
            return units._replace(container=place.container, pod=place.pod)
    return units


def paths_of(text: str) -> tuple[str, ...]:
    """Pick the paths, that of systemd's own hierarchy first, then that of cgroup v2.

    A path holds any character but a newline, and who was given a part of the tree chooses: only a newline ends a line.
    """
    ranked: dict[str, int] = {}
    for line in text.split("\n"):
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path and path != "/":
            rank = 0 if controllers == "name=systemd" else 1 if hierarchy == "0" else 2
            ranked[path] = min(rank, ranked.get(path, rank))
    return tuple(sorted(ranked, key=ranked.__getitem__))


def place_of(path: str) -> Place:
    """Read one path."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    unit, user_unit = _unit(parts)
    return Place(unit, user_unit, container=_container(parts), pod=_pod(parts))


def _unit(parts: list[str]) -> tuple[str | None, bool]:
    """Name the unit, and say whether it is one of a user's own manager.

    Whose name stands directly below the slices is a unit, and nothing below that is: who was given a part of the tree
    to manage can name groups in it as he likes (cg_path_get_unit and cg_path_get_user_unit, systemd).
    """
    rest = _below_slices(parts)
    if not rest:
        return None, False
    if rest[0].startswith("user@"):
        own = _below_slices(rest[1:])
        if own and _is_unit(own[0]):
            return _unescaped(own[0]), True
    return (_unescaped(rest[0]), False) if _is_unit(rest[0]) else (None, False)


def _below_slices(parts: list[str]) -> list[str]:
    for at, part in enumerate(parts):
        if not part.endswith(".slice"):
            return parts[at:]
    return []


def _is_unit(name: str) -> bool:
    """Whether it is a unit's valid name; `systemctl stop '*'` would be another thing (unit_name_is_valid, systemd)."""
    return name.endswith((".service", ".scope", ".socket", ".mount", ".swap")) and _VALID.issuperset(name)


def _unescaped(unit: str) -> str:
    r"""Undo cgroupfs' own escaping, a leading `_`; `\x2d` stays, being part of the unit's name (systemd.unit(5))."""
    return unit.removeprefix("_")


def _container(parts: list[str]) -> str | None:
    """Name the innermost container, `docker:0123456789ab`, `lxc:web`; None where there is none."""
    for at in range(len(parts) - 1, -1, -1):
        part = parts[at].removesuffix(".scope").removesuffix(".slice")
        head, _, tail = part.replace(":", "-").rpartition("-")  # cri-containerd:ID in the colon form, docker-ID
        if _is_id(tail):
            engine = _ENGINES.get(head.rpartition("-")[2]) or _ENGINES.get(head) or _by_parents(parts[:at])
            return f"{engine}:{tail[:12]}"
        for prefix, engine in _NAMED.items():
            if parts[at].startswith(prefix) and (prefix != "machine-" or "machine.slice" in parts):
                name = parts[at].removeprefix(prefix).removesuffix(".scope").removesuffix(".service")
                return f"{engine}:{name}"
        if at and parts[at - 1] == "lxc":
            return f"lxc:{parts[at]}"
    return None


def _by_parents(parts: list[str]) -> str:
    """Name the engine by the directories above: `/docker/ID`, `/kubepods/besteffort/podUID/ID`."""
    for part in reversed(parts):
        if part in _ENGINES:
            return _ENGINES[part]
        if part.startswith(("libpod_parent", "machine.slice")):
            return "podman"
        if part.startswith(("kubepods", "kubelet")):
            return "kubernetes"
    return "container"


def _pod(parts: list[str]) -> str | None:
    """Name a Kubernetes pod by its UID, `/kubepods/burstable/podUID`, `kubepods-burstable-podUID.slice`."""
    for part in parts:
        if part.startswith("pod") and len(part) > 12 and any(above.startswith("kubepods") for above in parts):
            return part.removeprefix("pod")
        if part.startswith(("kubepods-", "kubelet-kubepods-")) and "-pod" in part:
            return part.partition(":")[0].removesuffix(".slice").rpartition("-pod")[2].replace("_", "-")
    return None


def _is_id(text: str) -> bool:
    return len(text) == 64 and _HEXADECIMAL.issuperset(text)

"""What a cgroup path says of a process: its systemd unit, its container. Pure functions of the path."""

from __future__ import annotations

import re

_UNIT = re.compile(r"^[^/]+\.(?:service|scope|socket|mount|slice)$")
_CONTAINER = re.compile(
    r"(?:^|/)(?:(?P<engine>docker|libpod|crio|cri-containerd|containerd|nerdctl|buildkit)[-/:](?:conmon-)?)?"
    r"(?P<id>[0-9a-f]{64})(?:\.scope)?(?:$|/)"
)
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def unit_of(path: str) -> str | None:
    """Name the unit of a cgroup path: the innermost service, or a scope; a user's own unit before user@1000.service."""
    parts = [part for part in path.split("/") if part]
    for suffix in (".service", ".scope"):
        for part in reversed(parts):
            if part.endswith(suffix) and _UNIT.match(part):
                return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), part) if "\\x" in part else part
    return None


def container_of(path: str) -> str | None:
    """Name the container of a cgroup path, `docker:0123456789ab`; None where it shows none."""
    match = _CONTAINER.search(path)
    if match is None:
        return None
    engine = match["engine"] or ("kubernetes" if "kubepods" in path else "container")
    return f"{ {'libpod': 'podman', 'cri-containerd': 'containerd'}.get(engine, engine) }:{match['id'][:12]}"


def path_of(text: str) -> str:
    """Pick the path out of /proc/PID/cgroup: that of cgroup v2, or systemd's own v1 hierarchy."""
    fallback = ""
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "name=systemd":
            return path
        if (hierarchy == "0" and path != "/") or (not fallback and path != "/"):
            fallback = path
    return fallback or "/"

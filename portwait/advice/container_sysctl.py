"""The lines that give a container a setting which it cannot write itself: pure functions.

Inside a container /proc/sys is read-only; a setting of its network namespace comes from whoever starts it.
"""

from __future__ import annotations

HOST_NETWORK = (
    "With host networking (--network host, hostNetwork: true) Docker, podman and the kubelet refuse these lines: "
    "there the setting is the node's, so do it on the node itself."
)

_SAFE_SINCE = {"net.ipv4.ip_local_reserved_ports": "1.27", "net.ipv4.ip_unprivileged_port_start": "1.22"}


def lines(name: str, value: str) -> tuple[str, ...]:
    """Say how `docker run`, compose and Kubernetes set `name`, `net.ipv4.ip_local_reserved_ports` say, to `value`."""
    return (*docker(name, value), *compose(name, value), *kubernetes(name, value), HOST_NETWORK)


def docker(name: str, value: str) -> tuple[str, ...]:
    """The option of `docker run` and `podman run`."""
    return ("docker run, podman run:", f"  --sysctl {name}={value}")


def compose(name: str, value: str) -> tuple[str, ...]:
    """The lines of a compose file, below the service's name."""
    return ("compose, in the service:", "  sysctls:", f'    {name}: "{value}"')


def kubernetes(name: str, value: str) -> tuple[str, ...]:
    """The lines of a pod's spec; no node has to allow a safe sysctl first."""
    since = f" (a safe sysctl since {_SAFE_SINCE[name]})" if name in _SAFE_SINCE else ""
    return (
        f"Kubernetes, in the pod's spec{since}:",
        "  securityContext:",
        "    sysctls:",
        f"      - name: {name}",
        f'        value: "{value}"',
    )

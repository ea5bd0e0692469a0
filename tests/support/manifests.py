"""The manifests of contrib/docker as values, and as words for `podman run`, as the kubelet or Compose would have it.

A field that is not known here is a KeyError, so that none goes untested without anybody noticing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.images import DOCKER

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFESTS = sorted(
    file.stem for file in (DOCKER / "kubernetes").glob("*.yaml") if not file.stem.startswith("configmap-")
)
"""The workloads: each has a pod."""


def load(name: str) -> dict[str, Any]:
    """Read a Kubernetes manifest."""
    manifest: dict[str, Any] = yaml.safe_load((DOCKER / "kubernetes" / f"{name}.yaml").read_text())
    return manifest


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Answer a workload's pod template."""
    template: dict[str, Any] = manifest["spec"]["template"]
    return template


def services() -> dict[str, dict[str, Any]]:
    """Read the Compose file's services."""
    return dict(yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"])


def composed(service: dict[str, Any], network: str) -> list[str]:
    """Answer how podman runs a Compose service in some network; ports to publish would take a bridge."""
    fields = {name: value for name, value in service.items() if name not in ("network_mode", "ports")}
    image, command = fields.pop("image"), fields.pop("command", [])
    return [f"--network={network}", *_flags(fields, _COMPOSE), image, *command]


def containers(name: str, **volumes: str) -> dict[str, list[str]]:
    """Answer how podman runs each container of a manifest's pod, those that come first first.

    `volumes` are folders of the test in place of the node's. In a network of its own a pod has no other container here.
    """
    spec = pod_of(load(name))["spec"]
    settings = _flags({key: value for key, value in spec.items() if key not in _POD_LEFT_OUT}, _POD)
    if not spec.get("hostNetwork"):
        settings.append("--network=none")
    everyone = (*spec.get("initContainers", []), *spec["containers"])
    return {container["name"]: [*settings, *_container(container, volumes)] for container in everyone}


def _container(container: dict[str, Any], volumes: dict[str, str]) -> list[str]:
    fields = {name: value for name, value in container.items() if name not in _CONTAINER_LEFT_OUT}
    image, words = fields.pop("image"), fields.pop("args", [])
    mounts = [f"--volume={volumes[one['name']]}:{one['mountPath']}" for one in fields.pop("volumeMounts", [])]
    return [*mounts, *_flags(fields, _CONTAINER), image, *words]


_Flags = dict[str, "Callable[[Any], list[str]]"]


def _flags(fields: dict[str, Any], known: _Flags) -> list[str]:
    return [flag for name, value in fields.items() for flag in known[name](value)]


_COMPOSE: _Flags = {
    "cap_drop": lambda names: [f"--cap-drop={name}" for name in names],
    "environment": lambda pairs: [f"--env={name}={value}" for name, value in pairs.items()],
    "init": lambda yes: [f"--init={yes}"],
    "pull_policy": lambda policy: [f"--pull={policy}"],
    "read_only": lambda yes: [f"--read-only={yes}"],
    "restart": lambda policy: [f"--restart={policy}"],
    "security_opt": lambda options: [f"--security-opt={option}" for option in options],
    "sysctls": lambda pairs: [f"--sysctl={name}={value}" for name, value in pairs.items()],
    "user": lambda user: [f"--user={user}"],
}
_SECURITY: _Flags = {
    "allowPrivilegeEscalation": lambda yes: [] if yes else ["--security-opt=no-new-privileges"],
    "capabilities": lambda lists: [f"--cap-{verb}={name}" for verb, names in lists.items() for name in names],
    "privileged": lambda yes: [f"--privileged={yes}"],
    "readOnlyRootFilesystem": lambda yes: [f"--read-only={yes}", "--read-only-tmpfs=false"],
    "runAsGroup": lambda _: [],  # as in the image, or with the user
    "runAsNonRoot": lambda _: [],  # a question that the kubelet asks
    "runAsUser": lambda user: [f"--user={user}:{user}"],
    "seccompProfile": lambda profile: {"RuntimeDefault": []}[profile["type"]],
    "sysctls": lambda all_: [f"--sysctl={one['name']}={one['value']}" for one in all_],
}
_POD: _Flags = {
    "hostNetwork": lambda yes: ["--network=host"] if yes else [],
    "hostPID": lambda yes: ["--pid=host"] if yes else [],
    "securityContext": lambda fields: _flags(fields, _SECURITY),
}
_CONTAINER: _Flags = {
    "command": lambda words: [f"--entrypoint={json.dumps(words)}"],
    "env": lambda all_: [f"--env={one['name']}={one['value']}" for one in all_],
    "securityContext": lambda fields: _flags(fields, _SECURITY),
}
_POD_LEFT_OUT = (  # what only a cluster has
    *("automountServiceAccountToken", "containers", "dnsPolicy", "initContainers"),
    *("priorityClassName", "tolerations", "volumes"),
)
_CONTAINER_LEFT_OUT = ("name", "ports", "resources", "startupProbe")

"""The Kubernetes manifests of contrib/docker as values."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.containers import DOCKER

MANIFESTS = sorted(file.stem for file in (DOCKER / "kubernetes").glob("*.yaml"))


def load(name: str) -> dict[str, Any]:
    """Read a manifest."""
    manifest: dict[str, Any] = yaml.safe_load((DOCKER / "kubernetes" / f"{name}.yaml").read_text())
    return manifest


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """Answer a workload's pod template."""
    template: dict[str, Any] = manifest["spec"]["template"]
    return template

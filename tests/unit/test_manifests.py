"""What contrib/docker offers to copy, held against the real schemas, and against what a schema cannot say."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it says nothing of types
import pytest

from portwait.text import durations
from tests.support.images import DOCKER, ROOT
from tests.support.manifests import MANIFESTS, load, pod_of, services

OLDEST = "1.27"
"""Where ip_local_reserved_ports became a safe sysctl."""

EACH = pytest.mark.parametrize("name", MANIFESTS)


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("name", [*MANIFESTS, "configmap-node-problem-detector"])
def test_kubernetes_knows_every_field(name: str, version: str) -> None:
    """The strict schema refuses what the API server would drop without a word."""
    kubernetes_validate.validate(load(name), version, strict=True)


def test_the_schema_refuses_a_wrong_field() -> None:
    """Or the test above could not fail."""
    manifest = load(MANIFESTS[0])
    pod_of(manifest)["spec"]["hostnetwork"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, OLDEST, strict=True)


def test_compose_knows_every_field() -> None:
    """The Compose specification's own schema."""
    words = ("-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@EACH
def test_the_selector_finds_the_pods(name: str) -> None:
    """The API server refuses a workload whose selector does not match its own template."""
    manifest = load(name)
    assert manifest["spec"]["selector"]["matchLabels"].items() <= pod_of(manifest)["metadata"]["labels"].items()


@EACH
def test_the_nodes_network_takes_no_sysctl(name: str) -> None:
    """The kubelet refuses a pod that has both hostNetwork and a net.* sysctl."""
    pod = pod_of(load(name))["spec"]
    sysctls = pod.get("securityContext", {}).get("sysctls", [])
    assert not (pod.get("hostNetwork") and sysctls)


@EACH
def test_a_wait_is_not_taken_for_a_hang(name: str) -> None:
    """A startup probe's patience is longer than portwait's: else the kubelet kills what only waits, again and again."""
    for container in pod_of(load(name))["spec"]["containers"]:
        if probe := container.get("startupProbe"):
            assert probe["periodSeconds"] * probe["failureThreshold"] > timeout(container.get("command", []))


def timeout(command: list[str]) -> float:
    """Answer how long a container's portwait waits."""
    said = [durations.parse(word.partition("=")[2]) for word in command if word.startswith("--timeout=")]
    return said[0] if said else 75.0


@EACH
def test_what_need_not_be_root_is_not(name: str) -> None:
    """A read-only root, no way to more, no capability but to name processes; writing /proc/sys alone takes them all."""
    pod = pod_of(load(name))["spec"]
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        security: dict[str, Any] = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        if container["name"] != "reserve":
            assert security["capabilities"]["drop"] == ["ALL"]
            assert ("add" in security["capabilities"]) == (container["name"] == "audit")
            assert not security["allowPrivilegeEscalation"]


FILES = sorted(str(file.relative_to(DOCKER)) for file in DOCKER.rglob("*") if file.is_file() and file.suffix != ".pyc")
"""Other tests import pack.py, and the interpreter keeps its bytecode beside it."""


@pytest.mark.parametrize("file", FILES)
def test_each_file_says_when_to_choose_it(file: str) -> None:
    """In its head, before anything else; the README says it of all of them, by name."""
    text = (DOCKER / file).read_text()
    readme = (DOCKER / "README.md").read_text()
    if file != "README.md":
        assert re.search(r"^(#|\"\"\")", text)
        assert "Choose it" in text[:400]
        assert f"({file})" in readme


def test_compose_reserves_what_it_guards() -> None:
    """The sysctl names the service's own port, quoted: a number would be another type to some engines."""
    orders = services()["orders"]
    assert orders["sysctls"]["net.ipv4.ip_local_reserved_ports"] == orders["environment"]["PORTWAIT_TARGETS"] == "8080"


def test_an_image_is_built_from_all_that_the_wheel_is_made_of() -> None:
    """What pyproject.toml names for the build is in .dockerignore's list of what an engine sees of the checkout."""
    settings = (ROOT / "pyproject.toml").read_text()
    build = [part for part in re.split(r"\n(?=\[)", settings) if part.startswith(("[tool.hatch", "[project]"))]
    named = {word.partition("/")[0] for part in build for word in re.findall(r'"([\w./-]+)"', part)}
    needed = {name for name in named if (ROOT / name).exists() and name not in ("", ".")}
    assert needed >= {"LICENSE", "README.md", "bin", "contrib", "man", "portwait", "tools"}
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {name for name in needed if f"!{name}" not in lines} == set()

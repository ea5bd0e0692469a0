"""On package indexes and on Docker Hub, `portwait` is a stranger's name: nothing here may install or pull it.

The distribution is called portwait-guard. Until it is on an index, that bare name is not ours there either, so
everything that we ship installs from a file or a folder, and names images with a registry.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.guarding import run

_ROOT = Path(__file__).parents[2]
_PACK = _ROOT / "contrib" / "docker" / "pack.py"

_NAME = re.compile(r"portwait(?:[-_](?:guard|packed))?(?::[\w.]+|[=<>~!\[].*)?")
_TAKES = {
    **dict.fromkeys(
        ("pip", "pip3", "conda", "dnf", "yum", "zypper", "brew", "snap"), ("install", "upgrade", "download")
    ),
    **dict.fromkeys(("apt", "apt-get", "apk", "poetry"), ("install", "add", "download")),
    **dict.fromkeys(("docker", "podman", "nerdctl"), ("run", "pull", "create")),
    "pipx": ("install", "upgrade", "run", "inject"),
    "uv": ("install", "add", "upgrade"),
    "uvx": ("uvx",),
}
"""Programs, and their verbs that take something by its name from an index, a distribution or a registry."""
_IMAGE = re.compile(
    r"(?:^(?:FROM\s|COPY --from=|ARG \w+=)|--image[= ]|\bimage:)\s*[\"']?(?P<image>[\w./:@-]*portwait[\w.:@-]*)",
    re.MULTILINE,
)
_MODULE = re.compile(
    r"\b(?:pip|pip3|apt|dnf|yum|zypper|package):\s*(?:\{\s*)?(?:name:\s*)?[\"'\[]*(?P<name>portwait[\w.=<>~-]*)"
)
"""Ansible's, also as cloud-init has it."""
_REQUIRED = re.compile(r"\b(?:dependencies|requires)\s*=\s*\[[^]]*[\"'](?P<name>portwait[\w.=<>~-]*)[\"']")


def texts() -> dict[str, str]:
    """Read every text file of the checkout that git would commit, this one aside."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    files = {name: _ROOT / name for name in listed if _ROOT / name != Path(__file__).resolve()}
    return {name: file.read_text(errors="replace") for name, file in files.items() if file.is_file()}


def by_name(text: str) -> list[str]:
    """List the places of a text that would take portwait by its name from somewhere else."""
    found = [match[0] for match in _IMAGE.finditer(text) if is_bare(match["image"])]
    found += [
        match[0] for form in (_MODULE, _REQUIRED) for match in form.finditer(text) if _NAME.fullmatch(match["name"])
    ]
    for command in re.split(r"[\n;&|`]", re.sub(r"\\\n\s*", " ", text)):
        words = re.findall(r"[^\s\"',()]+", command)
        for index, word in enumerate(words):
            verbs = _TAKES.get(word.rpartition("/")[2], ())
            rest = words[index:]
            if set(verbs) & set(rest) and any(map(_NAME.fullmatch, rest)):
                found.append(command.strip())
    return found


def is_bare(image: str) -> bool:
    """Say whether an engine would look for an image on Docker Hub: its name does not begin with a registry."""
    registry, slash, _ = image.partition("/")
    return not slash or not (registry == "localhost" or "." in registry or ":" in registry)


@pytest.mark.parametrize(
    "text",
    [
        "pip install portwait",
        "python3 -m pip install --upgrade portwait",
        "/opt/portwait/bin/pip install portwait && ln -s x y",
        'pip install "portwait==1.2"',
        "pip install portwait-guard",
        "pip install \\\n  --user portwait",
        "pipx install portwait",
        "uv tool install portwait",
        "uvx portwait explain 30010",
        "apt-get install -y portwait",
        "docker run --rm --network host portwait explain 30010",
        "docker pull portwait",
        "FROM portwait\n",
        "ARG BASE=portwait\n",
        "COPY --from=portwait-packed /opt/portwait /opt/portwait",
        "services:\n  guard:\n    image: portwait\n",
        'image: "portwait:0.1"',
        "image: library/portwait",
        "kubectl run guard --image=portwait -- explain 30010",
        "- ansible.builtin.pip:\n    name: portwait\n",
        "- pip: {name: portwait}",
        "- package:\n    name: portwait-guard\n",
        'dependencies = ["psutil", "portwait>=1"]',
    ],
)
def test_it_sees_a_bare_name(text: str) -> None:
    """Or the tests below could not fail."""
    assert by_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "/opt/portwait/bin/pip install .",
        "pip install ./portwait_guard-0.1.0-py3-none-any.whl",
        "apt-get install ./portwait-guard_0.1.0_amd64.deb",
        "docker run --rm localhost/portwait explain 30010",
        "docker run registry.example/portwait",
        "COPY --from=localhost/portwait-packed /opt/portwait /opt/portwait",
        "COPY --from=build /opt/portwait /opt/portwait",
        "pipx install . && portwait 30010",
        "image: registry.example/portwait:0.1",
        "- ansible.builtin.pip:\n    name: /src/portwait\n",
        'dependencies = ["psutil"]\n# and portwait',
    ],
)
def test_it_lets_a_file_or_a_registry_pass(text: str) -> None:
    """Who installs from a file, or names a registry, gets what was meant."""
    assert by_name(text) == []


def test_nothing_installs_or_pulls_a_bare_name() -> None:
    """Every file of the checkout: documents, Dockerfiles, scripts, tests, workflows, messages of the program."""
    found = {name: places for name, text in texts().items() if (places := by_name(text))}
    assert found == {}


def images(value: object) -> list[str]:
    """List the images that a manifest names, at any depth."""
    if isinstance(value, dict):
        own = [value["image"]] if isinstance(value.get("image"), str) else []
        return own + [image for each in value.values() for image in images(each)]
    return [image for each in value for image in images(each)] if isinstance(value, list) else []


def test_no_manifest_pulls_a_bare_image() -> None:
    """Compose and Kubernetes: every image names its registry, so that none comes from Docker Hub by accident."""
    files = sorted((_ROOT / "contrib").rglob("*.yaml"))
    named = {file.name: images(list(yaml.safe_load_all(file.read_text()))) for file in files}
    assert sum(map(len, named.values())) >= 8
    assert {name: bare for name, each in named.items() if (bare := list(filter(is_bare, each)))} == {}


@pytest.mark.parametrize("source", ["portwait", "portwait==1.2", "portwait-guard", "https://example.com/x.whl"])
def test_pack_takes_no_name(tmp_path: Path, source: str) -> None:
    """It packs a checkout or a wheel that is here, and says so before it does anything."""
    done = run(["python3", str(_PACK), "--portwait", source, str(tmp_path / "folder")], cwd=tmp_path)
    assert done.status == 2
    assert "is neither a checkout of portwait (a folder with pyproject.toml) nor a wheel" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_copied_pack_has_no_default_of_its_own(tmp_path: Path) -> None:
    """Copied out of the checkout it asks for a path; the index is not its way out."""
    copied = tmp_path / "a" / "b" / "pack.py"
    copied.parent.mkdir(parents=True)
    copied.write_text(_PACK.read_text())
    done = run(["python3", str(copied), str(tmp_path / "folder")])
    assert done.status == 2
    assert "is neither a checkout of portwait" in done.err

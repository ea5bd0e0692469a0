"""What /proc/PID/cgroup says: the unit, the container, the pod, and whom a name may not deceive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from portwait._linux import cgroups
from portwait.model.owner import Place

ID = "0123456789ab" + "c" * 52
POD = "d0a6ff74-6b6f-4cfd-9c4e-2d8e6c0b5a11"
POD_ = POD.replace("-", "_")


def v2(path: str) -> str:
    return f"0::{path}\n"


def v1(path: str, named: str | None = None) -> str:
    return f"12:memory:{path}\n5:cpu,cpuacct:{path}\n1:name=systemd:{path if named is None else named}\n"


@pytest.mark.parametrize(
    ("text", "unit", "user_unit"),
    [
        (v2("/system.slice/orders.service"), "orders.service", False),
        (v2("/system.slice/system-postgresql.slice/postgresql@15-main.service"), "postgresql@15-main.service", False),
        (v2("/system.slice/orders.service/worker"), "orders.service", False),
        (v2("/init.scope"), "init.scope", False),
        (v2("/user.slice/user-1000.slice/session-3.scope"), "session-3.scope", False),
        (v2("/user.slice/user-1000.slice/user@1000.service/app.slice/sync.service"), "sync.service", True),
        (v2("/user.slice/user-1000.slice/user@1000.service/init.scope"), "init.scope", True),
        (v2("/user.slice/user-1000.slice/user@1000.service/app.slice"), "user@1000.service", False),
        (v2(r"/system.slice/dev-disk\x2duuid.swap"), r"dev-disk\x2duuid.swap", False),
        (v2("/_cgroup.service"), "cgroup.service", False),
        (v1("/system.slice/orders.service"), "orders.service", False),
        (v1("/"), None, False),
        ("1:name=systemd:/\n0::/orders.slice/orders.service\n", "orders.service", False),
        (v2("/"), None, False),
        (v2("/system.slice"), None, False),
        (v2("/../../system.slice/orders.service"), "orders.service", False),
        (v2("/somebody/orders.service"), None, False),
        ("", None, False),
        # names that somebody chose who was given a part of the tree
        (v2("/system.slice/orders.service/sshd.service"), "orders.service", False),
        (v2("/user.slice/user-1000.slice/user@1000.service/app.slice/sshd.service"), "sshd.service", True),
        (v2("/user.slice/user-1000.slice/user@1000.service/app.slice/*.service"), "user@1000.service", False),
        (v2("/system.slice/a b.service"), None, False),
        (v2("/system.slice/$(id).service"), None, False),
        *(
            (
                v2(f"/user.slice/user-1000.slice/user@1000.service/{end}1:name=systemd:/system.slice/sshd.service"),
                "user@1000.service",
                False,
            )
            for end in "\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"
        ),
    ],
)
def test_units(text: str, unit: str | None, user_unit: bool) -> None:
    """A unit stands directly below the slices, as systemd has it; below that names are anybody's."""
    found = cgroups.place(text)
    assert (found.unit, found.user_unit) == (unit, user_unit)


@pytest.mark.parametrize(
    ("text", "container"),
    [
        (v1(f"/docker/{ID}"), "docker:0123456789ab"),
        (v2(f"/system.slice/docker-{ID}.scope"), "docker:0123456789ab"),
        (v2(f"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{ID}.scope"), "docker:0123456789ab"),
        (v2(f"/machine.slice/libpod-{ID}.scope"), "podman:0123456789ab"),
        (v2(f"/machine.slice/libpod-{ID}.scope/container"), "podman:0123456789ab"),
        (v2(f"/machine.slice/libpod-conmon-{ID}.scope"), "podman:0123456789ab"),
        (v1(f"/machine.slice/libpod-{ID}.scope", "/system.slice/web.service"), "podman:0123456789ab"),
        (v2(f"/libpod_parent/libpod-{ID}"), "podman:0123456789ab"),
        (v2(f"/system.slice/nerdctl-{ID}.scope"), "containerd:0123456789ab"),
        (v1(f"/default/{ID}"), "container:0123456789ab"),
        (v2("/lxc.payload.web"), "lxc:web"),
        (v2("/lxc.payload.web/system.slice/nginx.service"), "lxc:web"),
        (v1("/lxc/web"), "lxc:web"),
        (v2("/machine.slice/machine-web.scope"), "nspawn:web"),
        (v2("/machine.slice/systemd-nspawn@web.service/payload"), "nspawn:web"),
        (v1(f"/kubepods/burstable/pod{POD}/{ID}"), "kubernetes:0123456789ab"),
        (v2(f"/kubepods.slice/kubepods-pod{POD_}.slice/cri-containerd-{ID}.scope"), "containerd:0123456789ab"),
        (
            v2(f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{POD_}.slice/crio-{ID}.scope"),
            "cri-o:0123456789ab",
        ),
        (
            v1(f"/system.slice/containerd.service/kubepods-burstable-pod{POD_}.slice:cri-containerd:{ID}"),
            "containerd:0123456789ab",
        ),
        (
            v2(f"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{POD_}.slice/cri-containerd-{ID}.scope"),
            "containerd:0123456789ab",
        ),
        # a container in a container: the inner one
        (v2(f"/docker/{'f' * 64}/docker/{ID}"), "docker:0123456789ab"),
        # and none
        (v2("/system.slice/docker.service"), None),
        (v2("/system.slice/machine-check.service"), None),
        (v2(f"/system.slice/{ID[:40]}.service"), None),
        (v2("/"), None),
    ],
)
def test_containers(text: str, container: str | None) -> None:
    """Docker, podman, containerd, CRI-O and LXC, by systemd's or cgroupfs' names, of v1 and v2."""
    assert cgroups.place(text).container == container


@pytest.mark.parametrize(
    ("path", "pod"),
    [
        (f"/kubepods/burstable/pod{POD}/{ID}", POD),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{POD_}.slice/cri-containerd-{ID}.scope", POD),
        (f"/kubelet.slice/kubelet-kubepods-pod{POD_}.slice/cri-containerd-{ID}.scope", POD),
        (f"/system.slice/containerd.service/kubepods-burstable-pod{POD_}.slice:cri-containerd:{ID}", POD),
        (f"/system.slice/docker-{ID}.scope", None),
        ("/system.slice/podman.service", None),
    ],
)
def test_pods(path: str, pod: str | None) -> None:
    """A pod's UID, with its hyphens."""
    assert cgroups.place(v2(path)).pod == pod


@given(some.text(some.characters(), max_size=300))
def test_any_text_has_an_answer(text: str) -> None:
    """Nothing in it is an error."""
    assert isinstance(cgroups.place(text), Place)


@given(
    some.lists(some.sampled_from(["system.slice", "user@1.service", "a.service", "*.service", "podx", ID, "lxc", ""]))
)
def test_a_unit_is_a_valid_name(parts: list[str]) -> None:
    """What is named can be handed to systemctl: it is no pattern, and no other unit's name from further below."""
    unit = cgroups.place(v2("/" + "/".join(parts))).unit
    assert unit in (None, "user@1.service", "a.service")

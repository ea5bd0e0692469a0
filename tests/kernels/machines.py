"""The machines that qemu emulates for a guest, one for each processor."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Machine(NamedTuple):
    """A processor, and what differs in its machine."""

    qemu: tuple[str, ...]
    """The emulator, and the machine that it is."""
    bus: str
    """How its devices are attached: the end of the device's name in qemu."""
    append: str
    """What the kernel is told."""
    modules: tuple[str, ...]
    """What the root needs; the kernel loads others on demand."""

    def command(self, *words: str | Path) -> tuple[str | Path, ...]:
        """Answer the command line that starts it; it must not outlive who starts it, however that ends."""
        return ("setpriv", "--pdeathsig", "KILL", *self.qemu, *COMMON, "-append", f"{self.append} {QUIET}", *words)

    def share(self, tag: str, path: Path, *, writable: bool = False) -> tuple[str, ...]:
        """Answer the words that give it a folder of this machine, over 9p, under a tag."""
        kind = "" if writable else ",readonly=on"
        export = f"local,id={tag},path={path},security_model=none,multidevs=remap{kind}"
        return ("-fsdev", export, "-device", f"virtio-9p-{self.bus},fsdev={tag},mount_tag={tag}")


COMMON = (
    *("-accel", "tcg,thread=multi", "-smp", "2", "-m", "1024", "-serial", "stdio"),
    *("-nodefaults", "-no-user-config", "-display", "none", "-net", "none", "-no-reboot"),
)
QUIET = "loglevel=3 panic=-1"

MACHINES = {
    "amd64": Machine(
        qemu=("qemu-system-x86_64", "-machine", "q35", "-cpu", "max,-cx16"),  # with cx16 it crashes at random
        bus="pci",
        append="console=ttyS0 mitigations=off nokaslr",
        modules=("virtio_pci", "9pnet_virtio", "9p", "overlay"),
    ),
    "arm64": Machine(
        qemu=("qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"),
        bus="pci",
        append="console=ttyAMA0 mitigations=off nokaslr",
        modules=("virtio_pci", "9pnet_virtio", "9p", "overlay"),
    ),
    "s390x": Machine(
        qemu=("qemu-system-s390x", "-machine", "s390-ccw-virtio", "-cpu", "max"),
        bus="ccw",
        append="console=ttysclp0",
        modules=("9pnet_virtio", "9p", "overlay"),
    ),
}
"""By the names that Debian has for their architectures."""

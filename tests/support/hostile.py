"""Blockers that make whoever looks at them wait for good, for real: a mount, a user database, a mass of descriptors."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.netns import forced_source_port
from tests.support.programs import running
from tests.support.states import LOOPBACK, outbound_established, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INIT = 26  # linux/fuse.h
_libc = ctypes.CDLL(None, use_errno=True)


class Hostile(NamedTuple):
    """A held port."""

    before: tuple[str, ...]
    """What to put before the guard, so that it meets the trap."""
    let_go: Callable[[], None]
    """Free the port at once; the trap stays."""
    sprung: Callable[[], bool]
    """Whether somebody is caught in the trap."""


@contextlib.contextmanager
def silent_mount() -> Iterator[tuple[Path, threading.Event]]:
    """Mount a FUSE file system whose server takes each request and never answers: who asks is in state D.

    The event is set as soon as somebody is.
    """
    caught = threading.Event()
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    folder = Path(tempfile.mkdtemp())
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if _libc.mount(b"silent", os.fsencode(folder), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    request = os.read(device, 1 << 16)
    _, opcode, unique = struct.unpack_from("=IIQ", request)
    assert opcode == _INIT
    body = struct.pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 16, 12, 1 << 12, 1, 0, 0, 0)
    os.write(device, struct.pack("=IiQ", 16 + len(body), 0, unique) + body)

    def take() -> None:
        with contextlib.suppress(OSError):
            while os.read(device, 1 << 20):
                caught.set()

    reader = threading.Thread(target=take, daemon=True)
    reader.start()
    try:
        yield folder, caught
    finally:
        _libc.umount2(os.fsencode(folder), 2)  # MNT_DETACH
        os.close(device)  # which fails all requests that wait
        folder.rmdir()


@contextlib.contextmanager
def wrapper_on_a_silent_mount(port: int) -> Iterator[Hostile]:
    """Somebody who calls himself a Tanuki wrapper, with his wrapper.conf on such a mount."""
    with silent_mount() as (folder, caught), outbound_established(port) as made:
        linger = struct.pack("ii", 1, 0)
        made.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        argv = ["wrapper", "-c", "x=1; echo ready; read end", f"{folder}/wrapper.conf"]
        number = made.sock.fileno()
        with running(argv, executable="/bin/sh", pass_fds=[number], stdin=subprocess.PIPE) as owner:
            owner.says("ready")
            made.sock.close()
            yield Hostile((), owner.process.kill, caught.is_set)


@contextlib.contextmanager
def path_on_a_silent_mount(port: int) -> Iterator[Hostile]:
    """Search for commands, portwait's own name too, on such a mount first."""
    with silent_mount() as (folder, caught), outbound_established(port) as made:
        path = f"PATH={folder}:{os.environ['PATH']}"
        yield Hostile(("/usr/bin/env", path), lambda: reset(made.sock), caught.is_set)


@contextlib.contextmanager
def nameless_user(port: int) -> Iterator[Hostile]:
    """Hold the port as a user who is in no local file, where the name service does not answer."""
    source = (
        "#include <nss.h>\n#include <pwd.h>\n#include <unistd.h>\n#include <fcntl.h>\n"
        "enum nss_status _nss_hang_getpwuid_r(uid_t uid, struct passwd *p, char *b, size_t n, int *e) {\n"
        "  close(open(CAUGHT, O_CREAT | O_WRONLY, 0644)); for (;;) pause(); }\n"
    )
    folder = Path(tempfile.mkdtemp())
    try:
        caught = folder / "caught"
        (folder / "hang.c").write_text(source)
        library = folder / "libnss_hang.so.2"
        define = f'-DCAUGHT="{caught}"'
        argv = ["gcc", "-shared", "-fPIC", define, "-o", str(library), str(folder / "hang.c")]
        subprocess.run(argv, check=True)
        (folder / "nsswitch.conf").write_text("passwd: files hang\ngroup: files\nservices: files\n")
        mount = f'mount --bind {folder}/nsswitch.conf /etc/nsswitch.conf && LD_LIBRARY_PATH={folder} exec "$@"'
        with socket.create_server((LOOPBACK, 0)) as server, forced_source_port(port):
            os.seteuid(54321)
            try:
                sock = socket.socket()
                sock.connect(server.getsockname())
            finally:
                os.seteuid(0)
            peer, _ = server.accept()
            with peer, sock:
                yield Hostile(("unshare", "--mount", "sh", "-c", mount, "sh"), lambda: reset(sock), caught.exists)
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def mass_of_descriptors(port: int, processes: int = 150, descriptors: int = 19_900) -> Iterator[Hostile]:
    """Hold the port in one of many processes of its user, each with as many descriptors as it may have."""
    script = (
        "import os, sys, resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({descriptors + 100},) * 2)\n"
        "number = int(sys.argv[1]); null = os.open(os.devnull, os.O_RDONLY)\n"
        f"for at in range(50, 50 + {descriptors}): os.dup2(null, at)\n"
        "inside, outside = os.pipe()\n"
        f"for _ in range({processes - 1}):\n"
        "    if os.fork() == 0:\n"
        "        os.close(number); os.close(outside); os.read(inside, 1); os._exit(0)\n"
        "print('ready', flush=True); sys.stdin.readline(); os.close(number)\n"
        "print('closed', flush=True); sys.stdin.read()\n"
    )
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert limit >= descriptors + 100
    with outbound_established(port) as made:
        made.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        number = made.sock.fileno()
        argv = [sys.executable, "-IS", "-c", script, str(number)]
        with running(argv, pass_fds=[number], stdin=subprocess.PIPE) as owner:
            owner.says("ready")
            made.sock.close()
            yield Hostile((), lambda: owner.tell("close"), lambda: True)


TRAPS = {
    "silent-mount": wrapper_on_a_silent_mount,
    "silent-path": path_on_a_silent_mount,
    "dead-name-service": nameless_user,
    "mass-of-descriptors": mass_of_descriptors,
}

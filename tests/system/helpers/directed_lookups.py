"""Listen on 127.0.0.1:8080, and have a BPF program answer with that listener whenever the kernel looks for one.

Cloudflare's tubular does so with many ports. It says `ready` when the program is attached, or `ready none` where the
kernel does not allow it, and ends with its standard input.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct
import sys

PORT = 8080
BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]  # the system call
MAP_CREATE, MAP_UPDATE_ELEM, PROG_LOAD, LINK_CREATE = 0, 2, 5, 28  # linux/bpf.h, as all that follow
SOCKMAP, SK_LOOKUP, ATTACH_SK_LOOKUP = 15, 30, 36
MAP_LOOKUP_ELEM, SK_RELEASE, SK_ASSIGN = 1, 86, 124  # helpers
SIZE = 128  # of union bpf_attr, or more: what is behind it has to be zero

CALL = ctypes.CDLL(None, use_errno=True).syscall


def bpf(command: int, attributes: bytes) -> int:
    """Make the system call. Raises OSError."""
    number = int(CALL(BPF, command, ctypes.create_string_buffer(attributes, SIZE), SIZE))
    if number < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return number


def instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | target, offset, value)


def attach(listener: socket.socket) -> int:
    """Direct all lookups of this network namespace to one listener; the descriptor that keeps it so. Raises OSError."""
    sockets = bpf(MAP_CREATE, struct.pack("=IIII", SOCKMAP, 4, 8, 1))
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(listener.fileno())
    bpf(MAP_UPDATE_ELEM, struct.pack("=IxxxxQQQ", sockets, ctypes.addressof(key), ctypes.addressof(value), 0))
    program = b"".join(
        (
            instruction(0xBF, 6, 1),  # r6 = the context
            instruction(0x62, 10, 0, -4, 0),  # the key on the stack = 0
            instruction(0xBF, 2, 10),
            instruction(0x07, 2, 0, 0, -4),
            instruction(0x18, 1, 1, 0, sockets),
            instruction(0),
            instruction(0x85, 0, 0, 0, MAP_LOOKUP_ELEM),
            instruction(0x15, 0, 0, 7, 0),  # no such socket: on to the end
            instruction(0xBF, 7, 0),
            instruction(0xBF, 1, 6),
            instruction(0xBF, 2, 7),
            instruction(0xB7, 3),
            instruction(0x85, 0, 0, 0, SK_ASSIGN),
            instruction(0xBF, 1, 7),
            instruction(0x85, 0, 0, 0, SK_RELEASE),
            instruction(0xB7, 0, 0, 0, 1),  # SK_PASS
            instruction(0x95),
        )
    )
    code, license_ = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    where = len(program) // 8, ctypes.addressof(code), ctypes.addressof(license_)
    loaded = bpf(PROG_LOAD, struct.pack("=IIQQIIQII16xII", SK_LOOKUP, *where, 0, 0, 0, 0, 0, 0, ATTACH_SK_LOOKUP))
    return bpf(LINK_CREATE, struct.pack("=III", loaded, os.open("/proc/self/ns/net", os.O_RDONLY), ATTACH_SK_LOOKUP))


with socket.create_server(("127.0.0.1", PORT)) as server:
    try:
        attach(server)
    except OSError as error:
        print("ready", "none", error, flush=True)
    else:
        print("ready", flush=True)
    sys.stdin.read()

"""Take something away from a program, as a unit's hardening or a poor machine does: `without.py RULE... -- COMMAND`.

A RULE is `CALL=ERRNO`, or `CALL:FIRST=ERRNO` for calls with this first argument alone; a seccomp filter then answers
in the kernel's place, for the command and all its children. `socket:16=EAFNOSUPPORT` is what systemd's
RestrictAddressFamilies= does to AF_NETLINK. `KILL` in place of an error ends who calls, as SystemCallFilter= does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

CALLS = {  # asm/unistd_64.h, asm-generic/unistd.h
    "x86_64": {"socket": 41, "bind": 49, "pidfd_getfd": 438, "pipe2": 293},
    "aarch64": {"socket": 198, "bind": 200, "pidfd_getfd": 438, "pipe2": 59},
}
"""The numbers of system calls, by what uname calls the machine."""
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_LOAD, _EQUALS, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h: ld [k], jeq #k, ret #k
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _FIRST_AT = 0, 16  # struct seccomp_data; the low half of args[0] on a little-endian machine


def without(*rules: str) -> list[str]:
    """Answer what to put before a command line."""
    return [sys.executable, "-IS", __file__, *rules, "--"]


NO_NETLINK = f"socket:{int(socket.AF_NETLINK)}=EAFNOSUPPORT"
NO_IPV6 = f"socket:{int(socket.AF_INET6)}=EAFNOSUPPORT"


def program(rules: list[str]) -> bytes:
    """Compile the rules into struct sock_filter[]."""
    instructions: list[tuple[int, int, int, int]] = []
    for rule in rules:
        what, _, name = rule.partition("=")
        call, _, first = what.partition(":")
        check = [(_LOAD, 0, 0, _FIRST_AT), (_EQUALS, 0, 1, int(first))] if first else []
        number = CALLS[platform.machine()][call]
        instructions += [(_LOAD, 0, 0, _NUMBER_AT), (_EQUALS, 0, len(check) + 1, number), *check]
        instructions.append((_RETURN, 0, 0, _KILL if name == "KILL" else _ERRNO | getattr(errno, name)))
    return b"".join(struct.pack("=HBBI", *one) for one in [*instructions, (_RETURN, 0, 0, _ALLOW)])


def main() -> None:
    """Install the filter and become the command."""
    cut = sys.argv.index("--")
    code = program(sys.argv[1:cut])
    buffer = ctypes.create_string_buffer(code, len(code))
    fprog = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(buffer)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    for words in ((_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (_PR_SET_SECCOMP, _FILTER, ctypes.addressof(fprog), 0, 0)):
        if prctl(*words) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    os.execvp(sys.argv[cut + 1], sys.argv[cut + 1 :])  # noqa: S606  # no shell is the point


if __name__ == "__main__":
    main()

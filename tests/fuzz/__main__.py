"""`python -m tests.fuzz NAME [OPTION...] [CORPUS...]`: drive one function of `bodies` with atheris.

The options are libFuzzer's: -max_total_time=600, -merge=1. Needs the dependency group `fuzz`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))  # libFuzzer starts this file again to merge

with atheris.instrument_imports(include=["portwait"]):
    from portwait.advice.tanuki import config
    from portwait.options.table import ROWS
    from portwait.text import secret_names
    from tests.fuzz import bodies


_NAME = "FUZZ"
"""The variable that tells libFuzzer's children which function it is."""

WORDS: dict[str, tuple[str, ...]] = {
    "proc": (
        *("Tcp: ", "ActiveOpens", "CapEff:\t", "0::/", "1:name=systemd:/", "user@0.service/", ".slice/", ".service"),
        *(
            "docker-",
            "kubepods",
            "libpod_parent",
            "machine-",
            "cri-containerd:",
            "a" * 64,
            "-container-ip",
            "docker-proxy",
        ),
    ),
    "sysctl": (
        "net.ipv4.ip_local_reserved_ports",
        "net/ipv4/",
        "[a-z]*",
        "*",
        "-net",
        "= ",
        "65535",
        "0-1,",
        "\0",
        "#",
    ),
    "options": (
        *sorted({f"\0{flag}" for row in ROWS for flag in (*row.flags, *(row.other or ())[:1])}),
        *sorted({f"\0{row.variable}=" for row in ROWS if row.variable}),
        *("udp,", "outbound", "listener", "TERM", "1h30m", "500ms", "inf", "json", "full", "default", "yes"),
    ),
    "target": ("[::1]:", "[fe80::1%lo]:", "127.0.0.1:", "0.0.0.0%eth0:", "*%", "/tcp", "/udp", "::ffff:", "redis", ","),
    "wrapper": (
        *config.KEYS,
        "wrapper\0",
        "/x/cloudResetPwdAgent/conf/wrapper.conf",
        "C:\\x\\conf\\",
        "-Dwrapper.key=",
    ),
    "mask": (
        *sorted(secret_names.NEXT),
        *sorted(secret_names.POSITIONAL),
        *sorted(secret_names.BARE_ENDINGS),
        *(
            "password",
            "://",
            "user:",
            "@host",
            "\0",
            "'",
            '"',
            "\\",
            "Bearer ",
            "echo ",
            "|",
            "%3d",
            "sh\0-c\0",
            "{",
            "ghp_",
        ),
    ),
    "unit": (
        *("[Service]\n", "[Socket]\n", "ExecStart=", "# /etc/systemd/system/orders.service\n", "\\\n", "%", "$"),
        *(
            "Restart=always\n",
            "Type=",
            "NoExecPaths=/\n",
            "RestrictAddressFamilies=",
            "FileDescriptorStoreMax=",
            "User=",
        ),
        *(
            "NotifyAccess=all\n",
            "Delegate=yes\n",
            "CapabilityBoundingSet=",
            "Id=a.service\n",
            "MainPID=",
            "Listen=",
            "\n\n",
        ),
    ),
}
"""What the inputs are made of; libFuzzer's dictionaries."""


def _dictionary(name: str) -> str:
    """Write the words of an input into a file as libFuzzer reads it; its path."""
    with tempfile.NamedTemporaryFile("w", suffix=".dict", delete=False) as file:
        for word in WORDS[name]:
            file.write('"' + "".join(f"\\x{byte:02x}" for byte in word.encode()) + '"\n')
    return file.name


def main() -> None:
    """Run until libFuzzer ends."""
    options = sys.argv[1:]
    if _NAME not in os.environ:  # else this is libFuzzer's child
        if not options or options[0] not in bodies.BODIES:
            sys.exit(f"tests.fuzz: name one of {', '.join(bodies.BODIES)}")
        os.environ[_NAME] = options.pop(0)
        if os.environ[_NAME] in WORDS:
            options.insert(0, f"-dict={_dictionary(os.environ[_NAME])}")
    atheris.enabled_hooks.add("str")
    atheris.Setup([f"{sys.executable} {__file__}", *options], bodies.BODIES[os.environ[_NAME]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()

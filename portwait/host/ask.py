"""Ask another program a question, systemctl or docker, and give it one second. No answer is no fault."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 1.0  # seconds; systemd answers in some 10 ms
_PASSED = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DOCKER_HOST")
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def ask(argv: Sequence[str]) -> str | None:
    """Run a program for at most PATIENCE and answer what it printed; None where it failed or was too slow."""
    import contextlib
    import subprocess

    environment = {**_ENVIRONMENT, **{key: value for key, value in os.environ.items() if key in _PASSED}}
    try:
        process = subprocess.Popen(  # noqa: S603  # our own words, and names after `--`
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.1)
        if process.stdout is not None:
            process.stdout.close()
        return None
    return output.decode(errors="surrogateescape") if output or process.returncode == 0 else None


def publishes(protocol: str, port: int) -> bool | None:
    """Whether Docker has a container that publishes this port; None where Docker does not say."""
    said = ask(("docker", "ps", "--quiet", "--filter", f"publish={port}/{protocol}"))
    return None if said is None else bool(said.strip())

"""Start portwait: `python -m portwait`, and what the installed script calls."""

from __future__ import annotations

import os
import sys


def _trust_own_modules_first() -> None:
    """Put PYTHONPATH and the script's own folder behind the standard library.

    They are meant for the service; a `socket.py` in them must not become portwait's. Everything in front of the
    standard library's first entry, which is always pythonXY.zip, is theirs.
    """
    archive = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    for index, entry in enumerate(sys.path):
        if entry.endswith(archive):
            sys.path[:] = sys.path[index:] + sys.path[:index]
            return


def start() -> int:
    """Run the command line; the exit status, unless it becomes the command."""
    _trust_own_modules_first()
    from portwait.cli import main

    return main()


if __name__ == "__main__":
    os._exit(start())  # nothing is left to do that the interpreter's own shutdown would be for

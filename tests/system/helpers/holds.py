"""Hold port 30010 as somebody else does: `holds.py STATE [NAME=VALUE...]`, a maker of tests.support.states.

`uid=N` gives up root then, `forks=N` shares what is open with N children. It joins the cgroup HOLDS_CGROUP first,
calls itself `client`, says `ready` when it stands, and ends with its standard input.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.support import states

PORT = 30010
PR_SET_DUMPABLE = 4  # linux/prctl.h


def main() -> None:
    """Read the words and hold."""
    name, *words = sys.argv[1:]
    options = dict(word.split("=", 1) for word in words)
    Path("/proc/self/comm").write_text("client")
    if "HOLDS_CGROUP" in os.environ:
        Path(os.environ["HOLDS_CGROUP"], "cgroup.procs").write_text("0")
    uid, forks = int(options.pop("uid", "0")), int(options.pop("forks", "0"))
    values: dict[str, object] = {key: {"yes": True, "no": False}.get(value, value) for key, value in options.items()}
    if "connections" in values:
        values["connections"] = int(options["connections"])
    with getattr(states, name)(PORT, **values):
        if uid:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # as if it had never been root: its user may look into it
        for _ in range(forks):
            if os.fork() == 0:
                sys.stdin.read()
                os._exit(0)
        print("ready", flush=True)
        sys.stdin.read()


main()

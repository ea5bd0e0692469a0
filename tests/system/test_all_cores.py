"""The search on all processors: every process once, no worker left behind, whatever ends the search."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import portwait
from tests.support.guarding import run
from tests.support.programs import eventually, running

BEGIN = f"""
import json, os, socket, sys
sys.path.insert(0, {str(Path(portwait.__file__).parents[1])!r})
from portwait._linux import all_cores, procfs
all_cores.WORTH_IT, all_cores._ALONE, all_cores._processors = 10, 2, lambda: 4
"""

SEARCH = """
socks, owners = [], {}
for _ in range(100):
    reader, writer = os.pipe()
    with socket.socket() as sock:
        inode = os.fstat(sock.fileno()).st_ino
        pid = os.fork()
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0)
        owners[inode] = pid
    os.close(reader)
    socks.append(writer)
children = sorted(owners.values())
links = {f"socket:[{inode}]": inode for inode in owners}
searched, found = [], {}
for each in all_cores.search(children, links):
    searched.append(each.pid)
    found.update({inode: holder.pid for inode, holder in each.holders.items()})
assert found == owners
assert sorted(searched) == children
assert sorted(procfs.children(os.getpid())) == children
for number, each in enumerate(all_cores.search(children, links)):
    if number == 5:
        during = len(procfs.children(os.getpid()))
        break
assert sorted(procfs.children(os.getpid())) == children
print(json.dumps(during - len(children)))
"""

KILLED = """
import signal
def takes_a_share_and_dies(queue, *_):
    os.read(queue, 2)
    os.kill(os.getpid(), signal.SIGKILL)
all_cores._work = takes_a_share_and_dies
pids = list(range(1 << 22, (1 << 22) + 200))
assert sorted(each.pid for each in all_cores.search(pids, {"socket:[1]": 1})) == pids
print(json.dumps(procfs.children(os.getpid())))
"""

ENDLESS = """
for number, _ in enumerate(all_cores.search(range(1, 1_000_000), {"socket:[1]": 1})):
    if number == 5:
        print(json.dumps(procfs.children(os.getpid())), flush=True)
"""


def test_every_process_is_searched_once_and_workers_are_collected() -> None:
    """Also where nobody wants the rest; meanwhile there were workers."""
    ended = run([sys.executable, "-IS", "-c", BEGIN + SEARCH])
    assert ended.err == ""
    assert ended.out.strip() == "3"


def test_the_share_of_a_worker_that_is_killed_is_searched() -> None:
    """Else the owner of a socket could be missed, and the socket be called the kernel's."""
    ended = run([sys.executable, "-IS", "-c", BEGIN + KILLED])
    assert (ended.err, ended.out.strip()) == ("", "[]")


def test_workers_end_with_who_started_them() -> None:
    """SIGKILL leaves nobody the time to end them."""
    with running([sys.executable, "-IS", "-c", BEGIN + ENDLESS]) as program:
        workers = json.loads(program.says("["))
        assert len(workers) == 3
        os.kill(program.pid, signal.SIGKILL)
        assert program.process.wait() == -signal.SIGKILL
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))

"""Who a process is, out of /proc: name, command line, parent, start. Texts of /proc are read by pure functions.

Everything in here was written by somebody else's process: it is read with a limit, and a process that makes its own
command line unreadable (its memory on a file system that never answers) costs a moment and no more.
"""

from __future__ import annotations

import _thread
import os
import time

from portwait._linux import kernel
from portwait.model.record import Record

_LONGEST = 1 << 15  # bytes of a command line; a JVM's class path has been seen to fill half of it
_PATIENCE = 0.5  # seconds
_MOST_UNANSWERED = 16  # threads that wait for an answer; with as many, nothing more is asked
_LONGEST_MOUNTS = 1 << 20  # bytes of /proc/self/mountinfo
_HIDING = ("2", "invisible", "4", "ptraceable")  # values of hidepid= that leave processes out
_OVERFLOW_UID = 65534  # kernel.overflowuid; "nobody" to most systems
_INITIAL_PID_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO, linux/proc_ns.h


class Stat(Record):
    """What is used of /proc/PID/stat; `birth` is the start in clock ticks since boot."""

    name: str
    parent: int
    group: int
    birth: int
    kernel: bool = False
    """Whether it is a thread of the kernel's own."""
    state: str = "?"
    """`S` sleeping, `T` stopped, `Z` ended and not waited for..."""


class Process(Record):
    """A process. Its pid and `birth` are its identity, for pids are used again; `started` is seconds of the epoch."""

    pid: int
    name: str
    cmdline: tuple[str, ...]
    uid: int
    parent: int
    birth: int
    started: float
    cgroup: str
    """The text of /proc/PID/cgroup."""
    state: str


def shows_all_processes() -> bool | None:
    """Whether /proc is that of the PID namespace that the machine starts with; None where it does not say.

    That is our own namespace mostly. /proc of the first one can also be seen from another: it alone shows the threads
    of the kernel, the first of which is process 2.
    """
    try:
        if os.readlink("/proc/self/ns/pid") == _INITIAL_PID_NAMESPACE:
            return True
    except OSError:
        return None
    kthreadd = stat_of(2)
    return kthreadd is not None and kthreadd.kernel


def hides_processes() -> bool:
    """Whether /proc does not list all processes of its PID namespace to us (hidepid=, proc(5)).

    Process 1 is always there. A user who owns it sees it all the same; then the mount's options tell.
    """
    if not os.path.exists("/proc/1"):
        return os.path.exists("/proc/self")
    for line in reversed(read_text("/proc/self/mountinfo", _LONGEST_MOUNTS).splitlines()):
        words = line.split()
        if len(words) > 6 and words[4] == "/proc":
            options = words[-1].split(",")
            exempt = os.geteuid() == 0 or any(f"gid={group}" in options for group in os.getgroups())
            return not exempt and any(f"hidepid={how}" in options for how in _HIDING)
    return False


def numbers_are_ours() -> bool:
    """Whether /proc was mounted for our PID namespace: it numbers us as we do, and there is no other number.

    A kernel without PID namespaces writes no such line. Where /proc is another namespace's, its numbers name other
    processes here: no signal and no command may use them.
    """
    status = read_text("/proc/self/status").splitlines()
    numbers = [line.split()[1:] for line in status if line.startswith("NSpid:")]
    return bool(status) and all(each == [str(os.getpid())] for each in numbers)


def is_a_users(uid: int) -> bool:
    """Whether a number that the kernel shows is a user's: in a user namespace 65534 is whoever has no number there.

    See user_namespaces(7); PrivateUsers= of a unit makes one. Where a user there has that number, it counts as theirs.
    """
    if uid != _OVERFLOW_UID or not os.path.exists("/proc/self/uid_map"):
        return True
    spans = [line.split() for line in read_text("/proc/self/uid_map").splitlines()]
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in spans)


def describe(pid: int) -> Process | None:
    """Look a process up; None when it has ended. What may not be read is empty."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    stat = stat_of(pid)
    if stat is None:
        return None
    # A process of root's, or our own user's, has easier ways to harm us, and a thread has its price on a busy host.
    read = _read if uid in (0, os.geteuid()) else read_patiently
    cmdline = command_line(read(f"/proc/{pid}/cmdline", _LONGEST + 1))
    cgroup = read_text(f"/proc/{pid}/cgroup")
    return Process(pid, stat.name, cmdline, uid, stat.parent, stat.birth, _started(stat.birth), cgroup, stat.state)


def stat_of(pid: int) -> Stat | None:
    """Read a process's name, parent, group and start; None when it has ended."""
    return parse_stat(_read(f"/proc/{pid}/stat"))


def children(pid: int) -> list[int]:
    """List a process's children; none where the kernel does not keep such lists (CONFIG_PROC_CHILDREN)."""
    born: list[int] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return born
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                born += map(int, (file.readall() or b"").split())  # a single read() ends after some 600 of them
        except (OSError, ValueError):
            continue
    return born


def parse_stat(data: bytes) -> Stat | None:
    """Take /proc/PID/stat apart (proc(5)); None for what is no such text. The name may hold anything, `) ` too."""
    opening, closing = data.find(b"("), data.rfind(b")")
    if opening < 0 or closing < opening:
        return None
    words = data[closing + 1 :].split()
    try:
        kernel_thread = bool(int(words[6]) & kernel.PF_KTHREAD)
        name = os.fsdecode(data[opening + 1 : closing])
        return Stat(name, int(words[1]), int(words[2]), int(words[19]), kernel_thread, words[0].decode())
    except (IndexError, ValueError):
        return None


def command_line(data: bytes) -> tuple[str, ...]:
    """Take /proc/PID/cmdline apart; one that was cut ends in an ellipsis. A process may have overwritten its own."""
    words = [os.fsdecode(word) for word in data[:_LONGEST].rstrip(b"\0").split(b"\0")]
    if len(data) > _LONGEST:
        words.append("…")
    return tuple(words) if words != [""] else ()


def _started(birth: int) -> float:
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + birth / os.sysconf("SC_CLK_TCK")


def read_text(path: str, longest: int = _LONGEST) -> str:
    """Read the beginning of a file of /proc as text; nothing where that is refused or the process has ended."""
    return _read(path, longest).decode(errors="surrogateescape")


def _read(path: str, longest: int = _LONGEST) -> bytes:
    """Read the beginning of a file of /proc; nothing where that is refused or the process has ended."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, longest)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


_unanswered: list[_thread.LockType] = []


def read_patiently(path: str, longest: int) -> bytes:
    """Read a file of /proc that can block: a command line lies in its process's memory, and that perhaps in FUSE.

    A thread that waits for it forever ends with this process, or with its exec.
    """
    _unanswered[:] = [lock for lock in _unanswered if lock.locked()]
    if len(_unanswered) >= _MOST_UNANSWERED:
        return b""
    done = _thread.allocate_lock()
    done.acquire()
    answer: list[bytes] = []

    def read() -> None:
        answer.append(_read(path, longest))
        done.release()

    try:
        _thread.start_new_thread(read, ())
    except RuntimeError:  # no thread can be started (TasksMax=, RLIMIT_NPROC)
        return _read(path, longest)
    if done.acquire(timeout=_PATIENCE):
        return answer[0]
    _unanswered.append(done)
    return b""

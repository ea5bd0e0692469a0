"""Give one system call of portwait an error, by strace's hand, and keep what came of it.

The suite tries a sample of all faults that a seed fixes; all of them, or a share, are tried by

    FAULTS=all pytest tests/system/test_fault_injection.py       (hours)
    FAULTS=all:2/8 pytest tests/system/test_fault_injection.py   (the second of eight shares, to run them side by side)
    FAULTS=100:42 pytest tests/system/test_fault_injection.py    (100 of each situation, seed 42)

Shares of one run take the faults from one list with FAULTS_LISTS=FOLDER: how often a call is repeated can differ.
With FAULTS_TABLE=FILE a line of Markdown is added to FILE for each situation: its calls, their faults, how many of
these were tried, how many of those came to their call, and how many failed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import zlib
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.support.packages import needs
from tests.support.programs import Program, youngest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_SAMPLE = 4
HELPER = Path(__file__).parents[1] / "system" / "helpers" / "faulty.py"
_FILE = ("EACCES", "EIO", "EMFILE", "ENFILE", "ENOENT", "ENOMEM", "ELOOP", "EPERM", "ENODEV", "EROFS", "EINTR")
_STAT = ("EACCES", "EIO", "ENOENT", "ENOMEM", "ELOOP")
_LINK = ("EACCES", "EINVAL", "EIO", "ENOENT", "ENOMEM")
_FOLDER = ("EACCES", "EDQUOT", "EIO", "ENOSPC", "EPERM", "EROFS", "ENOMEM")
_WRITE = ("EAGAIN", "EDQUOT", "EFBIG", "EINTR", "EIO", "ENOSPC", "EPERM", "EPIPE", "EINVAL", "ENOMEM")
_POLL = ("EINTR", "ENOMEM", "EINVAL")
_DUP = ("EMFILE", "EBUSY", "EINTR")
ERRORS = {
    "accept4": ("EMFILE", "ENOBUFS", "EPERM"),
    "access": _STAT,
    "bind": ("EACCES", "EADDRINUSE", "EADDRNOTAVAIL", "EINVAL", "ENOMEM", "EPERM", "ENOBUFS"),
    "chdir": _STAT,
    "clone": ("EAGAIN", "ENOMEM", "EPERM"),
    "clone3": ("EAGAIN", "ENOMEM", "EPERM"),
    "connect": ("EACCES", "EAGAIN", "ECONNREFUSED", "EINTR", "ENOENT", "EPERM"),
    "dup": ("EMFILE",),
    "dup2": _DUP,
    "dup3": _DUP,
    "execve": ("E2BIG", "EACCES", "EIO", "ENOENT", "ENOMEM", "EPERM", "ETXTBSY", "EMFILE"),
    "faccessat": _STAT,
    "faccessat2": (*_STAT, "ENOSYS"),
    "fchmod": ("EIO", "EPERM", "EROFS"),
    "fchown": ("EIO", "EPERM", "EROFS"),
    "fcntl": ("EMFILE", "EAGAIN", "EINVAL"),
    "flock": ("EINTR", "ENOLCK", "EAGAIN"),
    "fork": ("EAGAIN", "ENOMEM"),
    "fstat": ("EIO", "ENOMEM", "EOVERFLOW"),
    "fstatfs": ("EIO", "ENOMEM", "ENOSYS"),
    "fsync": ("EDQUOT", "EIO", "ENOSPC", "EROFS", "EINTR"),
    "ftruncate": ("EIO", "EPERM", "EFBIG"),
    "getcwd": ("EACCES", "ENOENT", "ENOMEM"),
    "getdents64": ("EIO", "ENOENT", "ENOTDIR"),
    "getpeername": ("ENOBUFS", "ENOTCONN"),
    "getrandom": ("EAGAIN", "EINTR", "ENOSYS"),
    "getsockname": ("ENOBUFS",),
    "getsockopt": ("EINVAL", "ENOMEM", "ENOPROTOOPT"),
    "ioctl": ("ENOTTY", "EPERM", "ENODEV", "EINVAL"),
    "kill": ("EPERM", "ESRCH"),
    "link": _FOLDER,
    "linkat": _FOLDER,
    "listen": ("EADDRINUSE", "EOPNOTSUPP"),
    "lseek": ("EINVAL", "ESPIPE", "EOVERFLOW"),
    "lstat": _STAT,
    "mkdir": _FOLDER,
    "mkdirat": _FOLDER,
    "name_to_handle_at": ("EOPNOTSUPP", "EOVERFLOW", "ENOENT", "EPERM"),
    "newfstatat": _STAT,
    "open": _FILE,
    "open_by_handle_at": ("EPERM", "ESTALE", "EMFILE"),
    "openat": (*_FILE, "ENOSPC", "ENXIO", "ETXTBSY", "EEXIST", "ENOTDIR"),
    "openat2": (*_FILE, "ENOSYS", "E2BIG", "EXDEV", "EAGAIN"),
    "pidfd_getfd": ("EPERM", "ESRCH", "ENOSYS", "EMFILE"),
    "pidfd_open": ("EINVAL", "EMFILE", "ENFILE", "ENODEV", "ENOMEM", "ESRCH", "ENOSYS"),
    "pidfd_send_signal": ("EPERM", "ESRCH", "ENOSYS", "EINVAL"),
    "pipe": ("EMFILE", "ENFILE"),
    "pipe2": ("EMFILE", "ENFILE"),
    "poll": _POLL,
    "ppoll": _POLL,
    "pread64": ("EIO", "EINTR", "EISDIR", "EOVERFLOW"),
    "pwrite64": _WRITE,
    "read": ("EINTR", "EIO", "EISDIR", "EINVAL", "EACCES", "ESRCH", "ENOMEM"),
    "readlink": _LINK,
    "readlinkat": _LINK,
    "recvfrom": ("EAGAIN", "ECONNREFUSED", "EINTR", "ENOBUFS", "ENOMEM", "ECONNRESET"),
    "recvmsg": ("EAGAIN", "EINTR", "ENOBUFS", "ENOMEM", "EMFILE"),
    "rename": (*_FOLDER, "EBUSY"),
    "renameat": (*_FOLDER, "EBUSY"),
    "renameat2": (*_FOLDER, "EBUSY", "EINVAL"),
    "sched_getaffinity": ("EINVAL", "EPERM", "ESRCH"),
    "sendmsg": ("EAGAIN", "ECONNREFUSED", "EINTR", "ENOBUFS", "ENOMEM", "EPERM", "ENOENT", "ETOOMANYREFS", "EMSGSIZE"),
    "sendto": ("EAGAIN", "ECONNREFUSED", "EINTR", "ENOBUFS", "ENOMEM", "EPERM", "EPIPE", "EMSGSIZE"),
    "setns": ("EPERM", "EINVAL", "ENOMEM"),
    "setsockopt": ("ENOPROTOOPT", "EPERM", "ENOMEM", "EINVAL", "ENODEV", "ENOBUFS"),
    "shutdown": ("ENOTCONN", "ENOBUFS"),
    "socket": ("EACCES", "EAFNOSUPPORT", "EINVAL", "EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EPERM", "EPROTONOSUPPORT"),
    "socketpair": ("EAFNOSUPPORT", "EMFILE", "ENFILE", "EOPNOTSUPP"),
    "stat": _STAT,
    "statfs": ("EACCES", "EIO", "ENOENT", "ENOMEM", "ENOSYS"),
    "statx": (*_STAT, "ENOSYS"),
    "unlink": ("EACCES", "EBUSY", "EIO", "ENOENT", "EPERM", "EROFS"),
    "unlinkat": ("EACCES", "EBUSY", "EIO", "ENOENT", "EPERM", "EROFS"),
    "unshare": ("EPERM", "EINVAL", "ENOMEM", "ENOSPC"),
    "wait4": ("ECHILD", "EINTR"),
    "write": _WRITE,
}
"""The errors of each call, as its manual page has them, without those of a caller's own making (EBADF, EFAULT).

read() has no EAGAIN, which is for descriptors that do not block; execve() no ENOEXEC, because the shell would be given
the program, which is no script. close() is left out, because a descriptor that strace makes it fail for stays open,
which no kernel does. So are the calls that give memory: what they refuse ends the interpreter.
"""

IMPORT_ERRORS = {"openat": ("EMFILE",), "newfstatat": ("EIO",), "stat": ("EIO",)}
"""For the calls that load a module, once for each module: the interpreter deals with all other errors as with these."""

_FILE_OF = r'(?:AT_FDCWD<[^>]*>, "|\d+<|")(?P<file>'
_IMPORTS = re.compile(
    _FILE_OF
    + r"(?!/proc/)[^\">]*(?:/lib/python|/site-packages|/\.venv|\.so\b|pyvenv\.cfg|__pycache__|python3\d*\.zip|/helpers)"
    r"[^\">]*)"
)
_LOADER = re.compile(
    _FILE_OF + r"(?:/usr)?/lib(?:64)?)(?:/\w+-linux-gnu|/tls|/haswell|/avx\w*|/x86_64|/glibc-hwcaps/[\w-]+)*[\">]"
)
"""The folders in which the C library looks for a module of its own, that of a users' database say."""


class Fault(NamedTuple):
    """An error for the call of this number among those of its name, in each process of portwait's."""

    call: str
    number: int
    error: str

    def __str__(self) -> str:
        """Write it as strace takes it."""
        return f"{self.call}:error={self.error}:when={self.number}"


class Call(NamedTuple):
    """A system call of an undisturbed run, as strace writes it."""

    name: str
    number: int
    """Among those of its name, in its process."""
    text: str
    process: int = 0
    """0 is the first, 1 the one that was started next..."""

    @property
    def imports(self) -> str | None:
        """The file, if the interpreter or the C library loads a module by it; the latter's many folders are one."""
        match = _IMPORTS.match(self.text) or _LOADER.match(self.text)
        return match and match["file"]

    @property
    def likeness(self) -> str:
        """What calls have in common that are tried once."""
        return self.imports or self.kind

    @property
    def kind(self) -> str:
        """What it has in common with its like: numbers, and what was read, aside."""
        text = re.sub(r'"(\\.|[^"/\\])(\\.|[^"\\])*"', '""', self.text)
        return re.sub(r"0x[0-9a-f]+|\d+", "N", text.rpartition(" = ")[0].rstrip())[:200]


class Run(NamedTuple):
    """How a run ended, and all that it said."""

    status: int | None
    """None: it had to be killed."""
    out: str
    err: str
    calls: tuple[str, ...]
    """What strace saw of it: the injected call's like, and bind()."""


class Order(NamedTuple):
    """What to run."""

    words: Sequence[str]
    variables: Mapping[str, str] = {}
    passed: Sequence[tuple[str, int]] = ()
    """Descriptors of this process that it is passed as LISTEN_FDS, and their names."""
    terminal: bool = False
    """Whether its standard error is a terminal."""


class Elsewhere(NamedTuple):
    """How things are called where portwait runs: on another root, with other numbers of processes."""

    folder: str
    """The laboratory's folder."""
    interpreter: str
    """It has portwait's script beside it."""
    helper: str
    pid_here: Callable[[int], int] | None = None
    """Translates a process's number there into its number here, if that is no descendant of this process."""


class Laboratory:
    """Runs portwait under strace; one at a time."""

    def __init__(self, folder: Path, argv: Sequence[str | bytes] = (), elsewhere: Elsewhere | None = None) -> None:
        """`argv` stands in front of the interpreter: nsenter, say."""
        needs("strace", "strace")
        self._folder = folder
        self._remains = False
        self.struck = 0
        """How many runs came to the call that was to fail."""
        self._elsewhere = elsewhere or Elsewhere(str(folder), sys.executable, str(HELPER))
        self.err = folder / "err"
        """The file that portwait's standard error goes to."""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            number = theirs.fileno()
            words = [self._elsewhere.interpreter, self._elsewhere.helper, str(number)]
            self._program = Program([*argv, *words], stdin=subprocess.PIPE, pass_fds=[number])

    def close(self) -> None:
        self._program.stop()
        self._channel.close()

    def undisturbed(self, order: Order, seconds: float) -> tuple[Run, list[Call]]:
        """Run it as it is; the run, and its calls in each of its processes."""
        names = ",".join(f"?{name}" for name in ERRORS)
        done = self._run(["-y", "-e", f"trace={names}"], order, seconds)
        count: dict[str, Counter[str]] = {}
        calls = []
        for line in done.calls:
            if match := re.match(r"(\d+) +(\w+)\((.*)", line):
                pid, name, text = match.groups()
                count.setdefault(pid, Counter())[name] += 1
                if name in ERRORS:
                    calls.append(Call(name, count[pid][name], text, list(count).index(pid)))
        return done, calls

    def inject(self, fault: Fault, order: Order, seconds: float) -> Run:
        """Run it with one fault."""
        names = {fault.call, "bind"}
        done = self._run(["-e", f"trace={','.join(names)}", f"--inject={fault}"], order, seconds)
        self.struck += any("(INJECTED)" in line for line in done.calls)
        return done

    def left(self) -> bool:
        """Whether a process of the last run is still there a moment after its end."""
        return self._remains

    def _run(self, how: Sequence[str], order: Order, seconds: float) -> Run:
        out, err = self._folder / "out", self.err
        for trace in self._folder.glob("trace.*"):
            trace.unlink()
        files = {name: f"{self._elsewhere.folder}/{name}" for name in ("out", "err")}
        names = [name for name, _ in order.passed]
        if names:
            socket.send_fds(self._channel, [b"x"], [number for _, number in order.passed])
        del self._program.out[:]
        what = {"words": list(order.words), "variables": dict(order.variables), "passed": names, **files}
        self._program.tell(json.dumps({**what, "terminal": order.terminal}))
        there = int(self._program.says_lines(1)[0])
        pid = self._elsewhere.pid_here(there) if self._elsewhere.pid_here else youngest(self._program.pid)
        argv = ["strace", "-ff", "-b", "execve", "-o", str(self._folder / "trace"), *how, "-p", str(pid)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            assert "attached" in strace.stderr.readline()
            self._program.tell("go")
            killed = False
            try:
                self._program.says_lines(2, seconds)
            except AssertionError:
                killed = True
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            code = int(self._program.says_lines(2)[1])
            with contextlib.suppress(subprocess.TimeoutExpired):
                strace.wait(10)  # until all that it traces have ended
            self._remains = strace.poll() is None
            if self._remains:
                strace.terminate()
            strace.stderr.read()
        status = None if killed else -os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
        traces = {int(path.suffix[1:]): path.read_text(errors="replace") for path in self._folder.glob("trace.*")}
        lines = tuple(f"{process} {line}" for process in sorted(traces) for line in traces[process].splitlines())
        return Run(status, out.read_text(errors="replace"), err.read_text(errors="replace"), lines)


def all_faults(calls: Sequence[Call], elsewhere: Sequence[Call] = ()) -> list[Fault]:
    """Every error of every call; of those that are alike (the same file of each process) the first and the last.

    What is tried `elsewhere` is left out: a call that is the Nth of its kind in its process there and here.
    """
    tried = {*_first_and_last(elsewhere)}
    left_out = {place for call, place in _with_places(elsewhere) if call in tried}
    places = dict(_with_places(calls))
    return sorted(
        {
            Fault(call.name, call.number, error)
            for call in _first_and_last(calls)
            if places[call] not in left_out
            for error in (IMPORT_ERRORS if call.imports else ERRORS)[call.name]
        }
    )


def _with_places(calls: Sequence[Call]) -> Iterator[tuple[Call, tuple[object, ...]]]:
    """Go through them; with each its process, its kind, and how many of that kind this process made before."""
    count: Counter[tuple[object, ...]] = Counter()
    for call in calls:
        kind = call.process, call.name, call.likeness
        count[kind] += 1
        yield call, (*kind, count[kind])


def _first_and_last(calls: Sequence[Call]) -> list[Call]:
    """Choose the calls that are tried: of each kind the first and the last, of those that load a module the first."""
    alike: defaultdict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in calls:
        if not call.imports or call.name in IMPORT_ERRORS:
            alike[call.name, call.likeness].append(call)
    return [call for group in alike.values() for call in ([group[0]] if group[0].imports else [group[0], group[-1]])]


def try_faults(
    laboratory: Laboratory,
    name: str,
    calls: Sequence[Call],
    wrong_with: Callable[[Fault], str | None],
    elsewhere: Sequence[Call] = (),
) -> None:
    """Try all faults of these calls, or the share or sample that was asked for; fails with what was wrong.

    What is tried `elsewhere` is left out.
    """
    before = laboratory.struck
    every = _listed(all_faults(calls, elsewhere), name)
    tried = _chosen(every, name)
    assert len(tried) >= min(_SAMPLE, len(every)) or "/" in os.environ.get("FAULTS", "")
    wrong = [f"{fault}: {what}" for fault in tried if (what := wrong_with(fault))]
    if table := os.environ.get("FAULTS_TABLE"):
        with open(table, "a") as file:  # noqa: PTH123  # to add to it
            struck = laboratory.struck - before
            file.write(f"| {name} | {len(calls)} | {len(every)} | {len(tried)} | {struck} | {len(wrong)} |\n")
    assert wrong == [], f"{len(wrong)} of {len(tried)}:\n" + "\n".join(wrong)


def _listed(faults: list[Fault], name: str) -> list[Fault]:
    """Answer the list of the share that came first, where they have a folder for that."""
    folder = os.environ.get("FAULTS_LISTS")
    if not folder:
        return faults
    path = Path(folder, name.replace("/", "_"))
    own = path.with_name(f"{path.name} {os.getpid()}")
    own.write_text(json.dumps(faults))
    with contextlib.suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
    return [Fault(*fault) for fault in json.loads(path.read_text())]


def _chosen(faults: list[Fault], name: str) -> list[Fault]:
    count, _, seed = os.environ.get("FAULTS", "").partition(":")
    if count == "all":
        part, _, parts = (seed or "1/1").partition("/")
        return [fault for fault in faults if zlib.crc32(str(fault).encode()) % int(parts) == int(part) - 1]
    # no secret
    return random.Random(f"{name}{seed}").sample(faults, min(int(count or _SAMPLE), len(faults)))  # noqa: S311

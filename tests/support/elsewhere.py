"""Run portwait where what other systems lack is taken away: `elsewhere.py SYSTEM WORD...`.

SYSTEM is darwin, freebsd14 or win32. No such machine is needed, and none is simulated: Linux's kernel still answers.
What is taken away is what Python does not have there (constants, functions, modules), /proc and /sys, and
`sys.platform` says that system's name. psutil is loaded before, and reads its Linux: those processes that are in the
network namespace of the test, for such a system has one network.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

LINUX_ONLY = {
    "_socket": "AF_NETLINK AF_PACKET SO_BINDTODEVICE SO_DOMAIN SO_PROTOCOL SO_PRIORITY SOCK_CLOEXEC SOCK_NONBLOCK "
    "MSG_CMSG_CLOEXEC MSG_CONFIRM MSG_MORE TCP_DEFER_ACCEPT TCP_INFO TCP_USER_TIMEOUT IP_TRANSPARENT NETLINK_ROUTE",
    "select": "epoll",
    "_signal": "SIGPWR SIGSTKFLT SIGPOLL SIGRTMIN SIGRTMAX pidfd_send_signal",
    "signal": "SIGPWR SIGSTKFLT SIGPOLL SIGRTMIN SIGRTMAX pidfd_send_signal",
    "os": "pidfd_open memfd_create sched_getaffinity copy_file_range splice eventfd setns unshare getrandom O_PATH "
    "O_TMPFILE O_LARGEFILE getxattr listxattr",
}
"""What neither macOS nor FreeBSD has."""

POSIX_ONLY = {
    "_socket": "AF_UNIX MSG_DONTWAIT MSG_WAITALL SO_REUSEPORT socketpair IPPROTO_IPIP sethostname CMSG_LEN",
    "select": "poll POLLIN POLLERR POLLHUP",
    "_signal": "SIGHUP SIGQUIT SIGKILL SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE SIGXFSZ SIGCONT SIGSTOP SIGTSTP "
    "sigpending pthread_sigmask sigwait sigtimedwait alarm setitimer",
    "os": "fork forkpty environb geteuid getuid getgid getegid register_at_fork statvfs O_NONBLOCK O_NOCTTY O_CLOEXEC "
    "O_DIRECTORY O_NOFOLLOW WEXITSTATUS WIFEXITED chown mkfifo setsid getpgid wait wait3 wait4 nice openpty "
    "posix_spawn pread pwrite uname getloadavg sysconf WNOHANG",
}
"""What Windows lacks besides."""

MODULES = ("fcntl", "pwd", "grp", "termios", "resource", "tty", "pty", "syslog")
"""Modules that Windows has not."""


def take_away(names: dict[str, str]) -> None:
    """Delete names from modules."""
    for module, words in names.items():
        loaded = __import__(module)
        for word in words.split():
            if hasattr(loaded, word):
                delattr(loaded, word)


def is_hidden(path: object) -> bool:
    """Whether a path is of a file system that only Linux has."""
    text = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
    return text.startswith(("/proc", "/sys"))


def hiding(call: Callable[..., Any]) -> Callable[..., Any]:
    """Let a call find nothing there, unless psutil asks."""

    def instead(path: object, *words: Any, **named: Any) -> Any:
        if is_hidden(path) and not sys._getframe(1).f_globals.get("__name__", "").startswith("psutil"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return call(path, *words, **named)

    return instead


def in_this_network(pids: Callable[[], list[int]]) -> Callable[[], list[int]]:
    """List those processes only that share our network namespace, however many others this host has."""
    stat = os.stat
    ours = stat("/proc/self/ns/net").st_ino

    def instead() -> list[int]:
        found = []
        for pid in pids():
            with contextlib.suppress(OSError):  # it has ended
                if stat(f"/proc/{pid}/ns/net").st_ino == ours:
                    found.append(pid)
        return found

    return instead


def become(system: str) -> None:
    """Make this interpreter look like one there."""
    import _signal  # noqa: F401  # all of them are loaded before anything is taken from them
    import shutil  # noqa: F401  # on Windows it uses _winapi, which is there
    import signal  # noqa: F401
    import subprocess  # noqa: F401  # psutil needs it whole

    from psutil import _pslinux

    _pslinux.pids = in_this_network(_pslinux.pids)
    for name in ("open", "listdir", "stat", "lstat", "readlink", "scandir", "access"):
        setattr(os, name, hiding(getattr(os, name)))
    builtins.open = hiding(builtins.open)
    take_away(LINUX_ONLY)
    if system == "win32":
        take_away(POSIX_ONLY)
        for name in MODULES:
            sys.modules[name] = None  # type: ignore[assignment]  # how an import is made to fail
    for name in [name for name in sys.modules if name.partition(".")[0] == "portwait"]:
        del sys.modules[name]
    sys.platform = system


if __name__ == "__main__":
    system, *words = sys.argv[1:]
    become(system)
    from portwait.__main__ import start

    sys.argv = ["portwait", *words]
    status = start()
    sys.stdout.flush()
    os._exit(status)

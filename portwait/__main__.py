"""Start portwait: `python -m portwait`, and what the installed script calls."""

import _signal
import os
import sys

WITHOUT_COMMAND = ("explain", "evict", "reserve", "release", "audit", "pick", "unit", "completion")
"""The verbs: words behind their `--`, if any, cannot be started as they are."""

_PAGE = 4096
_PATIENCE = 0.05  # seconds for a reader who is busy


def _forget_the_services_modules() -> None:
    """Take PYTHONPATH, the script's own folder and the user's site-packages off sys.path.

    They are meant for the service: a `socket.py` or `tornado.py` in them must not become portwait's. Everything in
    front of the standard library's first entry, which is always pythonXY.zip, or pythonXYt.zip of a free-threaded
    Python, is theirs. The folder that portwait itself was loaded from stays, because its code runs already. The
    installed script does the same before it imports this module; `python -m portwait` cannot.
    """
    archive = tuple(f"python{sys.version_info[0]}{sys.version_info[1]}{build}.zip" for build in ("", "t"))
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    theirs = getattr(sys.modules.get("site"), "USER_SITE", None)
    front = max([index for index, entry in enumerate(sys.path) if entry.endswith(archive)], default=0)
    ours = [entry for entry in sys.path[front:] if entry != theirs]
    if own not in ours:
        ours.append(own)
    sys.path[:] = ours


def start() -> int:
    """Run the command line; the exit status, unless it becomes the command."""
    _handle_signals()
    _forget_the_services_modules()
    try:
        _load_in_one_piece()
        from portwait.cli import main

        return main()
    except Exception as fault:  # noqa: BLE001  # a half-done upgrade, a disk that fails: the service starts
        return _start_all_the_same(fault)


def _handle_signals() -> None:
    """Let Ctrl-C end it by the signal, without a traceback, and nobody who does not read or has no room end it at all.

    Python ignores the signals of the latter when it starts; an interpreter that is packed into a program may not.
    """
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    for name in ("SIGPIPE", "SIGXFSZ"):
        number = getattr(_signal, name, None)  # Windows has neither
        if number is not None and _signal.getsignal(number) == _signal.SIG_DFL:
            _signal.signal(number, _signal.SIG_IGN)


def _load_in_one_piece() -> None:
    """Load the modules of the free path from the one file that an installed portwait has for them."""
    try:
        from portwait._free_path import load  # type: ignore[import-not-found,unused-ignore]  # a wheel has it
    except ImportError:  # a checkout
        return
    load()


def _start_all_the_same(fault: Exception) -> int:
    """Become what follows `--`, with nothing but what is loaded; the exit status where there is no such thing."""
    words = sys.argv[1:]
    guards = "--" in words[:-1] and words[0] not in WITHOUT_COMMAND and sys.platform != "win32"
    guards = guards and not _rehearses(words)
    what = f"portwait: failed to run: {type(fault).__name__}: {fault}".partition("\n")[0]
    _say(f"{what}; continuing without it" if guards else what)
    if not guards:
        return 125
    command = words[words.index("--") + 1 :]
    _hide_ours()
    try:
        from portwait import handoff

        handoff.become(command)
    except Exception:  # noqa: BLE001  # no part of portwait can be loaded
        for number in (_signal.SIGPIPE, _signal.SIGXFSZ):  # which Python ignores, and the command would too
            _signal.signal(number, _signal.SIG_DFL)
        try:
            try:
                os.execvp(command[0], command)  # noqa: S606  # that there is no shell is the point
            except OSError as error:
                if error.errno != 8:  # ENOEXEC: a script without a shebang, which execvp(3) gives to the shell
                    raise
                os.execv("/bin/sh", ["/bin/sh", "-c", 'exec "$0" "$@"', *command])  # noqa: S606  # likewise
        except OSError as error:
            _say(f"portwait: cannot run {command[0]!r}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126


def _hide_ours() -> None:
    """Keep from the command what systemd's store has of ours (`listen_fds`); its own move down into the gaps."""
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    own = [number for number, name in enumerate(names, 3) if not name.startswith("portwait-")]
    if len(own) == len(names) or os.environ.get("LISTEN_PID") != str(os.getpid()):
        return
    for wanted, number in enumerate(own, 3):
        os.dup2(number, wanted)
    os.closerange(3 + len(own), 3 + len(names))
    os.environ.update(LISTEN_FDS=str(len(own)), LISTEN_FDNAMES=":".join(names[number - 3] for number in own))
    if not own:
        del os.environ["LISTEN_PID"]


def _rehearses(words: list[str]) -> bool:
    """Whether --dry-run is asked for, which starts nothing; the option wins over the variable."""
    asked = [word for word in words[: words.index("--")] if word in ("--dry-run", "--no-dry-run")]
    if asked:
        return asked[-1] == "--dry-run"
    return os.environ.get("PORTWAIT_DRY_RUN", "").lower() not in ("", "0", "no", "false", "off")


def _say(line: str) -> None:
    """Write it, unless nobody reads: a pipe that polls writable takes a page without blocking (pipe(7)).

    SIGTTOU would stop a shell's background job that writes to its terminal (`stty tostop`).
    """
    data = line.encode(errors="backslashreplace")[: _PAGE - 1] + b"\n"
    try:
        if sys.platform == "win32":
            os.write(2, data)
            return
        import select

        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGTTOU,))
        try:
            if select.select([], [2], [], _PATIENCE)[1]:
                os.write(2, data)
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    except (ImportError, OSError):  # stderr is closed
        return


if __name__ == "__main__":
    os._exit(start())  # nothing is left to do that the interpreter's own shutdown would be for

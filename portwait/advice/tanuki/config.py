"""The Tanuki Java Service Wrapper: recognised by its command lines, its wrapper.conf read, the lines that move it.

It binds ports by number, the first free ones from 31000 and 32000 on, for the two processes of every product that runs
under it; so reserving keeps it from nothing. Pure functions: who reads the file is `untrusted_file`.
"""

from __future__ import annotations

import posixpath

from portwait.model.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

LARGEST = 1 << 18
"""Bytes of a wrapper.conf; the longest in the wild have some 20,000."""

PIPE = "wrapper.backend.type=PIPE"
_BACKEND = "wrapper.backend.type"
_PORTS = ("wrapper.port", "wrapper.port.min", "wrapper.port.max")
_JVM_PORTS = ("wrapper.jvm.port", "wrapper.jvm.port.min", "wrapper.jvm.port.max")
KEYS = (_BACKEND, *_PORTS, *_JVM_PORTS)
"""The properties that decide which ports it takes, if any."""

_JVM_MARKS = ("-Dwrapper.port=", "-Dwrapper.key=", "-Dwrapper.backend=", "-Dwrapper.pid=")
_MOVES = (40000, 50000, 20000, 10000)  # where it can go; the first is what Huawei Cloud recommends

_PRODUCTS = {
    "cloudresetpwdagent": "CloudResetPwdAgent",
    "cloudrresetpwdagent": "CloudResetPwdAgent",  # the folder's name on images, misspelt as it is
    "cloudresetpwdupdateagent": "CloudResetPwdUpdateAgent",
}
_SCRIPTS = {
    "CloudResetPwdAgent": "cloudResetPwdAgent.script",
    "CloudResetPwdUpdateAgent": "cloudResetPwdUpdateAgent.script",
}
_WINDOWS_SERVICES = {
    "CloudResetPwdAgent": "cloud reset password agent",
    "CloudResetPwdUpdateAgent": "cloud reset password update agent",
}


class Wrapper(Record):
    """A wrapper that runs, with its JVM, and what its configuration says now."""

    pids: tuple[int, ...]
    """The wrapper's own and its JVM's, as far as they are known."""
    conf: str
    """The path of the wrapper.conf in use, absolute where that could be found out, as the wrapper sees it."""
    settings: Mapping[str, str]
    """What the file, then the command line, say of `KEYS`."""
    trusted: bool = False
    """Whether its command line is root's own word, here; a path out of another's is in nobody's command."""
    unread: str | None = None
    """Why the file could not be read."""
    container: str | None = None
    user: str | None = None

    @property
    def windows(self) -> bool:
        """Whether it runs on Windows, by its path."""
        return "\\" in self.conf or self.conf[1:3] == ":/"

    @property
    def product(self) -> str | None:
        """The product that runs under it, where it is one that is known, by the folder of its files.

        None where it is not trusted: anybody can write the name of such a folder.
        """
        return _PRODUCTS.get(_folder(self.conf)[1].lower()) if self.trusted else None

    @property
    def uses_pipe(self) -> bool:
        """Whether the configuration already says to use no port; what runs may be older."""
        return self.settings.get(_BACKEND, "").upper() == "PIPE"

    @property
    def script(self) -> str | None:
        """The path of the product's own script, which restarts it; None for unknown products and on Windows."""
        if self.product is None or self.windows:
            return None
        return posixpath.join(_folder(self.conf)[0], "bin", _SCRIPTS[self.product])

    @property
    def windows_service(self) -> str | None:
        """The display name of the product's Windows service."""
        return _WINDOWS_SERVICES.get(self.product or "") if self.windows else None


def is_jvm(command: Sequence[str]) -> bool:
    """Whether this is the JVM under a wrapper."""
    return any(word.startswith(_JVM_MARKS) for word in command[1:])


def configuration(command: Sequence[str]) -> str | None:
    r"""Name the configuration that a wrapper's command line names, as it is written there; None for other processes.

    `wrapper /path/wrapper.conf [property=value ...]`, and on Windows `wrapper.exe -s ..\\conf\\wrapper.conf`.
    """
    if len(command) < 2 or is_jvm(command):
        return None
    name = _base(command[0]).lower()
    conf = next((word for word in command[1:] if not word.startswith("-") and "=" not in word), None)
    if conf is None:
        return None
    has_setting = any(word.startswith("wrapper.") and "=" in word for word in command[1:])
    if (
        name.startswith("wrapper")
        or _base(conf).lower() == "wrapper.conf"
        or (has_setting and conf.lower().endswith(".conf"))
    ):
        return conf
    return None


def absolute(conf: str, command: Sequence[str], folder: str | None) -> str:
    """Make the path of a configuration absolute; `folder` is the wrapper's working directory, None where unknown."""
    paths = _paths(conf, command[0])
    if not paths.isabs(conf):
        conf = str(paths.join(folder or paths.dirname(command[0]), conf))
    return str(paths.normpath(conf))


def settings(text: str, command: Sequence[str] = ()) -> dict[str, str]:
    """Read what a wrapper.conf says of `KEYS`; the last line that names one wins, the command line over all."""
    values: dict[str, str] = {}
    lines = [*text.splitlines(), *(word for word in command[1:] if word.startswith("wrapper."))]
    for line in lines:
        key, sign, value = line.partition("=")
        key = key.strip()
        if sign and key in KEYS:
            values[key] = value.strip()
    return values


def other_ports(avoid: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """Choose lines that move its two ranges out of the way of all these ports, where there is room."""
    wanted = list(avoid)
    first = next((low for low in _MOVES if all(last < low or low + 2000 < first for first, last in wanted)), _MOVES[0])
    return (
        f"wrapper.port.min={first}",
        f"wrapper.port.max={first + 1000}",
        f"wrapper.jvm.port.min={first + 1001}",
        f"wrapper.jvm.port.max={first + 2000}",
    )


def _paths(*names: str) -> ModuleType:
    """Choose the rules of the system that these paths are of, which need not be this one."""
    if not any("\\" in path for path in names):
        return posixpath
    import ntpath

    return ntpath


def _folder(conf: str) -> tuple[str, str]:
    """The folder of a product whose configuration is FOLDER/conf/wrapper.conf: its path and its name."""
    paths = _paths(conf)
    folder = paths.dirname(paths.dirname(conf))
    return str(folder), str(paths.basename(folder))


def _base(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]

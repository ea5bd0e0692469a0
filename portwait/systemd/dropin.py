"""Which drop-in guards a unit, filled in, with why and what it cannot do: a pure function of what the unit says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from portwait.errors import UsageError, quote
from portwait.host import permissions
from portwait.systemd import exec_start
from portwait.systemd.dropin_templates import PROGRAM, TEMPLATES
from portwait.text.escape import escape, shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.systemd.exec_start import Settings

GENERAL = tuple(name for name in TEMPLATES if "/" not in name)
"""The templates that a user can choose among."""

_TAKES_SOCKETS = ("gunicorn",)
"""Programs that take sockets by LISTEN_FDS without a setting of their own."""

_NO = ("", "no", "false", "off", "0")


class Facts(NamedTuple):
    """What decides which drop-in fits."""

    unit: str
    settings: Settings
    """Those of the service, as its files say."""
    targets: tuple[str, ...]
    socket_unit: str | None = None
    """The socket unit that listens on these ports in the service's place."""
    user: bool = False
    """Whether the unit is one of a user's own manager."""
    selinux: bool = False
    program: str = PROGRAM
    """Where portwait is."""
    runtime: tuple[str, ...] = ()
    """What portwait needs beside the program itself: its folder and its Python."""
    family: int = 0
    """4 or 6 where the service binds only that one."""
    closed: str = ""
    """Why the unit's user cannot execute portwait, in words; nothing where it can."""

    def last(self, name: str) -> str:
        """Answer a setting's last value, or nothing."""
        return (self.settings.get(name) or ("",))[-1]

    @property
    def words(self) -> tuple[str, ...]:
        """The targets as portwait's command line has them."""
        return (f"-{self.family}", *self.targets) if self.family else self.targets

    def is_set(self, name: str) -> bool:
        """Whether a setting is there and is not `no`."""
        return self.last(name).lower() not in _NO


class DropIn(NamedTuple):
    """A drop-in for one unit."""

    template: str
    unit: str
    """The unit that it belongs to: the service, or its socket unit."""
    body: str
    why: tuple[str, ...]
    cannot: tuple[str, ...]
    path: str
    install: tuple[str, ...]


def fit(facts: Facts, template: str | None = None) -> DropIn:
    """Choose the drop-in, or take the named template, and fill it in. Raises UsageError where that cannot be."""
    asked: tuple[str, ...]
    command, prefix = exec_start.command_of(facts.settings)
    facts = facts._replace(settings=exec_start.applied(facts.settings, prefix))
    if template is not None and template not in GENERAL:
        raise UsageError(f"cannot use template {quote(template)}: expected {', '.join(GENERAL)}")
    if template is None:
        template, why = _choose(facts)
        asked = ()
    else:
        why = ("it was asked for by --template",)
        asked = ("--template", template)
    unit = facts.unit
    if template == "guard-socket.conf":
        if facts.socket_unit is None:
            raise UsageError(f"cannot use {template}: no socket unit listens for {escape(facts.unit)}")
        unit = facts.socket_unit
    elif template != "guard-pre.conf" and not command:
        raise UsageError(
            f"cannot use {template}: {escape(facts.unit)} has not exactly one ExecStart= to put portwait before"
        )
    body, added = _fill(facts, template, prefix, command)
    folder = f"{'~/.config/systemd/user' if facts.user else '/etc/systemd/system'}/{unit}.d"
    return DropIn(
        template,
        unit,
        body,
        (*why, *added),
        _cannot(facts, template),
        f"{folder}/portwait.conf",
        _install(facts, unit, folder, asked),
    )


def _choose(facts: Facts) -> tuple[str, tuple[str, ...]]:
    """Say which template fits, and why; the first reason that applies decides."""
    name = facts.unit.removesuffix(".service")
    command, _ = exec_start.command_of(facts.settings)
    if facts.socket_unit is not None:
        return "guard-socket.conf", (f"{escape(facts.socket_unit)} binds the port, not the service",)
    debian = f"debian/{name}.conf"
    fits = debian in TEMPLATES and command and f" -- {command}\n" in TEMPLATES[debian]
    reason = _why_not_in_front(facts, command)
    if fits and not reason:
        return debian, (f"this is Debian's {name}, with the ExecStart= that the package has",)
    if not reason and facts.is_set("NoExecPaths"):
        reason = "NoExecPaths= keeps portwait from being executed in the unit's sandbox"
    if reason:
        return "guard-pre.conf", (reason,)
    program = command.split()[0].rpartition("/")[2]
    if program in _TAKES_SOCKETS:
        return "guard-listen.conf", (f"{program} takes sockets (LISTEN_FDS): clients queue while it starts",)
    if facts.is_set("Restart"):
        return "guard-fdstore.conf", (
            f"the unit has Restart={escape(facts.last('Restart'))}: systemd keeps the port between two starts",
        )
    kind = facts.last("Type") or "simple"
    return "guard-exec.conf", (f"portwait becomes the service, so its PID stays right (Type={escape(kind)})",)


def _why_not_in_front(facts: Facts, command: str) -> str:
    """Say why ExecStart= has to stay as it is; nothing where portwait can stand before the command."""
    if not command:
        return "the unit has no single ExecStart= that portwait could stand before"
    if facts.last("Type") == "oneshot":
        return "Type=oneshot: the command ends, and a hold would end with it"
    if facts.selinux and not facts.user:
        return "SELinux is on: behind portwait the service would start in another domain"
    if facts.is_set("AppArmorProfile"):
        return "AppArmorProfile= would confine portwait too"
    for name in ("RootDirectory", "RootImage"):
        if facts.is_set(name):
            return f"{name}= keeps portwait from being executed in the unit's sandbox"
    return _why_hidden(facts) or facts.closed


def _why_hidden(facts: Facts) -> str:
    name, path = permissions.hidden((facts.program, *facts.runtime), facts.settings)
    return f"{name}= hides {escape(path)} from the unit" if name else ""


def _fill(facts: Facts, template: str, prefix: str, command: str) -> tuple[str, tuple[str, ...]]:
    """Put the unit's own values into a template; the text, and what was added to it and why."""
    body = TEMPLATES[template]
    ports = " ".join(facts.words).replace("%", "%%")
    words = re.compile(
        rf"^(ExecStart|ExecStartPre)=(\+?){re.escape(PROGRAM)}((?: --[a-z]+)*) \S+( -- .*)?$", re.MULTILINE
    )

    def line(match: re.Match[str]) -> str:
        name, full, options, behind = match.groups()
        start = prefix if behind else "" if facts.user else full
        return f"{name}={start}{_word(facts.program)}{options} {ports}{f' -- {command}' if behind else ''}"

    body = words.sub(line, body)
    added: list[str] = []
    stored = facts.last("FileDescriptorStoreMax")
    room = len(facts.targets) + (int(stored) if stored.isascii() and stored.isdigit() and len(stored) <= 10 else 0)
    body = body.replace("FileDescriptorStoreMax=1\n", f"FileDescriptorStoreMax={room}\n")
    if facts.last("NotifyAccess") == "all":
        body = _without(body, "NotifyAccess=")
    if facts.user and template == "guard-pre.conf":
        body = re.sub(r"^# With `\+`(?:.*\n#)*.*\n", "", body, flags=re.MULTILINE)
    in_front = " -- " in body
    if in_front:
        body = _without(_without(body, "ExecPaths="), "RestrictAddressFamilies=")
    if facts.is_set("NoExecPaths") and in_front:
        body += "# NoExecPaths= forbids every other program; the service may start these too then.\n"
        body += f"ExecPaths={' '.join(map(_word, (facts.program, *facts.runtime)))}\n"
        added.append("ExecPaths= lets portwait and its Python be executed")
    if in_front:
        lacking = [name for name in ("AF_NETLINK", "AF_INET6") if _forbids(facts, name)]
        if lacking:
            body += "# Without AF_NETLINK portwait reads /proc/net and cannot evict, without AF_INET6 it cannot hold.\n"
            body += f"RestrictAddressFamilies={' '.join(lacking)}\n"
            added.append(f"RestrictAddressFamilies= of the unit lacks {' and '.join(lacking)}; the service gets it too")
    return body, tuple(added)


def _word(path: str) -> str:
    """Write a path as one word of a unit. systemd executes none that has quotes or backslashes in it."""
    path = path.replace("%", "%%")
    return f'"{path}"' if " " in path else path


def _without(body: str, setting: str) -> str:
    """Take a setting out of a text, with the comment lines that stand directly above it."""
    return re.sub(rf"(?:^\n)?(?:^#.*\n)*^{setting}.*\n", "", body, flags=re.MULTILINE)


def _forbids(facts: Facts, family: str) -> bool:
    """Whether RestrictAddressFamilies= is a list of what is allowed, and this is not on it."""
    words = " ".join(facts.settings.get("RestrictAddressFamilies", ())).split()
    return bool(words) and not words[0].startswith("~") and family not in words


def _lacks_net_admin(facts: Facts) -> bool:
    """Whether CapabilityBoundingSet= leaves CAP_NET_ADMIN out: lines add to it, and those with `~` take away.

    `~` alone gives all back; no name at all leaves none (systemd.exec(5)).
    """
    has: bool | None = None  # no line: it has all
    for line in facts.settings.get("CapabilityBoundingSet", ()):
        names = line.lstrip("~").upper().split()
        if not line.startswith("~"):
            has = bool(has) or "CAP_NET_ADMIN" in names
        elif "CAP_NET_ADMIN" in names or not names:
            has = not names
        elif has is None:
            has = True
    return has is False


def _cannot(facts: Facts, template: str) -> tuple[str, ...]:
    """Say what this drop-in will not be able to do in this unit."""
    ports = shell(facts.targets)
    if template in ("guard-pre.conf", "guard-socket.conf"):
        what = "systemd's" if template == "guard-socket.conf" else "the service's"
        text = (
            f"It cannot hold the port: between its check and {what} own bind() another connect() can be given it. "
            "Reserving the port closes that gap."
        )
        lines = [text]
        if facts.user:
            lines.append("It runs as you: it cannot evict, and does not see whose other users' connections are.")
        return tuple(lines)
    fails = _why_hidden(facts) or facts.closed
    lines = [f"It fails with 203/EXEC: {fails}."] if fails else []
    narrowed = [name for name in ("User", "DynamicUser", "PrivateUsers") if facts.is_set(name)]
    narrowed += ["ProtectProc"] if facts.last("ProtectProc") in ("invisible", "noaccess", "ptraceable") else []
    if (narrowed and facts.last("User") != "root") or facts.user:
        why = f"{', '.join(f'{name}=' for name in narrowed)} of the unit" if narrowed else "a user's own unit"
        lines.append(
            f"It sees which connection is in the way, but not whose it is ({why}), and it cannot evict or reserve."
        )
    elif _lacks_net_admin(facts):
        lines.append("It cannot evict or reserve: CapabilityBoundingSet= has no CAP_NET_ADMIN.")
    elif facts.is_set("ProtectKernelTunables"):
        lines.append("It cannot reserve (ProtectKernelTunables=).")
    families = " ".join(facts.settings.get("RestrictAddressFamilies", ()))
    if families.startswith("~") and ("AF_NETLINK" in families or "AF_INET6" in families):
        lines.append("RestrictAddressFamilies= forbids AF_NETLINK or AF_INET6: it reads /proc/net, or it cannot hold.")
    if any(target.endswith("/udp") for target in facts.targets):
        lines.append("It cannot hold a UDP port.")
    if facts.is_set("Delegate") and template != "guard-pre.conf":
        lines.append(
            "Delegate=: what the service starts inherits the hold, so the port is kept until all of it has ended."
        )
    if not lines:
        lines.append(
            f"A service that binds [::] without SO_REUSEADDR cannot start over the hold of {ports}: use --no-hold."
        )
    return tuple(lines)


def _install(facts: Facts, unit: str, folder: str, asked: Sequence[str]) -> tuple[str, ...]:
    """Write the three lines that install it."""
    manager = ("systemctl", "--user") if facts.user else ("systemctl",)
    words = [
        facts.program,
        "unit",
        *(["--user"] if facts.user else []),
        *asked,
    ]
    home = folder.startswith("~/")
    place = f"~/{shell([folder[2:]])}" if home else shell([folder])
    stop = f"{shell([*manager, 'stop', facts.unit])} && " if unit != facts.unit else ""
    return (
        f"mkdir -p {place}",
        f"{shell([*words, facts.unit, *facts.words])} > {place}/portwait.conf",
        f"{shell([*manager, 'daemon-reload'])} && {stop}{shell([*manager, 'restart', unit])}",
    )

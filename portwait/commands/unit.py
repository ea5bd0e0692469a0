"""`portwait unit UNIT [TARGET...]`: print the drop-in that guards this systemd unit, and how to install it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from portwait.diagnosis.owners import user_name
from portwait.errors import PortwaitError, TablesError, UsageError, quote
from portwait.host import permissions, systemd_units, unit_files
from portwait.host.machine import own_path
from portwait.model import targets
from portwait.model.targets import Target, plain
from portwait.options import reader
from portwait.systemd import dropin, exec_start
from portwait.systemd.dropin_templates import PROGRAM
from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.host.systemd_units import Unit
    from portwait.model.sockets import KernelSocket
    from portwait.model.targets import Family
    from portwait.systemd.dropin import DropIn

_VALID = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@")
_WIDTH = 100

_DESCRIPTION = """\
Print the drop-in that makes portwait guard a systemd service, filled in for
this unit, with why it is this one, where it goes, the lines that install it
and what it will not be able to do. Writes nothing.
"""

_EPILOG = """\
Without a TARGET it takes what the unit listens on now, so the unit has to run.
What is printed is the drop-in itself; all the rest are comments in it.

exit status:
  0     it was printed
  125   the unit cannot be read, or cannot be guarded so

examples:
  portwait unit orders.service 30010
  portwait unit --user notebook.service
  portwait unit --template guard-pre.conf nginx 80 443
"""


def run(words: Sequence[str]) -> tuple[int, str]:
    """Print the drop-in; the status and the text. Raises PortwaitError."""
    asked = reader.read("unit", words, (_DESCRIPTION, _EPILOG))
    if not asked.targets:
        raise UsageError("cannot guard nothing: name a UNIT, as in `portwait unit orders.service 30010`")
    name, *wanted = asked.targets
    facts = _facts(name, wanted, asked.family, (user_name(os.geteuid()) or str(os.geteuid())) if asked.user else None)
    made = dropin.fit(facts, asked.template)
    return 0, _as_json(made, facts.targets) if asked.json else _as_text(made)


def _facts(word: str, words: Sequence[str], family: Family, user: str | None) -> dropin.Facts:
    name = _service_name(word)
    unit = next(iter(systemd_units.read([name], user=user).values()), None)
    text = systemd_units.cat(name, user=user)
    if unit is None or not text:
        raise PortwaitError(f"cannot read {quote(name)}: {_why_unknown(name, user)}")
    name = unit.name  # not one of its other names
    settings = unit_files.settings(text)
    if any(map(unit_files.is_guarded, settings.get("ExecStart", ()))):
        raise PortwaitError(f"cannot guard {escape(name)}: its ExecStart= has portwait already")
    sockets = [sock for sock in _sockets(unit, user) if sock.listens]
    named = tuple(str(target).removesuffix("/tcp") for target in targets.parse(words, family))
    wanted, only = (named, family) if named else _listens_on(unit, sockets)
    if not wanted:
        raise UsageError(
            f"cannot tell what {escape(name)} listens on: it has no listener now, so name a TARGET, as in "
            f"`portwait unit {escape(name)} 30010`"
        )
    ports = {(target.protocol, target.port) for target in targets.parse(wanted)}
    binding = [sock.name for sock in sockets if ports & {(end.protocol, end.port) for end in _ends(sock)}]
    facts = dropin.Facts(
        name,
        settings,
        wanted,
        socket_unit=binding[0] if binding else None,
        user=user is not None,
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        program=_program(),
        family=family or only,
        runtime=tuple(dict.fromkeys((sys.prefix, os.path.realpath(sys.executable)))),
    )
    return facts._replace(closed=_why_closed(facts))


def _why_unknown(name: str, user: str | None) -> str:
    """Say why systemctl has told nothing of a unit."""
    systemctl = f"systemctl{' --user' if user else ''}"
    if shutil.which("systemctl") is None:
        return "there is no systemctl here"
    if not systemd_units.is_running():
        return "systemd does not run here"
    shown = systemd_units.show([name], ("LoadState",), user=user)
    if not shown:
        return f"{systemctl} does not answer here"
    return "it is masked" if shown[0].get("LoadState") == "masked" else f"{systemctl} knows no such unit here"


def _why_closed(facts: dropin.Facts) -> str:
    """Say why the unit's user cannot execute portwait; nothing where it can, or where root runs ExecStart=."""
    name = facts.last("User")
    _, marks = exec_start.command_of(facts.settings)
    if (
        facts.user
        or name in ("root", "0")
        or not (name or facts.is_set("DynamicUser"))
        or exec_start.runs_as_root(marks)
    ):
        return ""
    paths = [facts.program, os.path.realpath(facts.program), *facts.runtime, os.path.dirname(os.path.abspath(__file__))]
    path = permissions.closed(paths, *(permissions.account(name) if name else ()))
    who = escape(f"User={name}") if name else "DynamicUser="
    return f"{who} cannot execute portwait: {escape(path)} is closed to it" if path else ""


def _sockets(unit: Unit, user: str | None) -> list[Unit]:
    """Find the socket units that bind for a service; asking loads one of its own name that was not loaded yet.

    Distributions bring some that nobody uses, Debian for ssh: one that is off while its service runs, or is disabled.
    """
    names = dict.fromkeys((*unit.triggered_by, f"{unit.name.removesuffix('.service')}.socket"))
    return [
        sock
        for sock in systemd_units.read(names, user=user).values()
        if unit.name in sock.triggers
        and (sock.active or not (unit.active or sock.file_state in ("disabled", "masked", "masked-runtime")))
    ]


def _service_name(word: str) -> str:
    name = word if word.endswith(".service") else f"{word}.service"
    if not word or not _VALID.issuperset(word) or word.startswith("-"):
        raise UsageError(f"cannot read unit {quote(word)}: expected a service's name, as in orders.service")
    if name.endswith("@.service"):
        raise UsageError(
            f"cannot guard {quote(name)}: it is a template; name an instance, as in "
            f"`portwait unit {name.removesuffix('.service')}NAME`"
        )
    if word.endswith((".socket", ".timer", ".target", ".mount", ".path", ".slice", ".scope")):
        raise UsageError(f"cannot guard {quote(word)}: only services are guarded; name the .service that it starts")
    return name


def _program() -> str:
    """Find the path by which systemd can start portwait."""
    return own_path() or shutil.which("portwait") or PROGRAM


def _listens_on(unit: Unit, sockets: Iterable[Unit]) -> tuple[tuple[str, ...], int]:
    """Say what a service listens on now, as targets and their family; what its socket units do, where it has such."""
    ends = [end for sock in sockets for end in _ends(sock)]
    if ends:
        return _words((end.protocol, end.port, end.address) for end in ends), 0
    from portwait._linux import socket_owners
    from portwait.diagnosis import tables

    try:
        opened, _ = tables.open_tables()
        with opened:
            listeners = opened.listeners([(1, 65535)])
    except TablesError as error:
        raise PortwaitError(f"cannot tell what {escape(unit.name)} listens on: {error}") from error
    pids = {member.pid for member in unit.processes}
    owners = socket_owners.holders(listeners).by_inode
    own = [sock for sock in listeners if pids & {holder.pid for holder in owners.get(sock.inode, ())}]
    return as_targets(own)


def as_targets(listeners: Sequence[KernelSocket]) -> tuple[tuple[str, ...], int]:
    """Write listeners as targets: a port that is bound at one address alone with that address.

    The family is 6 where all of them are IPV6_V6ONLY, so that the hold spares such a service, else 0.
    """
    words = _words(("tcp", sock.local_port, plain(sock.local_address)) for sock in listeners)
    only6 = bool(listeners) and all(":" in plain(sock.local_address) and sock.v6only for sock in listeners)
    return words, 6 if only6 else 0


def _words(ends: Iterable[tuple[str, int, str]]) -> tuple[str, ...]:
    """Write ends as targets, each with its address where it has the port of one protocol alone, or all are on loopback.

    A connection from another address is not in the way of these. Several other addresses may be those of the
    interfaces, which come and go: they are all addresses, as a wildcard is.
    """
    by_port: dict[tuple[int, str], dict[str, None]] = {}
    for protocol, port, address in ends:
        by_port.setdefault((port, protocol), {})[address] = None
    words: list[str] = []
    for (port, protocol), at in sorted(by_port.items()):
        behind = f"{port}{'' if protocol == 'tcp' else '/udp'}"
        if any(map(_is_wide, at)) or (len(at) > 1 and not all(map(_is_loopback, at))):
            words.append(behind)
        else:
            words += [f"[{address}]:{behind}" if ":" in address else f"{address}:{behind}" for address in sorted(at)]
    return tuple(words)


def _is_wide(address: str) -> bool:
    """Whether it is every address, or says nothing without the interface that is not known here."""
    return address in (targets.ANY, "0.0.0.0", "::") or address.startswith("fe80:")


def _is_loopback(address: str) -> bool:
    return address == "::1" or address.startswith("127.")


def _ends(sock: Unit) -> list[Target]:
    """Read where a socket unit listens; an address that need not be on this host is no reason to wait."""
    ends = [end for line in sock.listens if (end := _end(line)) is not None]
    return [Target(str(end.port), end.port, end.protocol) for end in ends] if sock.freebind else ends


def _end(line: str) -> Target | None:
    """Read a line of Listen=, `[::]:8080 (Stream)`; None for what is no port of TCP or UDP."""
    where, _, kind = line.rpartition(" ")
    protocol = {"(Stream)": "tcp", "(Datagram)": "udp"}.get(kind)
    try:
        return next(iter(targets.parse([f"{where}/{protocol}"]))) if protocol and ":" in where else None
    except UsageError:
        return None  # a path, or vsock


def _as_text(made: DropIn) -> str:
    """Write the drop-in, with all that is to be said of it as comments in front."""
    lines = [f"# {made.path}"]
    lines += _comment(f"{made.template} of portwait's contrib/systemd, because {'; '.join(made.why)}.")
    for text in made.cannot:
        lines += _comment(text)
    who = "" if made.path.startswith("~/") else ", as root"
    lines += ["#", f"# Install it{who}:", *(f"#   {line}" for line in made.install), ""]
    return "\n".join(lines) + "\n" + made.body


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _as_json(made: DropIn, wanted: Sequence[str]) -> str:
    known = {
        "schema": 1,
        "unit": made.unit,
        "targets": list(wanted),
        "template": made.template,
        "path": made.path,
        "why": list(made.why),
        "cannot": list(made.cannot),
        "install": list(made.install),
        "drop_in": made.body,
    }
    return json.dumps(known, indent=2) + "\n"

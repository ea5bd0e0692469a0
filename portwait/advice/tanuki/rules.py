"""The Tanuki Java Service Wrapper among the owners: what its wrapper.conf says, and the lines to add to it."""

from __future__ import annotations

from portwait.advice import shell_commands, stopping, trust
from portwait.advice.tanuki import config
from portwait.diagnosis import owners
from portwait.host import untrusted_file
from portwait.model.case import Remedy
from portwait.text.escape import escape

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from portwait.advice.facts import Facts
    from portwait.advice.tanuki.config import Wrapper
    from portwait.model.blocker import Blocker
    from portwait.model.owner import Owner


def wrappers_of(blockers: Iterable[Blocker]) -> tuple[Wrapper, ...]:
    """Find the wrappers among the owners, each from either of its two processes, and read their configurations.

    Those whose command lines can be trusted come first; one that names another's file does not become that one.
    """
    wrappers: dict[tuple[bool, str], Wrapper] = {}
    for owner in shell_commands.owners(blockers):
        process: Owner | None = owner
        if config.is_jvm(owner.cmdline):  # its parent is the wrapper; -Dwrapper.pid= anybody can write
            process = owners.describe(owner.parent) if owner.parent > 1 else None
        conf = None if process is None else config.configuration(process.cmdline)
        if process is None or conf is None:
            continue
        path = config.absolute(conf, process.cmdline, untrusted_file.working_directory(process.pid))
        key = not trust.is_roots_word(process), path
        if key in wrappers:
            wrappers[key] = wrappers[key]._replace(pids=tuple({*wrappers[key].pids, owner.pid, process.pid}))
            continue
        text, unread = "", None
        try:
            text = untrusted_file.read(path, process.pid, config.LARGEST).decode(errors="replace")
        except untrusted_file.UntrustedFileError as error:
            unread = str(error)
        wrappers[key] = config.Wrapper(
            pids=tuple({owner.pid, process.pid}),
            conf=path,
            settings=config.settings(text, process.cmdline),
            trusted=not key[0],
            unread=unread,
            container=process.container,
            user=process.user,
        )
    return tuple(wrappers[key] for key in sorted(wrappers))


def use_pipe(facts: Facts) -> Remedy | None:
    """Let wrapper and JVM talk through a pipe, which takes no port at all."""
    if not facts.wrappers:
        return None
    wrapper = facts.wrappers[0]
    if wrapper.uses_pipe:
        restart = _restart(facts, wrapper)
        return Remedy(
            "tanuki-wrapper",
            f"{_introduction(facts, wrapper)} {escape(wrapper.conf)} says {config.PIPE} "
            f"already, and what runs is older: restart it.{restart.words}",
            restart.commands,
        )
    append = _appending(facts, wrapper, (config.PIPE,))
    return Remedy(
        "tanuki-wrapper",
        f"{_introduction(facts, wrapper)} Let it use a pipe, which takes no port: append one line to "
        f"{escape(wrapper.conf)}{_with_care(wrapper)} and restart it."
        f"{append.words} {_says(wrapper)}",
        append.commands,
    )


def move_ports(facts: Facts) -> Remedy | None:
    """Or let it take its ports elsewhere."""
    if not facts.wrappers or facts.wrappers[0].uses_pipe:
        return None
    wrapper = facts.wrappers[0]
    taken = [(facts.target.port, facts.target.port)]
    if facts.settings.ephemeral_range is not None and facts.settings.ephemeral_range[0] >= 22001:
        taken.append(facts.settings.ephemeral_range)
    return Remedy(
        "tanuki-wrapper-ports",
        "Or, where its version knows no PIPE, move its ports: append four lines and restart it.",
        _appending(facts, wrapper, config.other_ports(taken)).commands,
    )


def _introduction(facts: Facts, wrapper: Wrapper) -> str:
    what = wrapper.product or shell_commands.called(shell_commands.owners(facts.blockers))
    runs = "runs under" if wrapper.trusted else "says that it runs under"
    return (
        f"{what} {runs} the Tanuki Java Service Wrapper, which takes ports by number, the first free ones from "
        "31000 and from 32000 on by default, so reserving does not keep it away."
    )


def _with_care(wrapper: Wrapper) -> str:
    """Say where, or as whom, a file may be written that only an untrusted process names."""
    if wrapper.trusted:
        return ""
    if wrapper.container:
        how = f" in the container {escape(wrapper.container)}, never outside it"
    elif wrapper.user not in (None, "root"):
        how = f", as {escape(wrapper.user or '', 40)}, never as root"
    else:
        how = ", once it is certain whose that is"
    return f"{how} (the path is that process's own word),"


def _says(wrapper: Wrapper) -> str:
    if wrapper.unread is not None:
        return f"What it says now could not be read: {escape(wrapper.unread)}."
    if not wrapper.settings:
        return "It says nothing of ports now."
    return f"It says now: {', '.join(f'{key}={escape(value, 40)}' for key, value in sorted(wrapper.settings.items()))}."


def _appending(facts: Facts, wrapper: Wrapper, lines: Sequence[str]) -> stopping.Stop:
    """Say what appends lines and restarts; the lines alone where the path is not to be trusted."""
    if not wrapper.trusted:
        return stopping.Stop(tuple(lines))
    restart = _restart(facts, wrapper)
    return restart._replace(commands=(_append(facts, wrapper, lines), *restart.commands))


def _append(facts: Facts, wrapper: Wrapper, lines: Sequence[str]) -> str:
    if wrapper.windows:
        values = ", ".join(_powershell(line) for line in lines)
        return f"Add-Content -LiteralPath {_powershell(wrapper.conf)} -Value {values}"
    return shell_commands.append(facts.machine, wrapper.conf, lines)


def _restart(facts: Facts, wrapper: Wrapper) -> stopping.Stop:
    """Say how a wrapper and its JVM are restarted."""
    if wrapper.windows:
        service = wrapper.windows_service
        return stopping.Stop((f"Restart-Service -DisplayName {_powershell(service)}",) if service else ())
    if wrapper.script is not None:
        return stopping.Stop((shell_commands.as_root(facts.machine, wrapper.script, "restart"),))
    known = [owner for owner in shell_commands.owners(facts.blockers) if owner.pid in wrapper.pids]
    return stopping.restart(facts, known, beside=wrapper.pids)


def _powershell(text: str) -> str:
    """Quote for PowerShell, which knows the typographic quotes too (about_Quoting_Rules)."""
    return "'" + "".join(2 * each if each in "'\u2018\u2019\u201a\u201b" else each for each in escape(text)) + "'"

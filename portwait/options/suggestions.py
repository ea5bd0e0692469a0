"""What somebody may have meant whose words portwait cannot use; loaded only to say it.

Knows the options, the verbs, targets, and which commands there are; that the words are wrong was for others to find.
"""

from __future__ import annotations

import difflib
import shlex
import shutil
from typing import TYPE_CHECKING

from portwait.errors import CommandNotFoundError, UsageError, quote
from portwait.model import targets
from portwait.options import environment
from portwait.options.record import GUARD, VERBS, verb_of
from portwait.options.table import ROWS, rows_of
from portwait.text.escape import escape
from portwait.text.masking import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from portwait.options.record import Options
    from portwait.options.row import Row

_LONGEST = 60

_OF_OTHER_TOOLS = {
    "kill": "did you mean portwait evict? It destroys connections; to signal a process: portwait --terminate",
    "check": "did you mean portwait explain?",
    "show": "did you mean portwait explain?",
    "status": "did you mean portwait explain?",
    "who": "did you mean portwait explain?",
    "list": "did you mean portwait audit?",
    "ls": "did you mean portwait audit?",
    "unreserve": "did you mean portwait release?",
    "help": "did you mean portwait --help?",
}
"""Words that people try as verbs; `wait` and `run` are the guard, which has none."""

_SHELL_WORDS = frozenset(
    (
        *("alias", "bg", "cd", "command", "declare", "eval", "exec", "exit", "export", "fg", "for", "function", "hash"),
        *("if", "jobs", "local", "popd", "pushd", "read", "return", "set", "shift", "shopt", "source", "trap", "type"),
        *("ulimit", "umask", "unalias", "unset", "until", "wait", "while", ".", ":", "{", "(", "[["),
    )
)


def hinted(error: UsageError, verb: str, own: Sequence[str], command: Sequence[str]) -> UsageError:
    """Say the cure instead, where it can be guessed, or where to read; `own` is what stood before the `--`."""
    places = list(_alone(verb, own)) if verb_of(verb).field == "targets" else []
    if verb == "unit":
        del places[:1]  # a unit's name
    unknown = [place for place in places if not _is_target(own[place])]
    if command and places and not unknown and verb in ("explain", "evict"):
        words = f"{'--evict ' if verb == 'evict' else ''}{_for_verb(GUARD, own)} -- {escape(command[0], _LONGEST)}"
        return UsageError(f"cannot {verb} and start a command: the guard does that: portwait {words} ...")
    for place in unknown:
        if hint := _target_hint(verb, own, place, [own[each] for each in places if each < place], command):
            return UsageError(f"cannot read target {quote(own[place])}: {hint}")
    for place, word in enumerate(own):
        if word[:1] == "-" and (hint := _option_hint(verb, own, place)):
            return UsageError(f"cannot use option {quote(word.partition('=')[0])}: {hint}")
    if str(error).startswith("cannot guard nothing") and not places and (port := _timeout(own)):
        return UsageError(f"{error} ({port} was read as the --timeout)")
    see = "portwait --help" if verb == GUARD else f"portwait {verb} --help"
    return UsageError(f"{error} (see {see})") if unknown and "--help" not in str(error) else error


def hinted_command(error: CommandNotFoundError, own: Sequence[str], command: Sequence[str]) -> CommandNotFoundError:
    """Say how to run what only a shell understands."""
    first = command[0]
    if first not in _SHELL_WORDS and not (set(first) & set(" \t&|;<>$")):
        return error
    line = first if len(command) == 1 else " ".join(command)
    before = f"{command_line(own, _LONGEST)} " if own else ""
    quoted = shlex.quote(line) if line.isprintable() and len(line) <= _LONGEST else "'...'"
    return CommandNotFoundError(
        f"cannot run {quote(first)}: only a shell understands that: portwait {before}-- sh -c {quoted}"
    )


def refuse_commands(words: Sequence[str]) -> None:
    """Refuse a bare word behind a TARGET that is a service's name and a command alike. Raises UsageError."""
    for place, word in enumerate(words):
        if place and not any(mark in word for mark in "/:,%") and not word[:1].isdigit() and shutil.which(word):
            raise UsageError(
                f"cannot tell if {quote(word)} is a service or a command: write {escape(word)}/tcp for the port, or "
                f"portwait {command_line(words[:place], _LONGEST)} -- {escape(word)} for the command"
            )


def name_unknown(names: Sequence[str], options: Options) -> None:
    """Name environment variables that look like ours and are not, in one line."""
    from portwait.log import Log

    text = "; ".join(map(_unknown, names))
    Log(options.log_format, quiet=options.quiet).warning("unknown-variable", text, variables=list(names))


def _unknown(name: str) -> str:
    for row in ROWS:
        if row.typed_only and name == environment.PREFIX + row.key.upper():
            return f"the environment variable {name} has no effect: {row.flags[-1]} has to stand on the command line"
    near = difflib.get_close_matches(name, [*_variables(), environment.TARGETS], 1, 0.8)
    did = f" (did you mean {near[0]}?)" if near else ""
    return f"the environment variable {escape(name, _LONGEST)} is none of portwait's and has no effect{did}"


def _variables() -> Iterator[str]:
    return (row.variable for row in ROWS if row.variable)


def _alone(verb: str, own: Sequence[str]) -> Iterator[int]:
    """Go through the places of the words that are neither options nor their values."""
    valued = _valued(verb)
    skip = False
    for place, word in enumerate(own):
        if not skip and word[:1] != "-":
            yield place
        skip = not skip and word in valued


def _valued(verb: str) -> set[str]:
    """Name the options of a verb whose value is the next word."""
    return {flag for row in rows_of(verb) if row.metavar and not row.bare for flag in row.flags}


def _timeout(own: Sequence[str]) -> str:
    """Find a port that stands where the timeout's value does."""
    values = [value for flag, value in zip(own, own[1:]) if flag in ("-t", "--timeout")]
    values += [word.partition("=")[2] for word in own if word.startswith("--timeout=")]
    return next((value for value in values if value.isascii() and value.isdigit()), "")


def _target_hint(verb: str, own: Sequence[str], place: int, before: Sequence[str], command: Sequence[str]) -> str:
    """Guess what a word that is no target was to be; `before` are the words in front of it that might be targets."""
    word, rest = own[place], own[place + 1 :]
    if word in VERBS:
        return f"{word} is a verb and comes first: portwait {word} ..."
    if host := _host(word):
        return host
    if not any(map(_is_target, before)):
        if word in ("wait", "run"):
            return _guard_hint([*own[:place], *rest], command)
        if word in _OF_OTHER_TOOLS:
            return _OF_OTHER_TOOLS[word]
        near = difflib.get_close_matches(word.lower(), VERBS, 1)
        return f"did you mean portwait {near[0]}?" if near else ""
    if verb == GUARD and not command and shutil.which(word):
        more = " ..." if rest else ""
        return f"a command stands behind --: portwait {command_line(own[:place], _LONGEST)} -- {escape(word)}{more}"
    return ""


def _guard_hint(words: Sequence[str], command: Sequence[str]) -> str:
    """Repeat a guard's words without the verb that it does not have."""
    more = " -- ..." if command else ""
    targets_end = 1
    while targets_end < len(words) and (_is_target(words[targets_end]) or not words[targets_end][:1].isalpha()):
        targets_end += 1
    if words and _is_target(words[0]) and not command and targets_end < len(words):  # `run 8080 cmd`
        more = f" -- {command_line(words[targets_end:], _LONGEST)}"
        words = words[:targets_end]
    return (
        f"the guard has no verb: portwait {command_line(words, _LONGEST) or 'TARGET'}{more}; a command stands behind --"
    )


def _host(word: str) -> str:
    """Say what to write in place of a host's name."""
    if "://" in word:
        return _OTHER_HOSTS
    host, colon, port = word.partition("/")[0].rpartition(":")
    if port.lower() in _LOOPBACK and not colon:
        return "names are never resolved, and the port is missing: try 127.0.0.1:30010, [::1]:30010 or 30010"
    if not colon or not host.replace(".", "").replace("-", "").replace("_", "").isalnum() or host[-1:].isdigit():
        return ""
    if host.lower() in _LOOPBACK:
        return f"names are never resolved: try 127.0.0.1:{escape(port)}, [::1]:{escape(port)} or {escape(port)}"
    return _OTHER_HOSTS


_LOOPBACK = ("localhost", "ip6-localhost", "localhost.localdomain")
_OTHER_HOSTS = (
    "portwait frees a port of this host, and resolves no names; to wait for a server use wait-for-it or wait4x"
)


def _option_hint(verb: str, own: Sequence[str], place: int) -> str:
    """Guess what an option that this verb does not have was to be."""
    flag, _, value = own[place].partition("=")
    if flag in _flags(rows_of(verb)) or not flag.strip("-"):
        return ""
    number = flag[2:] if flag[:2] == "-p" else flag.lstrip("-")
    if number[:1].isdigit() and _is_target(number) and not (place and own[place - 1] in _valued(verb)):
        words = command_line([*own[:place], number, *own[place + 1 :]], _LONGEST)
        return f"a port has no dash in front: portwait {'' if verb == GUARD else f'{verb} '}{words}"
    if flag in ("-p", "--port"):
        port = value or (own[place + 1] if place + 1 < len(own) else "8080")
        return f"a port stands alone: portwait {'' if verb == GUARD else f'{verb} '}{escape(port)}"
    verbs = [name for name in (GUARD, *VERBS) if flag in _flags(rows_of(name))]
    if verbs:
        whose = " and ".join("the guard" if name == GUARD else f"portwait {name}" for name in verbs[:2])
        example = f"portwait {'' if verbs[0] == GUARD else f'{verbs[0]} '}{_for_verb(verbs[0], own)}"
        return f"it is an option of {whose}: {example}"
    near = difflib.get_close_matches(flag, [each for each in _flags(rows_of(verb)) if each[:2] == "--"], 1, 0.7)
    return f"did you mean {near[0]}?" if near and flag[:2] == "--" else ""


def _for_verb(verb: str, own: Sequence[str]) -> str:
    """Repeat words for another verb: those of its options that are among them with their values, then all the rest."""
    valued = {flag for name in (GUARD, *VERBS) for flag in _valued(name)}
    known = _flags(rows_of(verb))
    options: list[str] = []
    others: list[str] = []
    place = 0
    while place < len(own):
        length = 2 if own[place] in valued else 1
        if own[place][:1] != "-":
            others.append(own[place])
        elif own[place].partition("=")[0] in known:
            options += own[place : place + length]
        place += length
    return command_line([*options, *(others or [verb_of(verb).metavar])], _LONGEST)


def _flags(rows: Sequence[Row]) -> set[str]:
    return {flag for row in rows for flag in (*row.flags, *(row.other or ())[:1])}


def _is_target(word: str) -> bool:
    try:
        targets.parse([word])
    except UsageError:
        return False
    return True

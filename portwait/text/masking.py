"""Mask what looks like a secret in command lines: pure functions of the text.

Everything here takes time in proportion to what it shows, whatever it is given.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from portwait.text.escape import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

MASK = "***"
_MOST_WORDS = 60
_LOOKED_AT = 1000  # of a word's characters; a secret behind them is cut off anyway

_SECRETS: tuple[str, ...] = ("pass", "pwd", "secret", "token", "credential", "auth", "cookie", "signature")
_SECRETS += ("apikey", "accesskey", "privatekey", "secretkey", "encryptionkey", "wrapperkey")
_ABOUT_FILES = ("file", "path", "dir", "prompt", "stdin")  # `--password-file X`: where it is, not what it is

# Patterns stay strings: `re` compiles and keeps one when it is first used, and most command lines use none.
_NAMED = r"""(?<![\w.\-])([\w.\-]++)(["']?\s*[=:]\s*["']?)([^\s"'&]++)"""
_AFTER_SPACE = r"""(?<![\w.\-])(-{1,2}[\w.\-]++)(\s+)(?!-)([^\s"'&]++)"""
_USERINFO = r"(://[^\s/:@]*+):[^\s@]*+@"
_SCHEME = r"""(?i)\b(bearer|basic|digest|negotiate)(\s+)[^\s"']++"""
_SHAPES = (
    r"\b(?:gh[oprsu]_\w{16,}+|github_pat_\w{16,}+|glpat-[\w\-]{16,}+|xox[abeprs]-[\w\-]{10,}+|sk-[\w\-]{20,}+"
    r"|A[KS]IA[0-9A-Z]{16}|eyJ[\w\-]{8,}+\.[\w\-]++(?:\.[\w\-]*+)?)"
)
"""Tokens that show by their beginnings what they are: of GitHub, GitLab, Slack, OpenAI, AWS, and signed JSON."""

_SHORT = {
    "sshpass": ("-p",),
    "redis-cli": ("-a",),
    "redis-benchmark": ("-a",),
    "curl": ("-u", "--user", "-U", "--proxy-user"),
    "mongo": ("-p",),
    "mongosh": ("-p",),
    "ldapsearch": ("-w",),
    "ldapmodify": ("-w",),
}
"""Programs whose short option is followed by a secret."""
_GLUED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "sshpass"), ("-p",)),
    "curl": ("-u", "-U"),
}
"""Programs where it is a part of the same word."""
_PROGRAM = rf"(?<![\w.\-])(?:{'|'.join({**_SHORT, **_GLUED})})(?![\w.\-])"
_ARGUMENT = r"""('[^']*'|"[^"]*"|\S++)"""


def mask(command: Sequence[str]) -> tuple[str, ...]:
    """Replace what looks like a secret: values of options by their names, passwords in URLs, tokens by their form.

    Rather too much than too little: a path that is hidden costs little.
    """
    followed: tuple[str, ...] = ()
    glued: tuple[str, ...] = ()
    shown: list[str] = []
    hide = False
    for whole in command:
        word = whole[:_LOOKED_AT]
        hidden, hide = hide, word in followed or _announces(word)
        if hidden:
            shown.append(MASK)
            continue
        program = word.rpartition("/")[2]  # `sudo mysql`, `env sshpass ... curl`: what one starts comes behind it
        followed, glued = followed + _SHORT.get(program, ()), glued + _GLUED.get(program, ())
        if glued and word.startswith(glued) and len(word) > 2:
            shown.append(word[:2] + MASK)
        else:
            shown.append(_mask(word) + ("…" if len(whole) > len(word) else ""))
    return tuple(shown)


def _announces(word: str) -> bool:
    """Whether the next word is a secret: `--password X`, `Authorization: X`, `Bearer X`; not `--no-password`."""
    if word.lower() == "bearer":
        return True
    if word.startswith("--no-"):
        return False
    name = word.rstrip("=:")
    return (word.startswith("-") or name != word) and "=" not in name and " " not in name and _is_secret(name)


def _is_secret(name: str) -> bool:
    plain = name.lower().replace("-", "").replace("_", "").replace(".", "")
    return any(secret in plain for secret in _SECRETS) and not plain.endswith(_ABOUT_FILES)


def _mask(word: str) -> str:
    name, sign, value = word.partition("=") if "=" in word else word.partition(":")
    if value and " " not in name and "/" not in name and _is_secret(name):
        return f"{name}{sign}{MASK}"  # the whole word is the value, whatever is in it
    if "://" in word:
        word = re.sub(_USERINFO, rf"\1:{MASK}@", word)
    if " " in word:
        word = re.sub(_SCHEME, rf"\1\2{MASK}", word)
        word = re.sub(_AFTER_SPACE, _mask_named, word)
        word = _mask_script(word)
    if "=" in word or ":" in word:
        word = re.sub(_NAMED, _mask_named, word)
    return re.sub(_SHAPES, MASK, word) if len(word) >= 16 else word


def _mask_script(word: str) -> str:
    """Mask what known programs are given within one word, as in `sh -c 'redis-cli -a X'`; as far as it goes."""
    programs = re.findall(_PROGRAM, word)
    if not programs:
        return word
    before, first, rest = word.partition(programs[0])
    if followed := "|".join(sorted({option for one in programs for option in _SHORT.get(one, ())})):
        rest = re.sub(rf"(?<!\S)({followed})(\s+){_ARGUMENT}", rf"\1\2{MASK}", rest)
    if glued := "|".join(sorted({option for one in programs for option in _GLUED.get(one, ())})):
        rest = re.sub(rf"(?<!\S)({glued}){_ARGUMENT}", rf"\1{MASK}", rest)
    return before + first + rest


def _mask_named(match: re.Match[str]) -> str:
    return f"{match[1]}{match[2]}{MASK}" if _is_secret(match[1]) else match[0]


def command_line(command: Sequence[str], longest: int = 0) -> str:
    """Write a command line in one line, safe and without secrets; `longest` cuts it in the middle.

    For a JVM's first words say that it is one, and its last ones which service it is.
    """
    words = [escape(word) for word in mask(command[:_MOST_WORDS])]
    line = " ".join(words) + (" …" if len(command) > _MOST_WORDS else "")
    if not longest or len(line) <= longest:
        return line
    head = longest // 3
    return line[:head] + "…" + line[head + 1 - longest :]

"""Mask what looks like a secret in the words of a command line: pure functions of the text.

Four things give a secret away: the name before it (`--password X`, `?token=X`, `Password=X`), the program whose option
it follows (`sshpass -p X`), its place in a URL (`https://user:X@host`), and its own form (`ghp_...`). When in doubt a
value is masked, because a path that is hidden costs little. `secret_names` has the tables, and `masking` calls this
only for command lines that can have a secret, because it imports `re` and compiles its patterns.
"""

from __future__ import annotations

import re

from portwait.text import secret_names
from portwait.text.secret_names import MASK, announces, is_secret

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_DEPTH = 3  # scripts in scripts: `sh -c "ssh h 'mysql -pX'"`

# Patterns stay strings: `re` compiles and keeps one when it is first used, and most command lines use few.
_NAME_AND_SIGN = r"""(?<![\w.\-])([\w.\-]+)(\\*["'\]]?\s*(?:[=:]+|%3[dDaA])>?\s*)(\\*["']?)"""
_SCRIPT_WORD = r"""(?:'[^']*'|"(?:[^"\\]|\\.)*"|[^\s'"]|['"])+"""
_URL = r"""([\w+.\-]*)://([^\s"'<>|]+)"""
_USER_AND_PASSWORD = r"""(?<![^\s=,"'(\[{])([^\s:/@=,"'(\[{]*):([^\s"']*)@(?!sha256:)"""  # noqa: S105  # a pattern
_BEFORE_PIPE = r"\b(echo|printf)(\s+)[^|;&\n]+(\|)"


def end_before_password(word: str) -> str:
    """Mask what stands where a password may be in a URL that is cut before its `@`."""
    return re.sub(r"(://[^\s/:@]*):[^\s@/]*$", rf"\1:{MASK}", word)


def mask_words(words: Iterable[str], depth: int = 0) -> list[str]:
    """Mask the words of one command; what a program's options mean depends on the words before."""
    options = _Options()
    result = []
    hide, before = False, ""
    for word in words:
        hidden, hide = hide, options.announces(word) or announces(word, before)
        if hidden:
            result.append(word if depth and word.strip("\"'{}[],") == MASK else MASK)
        elif before in ("-u", "-U") or (before.startswith("-") and before.lstrip("-").lower() in secret_names.USERS):
            result.append(MASK if ":" in word or "%" in word else _mask_word(word, depth))
        else:
            result.append(options.mask(word) or _mask_word(word, depth))
        options.add(word)
        before = word
    return result


class _Options:
    """What the programs of a command line, `sudo mysql`, `env sshpass ... curl`, take secrets by."""

    def __init__(self) -> None:
        self._programs: list[str] = []
        self._next: set[str] = set()
        self._glued: set[str] = set()
        self._clusters = ""
        self._positional = False

    def add(self, word: str) -> None:
        """Take a word for a program, or for a subcommand of one before."""
        name = secret_names.program_of(word)
        for key in (name, *(f"{program} {word}" for program in self._programs)):
            following = secret_names.NEXT.get(key, ())
            self._next.update(following)
            self._glued.update(following, secret_names.GLUED.get(key, ()))
            self._positional = self._positional or key in secret_names.POSITIONAL
            self._clusters += secret_names.CLUSTERS.get(key, "")
        if name in secret_names.programs()[1]:
            self._programs.append(name)

    def announces(self, word: str) -> bool:
        """Whether the next word is a secret."""
        if self._clusters and re.fullmatch(f"-[A-Za-z]+[{self._clusters}]", word):
            return True
        return word in self._next

    def mask(self, word: str) -> str | None:
        """Mask a word that a program's option makes a secret; None where none does."""
        for option in self._glued:
            short = len(option) == 2 and option[0] == "-"
            prefix = option[-1] in ":,=" or option == "-hp"
            if (short or prefix) and word.startswith(option) and len(word) > len(option):
                return option + MASK
        if re.match(r"-[uU][^\s:=/]*[:%]", word):
            return word[:2] + MASK
        return MASK if self._positional and not word.startswith("-") else None


def _mask_word(word: str, depth: int) -> str:
    if len(word) < 2:
        return word
    first = re.match(r"([\w.\-/]+)(\s*[=:])(?!//)", word)
    if first and first.end() < len(word) and not word.startswith("//") and _is_plain_secret(first[1]):
        return f"{first[1]}{first[2]}{MASK}"  # the whole rest is the value, whatever is in it
    if "@" in word:
        word = re.sub(_URL, _mask_url, word) if "://" in word else word
        word = re.sub(_USER_AND_PASSWORD, _mask_user_and_password, word)
    if "=" in word or ":" in word or "%3" in word:
        word = _mask_values(word)
    if depth < _DEPTH and re.search(r"\s", word):
        word = _mask_script(word, depth + 1)
    return re.sub(secret_names.SHAPES, MASK, word) if len(word) >= 15 else word


def _is_plain_secret(name: str) -> bool:
    """Whether the first name of a word is a secret's; `/password:X` is an option, `/opt/password/x.jar:` a path."""
    return "/" not in name[1:] and is_secret(name.lstrip("/"))


def _mask_url(match: re.Match[str]) -> str:
    """Mask the password of a URL, or the token that stands for a user."""
    scheme, rest = match[1], match[2]
    at = rest.partition("?")[0].rfind("@")
    if at < 0 and not re.match(r"[^:@]*:[0-9]{1,5}[/?]", rest):  # the `@` may belong to the query
        at = rest.rfind("@")
    user, colon, password = rest[: max(at, 0)].partition(":")
    if at < 0 or "/" in user or "=" in user.partition("?")[2]:
        return match[0]
    if not colon:
        return match[0] if scheme.lower() in secret_names.USER_ALONE else f"{scheme}://{MASK}{rest[at:]}"
    if password in ("", "x", "X", "x-oauth-basic"):
        user = MASK
    return f"{scheme}://{user}:{MASK}{rest[at:]}"


def _mask_user_and_password(match: re.Match[str]) -> str:
    return f"{match[1]}:{MASK}@" if match[2] and not match[2].startswith("//") else match[0]


def _mask_values(word: str) -> str:
    """Mask the values of all secret names in a word; a value ends where one that has been begun so ends."""
    result = []
    done = 0
    for match in re.finditer(_NAME_AND_SIGN, word):
        start = match.end()
        if match.start() < done or start >= len(word):
            continue
        secret = is_secret(match[1])
        user = match[1].lstrip("-").lower().replace("-", "") in secret_names.USERS and "=" in match[2]
        if not secret and not user:
            continue
        end = _end_of_value(word, match)
        if user and not re.search(r"[:%]", word[start:end]):
            continue
        result += [word[done:start], MASK]
        done = end
    return "".join((*result, word[done:])) if done else word


def _end_of_value(word: str, match: re.Match[str]) -> int:
    """Say where a value ends, by its quote or by what stands before its name: `?` and `&`, `;`, `,`, a space."""
    start, quote = match.end(), match[3]
    before = word[: match.start()]
    previous = before.rstrip()[-1:] if before.rstrip()[-1:] in (";", ",") else before[-1:]
    if quote:
        return _find(word, quote, start)
    if previous in ("?", "&"):
        return min(_find(word, sign, start) for sign in ("&", '"', "'", " "))
    if previous in (";", ","):
        return _find(word, previous, start)
    if previous in ('"', "'"):
        if previous in match[2]:  # the name alone is quoted: {"pin": 1234}
            return min(_find(word, sign, start) for sign in (",", "}"))
        return _find(word, previous, start)
    if re.search(r"\s", before) and "=" in match[2]:
        return next((space.start() for space in re.finditer(r"\s", word[start:])), len(word) - start) + start
    return _find(word, "\n", start)


def _find(word: str, sign: str, start: int) -> int:
    """Find the end of a value; a backslash before the sign makes it a part of the value."""
    at = word.find(sign, start)
    while at > 0 and word[at - 1] == "\\" and not sign.startswith("\\"):
        at = word.find(sign, at + 1)
    return len(word) if at < 0 else at


def _mask_script(word: str, depth: int) -> str:
    """Mask the words within a word, as in `sh -c 'redis-cli -a X'`, and what a pipe is given by echo."""
    word = re.sub(_BEFORE_PIPE, rf"\1\2{MASK} \3", word) if "|" in word else word
    matches = list(re.finditer(_SCRIPT_WORD, word))
    plain = [re.sub(r"""['"]""", "", match[0]) for match in matches]
    masked = mask_words(plain, depth)
    result = []
    done = 0
    for index, match in enumerate(matches):
        result += [word[done : match.start()], match[0] if masked[index] == plain[index] else masked[index]]
        done = match.end()
    return "".join((*result, word[done:]))

"""Commands that start the service in a way of their own, and which of portwait's work that undoes, in words."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from portwait.log import Log
from portwait.model import ports
from portwait.text.escape import shell
from portwait.text.plural import names, typed
from portwait.wait.outcome import may_reserve, reserving

if TYPE_CHECKING:
    from collections.abc import Sequence

    from portwait.bind.survey import Survey
    from portwait.options.record import Options

_WITH_A_WORD = {
    "nsenter": ("-t", "-S", "-G", "-W", "--target", "--setuid", "--setgid", "--wdns"),
    "unshare": ("-R", "-w", "-S", "-G", "--root", "--wd", "--setuid", "--setgid", "--map-user", "--map-group"),
}
"""Options whose value is the next word."""


def warn(survey: Survey, options: Options, command: Sequence[str]) -> None:
    """Say what this command undoes, if it is one of those that do."""
    if starts_in_another_network(command):
        if survey.targets and not options.listen:  # a socket that is passed on stays in this network
            _warn_of_another_network(survey, options, command)
    elif os.path.basename(command[0]) not in ("ip", *_WITH_A_WORD):
        _warn_of_closing(survey, options, command)


def starts_in_another_network(command: Sequence[str]) -> bool:
    """Whether a command is one of ip(8), nsenter(1) or unshare(1) that changes the network, and then starts another."""
    name, words = os.path.basename(command[0]), command[1:]
    if name == "ip":
        what = [word for word in words if not word.startswith("-")][:2]
        return len(what) == 2 and _abbreviates(what[0], "netns", "vrf") and _abbreviates(what[1], "exec")
    with_a_word = _WITH_A_WORD.get(name, ())
    skip = False
    for word in words if with_a_word else ():
        if skip:
            skip = False
        elif word == "--" or not word.startswith("-"):
            return False
        elif _names_the_network(name, word):
            return True
        else:
            skip = word in with_a_word
    return False


def _names_the_network(name: str, word: str) -> bool:
    if word.startswith("--"):
        return word.partition("=")[0] == "--net" or (name == "nsenter" and word == "--all")
    if name == "nsenter":  # what follows its letter is a value mostly
        return word[1:2] in ("n", "a")
    return "n" in re.split("[RSGw]", word[1:])[0]


def _abbreviates(word: str, *whole: str) -> bool:
    """Whether ip(8) takes a word for one of these; `n` and `ne` are its neighbours."""
    return word != "" and word not in ("n", "ne") and any(each.startswith(word) for each in whole)


def _warn_of_another_network(survey: Survey, options: Options, command: Sequence[str]) -> None:
    name = os.path.basename(command[0])
    way = f"{name} [OPTION...]"
    if name == "ip":
        way = f"ip {' '.join([word for word in command[1:] if not word.startswith('-')][:2])} NAME"
    wanted = shell([target.text for target in survey.targets])
    Log(options.log_format, quiet=options.quiet, verbose=options.verbose).warning(
        "other-network",
        f"{name} starts the command in another network, and portwait has asked about {names(survey.targets)} in this "
        f"one. Put portwait behind it: {way} portwait {wanted} -- COMMAND",
        target=typed(survey.targets),
    )


def _warn_of_closing(survey: Survey, options: Options, command: Sequence[str]) -> None:
    """Say that this command closes what was to be kept open until the service has bound its port."""
    name = os.path.basename(command[0])
    words = {*(command[: command.index("--")] if "--" in command else command)}
    if (name == "start-stop-daemon" and not {"-b", "--background"} & words) or (
        name == "daemon" and {"-f", "--foreground"} & words
    ):
        return  # they close only what they leave behind in the background
    held = [each.target for each in survey.holds if each.form is not None]
    if not (held or options.listen):
        return
    concerned = held or (*survey.targets, *survey.passed_in)
    asked = names(concerned)
    what = "the socket that is passed on" if options.listen else "the hold"
    lost = "" if options.listen else f", and then {asked} can be given away before the service has bound it"
    wanted = shell([target.text for target in concerned])
    put = f"put portwait behind it: {name} [OPTION...] portwait {wanted} -- COMMAND"
    listed = ports.show(ports.merge((target.port, target.port) for target in concerned))
    is_cure = not options.listen and may_reserve(concerned)
    or_reserve = f"; or keep the kernel from choosing it: {reserving(listed)}" if is_cure else ""
    Log(options.log_format, quiet=options.quiet, verbose=options.verbose).warning(
        "closes", f"{name} closes {what} when it starts{lost}. Better {put}{or_reserve}", target=typed(concerned)
    )

"""The completions of bash, zsh and fish, from the table of options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from portwait.options.record import GUARD, VERBS
from portwait.options.table import ROWS, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from portwait.options.row import Row

SHELLS = ("bash", "zsh", "fish")

_RESERVED = "/proc/sys/net/ipv4/ip_local_reserved_ports"
_UNITS = "systemctl list-units --type=service --plain --no-legend 2>/dev/null"
_TAKE_TARGETS = tuple(name for name, verb in VERBS.items() if verb.metavar == "TARGET")

_BASH = """\
# bash completion for portwait, as `portwait completion bash` prints it:
#     portwait completion bash >/usr/share/bash-completion/completions/portwait
# Behind `--` it completes the command as if portwait were not there.

_portwait() {
    local current=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} verb='' prefix='' words index
    COMPREPLY=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        if [[ ${COMP_WORDS[index]} == -- ]]; then
            if declare -F _command_offset >/dev/null; then
                _command_offset $((index + 1))
            else
                mapfile -t COMPREPLY < <(compgen -c -- "$current")
            fi
            return
        fi
    done
    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} =~ ^(@VERBS|@)$ ]]; then
        verb=${COMP_WORDS[1]}
    fi

    # a value behind `=`, which is a word of its own where it is one of COMP_WORDBREAKS
    if [[ $current == --*=* ]]; then
        option=${current%%=*}= prefix=${current%%=*}= current=${current#*=}
    elif [[ $current == = ]]; then
        option+== current=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}=
    fi
    case $option in
@VALUES@
        --*=) return ;;
        *)
            case $verb/$current in
@OPTIONS@
            esac ;;
    esac
    case $option in # the last one of a list
        @LISTS|@) [[ $current != *,* ]] || prefix+=${current%,*}, current=${current##*,} ;;
    esac
    mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$words" -- "$current")
}
complete -o nosort -F _portwait portwait 2>/dev/null || complete -F _portwait portwait
"""

_ZSH = """\
#compdef portwait
# zsh completion for portwait, as `portwait completion zsh` prints it; it belongs into a folder of $fpath:
#     portwait completion zsh >/usr/local/share/zsh/site-functions/_portwait
# Behind `--` it completes the command as if portwait were not there.

local cut=${words[(i)--]}
if ((cut < CURRENT)); then
    shift $cut words
    ((CURRENT -= cut))
    _normal
    return
fi
local verb= option=${words[CURRENT-1]}
((CURRENT > 2)) && verb=${(M)words[2]:#(@VERBS|@)}
if [[ ${words[CURRENT]} == --*=* ]]; then
    option=${words[CURRENT]%%=*}=
    compset -P '*='
fi
[[ $option == (@LISTS|@) ]] && compset -P '*,' # the last one of a list
case $option in
@VALUES@
    --*=) ;;
    *)
        case $verb/${words[CURRENT]} in
@OPTIONS@
        esac ;;
esac
"""

_FISH = """\
# fish completion for portwait, as `portwait completion fish` prints it:
#     portwait completion fish >~/.config/fish/completions/portwait.fish
# Behind `--` it completes the command as if portwait were not there.

function __portwait_verb
    set -l words (commandline -opc)
    if set -q words[2]; and contains -- $words[2] @VERBS@
        echo $words[2]
    else
        echo guard
    end
end

function __portwait_is
    contains -- -- (commandline -opc); and return 1
    contains -- (__portwait_verb) $argv
end

complete -c portwait -n 'not contains -- -- (commandline -opc)' -f
@LINES@
complete -c portwait -n 'contains -- -- (commandline -opc)' -x \\
    -a '(__fish_complete_subcommand --fcs-skip=(math (contains -i -- -- (commandline -opc)) - 1))'
"""


def script(shell: str) -> str:
    """Write the completion of a shell."""
    if shell == "fish":
        return _FISH.replace("@VERBS@", " ".join(VERBS)).replace("@LINES@", "\n".join(_fish()))
    text, values, options = (_BASH, _bash_values, _bash_words) if shell == "bash" else (_ZSH, _zsh_values, _zsh_words)
    lists = "|".join(pattern for row in ROWS if "," in row.metavar for pattern in _behind(row))
    text = text.replace("@VALUES@", "\n".join(values())).replace("@OPTIONS@", "\n".join(options()))
    return text.replace("@VERBS|@", "|".join(VERBS)).replace("@LISTS|@", lists)


def flags_of(row: Row) -> tuple[str, ...]:
    """List an option's spellings, the opposite ones too."""
    return (*row.flags, *(row.other or ())[:1])


def _flags(verb: str) -> str:
    return " ".join(flag for row in rows_of(verb) for flag in flags_of(row))


def _behind(row: Row) -> list[str]:
    """List what a value of the option stands behind: `--gap` and `--gap=`, or `--hold=` alone."""
    return [each for flag in row.flags for each in ((flag, f"{flag}=") if flag[:2] == "--" else (flag,))][
        1 if row.bare else 0 :
    ]


def _bash_values() -> Iterator[str]:
    for row in ROWS:
        if not row.metavar:
            continue
        pattern = " | ".join(_behind(row))
        if row.offers == ("FILES",):
            yield f'        {pattern}) mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$current"); return ;;'
        elif row.offers == ("USERS",):
            yield f"        {pattern}) words=$(compgen -u) ;;"
        elif row.offers == ("UNITS",):
            yield f"        {pattern})\n            words=$({_UNITS} | awk '{{ print $1 }}') ;;"
        elif row.offers:
            yield f"        {pattern}) words='{' '.join(row.offers)}' ;;"
        else:
            yield f"        {pattern}) return ;;"


def _bash_words() -> Iterator[str]:
    for name in VERBS:
        yield f"                {name}/-*)\n                    words='{_flags(name)}' ;;"
    yield f"                /-*)\n                    words='{_flags(GUARD)} --' ;;"
    yield "                completion/*) words='bash zsh fish' ;;"
    yield f"                unit/*) words=$({_UNITS} | awk '{{ print $1 }}') ;;"
    yield f"                release/*) words=$(tr , ' ' <{_RESERVED} 2>/dev/null) ;;"
    verbs = f"words='{' '.join(VERBS)}'"
    services = """words+=" $(awk '{ sub(/#.*/, ""); if ($2 ~ /\\/tcp$/) print $1 }' /etc/services 2>/dev/null)\""""
    yield f"                *)\n                    ((COMP_CWORD > 1)) || {verbs}"
    yield "                    # names of services are many: once a letter is typed"
    yield f"                    [[ $current != [a-z]* || ! ' {' '.join(_TAKE_TARGETS)}  ' == *\" $verb \"* ]] ||"
    yield f"                        {services} ;;"


def _zsh_values() -> Iterator[str]:
    for row in ROWS:
        if not row.metavar:
            continue
        pattern = "|".join(_behind(row))
        if row.offers == ("FILES",):
            yield f"    {pattern}) _files ;;"
        elif row.offers == ("USERS",):
            yield f"    {pattern}) _users ;;"
        elif row.offers == ("UNITS",):
            yield f'    {pattern})\n        compadd -- ${{${{(f)"$({_UNITS})"}}%% *}} ;;'
        elif row.offers:
            yield f"    {pattern}) compadd -- {' '.join(row.offers)} ;;"
        else:
            yield f"    {pattern}) ;;"


def _zsh_words() -> Iterator[str]:
    for name in VERBS:
        yield f"            {name}/-*)\n                compadd -- {_flags(name)} ;;"
    yield f"            /-*)\n                compadd -- {_flags(GUARD)} -- ;;"
    yield "            completion/*) compadd -- bash zsh fish ;;"
    yield f'            unit/*) compadd -- ${{${{(f)"$({_UNITS})"}}%% *}} ;;'
    yield f'            release/*) compadd -- ${{(s:,:)"$(<{_RESERVED})"}} ;;'
    yield f"            *)\n                ((CURRENT == 2)) && compadd -- {' '.join(VERBS)}"
    yield "                # names of services are many: once a letter is typed"
    verbs = "|".join(("", *_TAKE_TARGETS))
    yield f"                [[ ${{words[CURRENT]}} == [a-z]* && $verb == ({verbs}) ]] && _ports ;;"


def _fish() -> Iterator[str]:
    for name, verb in VERBS.items():
        yield f"complete -c portwait -n __fish_is_first_token -a {name} -d {_quoted(verb.summary)}"
    services = "(string match -rg '^([a-z][^\\s#]*)\\s+\\d+/tcp' </etc/services 2>/dev/null)"
    letter = "string match -qr '^[a-z]' -- (commandline -ct)"
    where = _quoted(f"__portwait_is guard {' '.join(_TAKE_TARGETS)}; and {letter}")
    yield f"complete -c portwait -n {where} \\"
    yield f"    -a {_quoted(services)}"
    yield "complete -c portwait -n '__portwait_is completion' -a 'bash zsh fish'"
    units = f'({_UNITS} | string replace -r " .*" "")'
    yield f"complete -c portwait -n '__portwait_is unit' -a {_quoted(units)}"
    reserved = f"(string split , <{_RESERVED} 2>/dev/null)"
    yield f"complete -c portwait -n '__portwait_is release' -a {_quoted(reserved)}"
    for row in ROWS:
        head = f"complete -c portwait -n '__portwait_is {' '.join(row.verbs)}'"
        yield f"{head} {_fish_flags(row.flags)}{_fish_values(row)} -d {_quoted(_brief(row.text))}"
        if row.other:
            text = row.other[2] or f"not {row.flags[-1]}"
            yield f"{head} {_fish_flags(row.other[:1])} -d {_quoted(_brief(text))}"


def _fish_flags(flags: tuple[object, ...]) -> str:
    return " ".join(f"-l {str(flag)[2:]}" if str(flag)[:2] == "--" else f"-s {str(flag)[1:]}" for flag in flags)


def _fish_values(row: Row) -> str:
    if not row.metavar:
        return ""
    if row.offers == ("FILES",):
        return " -r -F"
    offers = " ".join(row.offers)
    if offers == "USERS":
        offers = "(__fish_complete_users)"
    elif offers == "UNITS":
        offers = f'({_UNITS} | string replace -r " .*" "")'
    if "," in row.metavar and row.offers and not row.offers[0].isupper():
        offers = f"(__fish_append , {offers})"
    return f" {'-f' if row.bare else '-x'}" + (f" -a {_quoted(offers)}" if offers else "")


def _brief(text: str) -> str:
    """Keep of a help text what fits behind a word."""
    return text.partition(";")[0].partition(":")[0].partition(" (")[0]


def _quoted(text: str) -> str:
    """Quote for fish."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

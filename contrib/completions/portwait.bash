# bash completion for portwait; copy to /usr/share/bash-completion/completions/portwait
# Behind `--` it completes the command as if portwait were not there.

_portwait() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]} index
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
    case $previous in
        --log-format) mapfile -t COMPREPLY < <(compgen -W 'auto console logfmt json' -- "$current"); return ;;
        -t | --timeout) mapfile -t COMPREPLY < <(compgen -W '0 30s 75s 2m 1h inf' -- "$current"); return ;;
        --output) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        --format) mapfile -t COMPREPLY < <(compgen -W 'text json prometheus' -- "$current"); return ;;
    esac
    if [[ $current == -* ]]; then
        [[ $verb == explain || $verb == evict || $verb == reserve || $verb == release || $verb == audit ]] || verb=
        # the program itself knows its options best: every word of the help that looks like one
        mapfile -t COMPREPLY < <(compgen -W "$(${COMP_WORDS[0]} $verb --help 2>/dev/null \
            | sed -n 's/^  *\(-[-a-zA-Z0-9, ]*\).*/\1/p' | tr -c 'a-zA-Z0-9\n-' '\n') --" -- "$current")
        return
    fi
    local words
    words=$(awk '{ sub(/#.*/, ""); if ($2 ~ /\/tcp$/) print $1 }' /etc/services 2>/dev/null)
    ((COMP_CWORD == 1)) && words="explain evict reserve release audit $words"
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -F _portwait portwait

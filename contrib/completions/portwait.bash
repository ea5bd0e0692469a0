# bash completion for portwait; copy to /usr/share/bash-completion/completions/portwait
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
    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} =~ ^(explain|evict|reserve|release|audit)$ ]]; then
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
        --hold=) words='full default none' ;;
        --evict=) words='outbound self-connect time-wait closing accepted listener unknown udp unseen' ;;
        --terminate=) words='TERM INT HUP QUIT USR1 USR2 KILL' ;;
        --evict-user | --evict-user=) words=$(compgen -u) ;;
        --evict-unit | --evict-unit=)
            words=$(systemctl list-units --type=service --plain --no-legend 2>/dev/null | awk '{ print $1 }') ;;
        --log-format | --log-format=) words='auto console logfmt json' ;;
        --format | --format=) words='text json prometheus' ;;
        -t | --timeout | --timeout=) words='0 30s 75s 2m 1h inf' ;;
        --gap | --gap= | --window | --window=) words='1s 10s 30s 1m' ;;
        --rate | --rate=) return ;;
        --output | --output=) mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$current"); return ;;
        --*=) return ;;
        *)
            if [[ $current == -* ]]; then
                # the program itself knows its options best: what stands before two spaces in the help
                words=$("${COMP_WORDS[0]}" $verb --help 2>/dev/null | sed -n 's/^  \(-.*\)/\1/p' | sed 's/  .*//' \
                    | tr -c 'a-zA-Z0-9\n-' '\n' | grep '^-')
                [[ -n $verb ]] || words+=' --'
            elif [[ -z $verb || $verb == explain || $verb == evict ]]; then
                words=$(awk '{ sub(/#.*/, ""); if ($2 ~ /\/tcp$/) print $1 }' /etc/services 2>/dev/null)
                ((COMP_CWORD == 1)) && words="explain evict reserve release audit $words"
            else
                return # ports and ranges
            fi ;;
    esac
    if [[ $option == --evict* && $current == *,* ]]; then # the last one of a list
        prefix+=${current%,*}, current=${current##*,}
    fi
    mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$words" -- "$current")
}
complete -F _portwait portwait

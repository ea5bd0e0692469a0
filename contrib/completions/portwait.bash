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
    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[1]} =~ ^(explain|evict|reserve|release|audit|pick|unit|completion)$ ]]; then
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
        -t | --timeout | --timeout=) words='0 30s 75s 2m 1h inf' ;;
        --hold=) words='full default none' ;;
        --evict=) words='outbound self-connect time-wait closing accepted unknown udp mptcp unseen' ;;
        --evict-user | --evict-user=) words=$(compgen -u) ;;
        --evict-unit | --evict-unit=)
            words=$(systemctl list-units --type=service --plain --no-legend 2>/dev/null | awk '{ print $1 }') ;;
        --terminate=) words='outbound self-connect time-wait closing accepted listener unknown bound udp' ;;
        --signal | --signal=) words='TERM INT HUP QUIT USR1 USR2 KILL' ;;
        --kill-after | --kill-after=) words='5s 10s 30s' ;;
        --log-format | --log-format=) words='auto console logfmt json' ;;
        --count | --count=) return ;;
        --env | --env=) return ;;
        --ignore | --ignore=) return ;;
        --gap | --gap=) words='1s 10s 30s 1m' ;;
        --rate | --rate=) return ;;
        --window | --window=) words='1s 10s 30s 1m' ;;
        --format | --format=) words='text json prometheus' ;;
        --output | --output=) mapfile -t COMPREPLY < <(compgen -P "$prefix" -f -- "$current"); return ;;
        --template | --template=) words='guard-exec.conf guard-fdstore.conf guard-listen.conf guard-pre.conf guard-socket.conf' ;;
        --*=) return ;;
        *)
            case $verb/$current in
                explain/-*)
                    words='--reuseaddr --no-reuseaddr --reuseport --no-reuseport --freebind --no-freebind -4 -6 --json -h --help' ;;
                evict/-*)
                    words='--reuseaddr --no-reuseaddr --reuseport --no-reuseport --freebind --no-freebind -4 -6 --evict --no-evict --evict-user --evict-unit --dry-run --no-dry-run --log-format -q --quiet --no-quiet --json -h --help' ;;
                reserve/-*)
                    words='--persist --json -h --help' ;;
                release/-*)
                    words='--persist --json -h --help' ;;
                audit/-*)
                    words='--only --ignore --gap --rate --window --format --output --json -h --help' ;;
                pick/-*)
                    words='-t --timeout --hold --no-hold --reuseaddr --no-reuseaddr --freebind --no-freebind -4 -6 --log-format -q --quiet --no-quiet -v --verbose --no-verbose --count --random --env -h --help' ;;
                unit/-*)
                    words='-4 -6 --user --template --json -h --help' ;;
                completion/-*)
                    words='-h --help' ;;
                /-*)
                    words='-t --timeout --hold --no-hold --reuseaddr --no-reuseaddr --reuseport --no-reuseport --freebind --no-freebind -4 -6 --listen --no-listen --fdstore --no-fdstore --evict --no-evict --evict-user --evict-unit --terminate --signal --kill-after --reserve --no-reserve --anyway --no-anyway --dry-run --no-dry-run --log-format -q --quiet --no-quiet -v --verbose --no-verbose -h --help -V --version --' ;;
                completion/*) words='bash zsh fish' ;;
                unit/*) words=$(systemctl list-units --type=service --plain --no-legend 2>/dev/null | awk '{ print $1 }') ;;
                release/*) words=$(tr , ' ' </proc/sys/net/ipv4/ip_local_reserved_ports 2>/dev/null) ;;
                *)
                    ((COMP_CWORD > 1)) || words='explain evict reserve release audit pick unit completion'
                    # names of services are many: once a letter is typed
                    [[ $current != [a-z]* || ! ' explain evict  ' == *" $verb "* ]] ||
                        words+=" $(awk '{ sub(/#.*/, ""); if ($2 ~ /\/tcp$/) print $1 }' /etc/services 2>/dev/null)" ;;
            esac ;;
    esac
    case $option in # the last one of a list
        --evict=|--evict-user|--evict-user=|--evict-unit|--evict-unit=|--terminate=|--env|--env=) [[ $current != *,* ]] || prefix+=${current%,*}, current=${current##*,} ;;
    esac
    mapfile -t COMPREPLY < <(compgen -P "$prefix" -W "$words" -- "$current")
}
complete -o nosort -F _portwait portwait 2>/dev/null || complete -F _portwait portwait

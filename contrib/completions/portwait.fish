# fish completion for portwait, as `portwait completion fish` prints it:
#     portwait completion fish >~/.config/fish/completions/portwait.fish
# Behind `--` it completes the command as if portwait were not there.

function __portwait_verb
    set -l words (commandline -opc)
    if set -q words[2]; and contains -- $words[2] explain evict reserve release audit pick unit completion
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
complete -c portwait -n __fish_is_first_token -a explain -d 'who is in the way, why, what to do'
complete -c portwait -n __fish_is_first_token -a evict -d 'destroy the connections in the way'
complete -c portwait -n __fish_is_first_token -a reserve -d 'keep the kernel from picking these ports'
complete -c portwait -n __fish_is_first_token -a release -d 'undo reserve'
complete -c portwait -n __fish_is_first_token -a audit -d 'which ports can be taken, and how likely'
complete -c portwait -n __fish_is_first_token -a pick -d 'choose a free port and hold it for a command'
complete -c portwait -n __fish_is_first_token -a unit -d 'print the drop-in that guards a systemd unit'
complete -c portwait -n __fish_is_first_token -a completion -d 'print the completion of a shell'
complete -c portwait -n '__portwait_is guard explain evict; and string match -qr \'^[a-z]\' -- (commandline -ct)' \
    -a '(string match -rg \'^([a-z][^\\s#]*)\\s+\\d+/tcp\' </etc/services 2>/dev/null)'
complete -c portwait -n '__portwait_is completion' -a 'bash zsh fish'
complete -c portwait -n '__portwait_is unit' -a '(systemctl list-units --type=service --plain --no-legend 2>/dev/null | string replace -r " .*" "")'
complete -c portwait -n '__portwait_is release' -a '(string split , </proc/sys/net/ipv4/ip_local_reserved_ports 2>/dev/null)'
complete -c portwait -n '__portwait_is guard pick' -s t -l timeout -x -a '0 30s 75s 2m 1h inf' -d 'give up after this'
complete -c portwait -n '__portwait_is guard pick' -l hold -f -a 'full default none' -d 'keep the port from connect() until the service has it'
complete -c portwait -n '__portwait_is guard pick' -l no-hold -d 'do not hold'
complete -c portwait -n '__portwait_is guard explain evict pick' -l reuseaddr -d 'the service sets SO_REUSEADDR, as nearly all do'
complete -c portwait -n '__portwait_is guard explain evict pick' -l no-reuseaddr -d 'the service does not set SO_REUSEADDR'
complete -c portwait -n '__portwait_is guard explain evict' -l reuseport -d 'the service sets SO_REUSEPORT'
complete -c portwait -n '__portwait_is guard explain evict' -l no-reuseport -d 'not --reuseport'
complete -c portwait -n '__portwait_is guard explain evict pick' -l freebind -d 'the service sets IP_FREEBIND'
complete -c portwait -n '__portwait_is guard explain evict pick' -l no-freebind -d 'not --freebind'
complete -c portwait -n '__portwait_is guard explain evict pick unit' -s 4 -d 'IPv4 only'
complete -c portwait -n '__portwait_is guard explain evict pick unit' -s 6 -d 'IPv6 only'
complete -c portwait -n '__portwait_is guard' -l listen -d 'bind, listen and pass the socket on'
complete -c portwait -n '__portwait_is guard' -l no-listen -d 'not --listen'
complete -c portwait -n '__portwait_is guard' -l fdstore -d 'keep the hold in systemd\'s descriptor store, so that it outlives restarts'
complete -c portwait -n '__portwait_is guard' -l no-fdstore -d 'not --fdstore'
complete -c portwait -n '__portwait_is guard evict' -l evict -f -a '(__fish_append , outbound self-connect time-wait closing accepted unknown udp mptcp unseen)' -d 'destroy the outbound connections and ownerless leftovers in the way'
complete -c portwait -n '__portwait_is guard evict' -l no-evict -d 'not --evict'
complete -c portwait -n '__portwait_is guard evict' -l evict-user -x -a '(__fish_complete_users)' -d 'evict and signal only what these users own'
complete -c portwait -n '__portwait_is guard evict' -l evict-unit -x -a '(systemctl list-units --type=service --plain --no-legend 2>/dev/null | string replace -r " .*" "")' -d 'likewise these systemd units, or patterns like app@*'
complete -c portwait -n '__portwait_is guard' -l terminate -f -a '(__fish_append , outbound self-connect time-wait closing accepted listener unknown bound udp)' -d 'last resort'
complete -c portwait -n '__portwait_is guard' -l signal -x -a 'TERM INT HUP QUIT USR1 USR2 KILL' -d 'what --terminate sends, by name or number'
complete -c portwait -n '__portwait_is guard' -l kill-after -x -a '5s 10s 30s' -d 'send KILL as well if the process is still there after this'
complete -c portwait -n '__portwait_is guard' -l reserve -d 'reserve the ports before waiting, so that the kernel gives them to nobody'
complete -c portwait -n '__portwait_is guard' -l no-reserve -d 'not --reserve'
complete -c portwait -n '__portwait_is guard' -l anyway -d 'after the timeout start the command all the same'
complete -c portwait -n '__portwait_is guard' -l no-anyway -d 'not --anyway'
complete -c portwait -n '__portwait_is guard evict' -l dry-run -d 'say what would be done, and do none of it'
complete -c portwait -n '__portwait_is guard evict' -l no-dry-run -d 'not --dry-run'
complete -c portwait -n '__portwait_is guard evict pick' -l log-format -x -a 'auto console logfmt json' -d 'how it speaks on stderr'
complete -c portwait -n '__portwait_is guard evict pick' -s q -l quiet -d 'say nothing but why it failed'
complete -c portwait -n '__portwait_is guard evict pick' -l no-quiet -d 'not --quiet'
complete -c portwait -n '__portwait_is guard pick' -s v -l verbose -d 'say more'
complete -c portwait -n '__portwait_is guard pick' -l no-verbose -d 'not --verbose'
complete -c portwait -n '__portwait_is pick' -l count -x -d 'pick this many different ports'
complete -c portwait -n '__portwait_is pick' -l random -d 'any of them, not the first that is free'
complete -c portwait -n '__portwait_is pick' -l env -x -d 'also set these variables for the command, the first to the first port'
complete -c portwait -n '__portwait_is reserve release' -l persist -d 'at boot too'
complete -c portwait -n '__portwait_is audit' -l only -d 'judge PORTS alone, as without it'
complete -c portwait -n '__portwait_is audit' -l ignore -x -d 'ports that are not at risk, whoever listens'
complete -c portwait -n '__portwait_is audit' -l gap -x -a '1s 10s 30s 1m' -d 'how long a restart leaves its port free'
complete -c portwait -n '__portwait_is audit' -l rate -x -d 'connections opened a second, instead of counting them'
complete -c portwait -n '__portwait_is audit' -l window -x -a '1s 10s 30s 1m' -d 'count them for this long'
complete -c portwait -n '__portwait_is audit' -l format -x -a 'text json prometheus' -d 'text, json or prometheus'
complete -c portwait -n '__portwait_is audit' -l output -r -F -d 'write it into a file, whole or not at all, instead of stdout'
complete -c portwait -n '__portwait_is unit' -l user -d 'a unit of your own manager'
complete -c portwait -n '__portwait_is unit' -l template -x -a 'guard-exec.conf guard-fdstore.conf guard-listen.conf guard-pre.conf guard-socket.conf' -d 'this drop-in of contrib/systemd, not the one that fits'
complete -c portwait -n '__portwait_is explain evict reserve release audit unit' -l json -d 'print one object of JSON'
complete -c portwait -n '__portwait_is guard explain evict reserve release audit pick unit completion' -s h -l help -d 'show this help and exit'
complete -c portwait -n '__portwait_is guard' -s V -l version -d 'show the version and exit'
complete -c portwait -n 'contains -- -- (commandline -opc)' -x \
    -a '(__fish_complete_subcommand --fcs-skip=(math (contains -i -- -- (commandline -opc)) - 1))'

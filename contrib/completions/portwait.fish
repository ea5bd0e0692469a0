# fish completion for portwait; copy to ~/.config/fish/completions/portwait.fish
# Behind `--` fish completes the command by itself.

set -l verbs explain evict reserve release audit
set -l guard "not __fish_seen_subcommand_from $verbs"
set -l evicts "not __fish_seen_subcommand_from explain reserve release audit"
set -l targets "not __fish_seen_subcommand_from reserve release audit"
set -l audit '__fish_seen_subcommand_from audit'
set -l persistent '__fish_seen_subcommand_from reserve release'

complete -c portwait -n 'not contains -- -- (commandline -opc)' -f
complete -c portwait -n __fish_is_first_token -a 'explain\t"who is in the way, why, what to do"
evict\t"destroy the connections in the way"
reserve\t"keep the kernel from picking these ports"
release\t"undo reserve"
audit\t"which ports can be taken, and how likely"'

complete -c portwait -n $guard -s t -l timeout -x -a '0 30s 75s 2m 1h inf' -d 'give up after this'
complete -c portwait -n $guard -l hold -f -a 'full default none' -d 'keep the port until the service has it'
complete -c portwait -n $guard -l no-hold -d 'do not hold'
complete -c portwait -n $guard -l terminate -f -a 'TERM INT HUP QUIT USR1 USR2 KILL' -d 'signal the process in the way'
complete -c portwait -n $guard -l reserve -d 'reserve the ports first'
complete -c portwait -n $guard -l listen -d 'bind, listen and pass the socket on'
complete -c portwait -n $guard -l fdstore -d 'keep the hold in systemd'
complete -c portwait -n $guard -l anyway -d 'start after the timeout all the same'
complete -c portwait -n $guard -s v -l verbose -d 'say more'
complete -c portwait -n $guard -l version -d 'show the version'

complete -c portwait -n $evicts -l evict -f \
    -a '(__fish_append , outbound self-connect time-wait closing accepted listener unknown udp unseen)' \
    -d 'destroy outbound connections that are in the way'
complete -c portwait -n $evicts -l evict-user -x -a '(__fish_complete_users)' -d 'only what these users own'
complete -c portwait -n $evicts -l evict-unit -x \
    -a '(systemctl list-units --type=service --plain --no-legend 2>/dev/null | string replace -r " .*" "")' \
    -d 'only what these units own'
complete -c portwait -n $evicts -l dry-run -d 'say what would be done'
complete -c portwait -n $evicts -l log-format -x -a 'auto console logfmt json' -d 'how it speaks'
complete -c portwait -n $evicts -s q -l quiet -d 'say less'

complete -c portwait -n $targets -l no-reuseaddr -d 'the service does not set SO_REUSEADDR'
complete -c portwait -n $targets -s 4 -d 'IPv4 only'
complete -c portwait -n $targets -s 6 -d 'IPv6 only'

complete -c portwait -n $audit -l only -d 'look at the given ports alone'
complete -c portwait -n $audit -l gap -x -a '1s 10s 30s 1m' -d 'how long a restart leaves its port free'
complete -c portwait -n $audit -l rate -x -d 'connections opened a second'
complete -c portwait -n $audit -l window -x -a '1s 10s 30s 1m' -d 'count connections for so long'
complete -c portwait -n $audit -l format -x -a 'text json prometheus' -d 'how it is written'
complete -c portwait -n $audit -l output -r -F -d 'write it into a file'
complete -c portwait -n $persistent -l persist -d 'at boot too'
complete -c portwait -n "__fish_seen_subcommand_from $verbs" -l json -d 'one JSON object'
complete -c portwait -s h -l help -d 'show the help'
complete -c portwait -n 'contains -- -- (commandline -opc)' -x -a '(__fish_complete_subcommand --fcs-skip=(math (contains -i -- -- (commandline -opc)) - 1))'

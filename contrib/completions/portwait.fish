# fish completion for portwait; copy to ~/.config/fish/completions/portwait.fish
# Behind `--` fish completes the command by itself.

complete -c portwait -n 'not contains -- -- (commandline -opc)' -f
complete -c portwait -n __fish_is_first_token -a 'explain\t"who is in the way, why, what to do"
evict\t"destroy the connections in the way"
reserve\t"keep the kernel from picking these ports"
release\t"undo reserve"
audit\t"which ports can be taken, and how likely"'
complete -c portwait -s t -l timeout -x -a '0 30s 75s 2m 1h inf' -d 'give up after this'
complete -c portwait -l hold -d 'keep the port until the service has it'
complete -c portwait -l no-hold -d 'do not hold'
complete -c portwait -l evict -d 'destroy outbound connections that are in the way'
complete -c portwait -l terminate -d 'signal the process in the way'
complete -c portwait -l reserve -d 'reserve the ports first'
complete -c portwait -l listen -d 'bind, listen and pass the socket on'
complete -c portwait -l fdstore -d 'keep the hold in systemd'
complete -c portwait -l no-reuseaddr -d 'the service does not set SO_REUSEADDR'
complete -c portwait -s 4 -d 'IPv4 only'
complete -c portwait -s 6 -d 'IPv6 only'
complete -c portwait -l anyway -d 'start after the timeout all the same'
complete -c portwait -l dry-run -d 'say what would be done'
complete -c portwait -l log-format -x -a 'auto console logfmt json' -d 'how it speaks'
complete -c portwait -s q -l quiet -d 'say less'
complete -c portwait -s v -l verbose -d 'say more'
complete -c portwait -l json -d 'one JSON object (verbs)'
complete -c portwait -l help -d 'show the help'
complete -c portwait -l version -d 'show the version'
complete -c portwait -n 'contains -- -- (commandline -opc)' -x -a '(__fish_complete_subcommand --fcs-skip=(math (contains -i -- -- (commandline -opc)) - 1))'

"""The table of options: one row says everything about an option of the guard or of a verb.

The reader of exact words, the parser (argparse), the environment variables, the completions, the manual's options and
the words of --dry-run come from it. A new option is a row, its type and default in `record.Options`, and what it does.
Readers are named here and live in `values`: this module imports nothing heavy.
"""

from __future__ import annotations

from portwait.options.record import VERBS
from portwait.options.row import Row

EVICTED = ("outbound", "self-connect", "time-wait", "closing")
"""The kinds that a plain --evict evicts, and whose owners a plain --terminate signals."""

EVICTABLE = (*EVICTED, "accepted", "unknown", "udp", "mptcp", "unseen")
"""What --evict can name: kinds, and udp, mptcp and unseen (no owner is visible), which come on top of a kind."""

TERMINABLE = (*EVICTED, "accepted", "listener", "unknown", "bound", "udp")
"""What --terminate can name."""

ON_TOP = frozenset(("udp", "mptcp", "unseen"))
"""What is no kind by itself: named alone it adds to the kinds that are taken by default."""

FORMATS = ("auto", "console", "logfmt", "json")


_BINDS = "guard explain evict pick"
_KINDS = (
    f"the kinds are {', '.join(EVICTED)} (these by default), accepted, unknown, "
    "and on top of them udp (connected sockets), mptcp (Multipath TCP) and unseen (owners)"
)

ROWS = (
    Row(
        "-t --timeout",
        "guard pick",
        "give up after this: 90, 90s, 2m, 1h30m, 500ms, inf; 0 looks once (default: 75s)",
        reader="duration",
        metavar="DURATION",
        offers=("0", "30s", "75s", "2m", "1h", "inf"),
        more="The default is longer than a TIME_WAIT and shorter than systemd's 90 s.",
    ),
    Row(
        "--hold",
        "guard pick",
        "keep the port from connect() until the service has it; on where there is a COMMAND; "
        "--hold=full also from bind(0), and from services without SO_REUSEADDR",
        reader="hold",
        metavar="full",
        bare="default",
        other=("--no-hold", "none", "do not hold"),
        dry_run="hold {targets} ({value}) until the service has bound it",
        offers=("full", "default", "none"),
        more="A socket that is bound and never listens stays open across exec, with a descriptor from 100 to 1023. At "
        "most 64 ports are held; for more, reserve. A UDP port is held only with --hold=full, beside which a UDP "
        "service on all addresses starts only if it sets SO_REUSEADDR; most do not.",
    ),
    Row(
        "--reuseaddr",
        _BINDS,
        "the service sets SO_REUSEADDR, as nearly all do (the default)",
        other=("--no-reuseaddr", False, "the service does not set SO_REUSEADDR: probe like it"),
        more="Where --reuseaddr is given and the service binds all addresses, the hold is a full one: it harms no such "
        "service.",
    ),
    Row(
        "--reuseport",
        "guard explain evict",
        "the service sets SO_REUSEPORT: sockets that it may join are not in its way",
        more="The kernel lets a socket join only sockets of the same user: run portwait as the service's user. A UDP "
        "probe never joins a live server's sockets, so it takes none of their datagrams.",
    ),
    Row(
        "--freebind",
        _BINDS,
        "the service sets IP_FREEBIND (or IP_TRANSPARENT): an address that is not on this host yet does not stop it",
    ),
    Row(
        "-4",
        f"{_BINDS} unit",
        "IPv4 only",
        key="family",
        const=4,
        reader="family",
        other=("-6", 6, "IPv6 only"),
        offers=("0", "4", "6"),
    ),
    Row(
        "--listen",
        "guard",
        "bind, listen and pass the socket on (LISTEN_FDS), for services that take sockets",
        dry_run="listen on {targets} and pass the socket on (LISTEN_FDS)",
        more="Clients queue while the service starts; see sd_listen_fds(3).",
    ),
    Row(
        "--fdstore",
        "guard",
        "keep the hold in systemd's descriptor store, so that it outlives restarts",
        dry_run="keep that in systemd's descriptor store",
        more="The unit needs FileDescriptorStoreMax= and NotifyAccess=exec.",
    ),
    Row(
        "--evict",
        "guard evict",
        f"destroy the outbound connections and ownerless leftovers in the way; {_KINDS}",
        reader="evict",
        metavar="KIND,...",
        bare="yes",
        other=("--no-evict", frozenset(), ""),
        offers=EVICTABLE,
        more="Requires CAP_NET_ADMIN. The verb evict does so without being asked; there the option narrows it. The "
        "kernel takes no port away from a UDP socket that is only bound, as a server's is.",
    ),
    Row(
        "--evict-user",
        "guard evict",
        "evict and signal only what these users own",
        reader="names",
        metavar="USER,...",
        offers=("USERS",),
    ),
    Row(
        "--evict-unit",
        "guard evict",
        "likewise these systemd units, or patterns like app@*",
        reader="names",
        metavar="UNIT,...",
        offers=("UNITS",),
    ),
    Row(
        "--terminate",
        "guard",
        "last resort: signal the processes that own what is in the way, once, and wait; the kinds are "
        f"{', '.join(kind for kind in EVICTED if kind != 'time-wait')} (these by default), accepted, listener, "
        "unknown, bound, and on top of them udp",
        reader="terminate",
        metavar="KIND,...",
        bare=",".join(EVICTED),
        typed_only=True,
        offers=TERMINABLE,
        more="Their sockets are not touched. Never PID 1, an ancestor of portwait or a thread of the kernel.",
    ),
    Row(
        "--signal",
        "guard",
        "what --terminate sends, by name or number (default: TERM)",
        reader="signal",
        metavar="SIGNAL",
        typed_only=True,
        offers=("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL"),
    ),
    Row(
        "--kill-after",
        "guard",
        "send KILL as well if the process is still there after this",
        reader="kill_after",
        metavar="DURATION",
        typed_only=True,
        offers=("5s", "10s", "30s"),
        more="Without it, and with 0, portwait never sends KILL by itself.",
    ),
    Row(
        "--reserve",
        "guard",
        "reserve the ports before waiting, so that the kernel gives them to nobody; requires root",
        dry_run="reserve {targets} first",
        more="They are added to net.ipv4.ip_local_reserved_ports.",
    ),
    Row(
        "--anyway",
        "guard",
        "after the timeout start the command all the same",
        dry_run="end with 0 all the same (--anyway)",
        more="Without a command portwait ends with 0.",
    ),
    Row(
        "--dry-run",
        "guard evict",
        "say what would be done, and do none of it",
        more="It waits for nothing and starts nothing. The guard ends with 124 where a target is held now, whatever "
        "would come of the wait; with 126 or 127 where all are free and the command cannot be run; else with 0.",
    ),
    Row(
        "--log-format",
        "guard evict pick",
        f"how it speaks on stderr: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}",
        reader="log_format",
        metavar="FORMAT",
        offers=FORMATS,
        more="Where standard error is the journal, lines carry priorities.",
    ),
    Row("-q --quiet", "guard evict pick", "say nothing but why it failed"),
    Row("-v --verbose", "guard pick", "say more"),
    Row(
        "--count",
        "pick",
        "pick this many different ports (default: 1)",
        reader="count",
        metavar="N",
    ),
    Row("--random", "pick", "any of them, not the first that is free"),
    Row(
        "--env",
        "pick",
        "also set these variables for the command, the first to the first port",
        reader="names",
        metavar="NAME,...",
    ),
    Row("--persist", "reserve release", "at boot too"),
    Row("--only", "audit", "judge PORTS alone, as without it"),
    Row("--ignore", "audit", "ports that are not at risk, whoever listens", reader="ports", metavar="PORTS"),
    Row(
        "--gap",
        "audit",
        "how long a restart leaves its port free (default: 10s)",
        reader="seconds",
        metavar="DURATION",
        offers=("1s", "10s", "30s", "1m"),
    ),
    Row(
        "--rate",
        "audit",
        "connections opened a second, instead of counting them",
        reader="rate",
        metavar="N",
    ),
    Row(
        "--window",
        "audit",
        "count them for this long (default: 1s)",
        reader="seconds",
        metavar="DURATION",
        offers=("1s", "10s", "30s", "1m"),
    ),
    Row(
        "--format",
        "audit",
        "text, json or prometheus",
        reader="format",
        metavar="FORMAT",
        offers=("text", "json", "prometheus"),
    ),
    Row(
        "--output",
        "audit",
        "write it into a file, whole or not at all, instead of stdout (-)",
        reader="file",
        metavar="FILE",
        offers=("FILES",),
    ),
    Row("--user", "unit", "a unit of your own manager (systemctl --user)"),
    Row(
        "--template",
        "unit",
        "this drop-in of contrib/systemd, not the one that fits",
        reader="file",
        metavar="NAME",
        offers=("guard-exec.conf", "guard-fdstore.conf", "guard-listen.conf", "guard-pre.conf", "guard-socket.conf"),
    ),
    Row("--json", "explain evict reserve release audit unit", "print one object of JSON"),
    Row("-h --help", f"guard {' '.join(VERBS)}", "show this help and exit", typed_only=True),
    Row("-V --version", "guard", "show the version and exit", typed_only=True),
)


def would(key: str, **values: str) -> str:
    """Say what a rehearsal reports of an option: `dry run: would reserve 30010/tcp first`."""
    (row,) = (row for row in ROWS if row.key == key)
    return f"dry run: would {row.dry_run.format(**values)}"


def rows_of(verb: str) -> tuple[Row, ...]:
    """Choose the options of a verb, or of the guard."""
    return tuple(row for row in ROWS if verb in row.verbs)

"""Each remedy has a table of what it is for and a table of what it is not for; its commands are asked to the letter."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait.advice import Facts, Remedy, advise, shell_commands
from portwait.advice.rules import RULES
from portwait.advice.tanuki import config
from portwait.host.machine import Machine
from portwait.host.systemd_units import Member, Unit
from portwait.model.blocker import Blocker
from portwait.model.case import AddressState, Case
from portwait.model.kind import Kind
from portwait.model.owner import Owner
from portwait.model.port_settings import PortSettings
from portwait.model.sockets import KernelSocket
from portwait.model.targets import parse
from portwait.model.verdict import Verdict
from portwait.text.escape import shell

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Machine()
USER = Machine(root=False, may_evict=False)
BARE = Machine(systemd=False)
IN_UNIT = Machine(unit="web.service")
PODMAN = Machine(container="podman", may_set=False, systemd=False)
KUBERNETES = Machine(container="kubernetes", may_set=False, systemd=False)
POD = KUBERNETES._replace(hides_processes=True, network=4026532300)
HOST_NETWORK = PODMAN._replace(host_network=True)
ON_NODE = HOST_NETWORK._replace(hides_processes=True)
FILES = r"sudo find /proc -maxdepth 3 -lname 'net:\[4026532300\]' -print -quit 2>/dev/null"
ENTER = f'sudo nsenter --net="$({FILES})"'
NETNS = ROOT._replace(sysctl_d=False)
UNITS_OWN = NETNS._replace(way_in="nsenter --net=/run/netns/vpn")
WINDOWS = Machine("win32", root=False, may_evict=False, may_set=False, systemd=False)

ORDERS = Owner(100, "java", ("java", "-jar", "orders.jar"), "app", 1.0, unit="orders.service", parent=1, birth=7)
SHELL = Owner(200, "curl", ("curl",), "ann", 2.0, unit="session-1.scope", parent=150, birth=8)
USERS_OWN = Owner(210, "java", ("java",), "ann", 2.0, unit="orders.service", user_unit=True, birth=8)
NGINX = Owner(300, "nginx", ("nginx: master process",), "root", 3.0, unit="nginx.service", parent=1)
NAMES_IT = NGINX._replace(cmdline=("nginx", "--port=30010"))
WORKER = Owner(301, "nginx", ("nginx: worker process",), "www-data", 3.0, unit="nginx.service", parent=300)
SYSTEMD = Owner(1, "systemd", ("/sbin/init",), "root", 0.0, unit="init.scope")
USERS_SYSTEMD = Owner(160, "systemd", ("/lib/systemd/systemd", "--user"), "ann", 2.0, unit="user@1001.service")
APP_SOCKET = Unit("app.socket", "active", listens=("[::]:30010 (Stream)",), triggers=("app.service",))
STORE = Unit("orders.service", "active", 100, stored=1)
STATD = Owner(170, "rpc.statd", ("/sbin/rpc.statd",), "root", 2.0, unit="rpc-statd.service", parent=1)
PROXY = Owner(400, "docker-proxy", ("/usr/bin/docker-proxy",), "root", 4.0, forwards="172.17.0.2:80")
IN_DOCKER = Owner(500, "node", ("node",), "1000", 5.0, container="docker:0123456789ab")
IN_PODMAN = IN_DOCKER._replace(container="podman:0123456789ab")
IN_CONTAINERD = IN_DOCKER._replace(container="containerd:0123456789ab")
IN_POD = IN_CONTAINERD._replace(pod="12345678-1234-1234-1234-123456789abc")
HOSTILE = ORDERS._replace(name="a\x1b[2Jb", unit="-rf.service")
JVM = Owner(601, "java", ("java", "-Dwrapper.key=s3cret"), "root", 6.0, unit="agent.service", parent=600)

PRODUCT = config.Wrapper((600, 601), "/opt/product/conf/wrapper.conf", {}, trusted=True)
RESET = PRODUCT._replace(conf="/CloudResetPwdUpdateAgent/conf/wrapper.conf", settings={"wrapper.port.min": "32000"})
MISSPELT = RESET._replace(conf="/CloudrResetPwdAgent/conf/wrapper.conf", settings={}, unread="Permission denied")
PIPED = PRODUCT._replace(settings={"wrapper.backend.type": "pipe"})
ON_WINDOWS = RESET._replace(conf=r"C:\CloudResetPwdUpdateAgent\conf\wrapper.conf")
HOSTILE_PATH = PRODUCT._replace(conf="/o'pt/a b/\x1b[2J/wrapper.conf")
CONTAINED = RESET._replace(trusted=False, container="docker:0123456789ab", user="root")
ANOTHERS = RESET._replace(
    conf="/home/ann/\x1b[2J;id/CloudResetPwdUpdateAgent/conf/wrapper.conf", trusted=False, user="ann"
)
NOBODY_KNOWS = ANOTHERS._replace(user="root")


def blocker(
    kind: str,
    state: str = "ESTABLISHED",
    *owners: Owner,
    protocol: str = "tcp",
    port: int = 30010,
    remote: int = 7000,
    inode: int = 5,
    service: str | None = None,
    evictable: bool = False,
    expires: float | None = None,
    unseen: str | None = None,
) -> Blocker:
    """Build one as a diagnosis would."""
    which = KernelSocket(
        family=socket.AF_INET,
        protocol=protocol,
        state=state,
        expires=None if expires is None else int(expires * 1000),
        local_address="127.0.0.1",
        local_port=port,
        remote_address="127.0.0.1",
        remote_port=remote,
        interface=0,
        cookie=9,
        uid=0,
        inode=inode,
    )
    name: Any = kind
    return Blocker(Kind(name, "state"), which, "root", owners, service, expires, None, evictable, unseen)


OUTBOUND = blocker("outbound", "ESTABLISHED", ORDERS, evictable=True)
NAMELESS = blocker("outbound", "ESTABLISHED", unseen="owner not visible: run as root")
HIDDEN = blocker(
    "outbound",
    "ESTABLISHED",
    unseen="owner not visible: it is in another PID namespace, or it is the kernel; look from the host",
)
DENIED = blocker(
    "outbound",
    "ESTABLISHED",
    unseen="owner not visible: 2 processes may not be looked into, or it is in another PID namespace; run as root, or "
    "look from the host",
)
UNPROVED = blocker("unknown", "ESTABLISHED", SHELL)
LEAK = blocker("outbound", "CLOSE_WAIT", ORDERS, evictable=True)
ITSELF = blocker("self-connect", "ESTABLISHED", ORDERS, remote=30010, evictable=True)
TIME_WAIT = blocker("time-wait", "TIME_WAIT", inode=0, evictable=True, expires=42)
LATE_TIME_WAIT = blocker("time-wait", "TIME_WAIT", inode=0, evictable=True, expires=110)
ORPHAN = blocker("closing", "FIN_WAIT1", inode=0, evictable=True)
LEFTOVER = blocker("accepted", "ESTABLISHED", NGINX, WORKER)
LISTENER = blocker("listener", "LISTEN", NGINX, WORKER, remote=0)
UDP_CLIENT = blocker("outbound", "ESTABLISHED", ORDERS, protocol="udp")
UDP_SERVER = blocker("bound", "CLOSE", NGINX, protocol="udp", remote=0)
BOUND = blocker("bound", "CLOSE", SHELL, remote=0)
HOLD = blocker("hold", "CLOSE", ORDERS, remote=0)
KEPT = blocker("bound", "CLOSE", SHELL)
UDP_HOLD = blocker("hold", "CLOSE", ORDERS, protocol="udp", remote=0)
NFS = blocker("outbound", port=845, remote=2049, service="nfs", unseen="no process has it open")
WRAPPED = blocker("outbound", "ESTABLISHED", JVM, port=31000, remote=32000, evictable=True)


def inherited(which: Blocker) -> Blocker:
    """Let this portwait alone have it open."""
    return which._replace(owners=(), inherited=True)


def by(*owners: Owner) -> Blocker:
    """Build a listener of these."""
    return LISTENER._replace(owners=owners)


def facts(
    *blockers: Blocker,
    target: str = "30010",
    family: Any = 0,
    state: Any = "held",
    span: tuple[int, int] | None = (1024, 65000),
    reserved: Iterable[tuple[int, int]] = (),
    start: int | None = 1024,
    machine: Machine = ROOT,
    wrappers: tuple[config.Wrapper, ...] = (),
    reuseaddr: bool = True,
    by: Any = "bind",
) -> Facts:
    (wanted,) = parse([target], family)
    settings = PortSettings(span, tuple(reserved), start)
    units = units_of(owner for one in blockers for owner in one.owners) if machine.systemd else {}
    case = Case(wanted, Verdict(state, by=by), blockers, settings, reuseaddr=reuseaddr)
    return Facts(case, machine, wrappers, units=units)


def units_of(owners: Iterable[Owner]) -> dict[tuple[str, str | None], Unit]:
    """Describe the owners' units as systemd would where each runs nothing else."""
    members: dict[tuple[str, str | None], dict[int, Owner]] = {}
    for owner in owners:
        if owner.unit is not None and owner.unit.endswith(".service"):
            members.setdefault((owner.unit, owner.user if owner.user_unit else None), {})[owner.pid] = owner
    return {
        key: Unit(
            key[0],
            "active",
            min(some),
            processes=tuple(Member(one.pid, one.name, one.parent) for one in some.values()),
            user=key[1],
        )
        for key, some in members.items()
    }


def unusable(target: str, code: Any, device: str = "", state: str = "unavailable", **how: Any) -> Facts:
    given = facts(target=target, state=state, **how)
    return given._replace(case=given.case._replace(address=AddressState(code, device)))


def managed(manager: Owner, *units: Unit, **how: Any) -> Facts:
    return facts(by(manager), **how)._replace(managed={manager.pid: units})


def wrapped(wrapper: config.Wrapper, **how: Any) -> Facts:
    return facts(WRAPPED, target="31000", wrappers=(wrapper,), **how)


class Table(NamedTuple):
    """What a remedy is for, with its commands, and what it is not for."""

    hits: dict[str, tuple[Facts, tuple[str, ...]]]
    misses: dict[str, Facts]


def appended(path: str, *lines: str) -> str:
    return f"printf '{chr(92)}n%s{f'{chr(92)}n%s' * (len(lines) - 1)}{chr(92)}n' {shlex.join(lines)} >> {path}"


PERSIST = "portwait reserve --persist 30010"
NARROWED = (
    "sysctl -w 'net.ipv4.ip_local_port_range=32768 60999'",
    appended("/etc/sysctl.d/zz-port-range.conf", "net.ipv4.ip_local_port_range = 32768 60999"),
)


def nfs(port: int) -> Facts:
    return facts(NFS._replace(socket=NFS.socket._replace(local_port=port)), target=str(port))


def rpc(setting: str) -> tuple[str, ...]:
    lasting = appended("/etc/modprobe.d/sunrpc.conf", f"options sunrpc {setting}")
    return ("findmnt -t nfs,nfs4", f"sysctl -w sunrpc.{setting}", lasting)


PIPE = "wrapper.backend.type=PIPE"
PORTS = (
    "wrapper.port.min=40000",
    "wrapper.port.max=41000",
    "wrapper.jvm.port.min=41001",
    "wrapper.jvm.port.max=42000",
)
OTHER_PORTS = tuple(line.replace("=4", "=5") for line in PORTS)
UPDATE_CONF = "/CloudResetPwdUpdateAgent/conf/wrapper.conf"
UPDATE_SCRIPT = "/CloudResetPwdUpdateAgent/bin/cloudResetPwdUpdateAgent.script restart"

ORDERED = {("orders.service", None): Unit("orders.service", "active", before=("network.target", "shutdown.target"))}
FREE = facts(state="free")
TABLES: dict[str, Table] = {
    "tanuki-wrapper": Table(
        {
            "some product": (
                wrapped(PRODUCT),
                (appended("/opt/product/conf/wrapper.conf", PIPE), "systemctl restart agent.service"),
            ),
            "update agent": (wrapped(RESET), (appended(UPDATE_CONF, PIPE), UPDATE_SCRIPT)),
            "agent, not root": (
                wrapped(MISSPELT, machine=USER),
                (
                    rf"printf '\n%s\n' {PIPE} | sudo tee -a /CloudrResetPwdAgent/conf/wrapper.conf",
                    "sudo /CloudrResetPwdAgent/bin/cloudResetPwdAgent.script restart",
                ),
            ),
            "Windows": (
                wrapped(ON_WINDOWS, machine=WINDOWS),
                (
                    rf"Add-Content -LiteralPath 'C:\CloudResetPwdUpdateAgent\conf\wrapper.conf' -Value '{PIPE}'",
                    "Restart-Service -DisplayName 'cloud reset password update agent'",
                ),
            ),
            "says PIPE, not restarted": (wrapped(PIPED), ("systemctl restart agent.service",)),
            "hostile path": (
                wrapped(HOSTILE_PATH, machine=BARE),
                (appended(r"$'/o\'pt/a b/\x1b[2J/wrapper.conf'", PIPE),),
            ),
            "another user's word": (wrapped(ANOTHERS), (PIPE,)),
            "another user's word, not root": (wrapped(ANOTHERS, machine=USER), (PIPE,)),
            "a container's word": (wrapped(CONTAINED), (PIPE,)),
            "a set-user-ID program's word": (wrapped(NOBODY_KNOWS), (PIPE,)),
            "another user's, not restarted": (
                wrapped(ANOTHERS._replace(settings=PIPED.settings)),
                ("systemctl restart agent.service",),
            ),
        },
        {"no wrapper": facts(OUTBOUND)},
    ),
    "tanuki-wrapper-ports": Table(
        {
            "update agent": (wrapped(RESET), (appended(UPDATE_CONF, *PORTS), UPDATE_SCRIPT)),
            "its port is one of those": (
                facts(WRAPPED, target="41500", wrappers=(RESET,)),
                (appended(UPDATE_CONF, *OTHER_PORTS), UPDATE_SCRIPT),
            ),
            "another user's word": (wrapped(ANOTHERS), PORTS),
            "Windows": (
                wrapped(ON_WINDOWS, machine=WINDOWS),
                (
                    r"Add-Content -LiteralPath 'C:\CloudResetPwdUpdateAgent\conf\wrapper.conf' -Value "
                    + ", ".join(f"'{line}'" for line in PORTS),
                    "Restart-Service -DisplayName 'cloud reset password update agent'",
                ),
            ),
        },
        {"no wrapper": facts(OUTBOUND), "says PIPE": wrapped(PIPED)},
    ),
    "kernel-rpc": Table(
        {
            "in the middle": (facts(NFS, target="845"), rpc("max_resvport=844")),
            "near the top": (nfs(982), rpc("max_resvport=981")),
            "near the bottom": (nfs(700), rpc("min_resvport=701")),
            "at the bottom": (nfs(665), rpc("min_resvport=666")),
            "at the top of its range": (
                facts(NFS._replace(socket=NFS.socket._replace(local_port=1023)), target="1023"),
                rpc("max_resvport=1022"),
            ),
            "in a container, on its host": (
                facts(NFS, target="845", machine=PODMAN._replace(host_network=True)),
                (
                    "findmnt -t nfs,nfs4",
                    "sudo sysctl -w sunrpc.max_resvport=844",
                    r"printf '\n%s\n' 'options sunrpc max_resvport=844' | sudo tee -a /etc/modprobe.d/sunrpc.conf",
                ),
            ),
        },
        {
            "a process": facts(NFS._replace(owners=(ORDERS,)), target="845"),
            "a high port": facts(NAMELESS),
            "another service": facts(NFS._replace(remote_service=None, socket=NFS.socket._replace(remote_port=7000))),
        },
    ),
    "bindresvport": Table(
        {
            "a daemon": (
                facts(by(STATD), target="982"),
                (appended("/etc/bindresvport.blacklist", "982"), "systemctl restart rpc-statd.service"),
            ),
        },
        {"no such program": facts(LISTENER, target="982"), "a port that is not low": facts(by(STATD))},
    ),
    "switch-ipv6-on": Table(
        {"::1": (unusable("[::1]:30010", "ipv6-off", "lo"), ("sysctl -w net.ipv6.conf.lo.disable_ipv6=0",))},
        {
            "not here": unusable("[2001:db8::1]:30010", "absent"),
            "in a container": unusable("[::1]:30010", "ipv6-off", "lo", machine=PODMAN),
        },
    ),
    "kernel-tunnel": Table(
        {
            "VXLAN": (
                facts(UDP_SERVER._replace(owners=()), target="4789/udp", span=(32768, 60999)),
                ("ip -details -oneline link | grep -w -e 4789 -e wireguard",),
            )
        },
        {
            "a server": facts(UDP_SERVER, target="4789/udp"),
            "TCP": facts(BOUND._replace(owners=())),
            "ours": facts(inherited(UDP_SERVER), target="4789/udp", span=(32768, 60999)),
        },
    ),
    "docker-proxy": Table(
        {
            "TCP": (facts(by(PROXY)), ("docker ps --filter publish=30010/tcp",)),
            "not root": (facts(by(PROXY), machine=USER), ("sudo docker ps --filter publish=30010/tcp",)),
            "left over": (facts(by(PROXY))._replace(published=False), ("kill 400",)),
        },
        {"nginx": facts(LISTENER), "a client": facts(OUTBOUND)},
    ),
    "socket-unit": Table(
        {
            "systemd, which does not say why": (
                facts(by(SYSTEMD)),
                ("systemctl list-sockets --full | grep -w 30010",),
            ),
            "a socket unit": (managed(SYSTEMD, APP_SOCKET), ("systemctl stop app.socket",)),
            "not root": (managed(SYSTEMD, APP_SOCKET, machine=USER), ("sudo systemctl stop app.socket",)),
            "a descriptor store": (managed(SYSTEMD, STORE), ("systemctl stop orders.service",)),
            "a store that outlives its unit": (
                managed(SYSTEMD, STORE._replace(keeps_stored=True)),
                ("systemctl stop orders.service", "systemctl clean --what=fdstore orders.service"),
            ),
            "a name that begins with a hyphen": (
                managed(SYSTEMD, STORE._replace(name="-a.service", keeps_stored=True)),
                ("systemctl stop -- -a.service", "systemctl clean --what=fdstore -- -a.service"),
            ),
            "one of two stores": (
                managed(SYSTEMD, STORE, STORE._replace(name="web.service")),
                ("systemctl list-sockets --full | grep -w 30010",),
            ),
            "a user's manager": (
                managed(USERS_SYSTEMD, APP_SOCKET._replace(user="ann")),
                ("systemctl --user -M ann@ stop app.socket",),
            ),
        },
        {"nginx": facts(LISTENER), "another first process": facts(by(SYSTEMD._replace(name="tini")))},
    ),
    "stop-listener": Table(
        {
            "unit": (facts(LISTENER), ("systemctl stop nginx.service",)),
            "not root": (facts(LISTENER, machine=USER), ("sudo systemctl stop nginx.service",)),
            "no systemd": (facts(LISTENER, machine=BARE), ("kill 300 301",)),
            "login session": (facts(by(SHELL)), ("kill 200",)),
            "user's own unit": (facts(by(USERS_OWN)), ("systemctl --user -M ann@ stop orders.service",)),
            "docker": (facts(by(IN_DOCKER)), ("docker stop 0123456789ab",)),
            "podman": (facts(by(IN_PODMAN)), ("podman stop 0123456789ab",)),
            "containerd": (facts(by(IN_CONTAINERD)), ("nerdctl stop 0123456789ab",)),
            "containerd under Kubernetes": (facts(by(IN_POD)), ("crictl stop 0123456789ab",)),
            "hostile unit": (facts(by(HOSTILE)), ("systemctl stop -- -rf.service",)),
            "two strangers": (facts(by(NGINX, SHELL)), ("systemctl stop nginx.service", "kill 200")),
            "UDP server": (facts(UDP_SERVER, target="30010/udp"), ("systemctl stop nginx.service",)),
        },
        {
            "the wrapper starts it again": facts(by(JVM), wrappers=(PRODUCT,)),
            "systemd": facts(by(SYSTEMD)),
            "proxy": facts(by(PROXY)),
            "a client": facts(OUTBOUND),
            "unseen": facts(by()),
        },
    ),
    "wait": Table(
        {
            "TIME_WAIT": (facts(TIME_WAIT), ("portwait 30010",)),
            "a long one": (facts(TIME_WAIT, LATE_TIME_WAIT), ("portwait -t 2m5s 30010",)),
            "one address": (facts(TIME_WAIT, target="[::1]:30010"), ("portwait '[::1]:30010'",)),
        },
        {"one that does not end": facts(TIME_WAIT, OUTBOUND), "a client": facts(OUTBOUND), "no timer": facts(ORPHAN)},
    ),
    "stop-leftover": Table(
        {"children of a dead server": (facts(LEFTOVER), ("systemctl stop nginx.service",))},
        {
            "a live server": facts(LISTENER, LEFTOVER),
            "a client": facts(OUTBOUND),
            "unseen": facts(LEFTOVER._replace(owners=())),
        },
    ),
    "close-wait": Table(
        {
            "in a unit": (facts(LEAK), ("systemctl restart orders.service",)),
            "in a session": (facts(LEAK._replace(owners=(SHELL,))), ()),
            "in a container": (facts(LEAK._replace(owners=(IN_DOCKER,))), ("docker restart 0123456789ab",)),
        },
        {"not closed": facts(OUTBOUND), "unseen": facts(LEAK._replace(owners=()))},
    ),
    "evict": Table(
        {
            "a client": (facts(OUTBOUND), ("portwait evict 30010",)),
            "not root": (facts(OUTBOUND, machine=USER), ("sudo portwait evict 30010",)),
            "not root, who would see the owner": (facts(NAMELESS, machine=USER), ("sudo portwait evict 30010",)),
            "not root, who may see the owner": (facts(DENIED, machine=USER), ("sudo portwait evict 30010",)),
            "the same over UDP": (
                facts(UDP_CLIENT._replace(owners=(), unseen=NAMELESS.unseen), target="30010/udp", machine=USER),
                ("sudo portwait evict --evict=udp 30010/udp",),
            ),
            "TIME_WAIT": (facts(TIME_WAIT), ("portwait evict 30010",)),
            "outside today's range": (facts(OUTBOUND, span=(32768, 60999)), ("portwait evict 30010",)),
            "TIME_WAIT outside today's range": (facts(TIME_WAIT, span=(32768, 60999)), ("portwait evict 30010",)),
            "TIME_WAIT below 1024": (
                facts(TIME_WAIT, target="993", span=(32768, 60999)),
                ("portwait evict 993",),
            ),
            "itself": (facts(ITSELF), ("portwait evict 30010",)),
            "UDP": (facts(UDP_CLIENT, target="30010/udp"), ("portwait evict --evict=udp 30010/udp",)),
            "one family": (
                facts(OUTBOUND, family=6),
                ("portwait evict -6 30010",),
            ),
            "without SO_REUSEADDR": (
                facts(OUTBOUND, reuseaddr=False),
                ("portwait evict --no-reuseaddr 30010",),
            ),
            "one address": (facts(OUTBOUND, target="[::1]:30010"), ("portwait evict '[::1]:30010'",)),
        },
        {
            "not seen by root": facts(NAMELESS),
            "not seen, and root would not see it": facts(HIDDEN, machine=USER),
            "not seen, and nobody can become root": facts(NAMELESS, machine=PODMAN._replace(root=False)),
            "not seen, and not proved": facts(NAMELESS._replace(kind=UNPROVED.kind), machine=USER),
            "not seen, and accepted": facts(NAMELESS._replace(kind=LEFTOVER.kind), machine=USER),
            "bound by number, as evict has proved": facts(KEPT),
            "a listener": facts(LISTENER),
            "below 1024, so by number": facts(OUTBOUND, target="993", span=(32768, 60999)),
            "the wrapper": wrapped(RESET),
        },
    ),
    "stop-owner": Table(
        {
            "bound by number": (facts(OUTBOUND, span=(32768, 60999)), ("systemctl stop orders.service",)),
            "not proved": (facts(UNPROVED), ("kill 200",)),
        },
        {
            "proved": facts(OUTBOUND),
            "not seen": facts(UNPROVED._replace(owners=())),
            "the wrapper": wrapped(RESET),
            "UDP": facts(UDP_CLIENT, target="30010/udp"),
            "a listener": facts(LISTENER),
        },
    ),
    "bound-only": Table(
        {
            "in a session": (facts(BOUND), ("kill 200",)),
            "in a unit": (facts(BOUND._replace(owners=(ORDERS,))), ("systemctl stop orders.service",)),
            "unseen": (facts(BOUND._replace(owners=())), ()),
            "inherited, and others have it": (facts(BOUND._replace(inherited=True)), ("kill 200",)),
            "bound by number, as evict has proved": (facts(KEPT), ("kill 200",)),
        },
        {
            "ours": facts(inherited(BOUND)),
            "a hold": facts(HOLD),
            "UDP": facts(UDP_SERVER, target="30010/udp"),
            "a client": facts(OUTBOUND),
        },
    ),
    "other-guard": Table(
        {
            "a hold": (facts(HOLD), ("systemctl stop orders.service",)),
            "of a UDP port": (facts(UDP_HOLD, target="30010/udp"), ("systemctl stop orders.service",)),
        },
        {"only bound": facts(BOUND), "free": FREE, "ours": facts(HOLD._replace(inherited=True))},
    ),
    "inherited-socket": Table(
        {
            "a listener": (facts(inherited(LISTENER)), ()),
            "a listener that others have too": (facts(LISTENER._replace(inherited=True)), ()),
            "only bound": (facts(inherited(BOUND)), ()),
            "a client": (facts(inherited(OUTBOUND)), ()),
        },
        {"another's": facts(LISTENER), "a hold": facts(inherited(HOLD)), "free": FREE},
    ),
    "inherited-hold": Table(
        {
            "alone": (facts(inherited(HOLD)), ()),
            "with whoever started it": (facts(HOLD._replace(inherited=True), reuseaddr=False), ()),
        },
        {"another's": facts(HOLD), "a listener": facts(inherited(LISTENER))},
    ),
    "reserve-port": Table(
        {
            "a client": (facts(OUTBOUND), (PERSIST,)),
            "not root": (facts(OUTBOUND, machine=USER), (f"sudo {PERSIST}",)),
            "in a network namespace": (facts(OUTBOUND, machine=NETNS), ("portwait reserve 30010",)),
            "UDP": (facts(UDP_CLIENT, target="30010/udp"), (PERSIST,)),
            "TIME_WAIT": (facts(TIME_WAIT), (PERSIST,)),
            "an orphan": (facts(ORPHAN), (PERSIST,)),
            "itself": (facts(ITSELF), (PERSIST,)),
            "free, and in reach": (FREE, (PERSIST,)),
            "a listener that may have asked for any port": (facts(LISTENER), (PERSIST,)),
            "a UDP socket that may have": (facts(UDP_SERVER, target="30010/udp"), (PERSIST,)),
            "a bound socket that may have": (facts(BOUND), (PERSIST,)),
            "a bound socket whose owner is not seen": (facts(BOUND._replace(owners=())), (PERSIST,)),
        },
        {
            "reserved": facts(OUTBOUND, reserved=[(30000, 30100)]),
            "out of reach": facts(OUTBOUND, span=(32768, 60999)),
            "free and out of reach": facts(state="free", span=(32768, 60999)),
            "range unknown": facts(OUTBOUND, span=None),
            "a listener whose command line has the port": facts(by(NAMES_IT)),
            "a UDP server whose command line has it": facts(
                UDP_SERVER._replace(owners=(NAMES_IT,)), target="30010/udp"
            ),
            "a UDP socket of systemd's": facts(UDP_SERVER._replace(owners=(SYSTEMD,)), target="30010/udp"),
            "only bound, and the command line has it": facts(BOUND._replace(owners=(NAMES_IT,))),
            "bound by number, as evict has proved": facts(KEPT),
            "a listener of systemd's": facts(by(SYSTEMD)),
            "a transparent proxy's client": facts(OUTBOUND)._replace(
                case=facts(OUTBOUND).case._replace(not_local=frozenset(["127.0.0.1"]))
            ),
            "the wrapper binds by number": wrapped(RESET),
            "in a container": facts(OUTBOUND, machine=PODMAN),
        },
    ),
    "node-sysctl": Table(
        {"host network": (facts(OUTBOUND, machine=HOST_NETWORK), (f"sudo {PERSIST}",))},
        {"own network": facts(OUTBOUND, machine=PODMAN), "no container": facts(OUTBOUND)},
    ),
    "container-sysctl": Table(
        {
            "podman": (
                facts(OUTBOUND, machine=PODMAN, reserved=[(30011, 30012)]),
                (
                    "docker run, podman run:",
                    "  --sysctl net.ipv4.ip_local_reserved_ports=30010-30012",
                    "compose, in the service:",
                    "  sysctls:",
                    '    net.ipv4.ip_local_reserved_ports: "30010-30012"',
                ),
            ),
            "Kubernetes": (
                facts(OUTBOUND, machine=KUBERNETES),
                (
                    "Kubernetes, in the pod's spec (a safe sysctl since 1.27):",
                    "  securityContext:",
                    "    sysctls:",
                    "      - name: net.ipv4.ip_local_reserved_ports",
                    '        value: "30010"',
                ),
            ),
        },
        {
            "host network": facts(OUTBOUND, machine=HOST_NETWORK),
            "no container": facts(OUTBOUND),
            "a listener": facts(by(NAMES_IT), machine=PODMAN),
        },
    ),
    "narrow-range": Table(
        {
            "to the usual one": (facts(OUTBOUND), NARROWED),
            "not root": (
                facts(OUTBOUND, machine=USER),
                (
                    f"sudo {NARROWED[0]}",
                    NARROWED[1].replace(">> ", "| sudo tee -a "),
                ),
            ),
            "in a network namespace": (facts(OUTBOUND, machine=NETNS), NARROWED[:1]),
            "above the port": (
                facts(OUTBOUND, span=(20000, 65000), target="40000"),
                (
                    "sysctl -w 'net.ipv4.ip_local_port_range=41000 65000'",
                    appended("/etc/sysctl.d/zz-port-range.conf", "net.ipv4.ip_local_port_range = 41000 65000"),
                ),
            ),
            "below the port": (
                facts(OUTBOUND, target="60000"),
                (
                    "sysctl -w 'net.ipv4.ip_local_port_range=1024 59999'",
                    appended("/etc/sysctl.d/zz-port-range.conf", "net.ipv4.ip_local_port_range = 1024 59999"),
                ),
            ),
        },
        {
            "too few would be left": facts(OUTBOUND, span=(30000, 31000)),
            "in a container": facts(OUTBOUND, machine=PODMAN),
            "out of reach": facts(OUTBOUND, span=(32768, 60999)),
            "a listener": facts(LISTENER),
            "free": FREE,
        },
    ),
    "other-parity": Table(
        {"even in an even range": (facts(OUTBOUND), ()), "the last port": (facts(OUTBOUND, span=(1024, 30010)), ())},
        {
            "odd in an even range": facts(OUTBOUND, target="30011"),
            "even in an odd range": facts(OUTBOUND, span=(1025, 65000)),
            "the only port": facts(OUTBOUND, span=(30010, 30010)),
            "UDP": facts(UDP_CLIENT, target="30010/udp"),
            "by bind": facts(BOUND),
            "a listener": facts(LISTENER),
            "free": FREE,
        },
    ),
    "order-units": Table(
        {
            "its unit": (facts(OUTBOUND), ("[Unit]", "Before=orders.service")),
            "in the service's own unit": (
                facts(OUTBOUND, machine=IN_UNIT),
                (
                    "mkdir -p /etc/systemd/system/web.service.d",
                    appended("/etc/systemd/system/web.service.d/before.conf", "[Unit]", "Before=orders.service"),
                    "systemctl daemon-reload",
                ),
            ),
        },
        {
            "no unit": facts(OUTBOUND._replace(owners=(SHELL,))),
            "a unit that others wait for": facts(OUTBOUND, machine=IN_UNIT)._replace(units=ORDERED),
            "systemd did not answer": facts(OUTBOUND, machine=IN_UNIT)._replace(units={}),
            "a user's own unit": facts(OUTBOUND._replace(owners=(USERS_OWN,))),
            "the service itself": facts(OUTBOUND, machine=Machine(unit="orders.service")),
            "no systemd": facts(OUTBOUND, machine=BARE),
            "a listener": facts(LISTENER),
        },
    ),
    "self-connect": Table({"itself": (facts(ITSELF), ())}, {"another": facts(OUTBOUND)}),
    "bind-capability": Table(
        {
            "a low port": (
                facts(target="443", state="denied"),
                ("[Service]", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            ),
            "in a container": (facts(target="443", state="denied", machine=PODMAN), ()),
            "held, by the tables": (
                facts(by(NGINX), target="443", state="denied"),
                ("[Service]", "AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            ),
        },
        {
            "a high port": facts(state="denied"),
            "allowed here": facts(target="443", state="denied", start=80),
            "held": facts(LISTENER, target="443"),
        },
    ),
    "unprivileged-ports": Table(
        {
            "a low port": (
                facts(target="443", state="denied"),
                (
                    "sysctl -w net.ipv4.ip_unprivileged_port_start=443",
                    appended("/etc/sysctl.d/zz-unprivileged-ports.conf", "net.ipv4.ip_unprivileged_port_start = 443"),
                ),
            ),
            "in a network namespace": (
                facts(target="443", state="denied", machine=NETNS),
                ("sysctl -w net.ipv4.ip_unprivileged_port_start=443",),
            ),
            "in a container": (
                facts(target="443", state="denied", machine=PODMAN),
                (
                    "docker run, podman run:",
                    "  --sysctl net.ipv4.ip_unprivileged_port_start=443",
                    "compose, in the service:",
                    "  sysctls:",
                    '    net.ipv4.ip_unprivileged_port_start: "443"',
                ),
            ),
        },
        {
            "a high port": facts(state="denied"),
            "on the node's network": facts(target="443", state="denied", machine=HOST_NETWORK),
        },
    ),
    "bind-policy": Table(
        {
            "a high port": (facts(state="denied"), ("journalctl -k -g denied -n 20",)),
            "in a unit": (
                facts(state="denied", machine=IN_UNIT),
                ("systemctl show -p SocketBindDeny web.service", "journalctl -k -g denied -n 20"),
            ),
        },
        {"a low port": facts(target="443", state="denied"), "held": facts(LISTENER)},
    ),
    "list-addresses": Table(
        {
            "not here": (facts(target="192.0.2.1:30010", state="unavailable"), ("ip -brief address",)),
            "tentative": (unusable("[2001:db8::1]:30010", "tentative", "v0"), ("ip -6 address show tentative",)),
            "a duplicate": (unusable("[2001:db8::1]:30010", "duplicate", "v0"), ("ip -6 address show dadfailed",)),
            "in a VRF": (unusable("192.0.2.1:30010", "vrf", "red"), ("ip vrf exec red COMMAND",)),
            "link-local without a zone": (
                unusable("[fe80::1]:30010", "no-zone", "v0", state="unknown"),
                ("ip -6 -brief address",),
            ),
            "no such interface": (unusable("0.0.0.0%eth9:30010", "no-interface", "eth9"), ("ip -brief link",)),
            "loopback is down": (unusable("[::1]:30010", "loopback-down", "lo"), ("ip link set lo up",)),
            "::1 was removed": (unusable("[::1]:30010", "loopback", "lo"), ("ip address add ::1/128 dev lo",)),
            "127.0.0.1 was removed": (
                unusable("127.0.0.1:30010", "loopback", "lo"),
                ("ip address add 127.0.0.1/8 dev lo",),
            ),
        },
        {"no family": facts(state="unavailable"), "held": facts(OUTBOUND, target="192.0.2.1:30010")},
    ),
    "network-online": Table(
        {
            "not here": (
                facts(target="192.0.2.1:30010", state="unavailable"),
                ("[Unit]", "Wants=network-online.target", "After=network-online.target"),
            )
        },
        {
            "no systemd": facts(target="192.0.2.1:30010", state="unavailable", machine=BARE),
            "no family": facts(state="unavailable"),
        },
    ),
    "nonlocal-bind": Table(
        {
            "IPv4": (
                facts(target="192.0.2.1:30010", state="unavailable"),
                (
                    "sysctl -w net.ipv4.ip_nonlocal_bind=1",
                    appended("/etc/sysctl.d/zz-nonlocal-bind.conf", "net.ipv4.ip_nonlocal_bind = 1"),
                ),
            ),
            "IPv6": (
                facts(target="[2001:db8::1]:30010", state="unavailable"),
                (
                    "sysctl -w net.ipv6.ip_nonlocal_bind=1",
                    appended("/etc/sysctl.d/zz-nonlocal-bind.conf", "net.ipv6.ip_nonlocal_bind = 1"),
                ),
            ),
            "in a network namespace": (
                facts(target="192.0.2.1:30010", state="unavailable", machine=NETNS),
                ("sysctl -w net.ipv4.ip_nonlocal_bind=1",),
            ),
        },
        {
            "the interface is missing": facts(target="[fe80::1%eth9]:30010", state="unavailable"),
            "no such interface": unusable("0.0.0.0%eth9:30010", "no-interface", "eth9"),
            "loopback is down": unusable("[::1]:30010", "loopback-down", "lo"),
            "loopback without its address": unusable("127.0.0.1:30010", "loopback", "lo"),
            "no IPv6": unusable("[::]:30010", "no-family"),
            "in a container": facts(target="192.0.2.1:30010", state="unavailable", machine=PODMAN),
            "no family": facts(state="unavailable"),
        },
    ),
    "look-as-root": Table(
        {
            "unseen": (facts(NAMELESS, machine=USER), ("sudo portwait explain 30010",)),
            "in a container": (facts(NAMELESS, machine=PODMAN._replace(root=False)), ("portwait explain 30010",)),
        },
        {"root": facts(HIDDEN), "seen": facts(OUTBOUND, machine=USER), "elsewhere": facts(HIDDEN, machine=USER)},
    ),
    "look-from-host": Table(
        {
            "another container of the pod": (facts(HIDDEN, machine=POD), (f"{ENTER} portwait explain 30010",)),
            "the options are kept": (
                facts(HIDDEN, machine=POD, family=6, reuseaddr=False),
                (f"{ENTER} portwait explain -6 --no-reuseaddr 30010",),
            ),
            "the host's network": (facts(HIDDEN, machine=ON_NODE), ("sudo portwait explain 30010",)),
            "by nobody, who may look into nothing": (
                facts(DENIED, machine=ON_NODE._replace(root=False)),
                ("sudo portwait explain 30010",),
            ),
        },
        {"seen": facts(OUTBOUND, machine=POD), "on the host": facts(NAMELESS, machine=USER)},
    ),
    "share-processes": Table(
        {
            "pod": (facts(HIDDEN, machine=POD), ("spec:", "  shareProcessNamespace: true")),
            "node": (facts(HIDDEN, machine=POD._replace(network=0)), ("spec:", "  hostPID: true")),
            "docker": (
                facts(HIDDEN, machine=POD._replace(container="docker")),
                ("--pid container:OTHER --cap-add SYS_PTRACE --user 0",),
            ),
            "the host's network": (
                facts(DENIED, machine=ON_NODE),
                ("--pid host --cap-add SYS_PTRACE --user 0",),
            ),
        },
        {
            "seen": facts(OUTBOUND, machine=POD),
            "not started as containers mostly are": facts(HIDDEN, machine=POD._replace(may_set=True)),
        },
    ),
}

HITS = [
    pytest.param(code, *hit, id=f"{code}: {name}") for code, table in TABLES.items() for name, hit in table.hits.items()
]
MISSES = [
    pytest.param(code, miss, id=f"{code}: {name}")
    for code, table in TABLES.items()
    for name, miss in table.misses.items()
]
EVERY = [
    pytest.param(given, id=f"{code}: {name}")
    for code, table in TABLES.items()
    for name, (given, _) in table.hits.items()
]
"""Facts of all kinds, for rules that hold for all remedies."""


def remedies(given: Facts) -> dict[str, Remedy]:
    return {one.code: one for one in advise(given)}


@pytest.mark.parametrize(("code", "given", "commands"), HITS)
def test_it_fits(code: str, given: Facts, commands: tuple[str, ...]) -> None:
    """What was seen has this cure, with these very commands."""
    assert remedies(given)[code].commands == commands


@pytest.mark.parametrize(("code", "given"), MISSES)
def test_it_does_not_fit(code: str, given: Facts) -> None:
    """What was seen is not what this cure is for."""
    assert code not in remedies(given)


def test_every_rule_has_its_tables() -> None:
    """A rule that enters itself needs a table of hits and one of misses here."""
    given = [facts for table in TABLES.values() for facts, _ in table.hits.values()]
    silent = {each.__name__ for each in RULES if not any(each(facts) for facts in given)}
    assert silent == set()
    codes = {found.code for each in RULES for facts in given if (found := each(facts)) is not None}
    assert codes == set(TABLES)
    assert all(table.hits and table.misses for table in TABLES.values())


@pytest.mark.parametrize("given", EVERY)
def test_advice_reads_as_such(given: Facts) -> None:
    """Each code comes once, a summary is one line that ends like a sentence, and nothing in it moves a cursor."""
    found = advise(given)
    assert len({one.code for one in found}) == len(found)
    for one in found:
        assert one.summary[0].isupper() or one.summary.startswith(
            ("java ", "curl ", "nginx ", "node ", "systemd ", "rpc.statd ", "a\\x1b")
        )
        assert one.summary.endswith((".", ":"))
        assert all(line.isprintable() for line in (one.summary, *one.commands))
        assert "s3cret" not in one.summary


@pytest.mark.parametrize("given", EVERY)
def test_commands_can_be_pasted(given: Facts) -> None:
    """A line of a remedy that calls a program is a whole command for the shell."""
    programs = ("sudo ", "portwait ", "systemctl ", "kill ", "printf ", "sysctl ", "docker ps", "podman ", "mkdir ")
    lines = [line for one in advise(given) for line in one.commands if line.startswith(programs)]
    subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, check=True)


@pytest.mark.parametrize(
    "given",
    [facts(OUTBOUND), facts(OUTBOUND, machine=PODMAN), facts(OUTBOUND, machine=HOST_NETWORK)],
    ids=["host", "container", "host network"],
)
def test_a_cure_for_later_says_that_it_moves_no_connection(given: Facts) -> None:
    """Reserving, and narrowing the range, leave what exists where it is."""
    later = {"reserve-port", "narrow-range", "node-sysctl", "container-sysctl"}
    found = [remedy for code, remedy in remedies(given).items() if code in later]
    assert found
    assert all("A connection that exists stays until it is closed or evicted." in each.summary for each in found)


@pytest.mark.parametrize(
    "given",
    [
        facts(OUTBOUND),
        FREE,
        facts(LISTENER),
        facts(target="443", state="denied"),
        facts(target="192.0.2.1:30010", state="unavailable"),
        unusable("[::1]:30010", "ipv6-off", "lo"),
    ],
    ids=["outbound", "free", "listener", "denied", "unavailable", "no IPv6"],
)
def test_files_of_another_network_are_left_alone(given: Facts) -> None:
    """Rule: in a network namespace that sysctl.d is not read for, no line changes it; the words say what lasts."""
    on_host, here = (remedies(given._replace(machine=machine)) for machine in (ROOT, NETNS))
    words = " It lasts as long as this network namespace: sysctl.d is not read for it."
    lasting = {code for code, one in on_host.items() if re.search(r"--persist|/etc/sysctl\.d", str(one))}
    assert lasting
    assert lasting == {code for code, one in here.items() if words in one.summary}
    assert not re.search(r"--persist|/etc/sysctl\.d", str(here))
    assert not any(words in one.summary for one in on_host.values())


@pytest.mark.parametrize("given", EVERY)
def test_a_line_about_a_network_leads_into_it(given: Facts) -> None:
    """Rule: who reads a unit's journal pastes outside of the unit's network; no other line is led into it."""
    inside, outside = (remedies(given._replace(machine=machine)) for machine in (UNITS_OWN, NETNS))
    assert inside.keys() == outside.keys()
    about_network = ("portwait ", "ip ", "sysctl -w net.", "sysctl -w 'net.")
    for code, remedy in outside.items():
        assert inside[code].commands == tuple(
            f"{UNITS_OWN.way_in} {line}" if line.startswith(about_network) else line for line in remedy.commands
        )


def test_a_port_that_was_taken_by_number_is_not_given() -> None:
    """Rule: reserving keeps nobody from reaching itself who binds the port by its number."""
    given, taken = (
        remedies(facts(ITSELF, span=span))["self-connect"].summary for span in ((1024, 65000), (32768, 60999))
    )
    assert "was given that very port as its own" in given
    assert "Start the service first, or reserve the port: then it cannot happen." in given
    assert "had that very port as its own" in taken
    assert "Start the service first: then it cannot happen." in taken


def test_time_wait_is_not_cured_by_reuseaddr() -> None:
    """The advice that people are given everywhere is named, and refused where bind was asked with it."""
    assert "SO_REUSEADDR in the service does not help here" in remedies(facts(TIME_WAIT))["wait"].summary
    without = facts(TIME_WAIT, reuseaddr=False)
    by_tables = facts(TIME_WAIT, by="tables")
    for unsure in (without, by_tables):
        assert (
            "SO_REUSEADDR in the service helps where the connection had set it too" in remedies(unsure)["wait"].summary
        )


def test_the_order_is_that_of_what_to_do() -> None:
    """What helps at once stands before what lasts."""
    assert [one.code for one in advise(facts(OUTBOUND))] == [
        "evict",
        "reserve-port",
        "narrow-range",
        "other-parity",
        "order-units",
    ]


@pytest.mark.parametrize(
    ("wrapper", "how"),
    [
        (ANOTHERS, ", as ann, never as root"),
        (CONTAINED, " in the container docker:0123456789ab, never outside it"),
        (NOBODY_KNOWS, ", once it is certain whose that is"),
    ],
    ids=["another user", "container", "set-user-ID"],
)
def test_a_path_that_anybody_may_have_written_is_shown_and_not_used(wrapper: config.Wrapper, how: str) -> None:
    """No command goes to it or runs what lies beside it, no product gets the blame, and the words say whose it is."""
    found = advise(wrapped(wrapper))
    assert not any("CloudReset" in line for one in found for line in one.commands)
    (first,) = (one for one in found if one.code == "tanuki-wrapper")
    assert first.summary.startswith("java says that it runs under")
    assert f"/conf/wrapper.conf{how} (the path is that process's own word)," in first.summary


def test_the_wrapper_says_what_its_file_says_now() -> None:
    """And, where that cannot be known, why."""
    assert "It says now: wrapper.port.min=32000." in remedies(wrapped(RESET))["tanuki-wrapper"].summary
    assert "could not be read: Permission denied." in remedies(wrapped(MISSPELT))["tanuki-wrapper"].summary
    assert "It says nothing of ports now." in remedies(wrapped(PRODUCT))["tanuki-wrapper"].summary
    assert remedies(wrapped(RESET))["tanuki-wrapper"].summary.startswith("CloudResetPwdUpdateAgent runs under")


@pytest.mark.parametrize(
    ("machine", "command", "appending"),
    [
        (ROOT, "sysctl -w a=1", r"printf '\n%s\n' a >> /etc/x"),
        (USER, "sudo sysctl -w a=1", r"printf '\n%s\n' a | sudo tee -a /etc/x"),
        (PODMAN._replace(root=False), "sysctl -w a=1", r"printf '\n%s\n' a >> /etc/x"),
    ],
    ids=["root", "user", "user in a container"],
)
def test_sudo_is_where_it_is_needed(machine: Machine, command: str, appending: str) -> None:
    """In each command of root's, and in none in a container, which has no sudo."""
    assert shell_commands.as_root(machine, "sysctl", "-w", "a=1") == command
    assert shell_commands.append(machine, "/etc/x", ["a"]) == appending


@pytest.mark.parametrize(
    ("words", "family", "asked"),
    [
        (["30010", "[::1]:30011"], 6, "-6 30010 '[::1]:30011'"),
        (["[::1]:30011", "30010"], 6, "-6 '[::1]:30011' 30010"),
        (["30010", "127.0.0.1:30011"], 4, "-4 30010 127.0.0.1:30011"),
        (["30010", "127.0.0.1:30011"], 0, "30010 127.0.0.1:30011"),
        (["[::1]:30011", "127.0.0.1:30011"], 0, "'[::1]:30011' 127.0.0.1:30011"),
    ],
)
def test_targets_are_asked_for_as_they_were(words: list[str], family: Any, asked: str) -> None:
    """The family is a target's own where it has an address, and an option where one of them has none."""
    targets = parse(words, family)
    assert shell(shell_commands.asked_for(targets, reuseaddr=True)) == asked
    assert parse([word for word in shlex.split(asked) if word[0] != "-"], family) == targets


@pytest.mark.parametrize(
    ("wanted", "used", "suffices", "is_noticeable"),
    [
        ((30010, 30010), 0, True, False),
        ((40000, 40000), 28_000, True, False),
        ((32768, 42767), 0, True, True),
        ((32768, 42767), 10_000, False, True),
        ((32768, 59000), 0, False, True),
        ((32768, 60999), 0, False, True),
        ((1, 65535), 0, False, True),
    ],
)
def test_what_may_be_reserved(wanted: tuple[int, int], used: int, suffices: bool, is_noticeable: bool) -> None:
    """Nobody proposes to reserve so much that few ports stay for connections; a large part has its price named."""
    leftover = PortSettings((32768, 60999)).after_reserving([wanted])
    assert (leftover.suffices(used), leftover.is_noticeable) == (suffices, is_noticeable)

"""Which command stops whoever has a port, and what the sentence beside it names: a table of situations."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from portwait.advice import Facts, stopping
from portwait.host.machine import Machine
from portwait.host.supervisors import Supervisor, supervisor_of
from portwait.host.systemd_units import Member, Unit
from portwait.model.case import Case
from portwait.model.owner import Owner
from portwait.model.targets import Target
from portwait.model.verdict import Verdict
from tests.support.programs import running

if TYPE_CHECKING:
    from pathlib import Path


def process(pid: int, name: str, unit: str | None = None, parent: int = 1, **how: Any) -> Owner:
    """Build a process as a diagnosis does."""
    return Owner(pid, name, how.pop("cmdline", (name, "-x")), "root", 1.0, unit=unit, parent=parent, **how)


def unit(name: str, main: int, *members: Member, mode: str = "control-group", state: str = "active") -> Unit:
    """Build a unit as systemd describes it."""
    return Unit(name, state, main, mode, members)


class Situation(NamedTuple):
    """Who has the port, what systemd says, what has to be printed, and what the words have to name."""

    owners: tuple[Owner, ...]
    units: tuple[Unit, ...]
    commands: tuple[str, ...]
    names: tuple[str, ...] = ()
    machine: Machine = Machine()
    supervisors: dict[int, Supervisor] = {}  # noqa: RUF012  # never changed
    port: int = 30010
    above: frozenset[int] = frozenset()
    began: int = 1000


NGINX = (process(300, "nginx", "nginx.service"), process(301, "nginx", "nginx.service", 300))
SSH = unit("ssh.service", 40, Member(40, "sshd", 1), Member(50, "sshd", 40), Member(51, "bash", 50), mode="process")
NETWORK = unit("NetworkManager.service", 60, Member(60, "NetworkManager", 1), Member(61, "dnsmasq", 60), mode="process")
APP = process(70, "python3", "app.service")
WORKERS = tuple(process(pid, "gunicorn", "web.service") for pid in range(80, 85))

SITUATIONS = {
    "the main process and its worker": Situation(
        NGINX,
        (unit("nginx.service", 300, Member(300, "nginx", 1), Member(301, "nginx", 300)),),
        ("systemctl stop nginx.service",),
    ),
    "what else the unit runs is named": Situation(
        (APP,),
        (unit("app.service", 70, Member(70, "python3", 1), Member(71, "redis-server", 70)),),
        ("systemctl stop app.service",),
        ("That ends redis-server (pid 71) of app.service too.",),
    ),
    "a worker that has the socket alone": Situation(
        (process(91, "haproxy", "haproxy.service", 90),),
        (unit("haproxy.service", 90, Member(90, "haproxy", 1), Member(91, "haproxy", 90), mode="mixed"),),
        ("systemctl stop haproxy.service",),
        ("haproxy (pid 90)",),
    ),
    "started by a shell script": Situation(
        (process(93, "beam.smp", "rabbitmq.service", 92),),
        (unit("rabbitmq.service", 92, Member(92, "sh", 1), Member(93, "beam.smp", 92)),),
        ("systemctl stop rabbitmq.service",),
    ),
    "the session of a login": Situation(
        (process(50, "sshd", "ssh.service", 40),), (SSH,), ("kill 50",), ("only a part of ssh.service", "ClientAlive")
    ),
    "sshd itself": Situation(
        (process(40, "sshd", "ssh.service"),),
        (SSH,),
        ("systemctl stop ssh.service",),
        ("Nobody can log in through it then",),
    ),
    "a helper of a daemon, KillMode=process": Situation(
        (process(61, "dnsmasq", "NetworkManager.service", 60),),
        (NETWORK,),
        ("kill 61",),
        ("only a part of NetworkManager.service",),
    ),
    "a helper of a daemon, KillMode=control-group": Situation(
        (process(61, "dnsmasq", "NetworkManager.service", 60),),
        (NETWORK._replace(kill_mode="control-group"),),
        ("kill 61",),
        ("Stopping the whole unit would also end NetworkManager (pid 60).",),
    ),
    "left over, the unit is not active": Situation(
        (APP,),
        (unit("app.service", 0, Member(70, "python3", 1), mode="process", state="failed"),),
        ("kill 70",),
        ("left over from an earlier run of app.service, which is failed now", "KillMode=control-group"),
    ),
    "left over, and this is the unit that starts": Situation(
        (APP,),
        (unit("app.service", 99, Member(70, "python3", 1), Member(99, "portwait", 1), mode="process"),),
        ("kill 70",),
        ("an earlier run of app.service, the very unit that starts now", "KillMode=control-group"),
        Machine(unit="app.service"),
    ),
    "of the run that this portwait is a part of": Situation(
        (APP._replace(birth=1000),),
        (unit("app.service", 99, Member(70, "python3", 1), Member(99, "portwait", 1), mode="process"),),
        ("kill 70",),
        ("python3 belongs to the same run of app.service as this portwait.",),
        Machine(unit="app.service"),
    ),
    "in a container": Situation((process(7, "node", container="podman:abc"),), (), ("podman stop abc",)),
    "in a pod's container": Situation(
        (process(7, "node", container="containerd:abc", pod="1234"),),
        (),
        ("crictl stop abc",),
        ("The kubelet starts it again",),
    ),
    "in a rootless container, which root's engine does not see": Situation(
        (process(7, "node", "libpod-abc.scope", container="podman:abc", user_unit=True),),
        (),
        ("kill 7",),
        ("runs in a rootless container: the user whose it is stops all of it with podman stop abc.",),
    ),
    "the login in which portwait is typed": Situation(
        (process(50, "sshd", "session-3.scope"),),
        (),
        ("kill 50",),
        ("This portwait runs below sshd (pid 50), so your own session may end with it.",),
        above=frozenset({50, 51}),
    ),
    "another login": Situation((process(60, "sshd", "session-4.scope"),), (), ("kill 60",), above=frozenset({50, 51})),
    "the main process and one that KillMode=process leaves": Situation(
        (process(70, "app", "app.service"), process(72, "helper", "app.service", 70)),
        (unit("app.service", 70, Member(70, "app", 1), Member(72, "helper", 70), mode="process"),),
        ("systemctl stop app.service", "kill 72"),
        ("KillMode=process, so stopping it leaves helper alone",),
    ),
    "the first process of a container": Situation(
        (process(1, "node"),), (), (), ("node is process 1 of this container: the container ends with it.",)
    ),
    "systemd itself, which is never killed": Situation(
        (process(1, "systemd"),), (), (), ("systemd has it open for one of its units",)
    ),
    "systemd-resolved, which has a setting": Situation(
        (process(120, "systemd-resolve", "systemd-resolved.service"),),
        (unit("systemd-resolved.service", 120, Member(120, "systemd-resolve", 1)),),
        (
            "mkdir -p /etc/systemd/resolved.conf.d",
            r"printf '\n%s\n%s\n' '[Resolve]' DNSStubListener=no >> /etc/systemd/resolved.conf.d/portwait.conf",
            "systemctl restart systemd-resolved.service",
        ),
        ("need not be stopped: DNSStubListener=no",),
        port=53,
    ),
    "dockerd without its proxy": Situation(
        (process(121, "dockerd", "docker.service"),),
        (unit("docker.service", 121, Member(121, "dockerd", 1), mode="process"),),
        ("docker ps --filter publish=30010/tcp",),
        ("stop it, not dockerd",),
    ),
    "the dnsmasq of a libvirt network": Situation(
        (
            process(
                61, "dnsmasq", "libvirtd.service", cmdline=("dnsmasq", "--conf-file=/var/lib/libvirt/dnsmasq/lan.conf")
            ),
        ),
        (unit("libvirtd.service", 60, Member(60, "libvirtd", 1), Member(61, "dnsmasq", 1), mode="process"),),
        ("kill 61",),
        ("its network lan", "<dns enable='no'/>"),
    ),
    "the dnsmasq of NetworkManager": Situation(
        (
            process(
                61, "dnsmasq", "NetworkManager.service", 60, cmdline=("dnsmasq", "--pid-file=/run/NetworkManager/x")
            ),
        ),
        (NETWORK,),
        (
            "mkdir -p /etc/NetworkManager/conf.d",
            r"printf '\n%s\n%s\n' '[main]' dns=default >> /etc/NetworkManager/conf.d/zz-portwait.conf",
            "systemctl reload NetworkManager.service",
        ),
        ("starts it again when it ends", "dns=default"),
    ),
    "the dnsmasq of a connection that NetworkManager shares": Situation(
        (
            process(
                61,
                "dnsmasq",
                "NetworkManager.service",
                60,
                cmdline=("dnsmasq", "--conf-dir=/etc/NetworkManager/dnsmasq-shared.d"),
            ),
        ),
        (NETWORK,),
        ("kill 61",),
        ("a connection that it shares, which fails when this ends",),
    ),
    "a program that only has the name of systemd-resolved": Situation(
        (process(122, "systemd-resolve", "session-3.scope"),), (), ("kill 122",), port=5355
    ),
    "the same in a unit of the user's that has its name too": Situation(
        (process(122, "systemd-resolve", "systemd-resolved.service", user_unit=True),), (), ("kill 122",), port=5355
    ),
    "a program that only has the words of NetworkManager's dnsmasq": Situation(
        (process(123, "dnsmasq", "session-3.scope", cmdline=("dnsmasq", "NetworkManager", "dnsmasq-shared.d")),),
        (),
        ("kill 123",),
    ),
    "all workers of a master that was killed": Situation(
        WORKERS, (unit("web.service", 0, state="failed"),), ("kill 80 81 82 83 84",), ("left over",)
    ),
    "stopped": Situation(
        (process(95, "python3", None, 94, state="T"),), (), ("kill 95; kill -CONT 95",), ("is stopped (Ctrl-Z",)
    ),
    "one of two stopped, not root": Situation(
        (process(95, "python3", state="T"), process(96, "python3", None, 95)),
        (),
        ("sudo kill 95 96; sudo kill -CONT 95",),
        ("python3 (pid 95) is stopped",),
        Machine(root=False),
    ),
    "a shell at a terminal ignores TERM": Situation(
        (process(97, "bash", "session-3.scope", cmdline=("-bash",)),), (), ("kill -HUP 97",)
    ),
    "systemd does not answer": Situation(
        (APP,),
        (),
        ("kill 70",),
        ("may start it again. To keep it stopped, stop that unit: systemctl stop app.service.",),
    ),
    "seen from a container": Situation(
        (APP,),
        (),
        ("kill 70",),
        ("may start it again. To keep it stopped, stop that unit on the host: systemctl stop app.service.",),
        Machine(systemd=False, container="docker"),
    ),
    "a user's own unit, seen from a container": Situation(
        (APP._replace(user_unit=True),),
        (),
        ("kill 70",),
        ("stop that unit on the host: systemctl --user stop app.service.",),
        Machine(systemd=False, container="docker"),
    ),
    "a socket unit would start it again": Situation(
        (APP,),
        (
            unit("app.service", 70, Member(70, "python3", 1))._replace(triggered_by=("app.socket", "app.timer")),
            Unit("app.socket", "active"),
        ),
        ("systemctl stop app.socket app.service",),
    ),
    "a unit that stops with it": Situation(
        (APP,),
        (
            unit("app.service", 70, Member(70, "python3", 1))._replace(dependents=("web.service", "off.service")),
            Unit("web.service", "active"),
            Unit("off.service", "inactive"),
        ),
        ("systemctl stop app.service",),
        ("web.service stops with app.service.",),
    ),
    "units that stop with one that stops with it, and with its socket": Situation(
        (APP,),
        (
            unit("app.service", 70, Member(70, "python3", 1))._replace(
                dependents=("web.service",), stops=("log.service",), triggered_by=("app.socket",)
            ),
            Unit("app.socket", "active", dependents=("app.service", "user.service")),
            Unit("web.service", "failed", dependents=("cache.service", "app.service")),
            Unit("cache.service", "active", stops=("web.service",)),
            Unit("log.service", "active"),
            Unit("user.service", "active"),
        ),
        ("systemctl stop app.socket app.service",),
        ("log.service, user.service and cache.service stop with app.service and app.socket.",),
    ),
    "no main process, alone in its unit": Situation(
        (APP,), (unit("app.service", 0, Member(70, "python3", 1)),), ("systemctl stop app.service",)
    ),
    "no main process, with others": Situation(
        (process(61, "dnsmasq", "libvirtd.service"),),
        (unit("libvirtd.service", 0, Member(60, "libvirtd", 1), Member(61, "dnsmasq", 1)),),
        ("kill 61",),
        ("libvirtd (pid 60)",),
    ),
    "a supervisor that would start it again": Situation(
        (process(98, "python3", "supervisor.service", 90),),
        (unit("supervisor.service", 90, Member(90, "supervisord", 1), Member(98, "python3", 90)),),
        ("supervisorctl stop web:app",),
        ("supervisord (pid 90) runs python3 and would start it again.",),
        supervisors={98: Supervisor("supervisord", 90, ("supervisorctl", "stop", "web:app"))},
    ),
    "a supervisor whose name for it is not known": Situation(
        (process(98, "node", None, 90),),
        (),
        ("kill 98",),
        ("PM2 (pid 90) starts node again when it ends: stop it there.",),
        supervisors={98: Supervisor("PM2", 90)},
    ),
}


SITUATIONS["numbers of another PID namespace"] = Situation(
    (
        process(98, "node", foreign_pid=True),
        *(owner._replace(foreign_pid=True) for owner in NGINX),
        process(1, "systemd", foreign_pid=True),
    ),
    SITUATIONS["the main process and its worker"].units,
    (),
    ("so no command is printed: run portwait explain in that namespace.",),
    supervisors={98: Supervisor("runsv", 90, ("sv", "stop", "/service"))},
)
SITUATIONS["of a container, with a number of another PID namespace"] = Situation(
    (process(7, "node", container="docker:abc", foreign_pid=True),), (), ("docker stop abc",)
)


@pytest.mark.parametrize("name", SITUATIONS)
def test_how_it_is_stopped(name: str) -> None:
    """The commands end the owners and what the words name, and nothing else."""
    given = SITUATIONS[name]
    facts = Facts(
        Case(Target(str(given.port), given.port), Verdict("held")),
        given.machine,
        units={(one.name, None): one for one in given.units},
        supervisors=given.supervisors,
        above=given.above,
        began=given.began,
    )
    stop = stopping.stop(facts, given.owners)
    assert ("runs below" in stop.words) == any(owner.pid in given.above for owner in given.owners)
    assert stop.commands == given.commands
    for words in given.names:
        assert words in stop.words


PAIR = unit("app.service", 70, Member(70, "python3", 1), Member(71, "redis-server", 70))


@pytest.mark.parametrize(
    ("owners", "units", "machine", "commands", "words"),
    [
        (
            NGINX,
            SITUATIONS["the main process and its worker"].units,
            Machine(),
            ["systemctl restart nginx.service"],
            "",
        ),
        (SITUATIONS["the session of a login"].owners, (SSH,), Machine(), [], ""),
        ((APP,), (unit("app.service", 0, state="failed"),), Machine(), [], ""),
        ((APP,), (unit("app.service", 70),), Machine(unit="app.service"), [], ""),
        ((APP,), (), Machine(), [], ""),
        ((APP._replace(foreign_pid=True),), (unit("app.service", 70),), Machine(), [], ""),
        ((process(7, "node", container="docker:abc"),), (), Machine(), ["docker restart abc"], ""),
        ((process(7, "node", container="docker:abc", user_unit=True),), (), Machine(), [], ""),
        (
            (APP,),
            (
                PAIR._replace(dependents=("web.service", "off.service"), stops=("log.service",)),
                Unit("web.service", "active", dependents=("b.service",)),
                Unit("b.service", "active"),
                Unit("log.service", "active"),
            ),
            Machine(),
            ["systemctl restart app.service"],
            " That ends redis-server (pid 71) of app.service too. web.service and b.service restart with app.service.",
        ),
    ],
)
def test_how_it_is_restarted(
    owners: tuple[Owner, ...], units: tuple[Unit, ...], machine: Machine, commands: list[str], words: str
) -> None:
    """Only what restarts exactly the owners, and the words name who goes with them."""
    case = Case(Target("30010", 30010), Verdict("held"))
    facts = Facts(case, machine, units={(one.name, None): one for one in units})
    assert stopping.restart(facts, owners) == stopping.Stop(tuple(commands), words)
    assert stopping.restart(facts, owners, beside={71}).words == words.removeprefix(
        " That ends redis-server (pid 71) of app.service too."
    )


@pytest.mark.parametrize(
    ("cmdline", "name"),
    [
        (("/usr/bin/python3", "/usr/bin/supervisord", "-n"), "supervisord"),
        (("runsv", "web"), "runsv"),
        (("s6-supervise", "web"), "s6-supervise"),
        (("PM2 v5.3.0: God Daemon (/root/.pm2)",), "PM2"),
        (("/usr/bin/supervise", "web"), "supervise"),
        (("bash",), None),
        ((), None),
        (("vi", "notes", "about", "supervisord"), None),
    ],
)
def test_supervisors_are_known_by_their_command_lines(cmdline: tuple[str, ...], name: str | None) -> None:
    """By the program's name, the nearest one first."""
    above = [process(2, "sh", cmdline=("sh", "start.sh")), process(999999999, "x", cmdline=cmdline)]
    supervisor = supervisor_of(process(999999998, "app"), above)
    assert (supervisor and supervisor.name) == name


LINUX = pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
WAIT = (sys.executable, "-IS", "-c", "import signal; print('ready', flush=True); signal.pause()")
"""Says when it runs: fork() and exec() are done a moment before /proc shows what it was started with."""


@LINUX
@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({"SUPERVISOR_PROCESS_NAME": "app", "SUPERVISOR_GROUP_NAME": "web"}, ("supervisorctl", "stop", "web:app")),
        ({"SUPERVISOR_PROCESS_NAME": "app", "SUPERVISOR_GROUP_NAME": "app"}, ("supervisorctl", "stop", "app")),
        ({"SUPERVISOR_PROCESS_NAME": "app"}, ("supervisorctl", "stop", "app")),
        ({"SUPERVISOR_GROUP_NAME": "web"}, None),
        ({"SUPERVISOR_PROCESS_NAME": "-app"}, None),
        ({"SUPERVISOR_PROCESS_NAME": "a\npp"}, None),
        ({}, None),
    ],
)
def test_what_supervisord_calls_a_program(environment: dict[str, str], command: tuple[str, ...] | None) -> None:
    """By the variables that it gave it; a name that steers a terminal, or would be an option, is none."""
    above = process(999999999, "python3", cmdline=("python3", "supervisord"))
    with running(WAIT, env=environment) as program:
        program.says("ready")
        supervisor = supervisor_of(process(program.pid, "app"), [above])
    assert supervisor == Supervisor("supervisord", above.pid, command)


@LINUX
@pytest.mark.parametrize(
    ("words", "conf"),
    [
        (("-n",), ()),
        (("-n", "-c", "/opt/my app/sup.conf"), ("-c", "/opt/my app/sup.conf")),
        (("-c/etc/sup.conf", "-n"), ("-c", "/etc/sup.conf")),
        (("-nc", "/etc/sup.conf"), ("-c", "/etc/sup.conf")),
        (("--configuration", "/etc/../opt/sup.conf"), ("-c", "/opt/sup.conf")),
        (("--configuration=/etc/sup.conf",), ("-c", "/etc/sup.conf")),
        (("-c", "conf/sup.conf"), ("-c", "{}/conf/sup.conf")),
    ],
)
def test_supervisorctl_is_told_the_configuration(words: tuple[str, ...], conf: tuple[str, ...], tmp_path: Path) -> None:
    """The one that supervisord itself was started with, a relative one below its working directory."""
    with running(WAIT, cwd=tmp_path, env={"SUPERVISOR_PROCESS_NAME": "app"}) as program:
        program.says("ready")
        above = process(program.pid, "supervisord", cmdline=("python3", "/usr/bin/supervisord", *words))
        supervisor = supervisor_of(process(program.pid, "app"), [above])
    expected = tuple(word.format(tmp_path) for word in conf)
    assert supervisor == Supervisor("supervisord", program.pid, ("supervisorctl", *expected, "stop", "app"))


@LINUX
@pytest.mark.parametrize(
    ("name", "command"),
    [("runsv", ("sv", "stop")), ("s6-supervise", ("s6-svc", "-d")), ("supervise", ("svc", "-d"))],
)
def test_the_folder_that_a_supervisor_works_in(name: str, command: tuple[str, ...], tmp_path: Path) -> None:
    """It is its service's, and what stops the service is told that folder; who has ended has none."""
    with running(WAIT, cwd=tmp_path) as program:
        program.says("ready")
        above = process(program.pid, name, cmdline=(name, "web"))
        assert supervisor_of(APP, [above]) == Supervisor(name, program.pid, (*command, str(tmp_path)))
    assert supervisor_of(APP, [above]) == Supervisor(name, program.pid)

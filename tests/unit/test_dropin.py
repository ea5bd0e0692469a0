"""Which drop-in `portwait unit` chooses for a unit, how it fills it in, and that contrib/systemd has the same text."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from portwait.commands.unit import _as_json, _as_text, _ends, _words, as_targets
from portwait.errors import UsageError
from portwait.host import permissions, systemd_units
from portwait.host.unit_files import is_guarded, settings
from portwait.model.sockets import KernelSocket
from portwait.options.table import rows_of
from portwait.systemd.dropin import GENERAL, Facts, fit
from portwait.systemd.dropin_templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable

CONTRIB = Path(__file__).parents[2] / "contrib/systemd"
_ANY4 = "0.0.0.0"  # noqa: S104  # an address of a listener in the tables
JAVA = "/usr/bin/java -jar /opt/orders/orders.jar"


def facts(*lines: str, **more: object) -> Facts:
    """Describe a unit whose [Service] has these lines, and ExecStart=JAVA where that is not among them."""
    own = list(lines) if any(line.startswith("ExecStart=") for line in lines) else [f"ExecStart={JAVA}", *lines]
    text = "\n".join(["# /etc/systemd/system/orders.service", "[Service]", *own])
    return Facts("orders.service", settings(text), ("30010",))._replace(**more)  # type: ignore[arg-type]  # fields


@pytest.mark.parametrize("name", TEMPLATES)
def test_contrib_has_the_same_text(name: str) -> None:
    """A head of comments, an empty line, and the template: one source."""
    text = (CONTRIB / name).read_text()
    assert text.endswith(f"\n\n{TEMPLATES[name]}")
    head = text.removesuffix(f"\n{TEMPLATES[name]}")
    assert all(line.startswith("#") for line in head.splitlines())


def test_the_options_table_offers_the_templates() -> None:
    """Completion knows them; the table stands on a lower floor and has a list of its own."""
    [row] = [row for row in rows_of("unit") if row.key == "template"]
    assert sorted(row.offers) == sorted(GENERAL)


def test_every_drop_in_of_contrib_is_a_template() -> None:
    """And none is forgotten."""
    assert {str(file.relative_to(CONTRIB)) for file in CONTRIB.rglob("*.conf")} == set(TEMPLATES)


PYENV = ("/opt/portwait", "/root/.pyenv/versions/3.13.0/bin/python3.13")
"""A folder of portwait's that root has made with a Python of root's own."""

CHOICES = [
    # lines of the unit, what else is known, the template, a word of the reason
    ([], {}, "guard-exec.conf", "Type=simple"),
    (["Type=notify"], {}, "guard-exec.conf", "Type=notify"),
    (["Restart=no"], {}, "guard-exec.conf", "becomes the service"),
    (["Restart=always"], {}, "guard-fdstore.conf", "Restart=always"),
    (["Restart=on-failure", "Type=forking"], {}, "guard-fdstore.conf", "Restart=on-failure"),
    (["Type=oneshot"], {}, "guard-pre.conf", "oneshot"),
    (["ExecStart=/bin/a", "ExecStart=/bin/b"], {}, "guard-pre.conf", "single ExecStart="),
    (["ExecStart=@/bin/a b c"], {}, "guard-pre.conf", "single ExecStart="),
    (["ExecStart=/bin/a", "ExecStart=", "ExecStart=/bin/b"], {}, "guard-exec.conf", "becomes"),
    (["NoExecPaths=/"], {}, "guard-pre.conf", "NoExecPaths="),
    (["RootDirectory=/srv/root"], {}, "guard-pre.conf", "RootDirectory="),
    (["AppArmorProfile=orders"], {}, "guard-pre.conf", "AppArmorProfile="),
    (["Restart=always"], {"selinux": True}, "guard-pre.conf", "SELinux"),
    (["Restart=always"], {"selinux": True, "user": True}, "guard-fdstore.conf", "Restart="),
    (["ProtectHome=yes"], {"program": "/home/me/bin/portwait"}, "guard-pre.conf", "ProtectHome="),
    (["ProtectHome=no"], {"program": "/home/me/bin/portwait"}, "guard-exec.conf", "becomes"),
    (["ProtectHome=read-only"], {"program": "/home/me/bin/portwait"}, "guard-exec.conf", "becomes"),
    (["ProtectHome=tmpfs"], {"runtime": PYENV}, "guard-pre.conf", f"ProtectHome= hides {PYENV[1]} from"),
    (["InaccessiblePaths=-/srv /root"], {"runtime": PYENV}, "guard-pre.conf", f"InaccessiblePaths= hides {PYENV[1]} "),
    (["TemporaryFileSystem=/opt:ro"], {"runtime": PYENV}, "guard-pre.conf", "TemporaryFileSystem= hides /opt/portwait"),
    (["TemporaryFileSystem=/:ro"], {}, "guard-pre.conf", "TemporaryFileSystem= hides /usr/local/bin/portwait from"),
    (["TemporaryFileSystem=/op", "InaccessiblePaths=/rootless"], {"runtime": PYENV}, "guard-exec.conf", "becomes"),
    (
        ["ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'", "ProtectHome=yes"],
        {"unit": "nginx.service", "program": "/home/me/bin/portwait"},
        "guard-pre.conf",
        "ProtectHome= hides",
    ),
    (["ExecStart=/usr/bin/gunicorn app:wsgi", "Restart=always"], {}, "guard-listen.conf", "gunicorn"),
    (["Restart=always"], {"socket_unit": "orders.socket"}, "guard-socket.conf", "orders.socket"),
    (
        ["ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'"],
        {"unit": "nginx.service"},
        "debian/nginx.conf",
        "Debian",
    ),
    (["ExecStart=/opt/nginx/nginx"], {"unit": "nginx.service"}, "guard-exec.conf", "becomes"),
    (["User=daemon", "Restart=always"], {"closed": "User=daemon cannot"}, "guard-pre.conf", "User=daemon cannot"),
    (
        ["ExecStart=/usr/sbin/nginx -g 'daemon on; master_process on;'", "User=www-data"],
        {"unit": "nginx.service", "closed": "User=www-data cannot"},
        "guard-pre.conf",
        "User=www-data cannot",
    ),
    ([f"ExecStart=+{JAVA}", "NoExecPaths=/"], {}, "guard-exec.conf", "becomes"),
    ([f"ExecStart=-+{JAVA}", "AppArmorProfile=orders"], {}, "guard-exec.conf", "becomes"),
    ([f"ExecStart=+{JAVA}", "ProtectHome=yes"], {"runtime": PYENV}, "guard-exec.conf", "becomes"),
    ([f"ExecStart=+{JAVA}", "InaccessiblePaths=/root"], {"runtime": PYENV}, "guard-exec.conf", "becomes"),
    ([f"ExecStart=+{JAVA}", "TemporaryFileSystem=/opt"], {"runtime": PYENV}, "guard-pre.conf", "TemporaryFileSystem="),
    ([f"ExecStart=+{JAVA}", "RootDirectory=/srv/root"], {}, "guard-pre.conf", "RootDirectory="),
    ([f"ExecStart=!{JAVA}", "NoExecPaths=/"], {}, "guard-pre.conf", "NoExecPaths="),
    (["User=daemon"], {"closed": "x", "socket_unit": "orders.socket"}, "guard-socket.conf", "orders.socket"),
]


@pytest.mark.parametrize(("lines", "more", "template", "reason"), CHOICES)
def test_what_of_the_unit_decides(lines: list[str], more: dict[str, object], template: str, reason: str) -> None:
    """The first reason that applies, and it is said."""
    made = fit(facts(*lines, **more))
    assert made.template == template
    assert reason in made.why[0]


FILLED = [
    # lines, what else is known, a line that is there, a line or part that is not
    ([], {}, f"ExecStart=/usr/local/bin/portwait 30010 -- {JAVA}", "app.jar"),
    ([], {"program": "/opt/p/bin/portwait"}, f"ExecStart=/opt/p/bin/portwait 30010 -- {JAVA}", "/usr/local"),
    ([], {"program": "/opt/my tools/portwait"}, f'ExecStart="/opt/my tools/portwait" 30010 -- {JAVA}', "/usr/local"),
    ([], {"program": "/opt/50%/portwait"}, f"ExecStart=/opt/50%%/portwait 30010 -- {JAVA}", "/usr/local"),
    (
        [],
        {"targets": ("80", "127.0.0.1:8005")},
        f"ExecStart=/usr/local/bin/portwait 80 127.0.0.1:8005 -- {JAVA}",
        "\n30010",
    ),
    (
        [],
        {"targets": ("[fe80::1%eth0]:80",)},
        f"ExecStart=/usr/local/bin/portwait [fe80::1%%eth0]:80 -- {JAVA}",
        "\n30010",
    ),
    (["ExecStart=-/bin/a 'b  c' $D %i"], {}, "ExecStart=-/usr/local/bin/portwait 30010 -- /bin/a 'b  c' $D %i", "java"),
    (["ExecStart=+/bin/a"], {}, "ExecStart=+/usr/local/bin/portwait 30010 -- /bin/a", "java"),
    (["Restart=always"], {"targets": ("80", "81")}, "FileDescriptorStoreMax=2", "FileDescriptorStoreMax=1"),
    (["Restart=always", "FileDescriptorStoreMax=4"], {}, "FileDescriptorStoreMax=5", "FileDescriptorStoreMax=1"),
    (
        ["Restart=always", f"FileDescriptorStoreMax={'9' * 5000}"],
        {},
        "FileDescriptorStoreMax=1",
        "FileDescriptorStoreMax=2",
    ),
    ([], {}, "NotifyAccess=exec", "RestrictAddressFamilies"),
    (["NotifyAccess=all"], {}, "RestartPreventExitStatus=125 126 127", "NotifyAccess"),
    (["RestrictAddressFamilies=AF_UNIX AF_INET"], {}, "RestrictAddressFamilies=AF_NETLINK AF_INET6", "ExecPaths"),
    (["RestrictAddressFamilies=AF_INET6 AF_NETLINK"], {}, "NotifyAccess=exec", "RestrictAddressFamilies"),
    (["RestrictAddressFamilies=AF_UNIX", "ExecStart=+/bin/a"], {}, "NotifyAccess=exec", "RestrictAddressFamilies"),
    (["RestrictAddressFamilies=~AF_PACKET"], {}, "NotifyAccess=exec", "RestrictAddressFamilies"),
    (["Type=oneshot"], {}, "ExecStartPre=+/usr/local/bin/portwait 30010", "ExecStart="),
    (["Type=oneshot"], {"user": True}, "ExecStartPre=/usr/local/bin/portwait 30010", "With `+`"),
    (["Type=oneshot", "NoExecPaths=/"], {}, "ExecStartPre=+/usr/local/bin/portwait 30010", "ExecPaths"),
    ([], {"socket_unit": "orders.socket"}, "ExecStartPre=/usr/local/bin/portwait 30010", "[Service]"),
]


@pytest.mark.parametrize(("lines", "more", "there", "absent"), FILLED)
def test_it_is_filled_in(lines: list[str], more: dict[str, object], there: str, absent: str) -> None:
    """With the unit's own command as it was written, its ports, and what its hardening lacks."""
    body = fit(facts(*lines, **more)).body
    assert there in body.splitlines()
    assert absent not in body


REDIS = ("NoExecPaths=/", "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX", "User=redis", "Restart=always")
REDIS_COMMAND = "/usr/bin/redis-server /etc/redis/redis.conf --supervised systemd --daemonize no"


@pytest.mark.parametrize("lines", [*(row[0] for row in FILLED), [*REDIS, f"ExecStart={REDIS_COMMAND}"]])
@pytest.mark.parametrize("more", [{}, {"user": True}, {"unit": "redis-server.service"}])
def test_every_line_is_whole(lines: list[str], more: dict[str, object]) -> None:
    """Whatever was taken out of a template and added to it: comments, one section, and settings, none of them twice."""
    text = fit(facts(*lines, **more)).body.splitlines()
    assert text[0] == "[Service]"
    set_here = [line for line in text[1:] if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+=[^#]*", line) for line in set_here)
    names = [line.partition("=")[0] for line in set_here]
    assert len(names) - len(set(names)) == (1 if "ExecStart" in names else 0), "ExecStart= is emptied first"


@pytest.mark.parametrize("template", [name for name in GENERAL if name != "guard-socket.conf"])
def test_a_template_can_be_asked_for(template: str) -> None:
    """Whatever would have been chosen; the line that installs it names it again."""
    made = fit(facts(), template)
    assert made.template == template
    assert f"--template {template}" in made.install[1]


def test_what_cannot_be_asked_for() -> None:
    """A template that has nothing to stand before, or no socket unit to belong to."""
    with pytest.raises(UsageError, match="exactly one ExecStart="):
        fit(facts("ExecStart=/bin/a", "ExecStart=/bin/b"), "guard-exec.conf")
    with pytest.raises(UsageError, match="expected guard-exec"):
        fit(facts(), "debian/nginx.conf")
    with pytest.raises(UsageError, match="no socket unit"):
        fit(facts(), "guard-socket.conf")


LIMITS = [
    ([], {}, "guard-pre.conf", "cannot hold the port"),
    (["User=app"], {}, "guard-exec.conf", "not whose it is (User= of the unit)"),
    (["DynamicUser=yes", "ProtectProc=invisible"], {}, "guard-exec.conf", "(DynamicUser=, ProtectProc= of the unit)"),
    ([], {"user": True}, "guard-exec.conf", "a user's own unit"),
    (["User=app", f"ExecStart=+{JAVA}"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["DynamicUser=yes", "ProtectProc=invisible", f"ExecStart=+{JAVA}"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["CapabilityBoundingSet=CAP_CHOWN", f"ExecStart=+{JAVA}"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["User=app", f"ExecStart=!{JAVA}"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["User=app", "ProtectKernelTunables=yes", f"ExecStart=-!{JAVA}"], {}, "guard-exec.conf", "cannot reserve"),
    (["User=app", "ProtectProc=invisible", f"ExecStart=!{JAVA}"], {}, "guard-exec.conf", "(ProtectProc= of the unit)"),
    (["User=app", f"ExecStart=!!{JAVA}"], {}, "guard-exec.conf", "not whose it is (User= of the unit)"),
    (["CapabilityBoundingSet=CAP_CHOWN"], {}, "guard-exec.conf", "no CAP_NET_ADMIN"),
    (["CapabilityBoundingSet=~CAP_NET_ADMIN"], {}, "guard-exec.conf", "no CAP_NET_ADMIN"),
    (["CapabilityBoundingSet=~CAP_SYS_PTRACE"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["CapabilityBoundingSet="], {}, "guard-exec.conf", "no CAP_NET_ADMIN"),
    (["CapabilityBoundingSet=CAP_NET_ADMIN", "CapabilityBoundingSet="], {}, "guard-exec.conf", "no CAP_NET_ADMIN"),
    (["CapabilityBoundingSet=", "CapabilityBoundingSet=CAP_NET_ADMIN"], {}, "guard-exec.conf", "SO_REUSEADDR"),
    (["CapabilityBoundingSet=", "CapabilityBoundingSet=~CAP_KILL"], {}, "guard-exec.conf", "no CAP_NET_ADMIN"),
    (["CapabilityBoundingSet=CAP_KILL", "CapabilityBoundingSet=~"], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    (["CapabilityBoundingSet=cap_net_admin", "CapabilityBoundingSet=CAP_KILL"], {}, "guard-exec.conf", "SO_REUSEADDR"),
    (
        ["CapabilityBoundingSet=CAP_NET_ADMIN CAP_KILL", "CapabilityBoundingSet=~CAP_NET_ADMIN"],
        {},
        "guard-exec.conf",
        "no CAP_NET_ADMIN",
    ),
    (["ProtectKernelTunables=yes"], {}, "guard-exec.conf", "cannot reserve"),
    (["ProtectHome=yes"], {"runtime": PYENV}, "guard-exec.conf", "203/EXEC: ProtectHome= hides"),
    (["RestrictAddressFamilies=~AF_NETLINK"], {}, "guard-exec.conf", "forbids AF_NETLINK"),
    ([], {"targets": ("53/udp",)}, "guard-exec.conf", "cannot hold a UDP port"),
    (["Delegate=yes"], {}, "guard-exec.conf", "Delegate="),
    ([], {}, "guard-exec.conf", "without SO_REUSEADDR"),
    ([], {"socket_unit": "orders.socket"}, "guard-socket.conf", "systemd's own bind()"),
]


@pytest.mark.parametrize(("lines", "more", "template", "said"), LIMITS)
def test_it_says_what_it_cannot_do(lines: list[str], more: dict[str, object], template: str, said: str) -> None:
    """By what of the unit takes it away."""
    assert any(said in text for text in fit(facts(*lines, **more), template).cannot)


def test_where_it_goes_and_how() -> None:
    """Three lines; a user's own folder for a user's unit; a socket unit starts again when its service has stopped."""
    assert fit(facts()).install == (
        "mkdir -p /etc/systemd/system/orders.service.d",
        "/usr/local/bin/portwait unit orders.service 30010 > /etc/systemd/system/orders.service.d/portwait.conf",
        "systemctl daemon-reload && systemctl restart orders.service",
    )
    own = fit(facts(user=True))
    assert own.path == "~/.config/systemd/user/orders.service.d/portwait.conf"
    assert own.install[2] == "systemctl --user daemon-reload && systemctl --user restart orders.service"
    sockets = fit(facts(socket_unit="orders.socket"))
    assert sockets.path == "/etc/systemd/system/orders.socket.d/portwait.conf"
    assert sockets.install[2].endswith("systemctl stop orders.service && systemctl restart orders.socket")


def test_units_files_are_read_as_systemd_reads_them() -> None:
    """Continued lines, comments among them, resets, sections, and without our own drop-in of an earlier time."""
    text = """\
# /lib/systemd/system/orders.service
[Unit]
ExecStart=/not/this
[Service]
ExecStart=/bin/a \\
# a comment
  --b
; another
# /usr/bin/a is no file of the unit, and neither is
# /usr/bin/a.py
NoExecPaths=/
User = app

# /etc/systemd/system/orders.service.d/other.conf
[Service]
NoExecPaths=
ExecStartPre=/bin/x
# /etc/systemd/system/orders.service.d/portwait.conf
# the head of our own
[Service]
ExecStart=
ExecStart=/usr/local/bin/portwait 30010 -- /bin/a --b
"""
    assert settings(text) == {"ExecStart": ["/bin/a  --b"], "User": ["app"], "ExecStartPre": ["/bin/x"]}


@pytest.mark.parametrize(
    ("listeners", "targets", "family"),
    [
        pytest.param([("::", True)], ("8080",), 6, id="ipv6-only"),
        pytest.param([("::1", True)], ("[::1]:8080",), 6, id="ipv6-loopback"),
        pytest.param([("::", False)], ("8080",), 0, id="dual-stack"),
        pytest.param([(_ANY4, None)], ("8080",), 0, id="ipv4"),
        pytest.param([(_ANY4, None), ("::", True)], ("8080",), 0, id="both"),
        pytest.param([("127.0.0.1", None)], ("127.0.0.1:8080",), 0, id="ipv4-loopback"),
        pytest.param([("::ffff:127.0.0.1", False)], ("127.0.0.1:8080",), 0, id="mapped"),
        pytest.param([("127.0.0.1", None), ("::1", True)], ("127.0.0.1:8080", "[::1]:8080"), 0, id="loopback"),
        pytest.param([("10.0.0.5", None), ("127.0.0.1", None)], ("8080",), 0, id="interfaces"),
        pytest.param([("fe80::1", True)], ("8080",), 6, id="link-local"),
    ],
)
def test_what_it_listens_on_now(
    listeners: list[tuple[str, bool | None]], targets: tuple[str, ...], family: int
) -> None:
    """A service of IPv6 alone is guarded as such: the hold of -6 spares one without SO_REUSEADDR."""
    sockets = [
        KernelSocket(
            10 if ":" in address else 2, "tcp", "LISTEN", None, address, 8080, "::", 0, 0, 1, 0, 1, v6only=v6only
        )
        for address, v6only in listeners
    ]
    assert as_targets(sockets) == (targets, family)


def test_the_family_is_in_the_lines() -> None:
    """In the command that guards, and in the one that prints the drop-in again."""
    made = fit(facts(family=6))
    assert " -6 30010 -- " in made.body
    assert any(" orders.service -6 30010 > " in line for line in made.install)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "cannot guard nothing: name a UNIT"),
        (("orders!",), "cannot read unit 'orders!': expected a service's name"),
        (("-orders",), "unrecognized arguments: -orders"),
        (("",), "cannot read unit '': expected a service's name"),
        (("orders.socket",), "cannot guard 'orders.socket': only services are guarded"),
        (("orders@.timer", "30010"), "cannot guard 'orders@.timer': only services are guarded"),
        (
            ("tmpl@", "30017"),
            "cannot guard 'tmpl@.service': it is a template; name an instance, as in `portwait unit tmpl@NAME",
        ),
        (("tmpl@.service",), "it is a template; name an instance"),
    ],
)
def test_what_cannot_be_guarded(
    words: tuple[str, ...], said: str, main: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    """No unit, none of systemd's names, none that is a service, none that systemd has: in words, and status 125."""
    assert main("unit", *words) == 125
    assert said in capfd.readouterr().err


UNKNOWN = [
    # words, whether there is a systemctl, whether systemd runs, what systemctl shows, what is said
    ((), True, True, [{"LoadState": "not-found"}], "systemctl knows no such unit here"),
    (("--user",), True, True, [{"LoadState": "not-found"}], "systemctl --user knows no such unit here"),
    ((), True, True, [{"Id": "orders.service", "LoadState": "masked"}], "it is masked"),
    (("--user",), True, True, [], "systemctl --user does not answer here"),
    ((), True, False, [], "systemd does not run here"),
    ((), False, False, [], "there is no systemctl here"),
]


@pytest.mark.parametrize(("words", "installed", "runs", "known", "said"), UNKNOWN)
def test_why_a_unit_is_unknown(
    *,
    words: tuple[str, ...],
    installed: bool,
    runs: bool,
    known: list[dict[str, str]],
    said: str,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Rule: that systemctl knows no such unit is said only where systemctl says so."""
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/systemctl" if installed else None)
    monkeypatch.setattr(systemd_units, "is_running", lambda: runs)
    monkeypatch.setattr(systemd_units, "show", lambda *_, **__: known)
    monkeypatch.setattr(systemd_units, "cat", lambda *_, **__: "")
    assert main("unit", *words, "orders", "30010") == 125
    assert capfd.readouterr().err == f"portwait: cannot read 'orders.service': {said}\n"


def test_a_unit_by_another_name(
    main: Callable[..., int], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rule: an alias (`mysql` is mariadb.service) stands for its unit, and the drop-in goes to that."""
    unit = {"Id": "mariadb.service", "LoadState": "loaded"}
    text = f"# /usr/lib/systemd/system/mariadb.service\n[Service]\nExecStart={JAVA}\n"
    monkeypatch.setattr(systemd_units, "show", lambda names, *_, **__: [unit] if "mysql.service" in names else [])
    monkeypatch.setattr(systemd_units, "cat", lambda *_, **__: text)
    assert main("unit", "mysql", "3306") == 0
    assert capfd.readouterr().out.startswith("# /etc/systemd/system/mariadb.service.d/portwait.conf\n")


MODES = {
    "/": (0o755, 0, 0),
    "/opt": (0o755, 0, 0),
    "/opt/open": (0o755, 0, 0),
    "/opt/listed": (0o711, 0, 0),
    "/opt/listed/portwait": (0o755, 0, 0),
    "/opt/strict": (0o700, 0, 0),
    "/opt/strict/portwait": (0o755, 0, 0),
    "/opt/theirs": (0o700, 33, 33),
    "/opt/group": (0o2750, 0, 33),
    "/opt/odd": (0o705, 0, 33),
    "/opt/script": (0o744, 0, 0),
    "/opt/binary": (0o711, 0, 0),
}
"""Paths: the mode, the owner and the group."""

CLOSED = [
    # paths, the user and its groups, what is closed
    (["/opt/open"], permissions.NOBODY, (), ""),
    (["/opt/listed/portwait"], permissions.NOBODY, (), ""),
    (["/opt/listed"], permissions.NOBODY, (), "/opt/listed (mode 0711)"),
    (["/opt/open", "/opt/strict/portwait"], permissions.NOBODY, (), "/opt/strict (mode 0700)"),
    (["/opt/strict/portwait"], 33, (33,), "/opt/strict (mode 0700)"),
    (["/opt/strict/portwait"], 0, (), ""),
    (["/opt/theirs"], 33, (), ""),
    (["/opt/theirs"], 34, (33,), "/opt/theirs (mode 0700)"),
    (["/opt/group"], 34, (7, 33), ""),
    (["/opt/group"], 34, (7,), "/opt/group (mode 2750)"),
    (["/opt/odd"], 34, (33,), "/opt/odd (mode 0705)"),
    (["/opt/script"], permissions.NOBODY, (), "/opt/script (mode 0744)"),
    (["/opt/binary"], permissions.NOBODY, (), "/opt/binary (mode 0711)"),
    (["/opt/missing/portwait", "/opt/script/"], permissions.NOBODY, (), "/opt/script (mode 0744)"),
    ([], permissions.NOBODY, (), ""),
]


@pytest.mark.parametrize(("paths", "uid", "groups", "expected"), CLOSED)
def test_which_path_is_closed(paths: list[str], uid: int, groups: tuple[int, ...], expected: str) -> None:
    """Rule: the owner's bits count for the owner, the group's for its members, else those of others."""

    def stat(path: str) -> os.stat_result:
        if path not in MODES:
            raise FileNotFoundError(path)
        mode, owner, group = MODES[path]
        return os.stat_result((mode, 0, 0, 0, owner, group, 0, 0, 0, 0))

    assert permissions.closed(paths, uid, groups, stat=stat) == expected


def test_a_users_number_and_groups() -> None:
    """By name and by number; of one that is not there nothing is known."""
    assert permissions.account("root")[0] == permissions.account("0")[0] == 0
    assert 0 in permissions.account("root")[1]
    assert permissions.account("no-such-user") == permissions.account("4294967290") == (permissions.NOBODY, frozenset())


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (["User=daemon"], "User=daemon cannot execute portwait: {path} (mode 0700) is closed to it"),
        (["DynamicUser=yes"], "DynamicUser= cannot execute portwait: {path} (mode 0700) is closed to it"),
        (["User=root"], "portwait becomes the service"),
        (["DynamicUser=no"], "portwait becomes the service"),
        (["User=daemon", f"ExecStart=+{JAVA}"], "portwait becomes the service"),
        (["User=daemon", f"ExecStart=-:!{JAVA}"], "portwait becomes the service"),
        (["User=daemon", f"ExecStart=!!{JAVA}"], "User=daemon cannot execute portwait: {path} (mode 0700) is closed"),
    ],
)
def test_a_program_that_the_units_user_cannot_execute(
    lines: list[str],
    reason: str,
    *,
    tmp_path: Path,
    main: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Rule: portwait stands in front of ExecStart= only where the one who runs that can execute portwait."""
    closed = tmp_path / "closed"
    closed.mkdir(0o700)
    (closed / "portwait").touch(0o755)

    def stat(path: str) -> os.stat_result:  # who runs the tests may have closed what is above
        return Path(path if path.startswith(str(closed)) else "/").stat()

    monkeypatch.setattr(permissions, "closed", partial(permissions.closed, stat=stat))
    own = lines if any(line.startswith("ExecStart=") for line in lines) else [*lines, f"ExecStart={JAVA}"]
    text = "\n".join(["# /etc/systemd/system/orders.service", "[Service]", *own, ""])
    unit = {"Id": "orders.service", "LoadState": "loaded"}
    monkeypatch.setattr(sys, "argv", [str(closed / "portwait")])
    monkeypatch.setattr(systemd_units, "show", lambda names, *_, **__: [unit] if "orders.service" in names else [])
    monkeypatch.setattr(systemd_units, "cat", lambda *_, **__: text)
    assert main("unit", "--json", "orders", "30010") == 0
    made = json.loads(capfd.readouterr().out)
    assert made["why"][0].startswith(reason.format(path=closed))
    assert made["template"] == ("guard-pre.conf" if "closed" in reason else "guard-exec.conf")
    assert main("unit", "--json", "--template", "guard-exec.conf", "orders", "30010") == 0
    assert ("203/EXEC" in json.loads(capfd.readouterr().out)["cannot"][0]) == ("closed" in reason)


@pytest.mark.parametrize(
    ("lines", "freebind", "targets"),
    [
        (["[::]:8080 (Stream)"], False, ("8080",)),
        (["0.0.0.0:8080 (Stream)", "[::]:8080 (Stream)"], False, ("8080",)),
        (["127.0.0.1:8080 (Stream)"], False, ("127.0.0.1:8080",)),
        (["127.0.0.1:8080 (Stream)", "[::1]:8080 (Stream)"], False, ("127.0.0.1:8080", "[::1]:8080")),
        (["10.0.0.5:8080 (Stream)"], False, ("10.0.0.5:8080",)),
        (["10.0.0.5:8080 (Stream)"], True, ("8080",)),
        (["[::]:514 (Datagram)"], False, ("514/udp",)),
        (["127.0.0.1:53 (Datagram)", "127.0.0.1:53 (Stream)"], False, ("127.0.0.1:53", "127.0.0.1:53/udp")),
        (["/run/orders.sock (Stream)", "[::]:8080 (Stream)"], False, ("8080",)),
        (["/run/a:80 (Stream)", "@a:81 (Stream)", "vsock::1024 (Stream)", "kobject-uevent 1 (Netlink)", ""], False, ()),
    ],
)
def test_what_a_socket_unit_listens_on(*, lines: list[str], freebind: bool, targets: tuple[str, ...]) -> None:
    """Rule: the protocol and the address are the unit's, for nothing else is in its way; paths and vsock are no ports.

    With FreeBind= the address is left out: the unit does not wait until it is there.
    """
    ends = _ends(systemd_units.Unit("orders.socket", listens=tuple(lines), freebind=freebind))
    assert _words((end.protocol, end.port, end.address) for end in ends) == targets


def test_the_text_and_the_json_say_the_same() -> None:
    """As text, all that is to be said stands as comments before the drop-in itself; as JSON each is a key."""
    made = fit(facts("Restart=always", "DynamicUser=yes", "ProtectProc=invisible"))
    text, told = _as_text(made), json.loads(_as_json(made, ("30010",)))
    assert "# Install it, as root:" in text
    assert "# Install it:" in _as_text(fit(facts(user=True)))
    comments, body = text.partition("\n\n")[::2]
    assert body == made.body == told["drop_in"]
    assert all(line == "#" or (line.startswith("# ") and len(line) <= 120) for line in comments.splitlines())
    said = " ".join(line.removeprefix("#").strip() for line in comments.splitlines())
    assert made.cannot
    for each in (made.path, *made.why, *made.cannot, *made.install):
        assert " ".join(each.split()) in said
    assert told == {
        "schema": 1,
        "unit": "orders.service",
        "targets": ["30010"],
        "template": made.template,
        "path": made.path,
        "why": [*made.why],
        "cannot": [*made.cannot],
        "install": [*made.install],
        "drop_in": made.body,
    }


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/usr/local/bin/portwait 30010 -- /bin/a", True),
        ("-+/usr/local/bin/portwait 30010 -- /bin/a", True),
        ('"/opt/my tools/portwait" 30010 -- /bin/a', True),
        ("portwait --timeout=inf 30010", True),
        ("/usr/bin/env A=b portwait 30010 -- /bin/a", True),
        ("/opt/venv/bin/python -m portwait 30010 -- /bin/a", True),
        ("/opt/portwait-demo/bin/server --port 30010", False),
        ("/opt/portwait/python/bin/gunicorn app:wsgi", False),
        ("/usr/bin/portwait-exporter 30010 -- a", False),
        ("/usr/bin/server --user portwait", False),
        ("/usr/bin/server -- portwait", False),
        ("/usr/bin/java -jar app.jar", False),
        ("", False),
    ],
)
def test_what_is_guarded_already(command: str, expected: bool) -> None:
    """Rule: portwait is the program, or stands before `--`; a folder or an argument of that name is the service's."""
    assert is_guarded(command) is expected

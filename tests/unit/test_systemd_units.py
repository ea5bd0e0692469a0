"""What `systemctl show` prints, taken apart, and the time that it gets."""

from __future__ import annotations

import time

import pytest

from portwait.host import systemd_units
from portwait.host.ask import ask
from portwait.host.systemd_units import Unit

SHOWN = """\
Id=app.socket
LoadState=loaded
ActiveState=active
Listen=0.0.0.0:8080 (Stream)
Listen=[::1]:8080 (Stream)
Listen=/run/app.sock (Stream)
Listen=5353 (Datagram)
Triggers=app.service

Id=app.service
LoadState=loaded
ActiveState=failed
MainPID=17
KillMode=process
ControlGroup=
TriggeredBy=app.socket app.timer
RequiredBy=web.service
RequisiteOf=late.service
ConsistsOf=web.service part.service
PropagatesStopTo=log.service
NFileDescriptorStore=2

Id=none.service
LoadState=not-found
"""


def test_the_units_of_a_text() -> None:
    """One block for each unit, a property that comes twice in one; what is not loaded is left out."""
    read = [systemd_units._unit(block) for block in systemd_units._blocks(SHOWN)]
    assert read == [
        Unit(
            "app.socket",
            "active",
            listens=(
                "0.0.0.0:8080 (Stream)",
                "[::1]:8080 (Stream)",
                "/run/app.sock (Stream)",
                "5353 (Datagram)",
            ),
            triggers=("app.service",),
        ),
        Unit(
            "app.service",
            "failed",
            17,
            "process",
            triggered_by=("app.socket", "app.timer"),
            dependents=("web.service", "late.service", "part.service"),
            stops=("log.service",),
            stored=2,
        ),
        None,
    ]


@pytest.mark.parametrize(
    ("protocol", "port", "state", "listens"),
    [
        ("tcp", 8080, "active", True),
        ("udp", 8080, "active", False),
        ("udp", 5353, "active", True),
        ("tcp", 808, "active", False),
        ("tcp", 80, "active", False),
        ("tcp", 8080, "failed", False),
        ("tcp", 8080, "inactive", False),
    ],
)
def test_what_a_socket_unit_listens_on(protocol: str, port: int, state: str, *, listens: bool) -> None:
    """Protocol and port count, and a unit that is not active does not listen."""
    unit = systemd_units._unit(next(systemd_units._blocks(SHOWN)))
    assert unit is not None
    assert unit._replace(active_state=state).listens_on(protocol, port) is listens


@pytest.mark.parametrize(
    "text",
    [
        *("", "\n\n", "garbage", "Id=", "=x", "Id=a.service\nMainPID=x\nNFileDescriptorStore=-1"),
        f"Id=a.service\nMainPID={'9' * 5000}",  # int() refuses as many digits
    ],
)
def test_any_text_is_read(text: str) -> None:
    """Whatever is printed, nothing raises."""
    units = [systemd_units._unit(block) for block in systemd_units._blocks(text)]
    assert all(unit is None or unit.main_pid == 0 for unit in units)


@pytest.mark.parametrize(
    ("user", "uid", "runtime", "own"),
    [
        pytest.param("root", 0, "/run/user/0", True, id="by-name"),
        pytest.param("root", 0, "", False, id="without-a-runtime-folder"),
        pytest.param("root", 4711, "/run/user/4711", False, id="another-user"),
        pytest.param("4294900000", 4294900000, "/run/user/4294900000", True, id="a-user-without-a-name"),
        pytest.param("4294900000", 0, "/run/user/0", False, id="another-user-without-a-name"),
        pytest.param("no-such-user", 0, "/run/user/0", False, id="nobody"),
        pytest.param("", 0, "/run/user/0", False, id="no-name-at-all"),
    ],
)
def test_whose_manager_answers_directly(
    monkeypatch: pytest.MonkeyPatch, user: str, uid: int, runtime: str, *, own: bool
) -> None:
    """Our own does; a user whom the users' database does not know, in a container say, goes by the number."""
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert systemd_units._is_own(user) is own


def test_an_answer_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """After PATIENCE the program is killed, and nothing is known."""
    monkeypatch.setattr("portwait.host.ask.PATIENCE", 0.05)
    began = time.monotonic()
    assert ask(("sh", "-c", "echo Id=x; exec sleep 1000")) is None
    assert time.monotonic() - began < 10


def test_a_program_that_is_missing_or_fails_is_no_fault() -> None:
    """As where there is no systemd."""
    assert ask(("no-such-program",)) is None
    assert ask(("false",)) is None

"""The Tanuki Java Service Wrapper, Debian's: what it takes, how it is recognised, and that the cures work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.golden import UNBROKEN, assert_golden
from tests.support.guarding import run
from tests.support.packages import needs
from tests.support.programs import portwait, running
from tests.support.states import states_on
from tests.support.surroundings import PLAIN_HOST, cgroup, in_cgroup

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.guarding import Outcome
    from tests.support.programs import Program
    from tests.world.conftest import Workshop

pytestmark = [pytest.mark.world, pytest.mark.usefixtures("net")]

GOLDEN = Path(__file__).parent / "golden"
WRAPPER, JAR, LIBRARY = "/usr/sbin/wrapper", "/usr/share/java/wrapper.jar", "/usr/lib/jni/libwrapper.so"
CONF = """\
#encoding=UTF-8
wrapper.java.command=java
wrapper.java.mainclass=org.tanukisoftware.wrapper.WrapperSimpleApp
wrapper.java.classpath.1={jar}
wrapper.java.classpath.2={classes}
wrapper.java.library.path.1={library}
wrapper.java.additional.1=-Xmx64m
wrapper.java.additional.2=-XX:+UseSerialGC
wrapper.java.additional.3=-XX:TieredStopAtLevel=1
wrapper.app.parameter.1=Idle
wrapper.console.flush=TRUE
wrapper.logfile={folder}/wrapper.log"""  # the last line has no end: what is appended must begin a new one


class Product:
    """A product under the wrapper, in a folder of its own."""

    def __init__(self, folder: Path, classes: str) -> None:
        needs(WRAPPER, "service-wrapper")
        needs(LIBRARY, "libservice-wrapper-jni")
        self.conf = folder / "conf" / "wrapper.conf"
        self.conf.parent.mkdir(parents=True)
        text = CONF.format(jar=JAR, classes=classes, library=Path(LIBRARY).parent, folder=folder)
        self.conf.write_text(text)

    @contextlib.contextmanager
    def runs(self, *properties: str, conf: str = "") -> Iterator[Program]:
        """Run it for the length of the body; a JVM stands below it then."""
        words = (WRAPPER, conf or str(self.conf), *properties)
        with cgroup("product") as folder, running([*in_cgroup(folder), *words]) as wrapper:
            wrapper.says("ready")
            yield wrapper
            wrapper.signal()
            wrapper.status()


@pytest.fixture
def product(tmp_path: Path, workshop: Workshop) -> Product:
    """Install an unknown product."""
    return Product(tmp_path / "product", workshop._classes)


def explain(port: int) -> dict[str, Any]:
    """Ask for JSON; the one target."""
    done = run(portwait("explain", "--json", str(port)))
    (target,) = json.loads(done.out)["targets"]
    assert done.status == (target["verdict"] == "held")
    return target  # type: ignore[no-any-return]  # JSON


def commands(port: int, code: str) -> list[str]:
    """Answer what a remedy for the port says to paste."""
    return [line for one in explain(port)["remedies"] if one["code"] == code for line in one["commands"]]


def taken() -> int:
    """Count what is on its usual ports; the TIME_WAIT of a run before this one has no process."""
    found = [one for port in (31000, 32000) for one in explain(port)["blockers"]]
    return sum(one["kind"] != "time-wait" for one in found)


def assert_report(name: str, product: Product, port: int) -> None:
    """Compare the report on a port with the one that is kept."""

    def look(*options: str) -> Outcome:
        return run([*PLAIN_HOST, *portwait("explain", *options, str(port))], env={**os.environ, **UNBROKEN})

    assert_golden(GOLDEN / f"{name}.txt", look, {"FOLDER": str(product.conf.parent.parent)})


@pytest.mark.parametrize(("name", "port"), [("wrapper-jvm", 31000), ("wrapper-listener", 32000)])
def test_the_report_on_it(product: Product, name: str, port: int) -> None:
    """What it is, what its file says now, the lines to append, ready to paste; and no key is shown."""
    with product.runs():
        assert_report(name, product, port)


def test_both_processes_are_seen_from_either_port(product: Product) -> None:
    """The JVM connects from the first, the wrapper accepts on the second: both ends are on this host."""
    with product.runs() as wrapper:
        (client,) = explain(31000)["blockers"]
        assert client["kind"] == "outbound"
        assert client["peer"]["pid"] == wrapper.pid
        assert client["owners"][0]["name"] == "java"
        assert "-Dwrapper.key=***" in client["owners"][0]["cmdline"]
        (listener,) = explain(32000)["blockers"]
        assert listener["kind"] == "listener"
        assert listener["owners"] == client["owners"]
        with running(portwait("--no-reuseaddr", "--timeout", "0", "--log-format", "json", "32000")) as guard:
            assert guard.status() == 124
        event = json.loads(next(line for line in guard.err if '"held"' in line))
        assert wrapper.pid in [owner["pid"] for one in event["blockers"] for owner in one["owners"]]
        assert [one["code"] for one in event["remedies"]][:2] == ["tanuki-wrapper", "tanuki-wrapper-ports"]


def test_pasting_the_pipe_line_frees_both_ports(product: Product) -> None:
    """As shown, in a shell; after a restart it takes no port at all."""
    with product.runs():
        append, *_ = commands(31000, "tanuki-wrapper")
    subprocess.run(["bash", "-c", append], check=True)
    assert product.conf.read_text().splitlines()[-1] == "wrapper.backend.type=PIPE"
    with product.runs():
        assert taken() == 0


def test_pasting_the_port_lines_moves_it(product: Product) -> None:
    """Out of the way of the port that was asked for; where it is then, the report knows what its file says."""
    with product.runs():
        append, *_ = commands(31000, "tanuki-wrapper-ports")
    subprocess.run(["bash", "-c", append], check=True)
    lines = dict(line.split("=") for line in product.conf.read_text().splitlines()[-4:])
    server, client = int(lines["wrapper.port.min"]), int(lines["wrapper.jvm.port.min"])
    with product.runs():
        assert taken() == 0
        assert (states_on(client), states_on(server)) == (["ESTABLISHED"], ["ESTABLISHED", "LISTEN"])
        found = explain(client)
        (first, *_) = found["remedies"]
        assert first["code"] == "tanuki-wrapper"
        assert ", ".join(f"{key}={lines[key]}" for key in sorted(lines)) in first["summary"]
        assert_report("wrapper-moved", product, client)


def test_a_file_that_says_pipe_while_an_older_one_runs(product: Product) -> None:
    """Then nothing is missing but the restart."""
    with product.runs():
        with product.conf.open("a") as file:
            file.write("\nwrapper.backend.type=PIPE\n")
        codes = {one["code"]: one["summary"] for one in explain(31000)["remedies"]}
        assert_report("wrapper-pipe", product, 31000)
    assert "says wrapper.backend.type=PIPE already" in codes["tanuki-wrapper"]
    assert "tanuki-wrapper-ports" not in codes


def test_a_path_from_its_own_folder(product: Product) -> None:
    """The wrapper goes to the folder of its program and reads the path from there; so do we."""
    relative = os.path.relpath(product.conf, Path(WRAPPER).parent)
    with product.runs(conf=relative):
        append, *_ = commands(31000, "tanuki-wrapper")
    assert append.endswith(f" >> {product.conf}")


@pytest.mark.parametrize(
    ("folder", "script"),
    [
        ("CloudResetPwdUpdateAgent", "cloudResetPwdUpdateAgent.script"),
        ("CloudrResetPwdAgent", "cloudResetPwdAgent.script"),
        ("CloudResetPwdAgent", "cloudResetPwdAgent.script"),
    ],
)
def test_the_agents_of_the_cloud_image(tmp_path: Path, workshop: Workshop, folder: str, script: str) -> None:
    """By their folders, with their own scripts to restart them."""
    product = Product(tmp_path / folder, workshop._classes)
    with product.runs():
        (first, *_) = explain(31000)["remedies"]
    assert first["summary"].startswith(f"{folder.replace('dr', 'd')} runs under the Tanuki Java Service Wrapper")
    assert first["commands"][1:] == [f"{tmp_path / folder}/bin/{script} restart"]


def cleared(path: Path) -> Path:
    """Make room for something else."""
    path.unlink()
    return path


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cleared, "No such file or directory"),
        (lambda conf: os.mkfifo(cleared(conf)), "it is no regular file"),
        (lambda conf: cleared(conf).symlink_to("/etc/passwd"), "it is a symbolic link"),
        (lambda conf: cleared(conf).mkdir(), "it is no regular file"),
        (lambda conf: conf.write_text("x" * (1 << 18) + "x"), "it is too large"),
        (lambda conf: os.mknod(cleared(conf), 0o20600, os.makedev(1, 5)), "it is no regular file"),
    ],
    ids=["gone", "fifo", "link", "folder", "huge", "device"],
)
def test_a_file_that_an_enemy_wrote(product: Product, spoil: Any, reason: str) -> None:
    """It is not read, nothing waits for it, and the report says why and is otherwise the same."""
    with product.runs():
        spoil(product.conf)
        (first, *_) = explain(31000)["remedies"]
    assert f"could not be read: {reason}" in first["summary"]
    assert first["commands"][0].endswith(f" >> {product.conf}")


def test_a_file_below_links(product: Product, tmp_path: Path) -> None:
    """Folders on the way may be links, as on many a system."""
    (tmp_path / "link").symlink_to(product.conf.parent.parent)
    with product.runs("wrapper.jvm.port.max=31500", conf=str(tmp_path / "link" / "conf" / "wrapper.conf")):
        (first, *_) = explain(31000)["remedies"]
    assert "It says now: wrapper.jvm.port.max=31500." in first["summary"]


def test_a_hostile_file(product: Product) -> None:
    """What it says is shown as text."""
    with product.conf.open("a") as file:
        file.write("\nwrapper.port.min=32000\nwrapper.port.max=\x1b[2J32999\n")
    with product.runs("wrapper.port.max=32999"):
        with product.conf.open("a") as file:
            file.write("wrapper.jvm.port.min=\x1b[31m\u202e" + "x" * 1000 + "\n")
        (first, *_) = explain(31000)["remedies"]
    assert first["summary"].isprintable()
    assert r"wrapper.jvm.port.min=\x1b[31m\u202exxx" in first["summary"]
    assert len(first["summary"]) < 800


def users_own(program: Path) -> dict[str, Any]:
    """Run it as a user without rights."""
    del program
    return {"user": 65534, "group": 65534, "extra_groups": ()}


def as_sudo_waits(program: Path) -> dict[str, Any]:
    """Run it out of a set-user-ID program, all of whose uids are root's already."""
    shutil.copy("/bin/cat", program)
    program.chmod(0o4755)
    return {"executable": str(program)}


@pytest.mark.parametrize("how", [users_own, as_sudo_waits])
def test_an_impostor(tmp_path: Path, how: Any) -> None:
    """What anybody may write into a command line is shown, but root is given no command with it, and no product."""
    conf = "/evil/CloudResetPwdUpdateAgent/conf/wrapper.conf"
    options = {"executable": "/bin/cat", "cwd": "/", "stdin": subprocess.PIPE, **how(tmp_path / "cat")}
    with contextlib.ExitStack() as stack:
        with socket.create_server(("127.0.0.1", 31000)) as held:
            descriptors = (held.fileno(),)
            impostor = stack.enter_context(running(["wrapper", "-", conf], pass_fds=descriptors, **options))
            impostor.tell("ready")  # /proc shows a command line a moment after exec()
            impostor.says("ready")
        found = explain(31000)
    (blocker,) = found["blockers"]
    assert [one["pid"] for one in blocker["owners"]] == [impostor.pid]
    assert not any("/evil" in line for one in found["remedies"] for line in one["commands"])
    (first,) = (one for one in found["remedies"] if one["code"] == "tanuki-wrapper")
    assert " says that it runs under" in first["summary"]
    assert conf in first["summary"]

"""Servers of many kinds start over the default hold and answer as they do without portwait."""

from __future__ import annotations

import contextlib
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.asking import http, talk
from tests.support.descriptors import sockets_of
from tests.support.netns import private_network
from tests.support.packages import needs
from tests.support.programs import eventually, portwait, running
from tests.support.states import states_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.descriptors import Held
    from tests.support.programs import Program
    from tests.world.conftest import Workshop

pytestmark = pytest.mark.world

PORT = 30010
HELPERS = Path(__file__).parent / "helpers"


def line(port: int) -> bytes:
    return talk(port, b"guard\n")


def redis(port: int) -> bytes:
    return talk(port, b"PING\r\nQUIT\r\n")


def dns(port: int) -> bytes:
    """Ask for the address of `service.test`."""
    name = b"".join(bytes([len(label)]) + label for label in (b"service", b"test", b""))
    query = struct.pack("!6H", 1, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1)
    return talk(port, struct.pack("!H", len(query)) + query, finish=True)


def configured(folder: Path, text: str) -> str:
    """Write a configuration file for a server, and answer its path."""
    path = folder / "server.conf"
    path.write_text(text.format(folder=folder, port=PORT))
    return str(path)


NGINX = """
daemon off; user root; pid {folder}/pid; error_log stderr;
events {{ }}
http {{
    access_log off;
    server {{ listen {port}; listen [::]:{port}; return 200 "hello from nginx\\n"; }}
}}
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog /dev/stderr
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
User www-data
Group www-data
Listen {port}
Redirect 410 /
ErrorDocument 410 "hello from apache"
"""
HAPROXY = """
defaults
    mode http
    timeout client 9s
frontend hello
    bind *:{port}
    http-request return status 200 content-type text/plain string hello
"""


@dataclass(frozen=True)
class Server:
    """One kind of server: what it needs, how it starts, how it is asked."""

    name: str
    program: str
    package: str
    ask: Callable[[int], bytes]
    argv: Callable[[Workshop, Path], list[str]]
    closes_descriptors: bool = False
    """It closes all that it inherited before it does anything else, and so the hold with it."""

    def __str__(self) -> str:
        return self.name


JAVA = ("java", "openjdk-17-jdk-headless")
SERVERS = (
    Server("java-channel", *JAVA, http, lambda make, _: make.java("ChannelService", str(PORT))),
    Server("java-httpserver", *JAVA, http, lambda make, _: make.java("HttpService", str(PORT))),
    Server("java-tomcat", *JAVA, http, lambda make, folder: make.java("TomcatService", str(PORT), str(folder))),
    Server("go", "go", "golang-go", http, lambda make, _: make.go(str(PORT))),
    Server("node", "node", "nodejs", http, lambda *_: ["node", str(HELPERS / "serve.js"), str(PORT)]),
    Server(
        "nginx", "nginx", "nginx-light", http,
        lambda _, folder: ["nginx", "-p", str(folder), "-e", "stderr", "-c", configured(folder, NGINX)],
    ),
    Server(
        "apache", "apache2", "apache2-bin", http,
        lambda _, folder: ["apache2", "-D", "FOREGROUND", "-f", configured(folder, APACHE)],
    ),
    Server("haproxy", "haproxy", "haproxy", http, lambda _, folder: ["haproxy", "-f", configured(folder, HAPROXY)]),
    Server(
        "redis", "redis-server", "redis-server", redis,
        lambda _, folder: ["redis-server", "--port", str(PORT), "--save", "", "--dir", str(folder)],
    ),
    Server(
        "gunicorn", "gunicorn", "gunicorn", http,
        lambda *_: ["gunicorn", "--bind", f":{PORT}", "--chdir", str(HELPERS), "applications:wsgi"],
    ),
    Server(
        "uvicorn", "uvicorn", "uvicorn", http,
        lambda *_: ["uvicorn", "--host=0.0.0.0", "--port", str(PORT), "--app-dir", str(HELPERS), "applications:asgi"],
    ),
    Server(
        "python-tcpserver", sys.executable, "python3", line,
        lambda *_: [sys.executable, str(HELPERS / "serve_plain.py"), str(PORT)],
    ),
    Server("perl", "perl", "perl", line, lambda *_: ["perl", str(HELPERS / "serve.pl"), str(PORT)]),
    Server("ruby", "ruby", "ruby", line, lambda *_: ["ruby", str(HELPERS / "serve.rb"), str(PORT)]),
    Server("php", "php", "php-cli", http, lambda *_: ["php", "-S", f"0.0.0.0:{PORT}", str(HELPERS / "serve.php")]),
    Server(
        "socat", "socat", "socat", talk,
        lambda *_: ["socat", f"TCP-LISTEN:{PORT},fork", "SYSTEM:echo hello from socat"],
    ),
    Server(
        "dnsmasq", "dnsmasq", "dnsmasq-base", dns,
        lambda *_: [
            *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--user=root"),
            *("--pid-file=", f"--port={PORT}", "--host-record=service.test,192.0.2.1"),
        ],
        closes_descriptors=True,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Service:
    """What can be seen of a server that serves."""

    executable: str
    listening: frozenset[str]
    """The addresses on which the very process that was started listens."""
    answer: bytes


@pytest.mark.parametrize("server", SERVERS, ids=str)
def test_a_server_starts_over_the_hold_as_it_does_bare(server: Server, workshop: Workshop, tmp_path: Path) -> None:
    """Under portwait the same process listens on the same addresses and answers the same; the hold stays in it."""
    needs(server.program, server.package)
    folders = {name: tmp_path / name for name in ("bare", "guarded")}
    for folder in folders.values():
        folder.mkdir()

    with started(server.argv(workshop, folders["bare"])) as program:
        bare = seen(program, server)
        assert not holds(program.pid), "a hold without portwait: this test cannot tell"
    with started(portwait(str(PORT), "--", *server.argv(workshop, folders["guarded"]))) as program:
        guarded = seen(program, server)
        assert len(holds(program.pid)) == (0 if server.closes_descriptors else 1), sockets_of(program.pid)
        assert "portwait" not in "".join(program.err), "the guard is silent when the port is free"

    assert guarded == bare
    assert bare.listening
    assert bare.answer


@contextlib.contextmanager
def started(argv: list[str] | list[str | bytes]) -> Iterator[Program]:
    """Start a server in a private network, wait until the port has a listener, and end it in the server's own way."""
    with private_network(), running(argv) as program:
        try:
            eventually(lambda: program.process.poll() is not None or "LISTEN" in states_on(PORT), f"a start of {argv}")
            assert program.process.poll() is None, program.describe()
            yield program
        finally:
            program.signal()  # to the master, which ends its workers
            program.status()


def seen(program: Program, server: Server) -> Service:
    """Ask the server and look at its process."""
    answer = server.ask(PORT)
    listening = frozenset(held.address for held in sockets_of(program.pid) if held.listening and held.port == PORT)
    return Service(str(Path(f"/proc/{program.pid}/exe").readlink()), listening, answer)


def holds(pid: int) -> list[Held]:
    """Find the default holds that a process has: [::]:PORT, V6ONLY, not listening, out of the way of scripts."""
    return [
        held
        for held in sockets_of(pid)
        if (held.address, held.port, held.listening, held.v6only) == ("::", PORT, False, True)
        and 100 <= held.number < 1024
    ]

"""Draw docs/guard.svg from a real terminal session: the incident, with a real Redis and real Java.

Run as root, with the `test` group installed: `python docs/picture.py` writes the picture, `--check` compares it with
what the session shows now and ends with 1 where they differ.

Everything happens on a machine of its own, which the tests boot too. The kernel has only 30010 to give to the client;
then the range is 1024-65000 again. What differs from run to run (PIDs, times) is left as it was.
"""

from __future__ import annotations

import difflib
import fcntl
import html
import io
import os
import pty
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from tests.support.systemd import machine  # noqa: E402  # found by the line above

PICTURE = ROOT / "docs" / "guard.svg"
COLUMNS, ROWS = 110, 40

COMMANDS = (
    "java -jar orders.jar 2>&1 | head -1",
    "netstat -ntl | grep 30010",
    "portwait --evict 30010 -- java -jar orders.jar",
)
"""What is typed."""

_MAIN = (
    "public class {} {{ public static void main(String[] a) throws Exception {{ {}.main(new String[] {{ {} }}); }} }}"
)
_STAGE = """
set -e
cd /srv
javac -d classes PooledClient.java HttpService.java
javac -d classes -cp classes Orders.java Shop.java
jar cfe orders.jar Orders -C classes .
jar cfe shop.jar Shop -C classes .
touch redis.log shop.log
redis-server --port 7000 --bind 127.0.0.1 --save '' >redis.log &
redis=$!
while ! grep -q 'Ready to accept' redis.log; do sleep 0.05; done
echo 30010 30010 >/proc/sys/net/ipv4/ip_local_port_range
mkfifo orders_of_shop said
java -jar shop.jar <orders_of_shop >shop.log &
shop=$!
exec 9>orders_of_shop
while ! grep -q ready shop.log; do sleep 0.05; done
echo 1024 65000 >/proc/sys/net/ipv4/ip_local_port_range
"""
_PROMPT = "printf '\\033[1m$ %s\\033[0m\\n' {}\n"
_RUN = "{} || :\n"
_RUN_LAST = """{} >said &
head -1 said
kill $!
wait $! || :
"""
"""The last command becomes the service, which is ended as soon as it is ready."""


def main() -> None:
    """Draw, or compare."""
    session = record()
    drawing = draw(session)
    if sys.argv[1:] == ["--check"]:
        difference = list(difflib.unified_diff(lines(PICTURE.read_text()), lines(drawing), lineterm="", n=0))
        if difference:
            print(f"{PICTURE.name} is stale; draw it again: python docs/picture.py", *difference, sep="\n")
            sys.exit(1)
        return
    PICTURE.write_text(drawing)


def record() -> str:
    """Run the session; all that a terminal of COLUMNS columns was sent."""
    with machine() as host:
        host.write("/srv/Orders.java", _MAIN.format("Orders", "HttpService", '"30010"'))
        host.write("/srv/Shop.java", _MAIN.format("Shop", "PooledClient", '"127.0.0.1", "7000"'))
        for name in ("PooledClient.java", "HttpService.java"):
            host.write(f"/srv/{name}", (ROOT / "tests" / "world" / "java" / name).read_text())
        typed = [
            _PROMPT.format(shlex.quote(command)) + (_RUN_LAST if command == COMMANDS[-1] else _RUN).format(command)
            for command in COMMANDS
        ]
        environment = {
            "HOME": "/root",
            "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        process = subprocess.Popen(
            host.start("setsid", "--ctty", "sh", "-c", "".join([_STAGE, *typed, "kill $shop $redis\n"])),
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            close_fds=True,
        )
        os.close(theirs)
        sent = io.BytesIO()
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # EIO: the last program has closed the terminal
                break
            if not piece:
                break
            sent.write(piece)
        os.close(ours)
        if process.wait() != 0:
            sys.exit(f"the session failed:\n{sent.getvalue().decode()}")
    return sent.getvalue().decode()


def draw(session: str) -> str:
    """Turn what the terminal was sent into a picture; a live line that was taken away is not in it."""
    seen = "\n".join(re.split(r"\r\x1b\[K", line)[-1] for line in session.replace("\r\n", "\n").rstrip().split("\n"))
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(seen), soft_wrap=False)
    drawing = console.export_svg(title="portwait", theme=MONOKAI, unique_id="portwait")
    return re.sub(r"(?s)\s*@font-face \{.*?\}", "", drawing).replace("Fira Code", "ui-monospace") + "\n"


def lines(drawing: str) -> list[str]:
    """Read the picture's text, with a mark for each number that differs from run to run."""
    texts = re.findall(r'<text [^>]*?y="([\d.]+)"[^>]*>(.*?)</text>', drawing)
    rows: dict[str, str] = {}
    for height, text in texts:
        rows[height] = rows.get(height, "") + html.unescape(text).replace("\xa0", " ")
    shown = (re.sub(r"\d+(\.\d+)?(ms|s)\b", "N s", re.sub(r"pid \d+", "pid N", row)).rstrip() for row in rows.values())
    return [row for row in shown if row]


if __name__ == "__main__":
    main()

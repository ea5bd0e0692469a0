"""How many connections this network namespace has opened: the kernel's own count."""

from __future__ import annotations


def active_opens() -> int | None:
    """Answer how often connect() has sent a SYN since the namespace came to be; None where that cannot be read.

    The folder is the thread's: /proc/net is the one of the process's first thread.
    """
    try:
        with open("/proc/thread-self/net/snmp", encoding="ascii", errors="replace") as file:
            return parse(file.read())
    except OSError:
        return None


def parse(text: str) -> int | None:
    """Pick Tcp's ActiveOpens out of /proc/net/snmp: a line of names, then a line of numbers."""
    rows = [line.split() for line in text.splitlines() if line.startswith("Tcp:")]
    if len(rows) != 2 or "ActiveOpens" not in rows[0]:
        return None
    value = rows[1][rows[0].index("ActiveOpens") : rows[0].index("ActiveOpens") + 1]
    return int(value[0]) if value and value[0].isascii() and value[0].isdigit() else None

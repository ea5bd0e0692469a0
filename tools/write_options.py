"""Write what comes from the table of options: the manual's options, docs/environment.md, the help, the completions.

python tools/write_options.py           writes the files that differ, and names them
python tools/write_options.py --check   names them only, and ends with 1 where there are any
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["COLUMNS"] = "80"

from portwait.options import completion, parser
from portwait.options.record import GUARD
from portwait.options.table import rows_of

if TYPE_CHECKING:
    from portwait.options.row import Row

ROOT = Path(__file__).parents[1]
MANUAL = ROOT / "man" / "portwait.1"
_BLOCK = re.compile(r'(\.\\" options of (\w+), by tools/write_options\.py\n).*?(\.\\" end of options\n)', re.DOTALL)

_ENVIRONMENT = """\
# Environment variables

*Written by `python tools/write_options.py` from the table of options (portwait/options/table.py).*

Every option of the guard but `--terminate`, `--signal` and `--kill-after` can be set in the environment, for images
and units. The option wins over its variable, and an empty variable says nothing. `explain`, `evict`, `pick` and `unit`
read the variables of the options that they have. A flag is set by `1`, `yes`, `true` or `on`, and cleared by `0`, `no`,
`false` or `off`.

| variable | option | value | what it does |
| --- | --- | --- | --- |
{rows}
| `PORTWAIT_TARGETS` | | targets, with spaces or commas | where the guard, `explain` or `evict` has no TARGET |

A value that cannot be read is an error (125) that names the variable. Any other variable that begins with `PORTWAIT_`
is named in one line and has no effect, except those that Kubernetes sets for a Service called portwait
(`PORTWAIT_PORT*`, `PORTWAIT_SERVICE_*`).

portwait also reads `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` (a target that systemd has passed a socket for is
the service's already), `NOTIFY_SOCKET` (it tells systemd what it waits for), `JOURNAL_STREAM`, `COLUMNS`, `TERM` and
`NO_COLOR`, `FORCE_COLOR` (what its lines look like).
"""


def manual() -> str:
    """Put the options of the guard and of each verb into their blocks of the manual."""
    return _BLOCK.sub(lambda block: block[1] + _block(block[2]) + block[3], MANUAL.read_text())


def _block(verb: str) -> str:
    if verb == GUARD:
        return "".join(f".TP\n{_flags(row)}\n{_roff(_sentence(row))}\n" for row in rows_of(verb))
    shared = [row for row in rows_of(verb) if GUARD in row.verbs and row.key != "help"]
    own = [row for row in rows_of(verb) if GUARD not in row.verbs]
    text = "".join(f".IP\n{_flags(row)}:\n{_roff(row.text)}.\n" for row in own)
    if shared:
        flags = [
            flag for row in shared for flag in (*row.flags, *(row.other[:1] if row.other and row.other[2] else ()))
        ]
        text += ".IP\nAs of the guard: \\fB{}\\fR.\n".format(_roff("\\fR, \\fB".join(flags)))
    return text


def _flags(row: Row) -> str:
    """Write an option's spellings, `-t, --timeout DURATION`, in bold and its value in italics."""
    value = "" if not row.metavar else f"[=\\fI{row.metavar}\\fB]" if row.bare else f" \\fI{row.metavar}\\fB"
    spelt = ", ".join(row.flags) + value
    if row.other and row.other[2]:
        spelt += f", {row.other[0]}"
    return _roff(f"\\fB{spelt}\\fR")


def _sentence(row: Row) -> str:
    text = row.text[0].upper() + row.text[1:] + "."
    if row.other and row.other[2]:
        text += f" {row.other[0]}: {row.other[2]}."
    return f"{text} {row.more}".strip()


def _roff(text: str) -> str:
    return text.replace("-", "\\-")


def variables() -> str:
    """Write the table of variables."""
    return _ENVIRONMENT.format(rows="\n".join(_variable(row) for row in rows_of(GUARD) if row.variable))


def _variable(row: Row) -> str:
    flags, text = [*row.flags, *(row.other[:1] if row.other and row.other[2] else ())], row.text
    if row.key == "family":
        value, text = "`4`, `6`, `0` (both)", "only this family"
    elif row.offers and row.metavar and row.reader != "duration" and not row.offers[0].isupper():
        value = ", ".join(f"`{offer}`" for offer in row.offers)
    else:
        value = row.metavar or "yes or no"
    return f"| `{row.variable}` | {', '.join(f'`{flag}`' for flag in flags)} | {value} | {text} |"


def files() -> dict[Path, str]:
    """Say what each file should hold."""
    return {
        MANUAL: manual(),
        ROOT / "docs" / "environment.md": variables(),
        ROOT / "tests" / "unit" / "golden_help.txt": parser.parser().format_help(),
        ROOT / "contrib" / "completions" / "portwait.bash": completion.script("bash"),
        ROOT / "contrib" / "completions" / "_portwait": completion.script("zsh"),
        ROOT / "contrib" / "completions" / "portwait.fish": completion.script("fish"),
    }


def main() -> int:
    """Compare, and write."""
    stale = [path for path, text in files().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(path.relative_to(ROOT))
        if "--check" not in sys.argv:
            path.write_text(files()[path])
    return int(bool(stale) and "--check" in sys.argv)


if __name__ == "__main__":
    sys.exit(main())

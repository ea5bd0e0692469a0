"""What a terminal, or whatever else an output goes to, can show: how wide it is, whether it has colours."""

from __future__ import annotations

import os

from portwait.text.layout import Paper

_NARROWEST, _WIDEST = 40, 100
_USUAL = 80


def paper(descriptor: int) -> Paper:
    """Fit the terminal that a descriptor is; into a pipe or a file nothing is wrapped, for grep reads lines."""
    try:
        terminal = os.isatty(descriptor)
    except OSError:
        terminal = False
    width = min(max(_NARROWEST, columns(descriptor)), _WIDEST) if terminal else 0
    return Paper(width, colours=colours(terminal=terminal))


def columns(descriptor: int) -> int:
    """Count a terminal's columns; COLUMNS wins. One that says 0, a serial console for example, is taken for 80."""
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isascii() and wanted.isdigit() and 0 < len(wanted) < 5 and int(wanted):
        return int(wanted)
    try:
        return os.get_terminal_size(descriptor).columns or _USUAL
    except OSError:
        return _USUAL


def colours(*, terminal: bool) -> bool:
    """Whether to use colours: NO_COLOR says no, FORCE_COLOR says yes (not empty, no-color.org, force-color.org)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "0") not in ("", "0"):
        return True
    return terminal and os.environ.get("TERM") not in (None, "", "dumb")

"""What can go wrong for portwait itself; `portwait.cli` turns each into words and an exit status, nowhere else."""

from __future__ import annotations

import os


class PortwaitError(Exception):
    """portwait cannot do what it was asked to do; the text says "cannot VERB OBJECT: why", then the cure."""

    status = 125


class UsageError(PortwaitError):
    """The command line, or an environment variable of an option, cannot be read."""


class CommandNotFoundError(PortwaitError):
    """The command to become does not exist."""

    status = 127  # as env, nohup and timeout (POSIX.1-2017, XCU 2.8.2)


class CommandNotExecutableError(PortwaitError):
    """The command to become exists, but the kernel will not run it."""

    status = 126  # likewise


def quote(word: str, longest: int = 60) -> str:
    """Repeat in a message what somebody wrote: quoted, cut, without control characters."""
    return ascii(word if len(word) <= longest else word[:longest] + "...")


class TablesError(PortwaitError):
    """The socket tables cannot be read; the text is the reason alone, for whoever reports what is lost."""


def reason(fault: Exception) -> str:
    """Say in one line why something failed: what the system refused, in its words, or a bug of portwait's."""
    if isinstance(fault, PortwaitError):
        why = str(fault)
    elif isinstance(fault, OSError):  # no descriptor is left (EMFILE), a disk fails (EIO)
        why = fault.strerror or str(fault)
        why = why if fault.filename is None else f"{why}: {os.fsdecode(fault.filename)}"
    elif isinstance(fault, MemoryError):
        why = "not enough memory"
    elif isinstance(fault, ImportError) or str(fault).startswith(("module '", "unknown encoding: ")):
        why = f"{fault}; portwait's files, or Python's, are not all there or cannot be read"
    else:
        why = f"{type(fault).__name__}: {fault}".partition("\n")[0] + "; this is a bug in portwait"
    return why.partition("\n")[0]


def own_fault(verb: str, fault: Exception) -> str:
    """Put into one line what portwait itself could not do; the service starts all the same."""
    why = reason(fault)
    what = f"failed to {why[len('cannot ') :]}" if why.startswith("cannot ") else f"failed to {verb}: {why}"
    return f"{what}; continuing without it"

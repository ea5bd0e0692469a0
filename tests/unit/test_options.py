"""The guard's options as a record."""

from __future__ import annotations

import math
import signal

import pytest

from portwait.options.record import GUARD, VERBS, Options
from portwait.options.table import ROWS

FIELDS = Options.__annotations__


def test_the_defaults_are_those_of_the_contract() -> None:
    """75 s are longer than a TIME_WAIT and shorter than systemd's 90 s; nothing is destroyed, signalled or written."""
    options = Options()
    assert options.timeout == 75.0
    assert options.reuseaddr is True
    assert options.log_format == "auto"
    assert (options.signal, options.kill_after) == (signal.SIGTERM, math.inf)
    others = {row.key for row in ROWS if GUARD in row.verbs}
    others -= {"timeout", "reuseaddr", "log_format", "signal", "kill_after", "help", "version"}
    assert {name: getattr(options, name) for name in others if getattr(options, name)} == {}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_can_be_asked_for(name: str) -> None:
    """What nobody can set is no option; what nobody reads from the record is lost."""
    assert name in {*(row.key for row in ROWS), *(verb.field for verb in VERBS.values())}


def test_two_records_have_nothing_in_common() -> None:
    """Setting one leaves the defaults alone."""
    one, other = Options(), Options()
    for name in FIELDS:
        setattr(one, name, "changed")
    assert vars(other) == {}
    assert other.timeout == Options.timeout == 75.0


@pytest.mark.parametrize(
    ("verbose", "dry_run", "talks"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_a_free_port_is_silent(verbose: bool, dry_run: bool, talks: bool) -> None:
    """Unless more is asked for than to start."""
    options = Options()
    options.verbose, options.dry_run = verbose, dry_run
    assert options.talks is talks

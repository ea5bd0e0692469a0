"""The environment variables of options: `PORTWAIT_TIMEOUT=2m` stands for `--timeout 2m` where the word is missing."""

from __future__ import annotations

from portwait.errors import UsageError
from portwait.model import targets
from portwait.options.table import ROWS, rows_of
from portwait.options.values import READERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "PORTWAIT_"
TARGETS = targets.VARIABLE

_OF_KUBERNETES = ("PORTWAIT_PORT", "PORTWAIT_SERVICE_")
"""How the variables begin that Kubernetes gives every container beside a Service called portwait."""


def read(verb: str, variables: Mapping[str, str]) -> dict[str, object]:
    """Read what the environment says of the options of a verb, or of the guard. Raises UsageError."""
    values: dict[str, object] = {}
    for row in rows_of(verb):
        text = variables.get(row.variable) if row.variable else None
        if not text:
            continue
        try:
            values[row.key] = READERS[row.reader](text)
        except UsageError as error:
            raise UsageError(f"in the environment variable {row.variable}: {error}") from None
    return values


def unknown(variables: Mapping[str, str]) -> list[str]:
    """List the variables that look like ours and are not: misspelt, most likely."""
    known = {row.variable for row in ROWS}
    return [
        name
        for name in variables
        if name.startswith(PREFIX) and name not in known and name != TARGETS and not name.startswith(_OF_KUBERNETES)
    ]

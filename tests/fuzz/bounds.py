"""How much processor time a function may take on an input: so much for each byte, whatever the bytes are."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIXED = 0.5  # seconds, instrumented and on a busy machine
EACH = 200e-6  # seconds a byte: a quadratic function of 4,096 bytes takes far more
PORT = 50e-6  # seconds for each port of a range: 60,000 of them are eleven bytes


class TooSlowError(AssertionError):
    """It took more processor time than its input allows."""


@contextlib.contextmanager
def linear(size: int) -> Iterator[list[int]]:
    """Fail where the block takes more processor time than an input of this many bytes allows.

    The list that it is given takes the numbers of ports that it has made of them.
    """
    begun = time.process_time()
    ports: list[int] = []
    yield ports
    taken = time.process_time() - begun
    if taken > FIXED + EACH * size + PORT * sum(ports):
        raise TooSlowError(f"{taken:.2f} s of processor time for {size} bytes")

"""The seeds that fuzzing has left (tests/fuzz/corpus), replayed without a fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.bodies import BODIES

CORPUS = Path(__file__).parent.parent / "fuzz" / "corpus"


@pytest.mark.parametrize("name", BODIES)
def test_no_seed_fails(name: str) -> None:
    """Each input that made the code take a new way is still read, in time."""
    seeds = sorted((CORPUS / name).iterdir())
    assert len(seeds) > 5
    for seed in seeds:
        try:
            BODIES[name](seed.read_bytes())
        except Exception as fault:
            raise AssertionError(f"{seed.name}: {type(fault).__name__}: {fault}") from fault


def test_the_corpus_is_small() -> None:
    """A few hundred files of a few hundred bytes: it is read with each run of the unit tests."""
    sizes = [seed.stat().st_size for seed in CORPUS.rglob("*") if seed.is_file()]
    assert len(sizes) < 1200
    assert max(sizes) <= 2048
    assert sum(sizes) < 250_000

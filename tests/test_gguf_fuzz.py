"""A short run of the fuzzer; `python -m tests.fuzz.fuzz_gguf --runs 1000000` is a long one."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fuzz.fuzz_gguf import check, fields, mutated, seeds
from tests.fuzz.hostile import HOSTILE, good

RUNS = 3000


@pytest.mark.slow
def test_mutated_files_are_read_or_refused() -> None:
    outcomes = Counter(check(mutated(run), measure_memory=run % 4 == 0) for run in range(RUNS))
    # If all were refused by the magic, nothing behind it would be tested.
    assert {
        "FormatError",
        "UnsupportedError",
        "read, then FormatError",
        "read, and a model",
    } <= set(outcomes)
    assert max(outcomes.values()) < 0.95 * RUNS


def test_hostile_files_are_refused_in_pieces_and_with_little_memory() -> None:
    for data, error, _ in HOSTILE.values():
        assert check(data) == error.__name__


def test_runs_are_deterministic_and_begin_with_good_files() -> None:
    assert [mutated(run) for run in range(50)] == [mutated(run) for run in range(50)]
    for seed, places in seeds():
        assert check(seed).startswith("read")
        assert len(places) == len(set(places))
    assert (8, 8) in fields(good())

"""A mutation fuzzer for recorded runs, deterministic.

    PYTHONPATH=pyodide_pkg python -m tests.fuzz.fuzz_recording --runs 100000

Run i always makes the same bytes: a good file with values exchanged, pieces cut out, doubled, or
bytes that are something else now. Whatever comes of it, reading returns or raises a FormatError.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
from collections import Counter
from typing import Any

from thimble.constrain import regex
from thimble.debug import Recording
from thimble.debug.recording import RecordedStep
from thimble.errors import FormatError
from thimble.sampling import SamplingParams

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**64, -(2**63), 10**400, 0.5, 1e308, -1e308, "", "0",
    "1e9", "-inf", "é", "x" * 5000, [], {}, [[]], [0], {"0": 0}, {"": None}, {"9" * 50: 1},
)  # fmt: skip


def seed() -> bytes:
    """A good file."""
    cold = SamplingParams(temperature=0.5, top_k=40, seed=9)
    biased = SamplingParams(logit_bias={3: -math.inf, 4: 2.5}, min_p=0.1)
    steps = (
        RecordedStep(5, -0.25, cold),
        RecordedStep(6, -1.5, cold, "drawn", {7: -math.inf, 8: 3.25}),
        RecordedStep(9, -2.0, biased, "forced"),
        RecordedStep(10, -0.125, biased, "sampler", {1: 0.0}),
        RecordedStep(11, -0.5, SamplingParams(grammar=regex("[a-c]+(?:d|e)")), constraint_start=4),
    )
    return Recording("story", "ab" * 32, (1, 2, 3), steps, "Once", " upon").to_json().encode()


def mutated(number: int) -> bytes:
    """The bytes of a run."""
    dice = random.Random(number)
    if dice.random() < 0.6:
        whole = json.loads(seed())
        for _ in range(dice.choice((1, 1, 2, 4))):
            change(whole, dice)
        return json.dumps(whole).encode()
    data = bytearray(seed())
    for _ in range(dice.choice((1, 1, 2, 8))):
        at, size = dice.randrange(len(data)), dice.choice((1, 1, 2, 5, 40))
        kind = dice.randrange(3)
        if kind == 0:
            data[at : at + size] = dice.randbytes(size)
        elif kind == 1:
            del data[at : at + size]
        else:
            data[at:at] = data[at : at + size]
    return bytes(data)


def check(data: bytes) -> str:
    """What becomes of a file: "read", or the name of the error. Others are raised."""
    try:
        recording = Recording.from_json(data)
    except FormatError as error:
        assert len(str(error)) < 6000
        return "FormatError"
    # What was read can be written, and is the same when read again.
    assert Recording.from_json(recording.to_json()) == recording
    return "read"


def change(whole: Any, dice: random.Random) -> None:
    """Exchange one value, somewhere in the tree."""
    place = whole
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            return
        key = dice.choice(keys)
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and dice.random() < 0.85:
            place = inner
            continue
        if isinstance(place, dict) and dice.random() < 0.2:
            del place[key]
        else:
            place[key] = copy.deepcopy(dice.choice(VALUES))
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, default=100_000)
    arguments = parser.parse_args()
    runs = range(arguments.first, arguments.first + arguments.runs)
    print(Counter(check(mutated(run)) for run in runs))


if __name__ == "__main__":
    main()

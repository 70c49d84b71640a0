"""A mutation fuzzer for the GGUF reader, deterministic and aware of the format.

    PYTHONPATH=pyodide_pkg python -m tests.fuzz.fuzz_gguf --runs 1000000
    PYTHONPATH=pyodide_pkg python -m tests.fuzz.fuzz_gguf --first 4711 --runs 1     # one run again

Run i always makes the same bytes: a good file, some of whose counts, lengths, types and offsets now
lie, with pieces cut out, doubled or exchanged with another file's. Whatever comes of it, the reader
returns or raises a `ThimbleError`, soon, and with little memory; the same for a file that comes in
pieces, and for `config_from_header` behind it.
"""

from __future__ import annotations

import argparse
import functools
import random
import struct
import time
import tracemalloc
from collections import Counter
from dataclasses import replace

from tests.fuzz.hostile import array, build, good, nested, pair, string, tensor
from tests.tiny_models import SPECS, make
from thimble.errors import ThimbleError
from thimble.gguf import (
    ARRAY,
    SCALARS,
    STRING,
    GGUFHeader,
    NeedMoreData,
    read_header,
)
from thimble.gguf_lists import HeaderList
from thimble.model_config import config_from_header

MAX_SECONDS = 1.0
"""For one parse; a hundred times what the slowest takes."""

MAX_MEMORY = (2, 1 << 18)
"""Bytes that a parse may allocate for each byte of input, and besides: for the keys and tensors
of these small files, an error's words, and the piece of text that is checked at a time."""

NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 31, 32, 33, 64, 65, 255, 256, 65535, 65536, 65537, (1 << 24) + 1,
           (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 48) + 32, (1 << 61) + 1,
           (1 << 63) - 1, 1 << 63, (1 << 64) - 32, (1 << 64) - 1)  # fmt: skip

Field = tuple[int, int]
"""Where a number lies in a file, and its bytes."""
Seed = tuple[bytes, tuple[Field, ...]]
"""A good file and the places of its numbers."""


@functools.cache
def seeds() -> tuple[Seed, ...]:
    """Return the good files that runs begin with, each with the places of its numbers."""
    one_layer = make(replace(SPECS["one-layer"], dim=32, hidden_dim=32, head_dim=32, tied=True))
    arrays = build([pair("k", ARRAY, nested(3)), pair("l", ARRAY, array(STRING, 0))], data=0)
    scattered = build([], [tensor("z", (4,), 1, 64), tensor("y", (1, 2, 3, 4), 0, 128)])
    files = (good(), arrays, scattered, one_layer, lists(200))
    return tuple((data, tuple(fields(data))) for data in files)


def lists(n: int) -> bytes:
    """A file with a list of `n` elements of every type."""
    pairs = [
        pair(f"many.{kind}", ARRAY, array(kind, n, bytes(n * struct.calcsize(code))))
        for kind, code in SCALARS.items()
    ]
    return build([*pairs, pair("texts", ARRAY, array(STRING, n, string("ab") * n))])


def fields(data: bytes) -> list[Field]:
    """Return the places of every count, length, type, dimension and offset in a good file."""
    found: list[Field] = [(0, 4), (4, 4), (8, 8), (16, 8)]
    pos = 24

    def number(width: int) -> int:
        nonlocal pos
        found.append((pos, width))
        pos += width
        return int.from_bytes(data[pos - width : pos], "little")

    def value(kind: int) -> None:
        nonlocal pos
        if kind == STRING:
            length = number(8)
            pos += length
        elif kind == ARRAY:
            element, n = number(4), number(8)
            for _ in range(n):
                value(element)
        else:
            number(struct.calcsize(SCALARS[kind]))

    n_tensors, n_pairs = struct.unpack_from("<QQ", data, 8)
    for _ in range(n_pairs):
        value(STRING)
        value(number(4))
    for _ in range(n_tensors):
        value(STRING)
        for _ in range(number(4)):
            number(8)
        number(4)
        number(8)
    return found


def mutated(run: int) -> bytes:
    """Return the bytes of run number `run`."""
    return mutate(random.Random(run), seeds(), other_seeds=seeds())


def mutate(rng: random.Random, seeds: tuple[Seed, ...], *, other_seeds: tuple[Seed, ...]) -> bytes:
    """Return one of the good files with some changes; pieces come from `other_seeds`."""
    seed, places = rng.choice(seeds)
    data = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        change = rng.random()
        if change < 0.5:
            _lie(rng, data, places)
        elif change < 0.65:
            for _ in range(rng.choice((1, 1, 2, 8))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif change < 0.75:
            del data[rng.randrange(len(data)) + 1 :]
        elif change < 0.9:
            _move(rng, data, places)
        else:
            other, other_places = rng.choice(other_seeds)
            at, begin = rng.choice(places)[0], rng.choice(other_places)[0]
            data[at:] = other[begin:]
    return bytes(data)


def _lie(rng: random.Random, data: bytearray, places: tuple[Field, ...]) -> None:
    """Change one number: to a special one, a little, or to the size of something."""
    # Half of the lies go to the first places: the counts, which promise the most.
    pos, width = rng.choice(places if rng.random() < 0.5 else places[:12])
    old = int.from_bytes(data[pos : pos + width], "little")
    new = rng.choice((
        rng.choice(NUMBERS), old + rng.choice((-1, 1, 32, -32)), old * 2, len(data) - pos,
        len(data), rng.getrandbits(8 * width), rng.randrange(64),
    ))  # fmt: skip
    data[pos : pos + width] = (new % (1 << 8 * width)).to_bytes(width, "little")


def _move(rng: random.Random, data: bytearray, places: tuple[Field, ...]) -> None:
    """Cut out, double or overwrite the bytes from one number's place to another's."""
    begin, end = sorted((rng.choice(places)[0], rng.choice(places)[0]))
    piece = data[begin : min(end, begin + 4096)]
    at = rng.choice(places)[0]
    what = rng.randrange(3)
    if what == 0:
        del data[begin : begin + len(piece)]
    elif what == 1:
        data[at:at] = piece
    else:
        data[at : at + len(piece)] = piece
    data[:] = data or b"G"


def check(data: bytes, *, measure_memory: bool = True) -> str:
    """Read `data` in every way; return the name of what came of it. Raises what should not."""
    began = time.perf_counter()
    if measure_memory:
        tracemalloc.start()
    try:
        result = _outcome(data, len(data))
    finally:
        if measure_memory:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            limit = MAX_MEMORY[0] * len(data) + MAX_MEMORY[1]
            assert peak <= limit, f"{peak} bytes allocated for {len(data)} bytes; {limit} at most"
    took = time.perf_counter() - began
    assert took < MAX_SECONDS, f"{took:.1f} s for {len(data)} bytes"
    _check_pieces(data, result)
    if isinstance(result, GGUFHeader):
        assert result.file_end <= len(data)
        try:
            config_from_header(result)
        except ThimbleError as error:
            return f"read, then {type(error).__name__}"
        return "read, and a model"
    return type(result).__name__


def _outcome(data: bytes, file_size: int | None) -> GGUFHeader | ThimbleError:
    try:
        return read_header(data, file_size=file_size)
    except ThimbleError as error:
        assert len(str(error)) < 1000, "an error message without end"
        return error


def told(header: GGUFHeader) -> tuple[str, dict[str, bytes]]:
    """All that a header says: its lists as their bytes, the rest in words, where a NaN equals
    itself."""
    lists = {k: v.packed() for k, v in header.metadata.items() if isinstance(v, HeaderList)}
    others = {k: v for k, v in header.metadata.items() if k not in lists}
    return repr(replace(header, metadata=others)), lists


def _check_pieces(data: bytes, whole: GGUFHeader | ThimbleError) -> None:
    """Read the file as it comes in, its size known or not: the calls are few, and what comes out
    is what comes out of the whole."""
    assert not isinstance(whole, NeedMoreData), "more than the whole file was asked for"
    for file_size in (len(data), None):
        have, calls = min(24, len(data)), 0
        while True:
            calls += 1
            assert calls <= 64
            found = _outcome(data[:have], file_size)
            if not isinstance(found, NeedMoreData):
                break
            assert found.at_least > have
            if have == len(data):
                break
            have = min(found.at_least, len(data))
        if isinstance(whole, GGUFHeader):
            assert isinstance(found, GGUFHeader)
            assert told(found) == told(whole)
        elif file_size is not None:
            assert type(found) is type(whole)


def main() -> None:
    parser = argparse.ArgumentParser(description="Fuzz the GGUF reader.")
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    began = time.perf_counter()
    for run in range(options.first, options.first + options.runs):
        try:
            outcomes[check(mutated(run))] += 1
        except BaseException:
            print(f"run {run} failed; again with --first {run} --runs 1")
            raise
    seconds = time.perf_counter() - began
    print(f"{options.runs} runs in {seconds:.0f} s: {dict(outcomes.most_common())}")


if __name__ == "__main__":
    main()

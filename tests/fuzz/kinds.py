"""What the fuzzers' kinds of input have in common: an input is a few files, made from a good one.

    case = kind.make(random.Random(7))
    outcome = kind.check(case, scratch)

Whatever the files say, `check` returns what came of it in a word or two, and raises only what is a
finding: anything but a `ThimbleError`, a memory that cannot be had among them, since the inputs are
small.
"""

from __future__ import annotations

import contextlib
import json
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fuzz.fuzz_recording import change
from thimble.errors import MemoryLimitError, ThimbleError

Case = dict[str, bytes]
"""Contents by file name."""


@dataclass(frozen=True)
class Kind:
    """A way to make inputs, and what is done with them."""

    make: Callable[[random.Random], Case]
    check: Callable[[Case, Path], str]
    share: int
    """Of so many inputs in a hundred."""
    each: int = 2
    """Bytes of memory that are right for a byte of input, and besides what is right for nothing."""
    room: int = 1 << 20
    """Bytes that are right for nothing: what Python may allocate beside `each`."""


@contextlib.contextmanager
def counting(limit: int) -> Iterator[None]:
    """Raise AssertionError where Python allocates more than `limit` bytes at a time meanwhile."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
        assert peak <= limit, f"{peak:,} bytes were allocated; {limit:,} are right"
    finally:
        tracemalloc.stop()


def outcome(error: ThimbleError) -> str:
    """The name of what was refused; raises what must not come of a small file."""
    if isinstance(error, MemoryLimitError):
        raise AssertionError(f"a small input asks for too much memory: {error}") from error
    assert len(str(error)) < 6000, "an error message without end"
    return type(error).__name__


def put(case: Case, folder: Path) -> None:
    """Make `folder` hold these files and no others."""
    for old in folder.iterdir():
        if old.name not in case:
            old.unlink()
    for name, data in case.items():
        (folder / name).write_bytes(data)


def mutate_json(rng: random.Random, text: bytes) -> bytes:
    """Exchange or drop values of a JSON text, or break its bytes."""
    if rng.random() < 0.85:
        whole: Any = json.loads(text)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            change(whole, rng)
        return json.dumps(whole).encode()
    return mutate_bytes(rng, text)


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Overwrite, cut out, double or flip bytes anywhere, or cut the end off."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at, size = rng.randrange(len(found) or 1), rng.choice((1, 1, 2, 4, 8, 40))
        what = rng.randrange(5)
        if what == 0:
            found[at : at + size] = rng.randbytes(size)
        elif what == 1:
            del found[at : at + size]
        elif what == 2:
            found[at:at] = found[at : at + size]
        elif what == 3 and found:
            found[at] ^= 1 << rng.randrange(8)
        else:
            del found[at + 1 :]
    return bytes(found)

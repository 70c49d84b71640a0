"""Random integers from counters: the same number for the same key and place, on every machine.

The generator is that of `tk_draw` in `kernels/train.h` (Steele et al. 2014, SplitMix64).
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15


def draw(key: int, counter: int) -> int:
    """Return number `counter` of the stream `key`: 64 random bits."""
    z = (key + (counter + 1) * _GOLDEN) & _MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK
    return z ^ z >> 31


def key(*numbers: int) -> int:
    """Return the key of a stream that belongs to these numbers and to no others."""
    found = 0
    for number in numbers:
        found = draw(found ^ (number & _MASK), 0)
    return found


def shuffle(items: MutableSequence[Any], stream: int) -> None:
    """Put items in a random order, in place (Fisher-Yates)."""
    for i in range(len(items) - 1, 0, -1):
        j = draw(stream, i) * (i + 1) >> 64
        items[i], items[j] = items[j], items[i]

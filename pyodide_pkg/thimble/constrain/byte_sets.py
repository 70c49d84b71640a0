"""Sets of bytes, as integers of 256 bits."""

from __future__ import annotations

import functools

from .nodes import Range


@functools.lru_cache(maxsize=4096)
def runs_of(mask: int) -> tuple[Range, ...]:
    """A set of bytes as its first and last ones, in order."""
    found: list[Range] = []
    at = 0
    while mask:
        skip = (mask & -mask).bit_length() - 1
        at += skip
        mask >>= skip
        length = (~mask & (mask + 1)).bit_length() - 1
        found.append((at, at + length - 1))
        at += length
        mask >>= length
    return tuple(found)

"""Code points as bytes."""

from __future__ import annotations

from collections.abc import Iterator

from .nodes import Range


def utf8_ranges(low: int, high: int) -> Iterator[tuple[Range, ...]]:
    """Ranges of code points as sequences of ranges of bytes; surrogates are left out."""
    if low <= 0xDFFF and high >= 0xD800:
        if low < 0xD800:
            yield from utf8_ranges(low, 0xD7FF)
        if high > 0xDFFF:
            yield from utf8_ranges(0xE000, high)
        return
    for limit in (0x7F, 0x7FF, 0xFFFF):
        if low <= limit < high:
            yield from utf8_ranges(low, limit)
            yield from utf8_ranges(limit + 1, high)
            return
    if high <= 0x7F:
        yield ((low, high),)
        return
    for i in (1, 2, 3):
        mask = (1 << 6 * i) - 1
        if low & ~mask == high & ~mask:
            continue
        cut = (low | mask) if low & mask else (high & ~mask) - 1 if high & mask != mask else None
        if cut is not None:
            yield from utf8_ranges(low, cut)
            yield from utf8_ranges(cut + 1, high)
            return
    yield tuple(zip(chr(low).encode(), chr(high).encode(), strict=True))

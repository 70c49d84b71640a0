"""Rows of an automaton: where each of the 256 bytes leads."""

from __future__ import annotations

from array import array
from typing import TypeAlias

from ..byte_sets import runs_of
from ..program import REJECT
from ..regular import Regular

Row: TypeAlias = "array[int]"
QUOTE = 0x22
REJECTED = array("i", [REJECT]) * 256
"""Where no byte leads anywhere."""


def fill(row: Row, mask: int, move: int) -> None:
    """Let a set of bytes lead to one place."""
    for first, last in runs_of(mask):
        if first == last:
            row[first] = move
        else:
            row[first : last + 1] = array("i", [move]) * (last + 1 - first)


def together(
    languages: tuple[Regular, ...], nothing: Regular
) -> list[tuple[int, tuple[Regular, ...]]]:
    """Where several languages lead at once: sets of bytes, and what remains of each; the first one
    cannot be left out."""
    found: list[tuple[int, tuple[Regular, ...]]] = [
        (mask, (target,)) for mask, target in languages[0].moves
    ]
    for language in languages[1:]:
        split: list[tuple[int, tuple[Regular, ...]]] = []
        for mask, targets in found:
            left = mask
            for other, there in language.moves:
                if left & other:
                    split.append((left & other, (*targets, there)))
                    left &= ~other
            if left:
                split.append((left, (*targets, nothing)))
        found = split
    return found

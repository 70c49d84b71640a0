"""How symbols join into tokens: the merge loop that byte-pair encoding and SentencePiece share.

It knows symbols (strings) and the ranks of their pairs. It does not know where the symbols come
from, or what a rank means: for BPE it is the merge's position in the list, for SentencePiece the
position of the merged piece's score.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

# Rank of the pair (left, right), lower is sooner; None where the two never join.
PairRank = Callable[[str, str], "int | None"]


def merge(symbols: list[str], pair_rank: PairRank) -> list[str]:
    """Join neighbours, lowest rank first and leftmost among equals, until no pair has a rank.

    Takes n symbols, changes the list and returns what is left of it. Asks `pair_rank` at most
    3n times and takes O(n log n) time, so that a text of one repeated letter is no attack.
    """
    n = len(symbols)
    shift = n.bit_length()
    mask = (1 << shift) - 1
    # A key holds rank and position in one integer, which a heap compares fast. `keys[i]` is the key
    # of the pair that begins at i now, so that what the heap says of the past is known as stale.
    keys = [-1] * n
    heap: list[int] = []
    for i in range(n - 1):
        rank = pair_rank(symbols[i], symbols[i + 1])
        if rank is not None:
            keys[i] = rank << shift | i
            heap.append(keys[i])
    if not heap:
        return symbols
    heapify(heap)
    following = list(range(1, n + 1))
    preceding = list(range(-1, n - 1))

    def look(left: int) -> None:
        right = following[left]
        rank = pair_rank(symbols[left], symbols[right]) if right < n else None
        keys[left] = -1 if rank is None else rank << shift | left
        if rank is not None:
            heappush(heap, keys[left])

    while heap:
        key = heappop(heap)
        left = key & mask
        if keys[left] != key:
            continue
        right = following[left]
        symbols[left] += symbols[right]
        symbols[right] = ""
        keys[right] = -1
        after = following[left] = following[right]
        if after < n:
            preceding[after] = left
        look(left)
        if preceding[left] >= 0:
            look(preceding[left])
    return [symbol for symbol in symbols if symbol]

"""Pieces of text into rows of tokens, every place of every row put to use.

A story goes into training as `end t1 ... tn end`: the end token begins it (the model's BOS) and is
what comes after its last token (the model's EOS). It is cut to pieces that predict at most
`context` tokens each, the last id of one being the first of the next. Several pieces share a row
and do not see each other. The order is random and depends on the seed alone, and where a run is in
it can be written down. NumPy is not needed.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from ..errors import FormatError
from .counter import key, shuffle
from .network import Batch

LOOK_AHEAD = 64
"""Pieces among which one is sought that fits into the rest of a row."""

Piece = tuple[int, int]
"""Where its first id stands among all ids, and how many tokens it predicts."""


def cut(first: int, count: int, context: int) -> list[Piece]:
    """Return the pieces of a story whose `count` predictions begin behind the id at `first`."""
    return [(first + i, min(context, count - i)) for i in range(0, count, context)]


def batch_of(
    ids: Sequence[int], pieces: Sequence[Piece], given: Sequence[int] | None = None
) -> Batch:
    """Lay pieces behind each other. An id whose place in `given` is not 0 is no target: -1."""
    batch = Batch(array("i"), array("i"), array("i", [0]))
    for first, count in pieces:
        batch.ids.extend(ids[first : first + count])
        targets = ids[first + 1 : first + count + 1]
        if given is not None:
            marks = given[first + 1 : first + count + 1]
            targets = array("i", [-1 if m else t for t, m in zip(targets, marks, strict=True)])
        batch.targets.extend(targets)
        batch.starts.append(len(batch.ids))
    return batch


class Rows:
    """All rows there will ever be: pass after pass through the pieces, each in an order of its own.

    A row begins with the piece that has waited longest, and goes on with it while it fits; else
    with the longest that does; where none does, the oldest is cut and its rest waits on, or the row
    ends where pieces stay `whole`.
    """

    def __init__(
        self, pieces: Sequence[Piece], context: int, seed: int, *, whole: bool = False
    ) -> None:
        self._whole = whole
        self._pieces = list(pieces)
        self._context = context
        self._seed = seed
        self._epoch = -1
        self._order: list[int] = []
        self._at = 0
        self._waiting: list[Piece] = []

    def take(self, rows: int) -> list[Piece]:
        """Return the pieces of the next rows, in order."""
        taken: list[Piece] = []
        for _ in range(rows):
            left = self._context
            while left:
                first, count = piece = self._next(left)
                if count > left and self._whole:
                    self._waiting.insert(0, piece)
                    break
                if count > left:
                    self._waiting.insert(0, (first + left, count - left))
                    piece = (first, left)
                taken.append(piece)
                left -= piece[1]
        return taken

    def _next(self, left: int) -> Piece:
        waiting = self._waiting
        while len(waiting) < LOOK_AHEAD:
            if self._at == len(self._order):
                self._begin(self._epoch + 1)
            waiting.append(self._pieces[self._order[self._at]])
            self._at += 1
        if waiting[0][1] <= left:
            return waiting.pop(0)
        best = max(
            (i for i, piece in enumerate(waiting) if piece[1] <= left),
            key=lambda i: waiting[i][1],
            default=0,
        )
        return waiting.pop(best)

    def _begin(self, epoch: int) -> None:
        self._epoch, self._at = epoch, 0
        self._order = list(range(len(self._pieces)))
        shuffle(self._order, key(self._seed, 1, epoch))

    def state(self) -> dict[str, Any]:
        """Return where this is, ready for JSON."""
        return {"epoch": self._epoch, "at": self._at, "waiting": list(self._waiting)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go to where `state` was; raises `FormatError` where that is no place here."""
        end = max((first + count for first, count in self._pieces), default=0)
        try:
            epoch, at = int(state["epoch"]), int(state["at"])
            waiting = [(int(first), int(count)) for first, count in state["waiting"]]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(f"a place in the text is {state!r:.60}: {error}") from None
        sound = all(f >= 0 and 0 < n <= self._context and f + n <= end for f, n in waiting)
        if not sound or not 0 <= at <= len(self._pieces) or not -1 <= epoch < 1 << 32:
            raise FormatError(f"{state!r:.60} is no place in this text")
        if epoch >= 0:
            self._begin(epoch)
        self._at = at if epoch >= 0 else 0
        self._waiting = waiting

"""From a file of stories to rows of token ids, every place of every row put to use.

A story goes into training as `end t1 ... tn end`: the end token begins it (the model's BOS) and is
what comes after its last token (the model's EOS). Several stories share a row; `documents` keeps
them from seeing each other, so that a row trains what generation and evaluation do: a story on its
own. This file knows nothing of PyTorch.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

SEPARATOR = "<|endoftext|>"
"""The line that divides stories in a file."""
NO_TARGET = -100
"""A place where nothing is predicted; PyTorch's own number for it."""
LOOK_AHEAD = 64
"""Pieces among which one is sought that fits into the rest of a row."""

Ids: TypeAlias = NDArray[np.int64]


class Rows(NamedTuple):
    """Three arrays of shape (rows, context)."""

    inputs: Ids
    targets: Ids
    documents: Ids
    """Which story of the row a place belongs to."""


def read_stories(path: str | os.PathLike[str]) -> list[str]:
    """Return a file's stories, stripped; raises `OptionError` where there are none."""
    text = Path(path).read_text(encoding="utf-8")
    stories = [story for part in text.split(SEPARATOR) if (story := part.strip())]
    if not stories:
        raise OptionError(f"{os.fspath(path)} has no stories")
    return stories


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file, by which a run knows its text again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cut_story(ids: Sequence[int], end: int, context: int) -> list[Ids]:
    """Cut `end ids end` to pieces that predict at most `context` tokens each.

    A piece of n + 1 ids predicts n. The last id of one piece is the first of the next, so that
    every token but the first is predicted once.
    """
    story = np.array([end, *ids, end], dtype=np.int64)
    return [story[i : i + context + 1] for i in range(0, len(story) - 1, context)]


def fill_rows(pieces: Sequence[Ids], context: int) -> list[list[Ids]]:
    """Arrange pieces so that each row predicts exactly `context` tokens.

    A row begins with the piece that has waited longest and goes on with the longest that fits;
    where none fits, the oldest is cut and its rest waits on. What does not fill a last row is left
    out, another one in each pass, as the order is.
    """
    waiting: list[Ids] = []
    coming = iter(pieces)
    rows: list[list[Ids]] = []
    while True:
        row: list[Ids] = []
        room = context
        while room:
            waiting += [p for _, p in zip(range(LOOK_AHEAD - len(waiting)), coming, strict=False)]
            if not waiting:
                return rows
            piece = waiting.pop(_choose(waiting, room, first=not row))
            if len(piece) - 1 > room:
                waiting.insert(0, piece[room:])
                piece = piece[: room + 1]
            row.append(piece)
            room -= len(piece) - 1
        rows.append(row)


def _choose(waiting: list[Ids], room: int, *, first: bool) -> int:
    """Return which piece to take; one that does not fit only where none does."""
    fits = [i for i, piece in enumerate(waiting) if len(piece) - 1 <= room]
    if not fits:
        return 0
    return fits[0] if first else max(fits, key=lambda i: len(waiting[i]))


def to_arrays(rows: Sequence[Sequence[Ids]], context: int) -> Rows:
    """Lay rows of pieces into arrays; places that are left over predict nothing."""
    shape = (len(rows), context)
    out = Rows(np.zeros(shape, np.int64), np.full(shape, NO_TARGET), np.full(shape, -1))
    for r, row in enumerate(rows):
        at = 0
        for document, piece in enumerate(row):
            n = len(piece) - 1
            out.inputs[r, at : at + n] = piece[:-1]
            out.targets[r, at : at + n] = piece[1:]
            out.documents[r, at : at + n] = document
            at += n
    return out


def epoch(
    pieces: Sequence[Ids], *, context: int, micro_tokens: int, seed: int, number: int
) -> list[Rows]:
    """Return pass `number` through the text as micro-batches of `micro_tokens` tokens.

    The same arguments give the same batches, on every process and after a resume. Raises
    `OptionError` where the text does not fill one.
    """
    rng = np.random.default_rng([seed, number])
    rows = fill_rows([pieces[i] for i in rng.permutation(len(pieces))], context)
    # Short pieces fill gaps early and run out late: the order of the rows is not left to that.
    order = rng.permutation(len(rows))
    n = micro_tokens // context
    groups = [order[i : i + n] for i in range(0, len(order) - n + 1, n)]
    if not groups:
        raise OptionError(f"the text fills {len(rows)} rows of {context} tokens; {n} are needed")
    return [to_arrays([rows[i] for i in group], context) for group in groups]

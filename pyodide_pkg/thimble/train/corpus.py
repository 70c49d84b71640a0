"""From a text to tokens: what is learned from, what is held out, and what is no text to learn from.

It knows stories and how they are divided, not rows (`rows.py`) and not networks.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import OptionError
from ..tokenizer import Tokenizer, tokenizer_from_metadata
from ..tokenizer.base import check_text
from .counter import key, shuffle
from .recipe import Recipe
from .rows import Piece, cut
from .vocabulary import train_vocabulary

FEW = 20
"""Stories, fewer than which are held out not by the story, but as the end of the text."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """A text, encoded."""

    metadata: dict[str, Any]
    """The tokenizer's, for GGUF."""
    tokenizer: Tokenizer
    ids: array[int]
    """Of all stories, each with the token that begins a text before it and the one that ends it
    behind it."""
    pieces: list[Piece]
    """What is learned from."""
    heldout: list[Piece]
    """What is measured: each story's first `context` tokens."""
    sha256: str
    heldout_sha256: str | None
    """None where a part of the text itself is held out, or nothing."""
    n_bytes: int
    given: bytearray | None = None
    """Of each id, whether it is given and not learned; None where all are learned."""

    def heldout_bytes(self, pieces: Sequence[Piece]) -> int:
        """Return the bytes that the targets of pieces stand for."""
        token_bytes = self.tokenizer.token_bytes
        return sum(
            len(token_bytes(self.ids[place]))
            for first, count in pieces
            for place in range(first + 1, first + count + 1)
            if self.given is None or not self.given[place]
        )


def sha256(text: str) -> str:
    """Return the hash of a text's UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def split(text: str, separator: str) -> list[str]:
    """Return the stories of a text, stripped, empty ones left out."""
    text = text.replace("\r\n", "\n")
    parts = text.split(separator) if separator else [text]
    return [story for part in parts if (story := part.strip())]


def read_corpus(
    recipe: Recipe, text: str, heldout: str | None, metadata: dict[str, Any] | None = None
) -> Corpus:
    """Encode a text and what is held out, by a tokenizer of `metadata` or one that is trained.

    `heldout` is a text of its own, "" for nothing, or None for a part of `text`. Raises
    `OptionError` where there is not enough to learn from, or where the text is not the recipe's.
    """
    check(text, recipe)
    learned, measured, whole = _divide(recipe, text, heldout)
    if metadata is None:
        metadata = train_vocabulary(learned, recipe.vocab_size)
    tokenizer = tokenizer_from_metadata(metadata)
    ids, given = array("i"), bytearray()
    pieces: list[Piece] = []
    for story in learned:
        first, count = _append(ids, given, tokenizer, story, recipe)
        pieces += cut(first, count, recipe.context)
    n_learned = sum(count for _, count in pieces)
    if n_learned < recipe.context:
        raise OptionError(
            f"the text has {n_learned:,} tokens to learn from; one row of the model's context "
            f"takes {recipe.context:,}"
        )
    found: list[Piece] = []
    for story in measured:
        first, count = _append(ids, given, tokenizer, story, recipe)
        # The end of a story is not counted, as in `thimble eval`, and neither is what lies behind
        # the context, unless it is one long text that is measured.
        parts = cut(first, count - 1, recipe.context)
        found += parts if whole else [(first, min(count - 1, recipe.context - 1))]
    return Corpus(
        metadata, tokenizer, ids, pieces, [piece for piece in found if piece[1] > 0], sha256(text),
        sha256(heldout) if heldout else None, len(text.encode()),
        given if recipe.completion else None,
    )  # fmt: skip


def check(text: str, recipe: Recipe) -> None:
    """Raise `OptionError` where a text is none to learn from, or not the recipe's."""
    check_text(text)
    if "\0" in text:
        raise OptionError(
            f"there is a NUL character at {text.index(chr(0)):,}: this is a binary file, not a text"
        )
    letters = set(text) - set(" \t\r\n")
    if not letters:
        raise OptionError("the text is empty: there is nothing to learn from")
    if len(letters) == 1:
        raise OptionError(
            f"the text is {letters.pop()!r} again and again: there is nothing to learn from"
        )
    if recipe.data_sha256 and sha256(text) != recipe.data_sha256:
        raise OptionError(
            f"the recipe is for a text with SHA-256 {recipe.data_sha256}; this one has "
            f"{sha256(text)}"
        )


def _divide(recipe: Recipe, text: str, heldout: str | None) -> tuple[list[str], list[str], bool]:
    """Return the stories to learn from, those to measure, and whether these are one long text."""
    stories = split(text, recipe.separator)
    if heldout is not None:
        return stories, split(heldout, recipe.separator), False
    if not recipe.eval_fraction:
        return stories, [], False
    if len(stories) >= FEW:
        n = max(1, int(len(stories) * recipe.eval_fraction))
        order = list(range(len(stories)))
        shuffle(order, key(recipe.seed, 0))
        chosen = sorted(order[:n])
        kept = sorted(order[n:])
        return [stories[i] for i in kept], [stories[i] for i in chosen], False
    # Few stories: the end of the last one, from a line's or word's beginning.
    last = stories[-1]
    at = len(last) - int(sum(map(len, stories)) * recipe.eval_fraction)
    at = max(last.rfind(mark, 0, max(at, 0)) for mark in ("\n", " ")) + 1
    if at <= 0:
        return stories, [], False
    return [*stories[:-1], last[:at].rstrip()], [last[at:]], True


def _append(
    ids: array[int], given: bytearray, tokenizer: Tokenizer, story: str, recipe: Recipe
) -> tuple[int, int]:
    """Add a story; return where the token that begins it stands, and how many it predicts."""
    if tokenizer.bos_id is None or tokenizer.eos_id is None:
        raise OptionError("the tokenizer has no tokens that begin and end a text")
    first = len(ids)
    ids.append(tokenizer.bos_id)
    asked, mark, answer = story.partition(recipe.completion) if recipe.completion else ("", "", "")
    if recipe.completion and not (asked and answer):
        raise OptionError(f"the story {story!r:.60} has not a text on both sides of its completion")
    if mark:
        ids.extend(tokenizer.encode(asked, add_special=False))
    given.extend(bytes([1]) * (len(ids) - first))
    ids.extend(tokenizer.encode(answer if mark else story, add_special=False))
    ids.append(tokenizer.eos_id)
    given.extend(bytes(len(ids) - len(given)))
    if recipe.completion and len(ids) - 1 - first > recipe.context:
        raise OptionError(
            f"the story {story!r:.60} has {len(ids) - first:,} tokens; with completion at most "
            f"{recipe.context + 1:,} fit into a row of context {recipe.context:,}"
        )
    return first, len(ids) - 1 - first

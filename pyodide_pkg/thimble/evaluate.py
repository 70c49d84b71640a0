"""How well a model predicts text: bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .errors import OptionError
from .language_model import LanguageModel
from .sampling import Choice

SEPARATOR = "<|endoftext|>"
"""The line that divides stories in a file."""
MAX_TOKENS = 512
"""Where a story is cut, its first token included."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`nats` is the sum of negative log-likelihoods of `tokens` predicted tokens, which stand for
    `bytes` bytes of UTF-8 (the space that a SentencePiece tokenizer puts first counts as one)."""

    nats: float
    tokens: int
    bytes: int
    stories: int

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def nats_per_token(self) -> float:
        return self.nats / self.tokens


def split_stories(text: str) -> list[str]:
    """The stories of a file, stripped, empty ones left out."""
    parts = text.replace("\r\n", "\n").split(SEPARATOR)
    return [story for part in parts if (story := part.strip())]


def story_choices(model: LanguageModel, story: str, n_ctx: int | None = None) -> list[Choice]:
    """How probable the model finds each token of a story but the first."""
    tokenizer = model.tokenizer
    ids = tokenizer.encode(story, add_special=False)
    if tokenizer.bos_id is not None:
        ids = [tokenizer.bos_id, *ids]
    most = min(MAX_TOKENS, n_ctx or model.config.n_ctx)
    session = model.session()
    try:
        return session.score(ids[: model.fits(ids, most)])
    finally:
        session.close()


def evaluate_text(
    model: LanguageModel,
    stories: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Bits per byte over stories, each on its own, begun with the model's BOS token where it has
    one and cut at 512 tokens; the first token is not predicted and its bytes do not count.

    `progress(done, total)` counts stories. Raises OptionError where there is nothing to predict.
    """
    tokenizer = model.tokenizer
    nats, tokens, size = 0.0, 0, 0
    for done, story in enumerate(stories, 1):
        for choice in story_choices(model, story):
            nats -= choice.logprob
            tokens += 1
            size += len(tokenizer.token_bytes(choice.id))
        if progress:
            progress(done, len(stories))
    if not tokens or size <= 0:
        raise OptionError("the text has nothing to predict: it needs at least two tokens")
    return Evaluation(nats, tokens, size, len(stories))

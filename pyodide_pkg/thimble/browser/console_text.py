"""The page's text and the session's tokens, brought together again after one of them changed.

A page knows a text as a prompt and the tokens that were written after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..generation import TokenChunk, prompt_ids
from ..sampling import Choice
from ..session import Session
from ..tokenizer import StreamDecoder

ALTERNATIVES = 10
"""That the page knows of each token."""


def read_again(
    session: Session, prompt: str, known: Sequence[int]
) -> tuple[str, int, list[TokenChunk]]:
    """The session's tokens as a prompt, how many of the `known` ones follow it, and the rest.

    The prompt is kept where the session still begins with it; else all of it is text. Only what is
    new is computed, on a copy.
    """
    model, tokens = session.model, session.tokens
    given = tuple(prompt_ids(model, prompt, first=True))
    unchanged = 0
    if tokens[: len(given)] == given:
        own = tokens[len(given) :]
        while unchanged < min(len(known), len(own)) and known[unchanged] == own[unchanged]:
            unchanged += 1
    else:
        prompt, given = "", ()
        while len(given) < len(tokens) and model.tokenizer.is_special(tokens[len(given)]):
            given = tokens[: len(given) + 1]
    return prompt, unchanged, _chunks(session, len(given) + unchanged)


def _chunks(session: Session, start: int) -> list[TokenChunk]:
    """The tokens from `start` on, as if they had just been written."""
    tokenizer, tokens = session.model.tokenizer, session.tokens
    rest = tokens[start:]
    if not rest:
        return []
    copy = session.fork()
    try:
        copy.rollback(start)
        choices = copy.score(rest, top=ALTERNATIVES)
    finally:
        copy.close()
    if len(choices) < len(rest):  # nothing came before the first, so nothing is said of it
        choices.insert(0, Choice(rest[0], 0.0, 0.0, ()))
    at_start = all(tokenizer.is_special(token) for token in tokens[:start])
    decoder = StreamDecoder(tokenizer, at_start=at_start)
    return [
        TokenChunk(decoder.push(choice.id), choice.id, choice.logprob, choice.entropy, choice.top)
        for choice in choices
    ]


def put_back(session: Session, prompt: str, known: Sequence[int]) -> None:
    """Let the session hold a page's text: the prompt, and the tokens that were written after it."""
    model = session.model
    session.rollback(0)
    ids = prompt_ids(model, prompt, first=True)
    session.append(ids + [token for token in known if token not in model.tokenizer.eog_ids])


def rows(session: Session, chunks: Sequence[TokenChunk]) -> list[list[Any]]:
    """`PieceRow`s of the worker's protocol."""
    tokenizer = session.model.tokenizer
    return [
        [
            chunk.text, chunk.id, chunk.logprob, chunk.entropy,
            [[token, tokenizer.token_bytes(token).decode("utf-8", "replace"), logprob]
             for token, logprob in chunk.top],
        ]
        for chunk in chunks
    ]  # fmt: skip

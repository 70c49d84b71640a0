"""What a batch of tokens tells of them, in a form that crosses into JavaScript cheaply."""

from __future__ import annotations

import binascii
import struct
from typing import TYPE_CHECKING

from ..sampling import Top

if TYPE_CHECKING:
    from ..generation import TokenChunk
    from ..model import Model

_RECORD = struct.Struct("<iiiff")


def numbers_of(chunks: list[TokenChunk], times: list[int]) -> str:
    """What is known of each chunk, in base64, since as JSON the numbers would cost a small model a
    tenth of its speed. A record is: how many alternatives, id, microseconds (int32),
    log-probability, entropy (float32), then the alternatives' ids and their log-probabilities."""
    records: list[bytes] = []
    for chunk, microseconds in zip(chunks, times, strict=True):
        top = chunk.top.packed if isinstance(chunk.top, Top) else b""
        head = _RECORD.pack(len(top) // 8, chunk.id, microseconds, chunk.logprob, chunk.entropy)
        records += (head, top)
    return binascii.b2a_base64(b"".join(records), newline=False).decode("ascii")


def texts_of(
    model: Model, told: set[int], chunks: list[TokenChunk]
) -> tuple[dict[int, str], dict[int, list[int]]]:
    """The own texts of the chunks' tokens and alternatives that were not told before, by their
    ids, and the bytes of those that are a part of a character, which no text can say."""
    fresh = {chunk.id for chunk in chunks}
    for chunk in chunks:
        if isinstance(chunk.top, Top):
            fresh.update(chunk.top.ids)
    fresh -= told
    told |= fresh
    pieces = {token: model.tokenizer.token_bytes(token) for token in fresh}
    texts = {token: piece.decode("utf-8", "replace") for token, piece in pieces.items()}
    parts = {
        token: list(piece) for token, piece in pieces.items() if texts[token].encode() != piece
    }
    return texts, parts

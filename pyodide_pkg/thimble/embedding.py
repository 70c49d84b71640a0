"""A text as one vector of length 1: an encoder's, or the mean of a model's last hidden states.

    found = thimble.embed(model, ["a dog barks", "the cat sleeps"])

Texts that a model reads alike lie close: their similarity is the product of their vectors. Models
that only write were not trained for this; it tells stories about dogs from recipes, not much more.
Encoders were; the words that they want before a text are the caller's.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .errors import (
    ContextError,
    MemoryLimitError,
    NumericError,
    OptionError,
    UnsupportedError,
)
from .kernel import BATCH, Scratch
from .state import State, failure

if TYPE_CHECKING:
    from .language_model import LanguageModel
    from .session import Session


def embed(
    model: LanguageModel,
    texts: Sequence[str],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[array[float]]:
    """Each text's vector of `dim` float32 numbers, whose squares add up to 1.

    Raises OptionError for a text without tokens, ContextError for one that is longer than the
    context, UnsupportedError for a model that is several (an ensemble, or with hooks).
    """
    if isinstance(texts, str):
        raise OptionError("embed wants a list of texts; for one text write [text]")
    _ = model.weights  # what is made of others has no vectors, and says so
    if model.fwd_hooks:
        raise UnsupportedError(f"model {model.name!r} has hooks, and so no vector for a text")
    if not model.config.features.causal:
        return _encoded(model, texts, progress)
    session = model.session()
    sums = Scratch(model.kernel, 8 * model.config.dim, "a vector")
    vectors: list[array[float]] = []
    try:
        for done, text in enumerate(texts, start=1):
            vectors.append(_vector(session, sums, text))
            if progress:
                progress(done, len(texts))
    finally:
        sums.close()
        session.close()
    return vectors


def _vector(session: Session, sums: Scratch, text: str) -> array[float]:
    model = session.model
    ids = _ids(model, text)
    session.rollback(0)
    sums.write(bytes(sums.nbytes))
    for at in range(0, len(ids), BATCH):
        session.append(ids[at : at + BATCH])
        count = len(ids[at : at + BATCH])
        if session.add_hidden(count, sums.address):
            raise NumericError(f"a hidden state of model {model.name!r} is not finite")
    total = array("d", model.kernel.read(sums.address, sums.nbytes))
    return _of_length_1(model, total)


def _encoded(
    model: LanguageModel, texts: Sequence[str], progress: Callable[[int, int], None] | None
) -> list[array[float]]:
    """The same by an encoder, which reads each text as a whole."""
    kernel, dim = model.kernel, model.config.dim
    vectors: list[array[float]] = []
    for done, text in enumerate(texts, start=1):
        ids = _ids(model, text)
        state = State(model, len(ids), kv_type=model.kv_type, whole=True)
        scratch = Scratch(kernel, 4 * (dim + len(ids)), "a vector")
        try:
            scratch.write(array("i", ids).tobytes(), 4 * dim)
            places = (scratch.address + 4 * dim, len(ids), scratch.address)
            status = kernel.call("encode_text", state.address, *places)
            if status < 0:
                raise MemoryLimitError(f"no memory to read {len(ids):,} tokens at once")
            if status:
                raise failure(model.name, model.config.n_layers, status)
            vectors.append(_of_length_1(model, scratch.floats(dim)))
        finally:
            scratch.close()
            state.close()
        if progress:
            progress(done, len(texts))
    return vectors


def _ids(model: LanguageModel, text: str) -> list[int]:
    ids, n_ctx = model.tokenizer.encode(text), model.config.n_ctx
    if not ids or not text:
        raise OptionError("an empty text has no vector")
    if len(ids) > n_ctx:
        raise ContextError(
            f"the text has {len(ids):,} tokens and the context holds {n_ctx:,}; cut it"
        )
    return ids


def _of_length_1(model: LanguageModel, vector: Sequence[float]) -> array[float]:
    length = math.sqrt(math.fsum(x * x for x in vector))
    if not length:
        raise NumericError(f"model {model.name!r} leaves nothing of this text")
    return array("f", [x / length for x in vector])

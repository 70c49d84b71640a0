"""Looking inside a model while it reads a text, as the page asks for it.

A look is a model and the tokens of a text; nothing of it is computed before it is asked for, and
nothing is kept here: numbers go to the page as bytes, each question's own and no others. It works
without NumPy. What is changed inside a model is not its business: it looks at the model that the
session has, with the changes that stand.
"""

from __future__ import annotations

import itertools
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .. import lens
from ..errors import OptionError
from ..generation import prompt_ids
from ..lens.run import token_ids
from ..tokenizer import StreamDecoder
from .options import asked

if TYPE_CHECKING:
    from ..model import Model
    from .engine import Engine

HEAVY = 10_000_000_000
"""Products from which on the page says what it costs before it computes: a second or two."""
HEAVY_BYTES = 64 << 20
"""That a view keeps, the same."""
SAMPLE = 4
"""Tokens of the pass by which the time of a whole one is told."""
BEST = 5
"""Tokens of a cell of the logit lens."""
LISTED = 12
"""Tokens that a neuron promotes, or that are nearest to one."""
MOST_WEIGHTS = 1 << 20
"""Of a matrix's picture; of larger ones only some rows are shown."""

PATTERN, NEURONS = "attn.hook_pattern", "mlp.hook_post"


@dataclass(slots=True)
class Look:
    """What is looked into."""

    model: Model
    ids: list[int]
    parts: dict[int, lens.Contributions] = field(default_factory=dict)
    """What was added at the position that was asked for last."""


class Service:
    """What the worker asks as "lens.METHOD"."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._looks: dict[int, Look] = {}
        self._numbers = itertools.count(1)

    def begin(self, session: int, prompt: str, ids: str) -> dict[str, Any]:
        """Look at a text: a prompt, and after it a JSON list of tokens that were written.

        Raises OptionError for a text without tokens, ContextError for one that the context does not
        hold, UnsupportedError for an ensemble.
        """
        model = self._engine.opened(session).model
        tokens = prompt_ids(model, prompt, first=True) + asked(ids)
        if not prompt and len(tokens) < 2:
            raise OptionError("the text is empty: there is nothing to look into")
        tokens = token_ids(model, tokens)
        number = next(self._numbers)
        self._looks[number] = Look(model, tokens)
        config = model.config
        return {
            "look": number,
            "tokens": _texts(model, tokens),
            "given": len(tokens) - len(asked(ids)),
            "layers": config.n_layers,
            "heads": config.n_heads,
            "dim": config.dim,
            "hidden": config.hidden_dim,
            "vocabulary": config.n_vocab,
            "parameters": model.n_params,
            "bytes": _bytes(model, len(tokens)),
            "products": _products(model, len(tokens)),
            "most": [HEAVY_BYTES, HEAVY],
        }

    def close(self, look: int) -> None:
        """Forget a look."""
        self._looks.pop(look, None)

    def pass_seconds(self, look: int) -> float:
        """Seconds that a pass over the text takes, by one over its first tokens."""
        found = self._look(look)
        first = found.ids[:SAMPLE]
        began = time.perf_counter()
        lens.run_with_cache(found.model, first, (), last_only=True)
        return (time.perf_counter() - began) * len(found.ids) / len(first)

    def patterns(self, look: int, first: int, last: int) -> bytes:
        """Attention patterns of the layers `first` to `last`, [layer, head, pos, key]; zeros of one
        that has no attention."""
        found = self._look(look)
        config = found.model.config
        # Of layers that there are none of, the lens says so.
        known = {*lens.site_names(config), *_patterns(config.n_layers, last)}
        names = _patterns(first, last)
        there = [name for name in names if name in known]
        _, cache = lens.run_with_cache(found.model, found.ids, there, last_only=True)
        nothing = bytes(4 * config.n_heads * len(found.ids) ** 2)
        return b"".join(cache.raw(name) if name in known else nothing for name in names)

    def grid(self, look: int) -> dict[str, Any]:
        """The logit lens: `records` has one for each depth and position, [depth, pos].

        A record is the ids of the best tokens (int32), their log-probabilities (float32), the
        target's rank (int32) and log-probability, and the entropy (float32). The target is the
        token that the model finds likeliest there.
        """
        found = self._look(look)
        best = min(BEST, found.model.config.n_vocab)
        record = struct.Struct(f"<{best}i{best}fiff")
        told = lens.logit_lens(found.model, found.ids, top=best)
        records = [
            record.pack(*(token for token, _ in cell.top), *(logprob for _, logprob in cell.top),
                        cell.rank, cell.logprob, cell.entropy)
            for row in told.cells for cell in row
        ]  # fmt: skip
        named = {token for row in told.cells for cell in row for token, _ in cell.top}
        return {
            "best": best,
            "depths": len(told.cells),
            "records": b"".join(records),
            "texts": {token: text_of(found.model, token) for token in named},
        }

    def parts(
        self, look: int, position: int, token: int | None, against: int | None
    ) -> dict[str, Any]:
        """What each head and each MLP added to a token's logit, or to the difference of two;
        without a token, to that of the token that the model finds likeliest."""
        found = self._look(look)
        if position not in found.parts:
            found.parts = {position: lens.contributions(found.model, found.ids, position)}
        added = found.parts[position]
        answer = added.attribution(token, against)
        return {
            "token": answer.token,
            "text": text_of(found.model, answer.token),
            "value": answer.value,
            "rest": answer.rest,
            "parts": [[part.kind, part.layer, part.head, part.value] for part in answer.parts],
            "best": _named(found.model, added.best(LISTED)),
        }

    def neurons(self, look: int, layer: int) -> bytes:
        """What the neurons of a layer say at every token, [pos, d_mlp]."""
        found = self._look(look)
        name = f"blocks.{layer}.{NEURONS}"
        _, cache = lens.run_with_cache(found.model, found.ids, name, last_only=True)
        return cache.raw(name)

    def writes(self, look: int, layer: int, neuron: int) -> dict[str, Any]:
        """Which tokens a neuron promotes and suppresses."""
        model = self._look(look).model
        found = lens.neuron_writes(model, layer=layer, neuron=neuron, most=LISTED)
        return {
            "promoted": _named(model, found.promoted),
            "suppressed": _named(model, found.suppressed),
        }

    def similar(self, look: int, position: int) -> dict[str, Any]:
        """The tokens whose embeddings lie nearest to that of a position's token, and how near those
        of the whole text do."""
        found = self._look(look)
        if not 0 <= position < len(found.ids):
            raise OptionError(
                f"there is no position {position}; there are 0 to {len(found.ids) - 1}"
            )
        cosines = lens.token_cosines(found.model, found.ids[position])
        own = found.ids[position]
        order = sorted(range(len(cosines)), key=cosines.__getitem__, reverse=True)
        nearest = [(token, cosines[token]) for token in order[: LISTED + 1] if token != own]
        return {
            "nearest": _named(found.model, nearest[:LISTED]),
            "text": [cosines[token] for token in found.ids],
        }

    def tensors(self, look: int) -> list[list[Any]]:
        """[name, encoding, shape] of every tensor, in the file's order."""
        model = self._look(look).model
        return [[tensor.name, tensor.type.name, tensor.shape] for tensor in model.tensors]

    def matrix(self, look: int, name: str) -> dict[str, Any]:
        """The `numbers` of a matrix: its weights, [rows, cols], and after them how far storing has
        moved each of them at most, the same shape; of a large one every so many rows (`every`)."""
        model = self._look(look).model
        weights, moved, every = lens.sampled(model, name, MOST_WEIGHTS)
        tensor = next(tensor for tensor in model.tensors if tensor.name == name)
        cols = tensor.shape[-1]
        rows = len(weights) // cols
        numbers = weights.tobytes() + moved.tobytes()
        return {
            "type": tensor.type.name, "every": every, "rows": rows, "cols": cols,
            "numbers": numbers,
        }  # fmt: skip

    def _look(self, number: int) -> Look:
        if number not in self._looks:
            raise OptionError(f"there is no look {number}; it was closed or never begun")
        return self._looks[number]


def text_of(model: Model, token: int) -> str:
    """A token's own text."""
    return model.tokenizer.token_bytes(token).decode("utf-8", "replace")


def _named(model: Model, found: list[tuple[int, float]]) -> list[list[Any]]:
    return [[token, text_of(model, token), value] for token, value in found]


def _patterns(first: int, last: int) -> list[str]:
    return [f"blocks.{layer}.{PATTERN}" for layer in range(first, last)]


def _texts(model: Model, tokens: list[int]) -> list[list[Any]]:
    """[text, id] of the tokens; what they add up to is the text."""
    decoder = StreamDecoder(model.tokenizer, skip_special=True, at_start=True)
    found: list[list[Any]] = [[decoder.push(token), token] for token in tokens]
    found[-1][0] += decoder.flush()
    return found


def _bytes(model: Model, tokens: int) -> dict[str, int]:
    """What each view keeps: of one layer, but for the logit lens, which needs all of them."""
    config = model.config
    known = lens.site_names(config)
    first = {
        value: next((n for n in known if n.endswith(value)), "") for value in (PATTERN, NEURONS)
    }
    one = {
        value: lens.cost(model, tokens, name)[name] if name else 0 for value, name in first.items()
    }
    stream = lens.cost(model, tokens, "hook_embed")["hook_embed"]
    rows = 4 * tokens * config.n_vocab
    return {
        "patterns": one[PATTERN],
        "neurons": one[NEURONS],
        "grid": stream * (config.n_layers + 1) + rows,
        "parts": 4 * tokens * config.n_heads * config.dim,
    }


def _products(model: Model, tokens: int) -> dict[str, int]:
    """What each view computes: a pass, and for the logit lens every depth's way to the logits."""
    config = model.config
    one = model.n_params * tokens
    out = (config.n_layers + 1) * tokens * config.n_vocab * config.dim
    return {"patterns": one, "neurons": one, "grid": one + out, "parts": one}

"""Control vectors: directions that lead what a model writes towards something, as files.

    pairs = [("I am happy. I", "I am sad. I"), ...]
    vector = lens.ControlVector.train(model, pairs)
    happy = model.hooked(vector.hooks(model, strength=2.0))
    vector.save("happy.gguf")                     # llama.cpp: --control-vector happy.gguf

A direction for each layer is made of what the stream behind it holds at the last token of two texts
that differ in one respect (Zou et al. 2023, https://arxiv.org/abs/2310.01405; repeng). Files are
those of repeng and llama.cpp: GGUF with tensors `direction.L`, which is added to the stream behind
layer L. llama.cpp knows none for layer 0.
"""

from __future__ import annotations

import math
import operator
import os
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import FormatError, OptionError
from ..gguf import read_header
from ..gguf_writer import GGUFWriter
from ..tensor_types import F32
from .cache import Cache
from .hooks import HookFunction, HookPoint
from .interventions import Hook
from .run import Tokens, run_with_cache
from .tensor import Array, flat

if TYPE_CHECKING:
    from ..model import Model

Pair = tuple[Tokens, Tokens]
RESID_POST = "hook_resid_post"
ARCHITECTURE = "controlvector"
MOST_BYTES = 64 << 20
"""Of a file: the largest models have less than two megabytes of directions."""
STEPS = 100
"""Of the power iteration; it ends sooner where nothing moves any more."""


@dataclass(frozen=True)
class ControlVector:
    """A direction [d_model] for each of some layers."""

    directions: Mapping[int, Sequence[float]]
    model_hint: str = ""
    """The architecture that it was made for, as files name it."""

    @classmethod
    def train(
        cls, model: Model, pairs: Sequence[Pair], *, method: Literal["mean", "pca"] = "pca"
    ) -> ControlVector:
        """Make one of pairs of texts, what to lead to first.

        `mean` is the mean of the differences; `pca` their first principal component around 0, of
        length 1, turned so that most pairs lie along it. Raises OptionError for no pair, and where
        no pair differs.
        """
        if method not in ("mean", "pca"):
            raise OptionError(f"method is {method!r}; it must be 'mean' or 'pca'")
        if not pairs:
            raise OptionError("there are no pairs; at least one pair of texts is wanted")
        layers = range(model.config.n_layers)
        names = [f"blocks.{layer}.{RESID_POST}" for layer in layers]
        differences: dict[int, list[list[float]]] = {layer: [] for layer in layers}
        for pair in pairs:
            towards, away = (run_with_cache(model, text, names, last_only=True)[1] for text in pair)
            for layer, name in zip(layers, names, strict=True):
                step = map(operator.sub, _last(towards, name), _last(away, name))
                differences[layer].append(list(step))
        if not any(any(row) for rows in differences.values() for row in rows):
            raise OptionError("the texts of each pair are the same to the model: nothing differs")
        made = _mean if method == "mean" else _principal
        found = {layer: made(rows) for layer, rows in differences.items()}
        return cls(
            {layer: row for layer, row in found.items() if any(row)}, model.config.architecture
        )

    def hooks(
        self, model: Model, strength: float = 1.0, *, first: int = 0, last: int | None = None
    ) -> list[Hook]:
        """Hooks that add the directions, times a strength, to the stream behind the layers from
        `first` up to and with `last`. Raises OptionError for a vector of another width or of layers
        that the model does not have."""
        config = model.config
        end = config.n_layers - 1 if last is None else last
        made: list[Hook] = []
        for layer, direction in sorted(self.directions.items()):
            if layer >= config.n_layers:
                raise OptionError(
                    f"the control vector has a direction for layer {layer}; the model has "
                    f"{config.n_layers} layers, from 0 on"
                )
            if len(direction) != config.dim:
                raise OptionError(
                    f"the control vector's directions have {len(direction):,} numbers; the "
                    f"model's stream has {config.dim:,}"
                )
            if first <= layer <= end and strength:
                made.append((f"blocks.{layer}.{RESID_POST}", _adding(direction, strength)))
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as repeng and llama.cpp read it; a direction of layer 0, which llama.cpp cannot
        read, is left out. Raises OptionError where nothing is left."""
        kept = {layer: row for layer, row in sorted(self.directions.items()) if layer > 0}
        if not kept:
            raise OptionError("the control vector has no direction behind layer 0: nothing to save")
        writer = GGUFWriter()
        writer.add("general.architecture", ARCHITECTURE)
        writer.add(f"{ARCHITECTURE}.model_hint", self.model_hint)
        writer.add(f"{ARCHITECTURE}.layer_count", len(kept))
        for layer, row in kept.items():
            writer.add_tensor(f"direction.{layer}", (len(row),), F32, array("f", row).tobytes())
        writer.write(Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ControlVector:
        """Read a file. Raises FormatError for what is none, with what is wrong with it."""
        place = Path(path)
        size = place.stat().st_size
        if size > MOST_BYTES:
            raise FormatError(
                f"{place.name} has {size:,} bytes; a control vector has at most {MOST_BYTES:,}"
            )
        return cls.read(place.read_bytes())

    @classmethod
    def read(cls, data: bytes) -> ControlVector:
        """The same of a file's bytes."""
        header = read_header(data, file_size=len(data))
        found = header.metadata.get("general.architecture")
        if found != ARCHITECTURE:
            raise FormatError(
                f"the file's general.architecture is {found!r:.40}; {ARCHITECTURE!r} is right"
            )
        directions: dict[int, array[float]] = {}
        for tensor in header.tensors:
            kind, _, number = tensor.name.partition(".")
            if kind != "direction" or not number.isascii() or not number.isdigit():
                raise FormatError(f"tensor {tensor.name!r:.60} is no direction.LAYER")
            if tensor.type is not F32 or len(tensor.shape) != 1:
                raise FormatError(
                    f"tensor {tensor.name!r} is {tensor.type.name} {list(tensor.shape)}; a row of "
                    "F32 is right"
                )
            row = array("f", data[tensor.offset : tensor.offset + tensor.nbytes])
            if not all(map(math.isfinite, row)):
                raise FormatError(f"tensor {tensor.name!r} holds a number that is not finite")
            directions[int(number)] = row
        if not directions:
            raise FormatError("the file has no direction")
        if len(set(map(len, directions.values()))) > 1:
            raise FormatError("the file's directions are of different widths")
        hint = header.metadata.get(f"{ARCHITECTURE}.model_hint")
        return cls(directions, hint if isinstance(hint, str) else "")


def _adding(direction: Sequence[float], strength: float) -> HookFunction:
    added = [float(strength) * float(x) for x in direction]
    dim = len(added)

    def add(values: Array, _hook: HookPoint) -> None:
        out = flat(values)
        for at in range(0, len(out), dim):
            part = slice(at, at + dim)
            out[part] = memoryview(array("f", map(operator.add, out[part], added)))

    return add


def _last(cache: Cache, name: str) -> list[float]:
    """The stream at the last token."""
    data = array("f", cache.raw(name))
    return data[-(len(data) // len(cache.tokens)) :].tolist()


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def _principal(rows: Sequence[Sequence[float]]) -> list[float]:
    """The direction of length 1 along which rows are largest, by power iteration from their mean
    (or the first row, where that is 0); rows that are all 0 give 0."""
    start = _mean(rows)
    found = _unit(start if any(start) else rows[0])
    for _ in range(STEPS):
        shares = [math.fsum(map(operator.mul, row, found)) for row in rows]
        turned = _unit([
            math.fsum(map(operator.mul, shares, column)) for column in zip(*rows, strict=True)
        ])  # fmt: skip
        moved = max(map(abs, map(operator.sub, turned, found)))
        found = turned
        if moved < 1e-7:
            break
    along = sum(math.fsum(map(operator.mul, row, found)) > 0 for row in rows)
    return found if 2 * along >= len(rows) else [-x for x in found]


def _unit(row: Sequence[float]) -> list[float]:
    length = math.sqrt(math.fsum(x * x for x in row))
    return [x / length for x in row] if length else list(row)

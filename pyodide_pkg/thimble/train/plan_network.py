"""What learns where a model of any architecture is adapted: two thin matrices beside each of its
own (LoRA, Hu et al. 2021), with gradients through the model's plan (`backward.py`).

The model stays as it was loaded, quantized, and computes as it does when it writes; A and B are an
adapter on it that learns. To a trainer the weights are all A and B, matrix by matrix in the order
of the file's tensors, each A [rank][columns] and then B [rows][rank], rank and rows padded with
zeros to multiples of four.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..adapter import FUSED, MATRICES, OTHERS
from ..backward import Backward
from ..errors import MemoryLimitError, NumericError, OptionError
from ..gguf import TensorInfo
from ..kernel import Bytes, Kernel, Scratch
from ..loader import ModelLoader
from ..model_config import ModelConfig, is_run, parts_of
from ..sampling import SamplingParams
from .counter import draw
from .low_rank import factor
from .network import FIRST, SECOND, WEIGHTS, Batch, Network, Rates, halves
from .recipe import Recipe

_PLACES = {WEIGHTS: 0, FIRST: 2, SECOND: 3}
"""Of what is learned, its gradients and its two averages, one behind the other."""


class Matrix(NamedTuple):
    """A matrix that is adapted, and where A and B lie among what is learned."""

    name: str
    rows: int
    cols: int
    a: int
    b: int
    end: int
    parts: tuple[tuple[str, int, int], ...]
    """The tensors that it runs as: names, first rows and rows."""


def matrices(
    tensors: Iterable[TensorInfo], recipe: Recipe, config: ModelConfig
) -> Iterator[Matrix]:
    """Yield the matrices that a recipe adapts, of those in a file."""
    chosen, at, rank = recipe.lora_matrices.split(), 0, _padded(recipe.lora_rank)
    for tensor in tensors:
        if _is_one(tensor, config) and tensor.name.split(".")[2] in chosen:
            rows, cols = tensor.shape
            b = at + rank * cols
            end = b + _padded(rows) * rank
            yield Matrix(tensor.name, rows, cols, at, b, end, tuple(_parts(tensor, config)))
            at = end


def adaptable(tensors: Iterable[TensorInfo], config: ModelConfig) -> list[str]:
    """Return which of a layer's matrices are adapted where nothing else is asked for: those of
    scans where there are no others."""
    names = {tensor.name.split(".")[2] for tensor in tensors if _is_one(tensor, config)}
    found = [name for name in (FUSED, *MATRICES) if name in names]
    return found or [name for name in OTHERS if name in names]


def _is_one(tensor: TensorInfo, config: ModelConfig) -> bool:
    """Whether a tensor is a matrix of a layer, no experts' and none whose parts share a quad."""
    parts = tensor.name.split(".")
    layer = parts[0] == "blk" and parts[-1] == "weight" and len(tensor.shape) == 2
    run = layer and is_run(config, tensor.name)
    return run and all(first % 4 == 0 for _, first, _ in _parts(tensor, config))


def _parts(tensor: TensorInfo, config: ModelConfig) -> Iterator[tuple[str, int, int]]:
    """Yield what a matrix is as it runs: names, first rows and rows."""
    first = 0
    for name, rows in parts_of(config, tensor.name) or ((tensor.name, tensor.shape[0]),):
        yield name, first, rows
        first += rows


class PlanNetwork(Network):
    """A model that is adapted from `start` on."""

    def __init__(self, recipe: Recipe, kernel: Kernel, data: bytes) -> None:
        """`data`: the bytes of the model's file. Raises OptionError, MemoryLimitError, and what a
        loader raises."""
        self.kernel = kernel
        self._recipe = recipe
        self._parts: list[tuple[int, int, Matrix, int, int]] = []
        """Tensors, what adapts each, and which rows of a matrix it has."""
        self._numbers = Scratch(kernel, 64, "numbers of a step")
        loader = ModelLoader(len(data), kernel=kernel)
        loader.feed(data)
        self._model = loader.finish()
        self._matrices = list(matrices(self._model.tensors, recipe, self._model.config))
        self.n_weights = self._matrices[-1].end
        self._backward = Backward(self._model, recipe.context)
        self._learned = Scratch(kernel, 16 * self.n_weights, f"adapters of rank {recipe.lora_rank}")
        self._learned.write(bytes(16 * self.n_weights))

    @property
    def n_learned(self) -> int:
        """Numbers that are learned, without what pads them."""
        return sum(self._recipe.lora_rank * (m.rows + m.cols) for m in self._matrices)

    def start(self, seed: int, embedding_std: float) -> None:
        """Draw A, and put the adapter on the model."""
        kernel, rank = self.kernel, self._recipe.lora_rank
        self._numbers.write(struct.pack("<d", factor(self._recipe)))
        for number, m in enumerate(self._matrices):
            kernel.call("learn_init", self._at(m.a), rank, m.cols, *halves(draw(seed, number)))
            for name, first, rows in m.parts:
                self._put(m, self._model.weights.tensor(name), first, rows)
        self.settle(exact=True)

    def _put(self, m: Matrix, tensor: int, first: int, rows: int) -> None:
        """Let a tensor, some rows of a matrix, be adapted by what is learned."""
        kernel, rank, gradients = self.kernel, self._recipe.lora_rank, self.n_weights
        part = kernel.call("adapter_new", tensor, rank)
        if not part:
            raise MemoryLimitError(f"no memory for adapters of rank {rank}")
        self._parts.append((tensor, part, m, first, rows))
        kernel.call("adapter_scale", part, self._numbers.address)
        up = gradients + m.b + first * _padded(rank)
        kernel.call("adapter_learn", part, self._at(gradients + m.a), self._at(up))
        kernel.call("adapter_put", tensor, part)

    def settle(self, *, exact: bool) -> None:
        """Let products read A and B as they are."""
        rank = self._recipe.lora_rank
        for _, part, m, first, rows in self._parts:
            b = m.b + first * _padded(rank)
            for up, at, size in ((0, m.a, (rank, m.cols)), (1, b, (rows, _padded(rank)))):
                if self.kernel.call("adapter_set", part, up, self._at(at), *size):
                    raise NumericError(f"the adapter of {m.name!r} is not finite")
        self._model.changed()

    def learn(self, batch: Batch, scale: float, noise: int) -> float:
        return sum(self._backward.loss(*text, scale=scale) for text in _texts(batch))

    def measure(self, batch: Batch) -> float:
        return sum(self._backward.loss(*text, learn=False) for text in _texts(batch))

    def update(self, rates: Rates) -> float:
        n, gradients = self.n_weights, self._at(self.n_weights)
        self.kernel.call("learn_norm", gradients, n, self._numbers.address)
        (norm,) = struct.unpack("<d", self.kernel.read(self._numbers.address, 8))
        if norm - norm != 0.0:
            self.forget()
            raise NumericError("a gradient is not finite")
        clip = rates.clip / (norm + 1e-6) if norm > rates.clip else 1.0
        self._numbers.write(struct.pack(
            "<7d", clip, rates.adam_rate, rates.adam_beta1, rates.adam_beta2, rates.adam_grow1,
            rates.adam_grow2, rates.adam_decay,
        ))  # fmt: skip
        self.kernel.call("learn_adam", self._at(0), n, self._numbers.address)
        self.forget()
        return float(norm)

    def forget(self) -> None:
        self._learned.write(bytes(4 * self.n_weights), 4 * self.n_weights)

    def read(self, which: int, first: int = 0, count: int | None = None) -> bytes:
        n = self.n_weights - first if count is None else count
        return self.kernel.read(self._at(_PLACES[which] * self.n_weights + first), 4 * n)

    def write(self, which: int, data: Bytes, first: int = 0) -> None:
        if not 0 <= first <= first + len(data) // 4 <= self.n_weights:
            raise OptionError(f"{len(data)} bytes at {first} are not within {self.n_weights}")
        self.kernel.write(self._at(_PLACES[which] * self.n_weights + first), data)

    def gradients(self) -> array[float]:
        return array("f", self.kernel.read(self._at(self.n_weights), 4 * self.n_weights))

    def used_weights(self) -> bytes:
        return self.read(WEIGHTS)

    def pairs(self) -> dict[str, tuple[tuple[int, int, int], Bytes, Bytes]]:
        """Return what was learned as an adapter's file has it (`adapter_file`)."""
        rank, numbers = self._recipe.lora_rank, self.read(WEIGHTS)
        found: dict[str, tuple[tuple[int, int, int], Bytes, Bytes]] = {}
        step = 4 * _padded(rank)
        for m in self._matrices:
            down = numbers[4 * m.a : 4 * (m.a + rank * m.cols)]
            up = b"".join(
                numbers[at : at + 4 * rank] for at in range(4 * m.b, 4 * m.b + step * m.rows, step)
            )
            found[m.name] = ((m.rows, m.cols, rank), down, up)
        return found

    def sample(self, prompt: str, n: int, temperature: float, seed: int, *, tuned: bool) -> str:
        """Return what the model now writes after a prompt, at most n tokens; or what it would have
        written before."""
        if not tuned:
            self._scale(0.0)
        session = self._model.session()
        params = SamplingParams(max_tokens=n, temperature=temperature, seed=seed)
        try:
            return "".join(piece.text for piece in session.generate(prompt, params))
        finally:
            session.close()
            self._scale(factor(self._recipe))

    def _scale(self, by: float) -> None:
        """Let what is learned count so much."""
        self._numbers.write(struct.pack("<d", by))
        for _, part, *_ in self._parts:
            self.kernel.call("adapter_scale", part, self._numbers.address)
        self._model.changed()

    def close(self) -> None:
        """Give the memory back, the model's too."""
        if self._model.closed:
            return
        self._backward.close()
        for tensor, part, *_ in self._parts:
            self.kernel.call("adapter_put", tensor, 0)
            self.kernel.call("adapter_free", part)
        self._model.close()
        self._learned.close()
        self._numbers.close()

    def __del__(self) -> None:
        if hasattr(self, "_learned"):
            self.close()

    def _at(self, number: int) -> int:
        return self._learned.address + 4 * number


def _padded(n: int) -> int:
    return (n + 3) & ~3


def _texts(batch: Batch) -> Iterator[tuple[array[int], array[int]]]:
    """The texts of a batch, which do not see each other."""
    for first, end in zip(batch.starts, batch.starts[1:], strict=False):
        yield batch.ids[first:end], batch.targets[first:end]

"""A network whose matrices stay as they are, and beside which two thin ones are learned (LoRA, Hu
et al. 2021): W0 + alpha / rank * B A is what products read.

To a trainer its weights are the numbers that are learned: all A and B, matrix by matrix in the
order of the file's tensors. It knows what `kernels/adapter_train.c` does, not where W0 came from.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import MemoryLimitError, NumericError
from ..kernel import Kernel, Scratch
from .network import FIRST, NORM, SECOND, WEIGHTS, Network, Rates, halves, tensors
from .recipe import Recipe

_GRADIENTS, _COUNT = 3, 8
LEARNED = (WEIGHTS, FIRST, SECOND, _GRADIENTS, _COUNT)
"""What `tk_lora_part` finds in place of `tk_train_part`."""


class Adapted(NamedTuple):
    """A matrix that is adapted."""

    name: str
    first: int
    """Its first weight among the network's."""
    rows: int
    cols: int


def adapted(recipe: Recipe) -> Iterator[Adapted]:
    """Yield the matrices that a recipe adapts, in the order in which A and B lie."""
    chosen, at = recipe.lora_matrices.split(), 0
    for name, shape in tensors(recipe):
        if name.removesuffix(".weight").rpartition(".")[2] in chosen:
            yield Adapted(name, at, shape[0], shape[1])
        at += shape[0] * (shape[1] if len(shape) == 2 else 1)


def factor(recipe: Recipe) -> float:
    """Return what B A is multiplied by."""
    return recipe.lora_alpha / recipe.lora_rank if recipe.lora_alpha else 1.0


class LowRankNetwork(Network):
    """A network that is adapted from `start` on; `fill` gives it the weights that then stay."""

    def __init__(self, recipe: Recipe, kernel: Kernel, fill: Callable[[Network], None]) -> None:
        self._lora = 0
        super().__init__(recipe, kernel)
        self._recipe, self._fill = recipe, fill

    def start(self, seed: int, embedding_std: float) -> None:
        """Take the weights, and draw A."""
        r = self._recipe
        self._fill(self)
        table = array("i")
        for matrix in adapted(r):
            table.extend((matrix.first, matrix.rows, matrix.cols))
        scratch = Scratch(self.kernel, 8 + 4 * len(table), "the matrices' places")
        scratch.write(struct.pack("<d", factor(r)) + table.tobytes())
        at = scratch.address
        lora = self.kernel.call("lora_new", self._address, r.lora_rank, at, at + 8, len(table) // 3)
        scratch.close()
        if not lora:
            raise MemoryLimitError(f"no memory for adapters of rank {r.lora_rank}")
        self._lora = lora
        self.n_weights = self._part(_COUNT)
        self.kernel.call("lora_init", lora, *halves(seed))
        self.settle(exact=True)

    def close(self) -> None:
        lora, self._lora = self._lora, 0
        if lora:
            self.kernel.call("lora_free", lora)
        super().close()

    def settle(self, *, exact: bool) -> None:
        """Make the weights that products read of A and B."""
        self._compute("lora_merge", self._lora)

    def update(self, rates: Rates) -> float:
        self._write_io(1, rates.pack())
        self.project()
        if self._compute("lora_update", self._lora):
            raise NumericError("a gradient is not finite")
        return self._read_io(NORM)

    def project(self) -> None:
        """Find the gradients of A and B from those of the weights, as `update` does."""
        self._compute("lora_project", self._lora)

    def forget(self) -> None:
        count = self.kernel.call("train_part", self._address, _COUNT)
        self.kernel.write(
            self.kernel.call("train_part", self._address, _GRADIENTS), bytes(4 * count)
        )

    def used_weights(self) -> bytes:
        return self.merged(0, self.kernel.call("train_part", self._address, _COUNT))

    def merged(self, first: int, count: int) -> bytes:
        """Return float32 numbers of the weights with B A in them, as `settle` left them."""
        at = self.kernel.call("train_part", self._address, WEIGHTS)
        return self.kernel.read(at + 4 * first, 4 * count)

    def _part(self, which: int) -> int:
        if self._lora and which in LEARNED:
            return self.kernel.call("lora_part", self._lora, which)
        return super()._part(which)

"""The trainer by PyTorch: for GPUs, and for many processes on many machines.

    trainer = TorchTrainer(Recipe.from_dict({"backend": "torch", "size": 4.0}), text)

All but the arithmetic is `trainer.Trainer`'s: recipe, text, tokenizer, first weights, the order of
the rows, learning rate, dropout's places, checkpoints and files. It promises no bits: PyTorch
orders its sums as it likes, differently on each device, and its receipts say so.

In several processes (`processes.start`) a step's micro-batches are dealt out in turn. Each process
adds up the gradients of its own, and DistributedDataParallel adds up what all of them have, once a
step and while the last backward pass still runs. So the steps are those of one process, but for the
order of sums. The shares need not be equal, but each process needs one micro-batch at least.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch

from ..errors import NumericError, OptionError
from ..kernel import Kernel
from .corpus import sha256
from .counter import draw, key
from .network import Batch
from .processes import here
from .recipe import Recipe
from .rows import batch_of
from .torch_network import TorchNetwork
from .trainer import PASSES, Trainer
from .vocabulary import vocabulary_sha256


class TorchTrainer(Trainer):
    """One run, in each of the processes that have met; all of them call the same methods, but for
    `export`, `sample` and `checkpoint`, which one alone can answer."""

    network: TorchNetwork

    def __init__(
        self,
        recipe: Recipe,
        text: str,
        *,
        heldout: str | None = None,
        kernel: Kernel | None = None,
        threads: int | None = None,
        tokenizer: dict[str, Any] | None = None,
    ) -> None:
        """As `Trainer`; `kernel` draws the first weights and writes files, `threads` are PyTorch's.

        Raises `OptionError` too for a recipe that is not for PyTorch, for more processes than
        micro-batches, and for processes with different recipes or texts.
        """
        self.processes = here()
        if recipe.backend != "torch":
            raise OptionError(
                f"the recipe's backend is {recipe.backend!r}; it must be 'torch' here"
            )
        if recipe.micro_batches < self.processes.size:
            raise OptionError(
                f"micro_batches is {recipe.micro_batches}; {self.processes.size} processes need as "
                "many or more"
            )
        if threads is not None:
            torch.set_num_threads(threads)
        self.processes.agree("the recipe's SHA-256", sha256(json.dumps(recipe.to_dict())))
        super().__init__(recipe, text, heldout=heldout, kernel=kernel, tokenizer=tokenizer)
        corpus = self.corpus
        self.processes.agree("the text's SHA-256", corpus.sha256)
        self.processes.agree("the held-out text's SHA-256", str(corpus.heldout_sha256))
        self.processes.agree("the tokenizer's SHA-256", vocabulary_sha256(corpus.metadata))

    def _network(self) -> TorchNetwork:
        return TorchNetwork(self.recipe, self.kernel, self.processes)

    def _move(self, share: float) -> tuple[float, float, int]:
        r, processes = self.recipe, self.processes
        self._settle()
        groups = [self._rows.take(r.micro_tokens // r.context) for _ in range(r.micro_batches)]
        mine = range(processes.rank, r.micro_batches, processes.size)
        total = torch.zeros((), dtype=torch.float64, device=processes.device)
        for micro in mine:
            total += self.network.backward(
                batch_of(self.corpus.ids, groups[micro]),
                1.0 / self.tokens_per_step,
                draw(key(r.seed, 3), self._step * PASSES + micro),
                last=micro == mine[-1],
            )
        (nats,) = processes.sum(float(total))
        if not math.isfinite(nats):
            self.network.forget()
            raise NumericError("the loss is not finite")
        norm = self.network.update(self._rates(share))
        self._settled = False
        return nats, norm, self.tokens_per_step

    def _measure(self, batches: list[Batch]) -> float:
        mine = batches[self.processes.rank :: self.processes.size]
        (nats,) = self.processes.sum(math.fsum(map(self.network.measure, mine)))
        return nats

    def _restore(self, header: dict[str, Any], floats: memoryview) -> None:
        super()._restore(header, floats)
        self.network.resume_at(self._step)

    def receipt(self, **facts: Any) -> dict[str, Any]:
        """As `Trainer.receipt`, but it promises nothing and names PyTorch, not our kernels."""
        made = super().receipt(**facts)
        del made["kernels"]
        return made | {"torch": {"version": torch.__version__, "processes": self.processes.size}}

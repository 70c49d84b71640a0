"""The network that is being trained, by PyTorch, in one process or many.

It has the methods of `network.Network`, so that one trainer drives both, and begins with the same
weights. It does not know where batches come from, or which learning rate a step has.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ..errors import NumericError, OptionError
from ..kernel import Bytes, Kernel
from .counter import draw
from .network import FIRST, SECOND, WEIGHTS, Batch, Network, Rates, tensors
from .optim import Muon
from .processes import Processes
from .recipe import Recipe
from .rounding import rounded
from .torch_model import NO_TARGET, Llama

EPSILON = 1e-8
"""What AdamW adds to a root, as the kernels do."""


class TorchNetwork(Network):
    """A network of a recipe's shape, on the process's device; every process has the same."""

    def __init__(self, recipe: Recipe, kernel: Kernel, processes: Processes) -> None:
        """`kernel` draws the first weights, and nothing else."""
        self.recipe, self.kernel, self.processes = recipe, kernel, processes
        self.model = Llama(recipe).to(processes.device)
        self.n_weights = recipe.n_parameters
        named = dict(self.model.named_parameters())
        self._weights = [named[name] for name, _ in tensors(recipe)]
        self._matrices = [p for p in self._weights if p.ndim == 2]
        self._exact: dict[Tensor, Tensor] = {}
        """While the matrices are rounded: what they were before."""
        self._optimizers = self._make_optimizers()
        run: Any = torch.compile(self.model, dynamic=False) if recipe.compile else self.model
        self._run: nn.Module = DistributedDataParallel(run) if processes.size > 1 else run

    def _make_optimizers(self) -> list[torch.optim.Optimizer]:
        """AdamW for all, or Muon for the layers' matrices. What they remember is there from the
        beginning, so that a checkpoint finds it."""
        r = self.recipe
        layers = [p for p in self.model.blk.parameters() if p.ndim == 2]
        gains = [p for p in self._weights if p.ndim == 1]
        groups = [{"params": [self.model.token_embd.weight, *gains], "weight_decay": 0.0}]
        found: list[torch.optim.Optimizer] = []
        if r.optimizer == "muon":
            muon = Muon(
                layers,
                lr=r.muon_lr,
                momentum=r.muon_momentum,
                weight_decay=r.muon_weight_decay,
                dtype=torch.bfloat16 if r.dtype == "bfloat16" else torch.float32,
            )
            found.append(muon)
        else:
            groups.append({"params": layers, "weight_decay": r.adam_weight_decay})
        betas = (r.adam_beta1, r.adam_beta2)
        adam = torch.optim.AdamW(groups, lr=r.adam_lr, betas=betas, eps=EPSILON)
        for p in (p for group in adam.param_groups for p in group["params"]):
            adam.state[p] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }
        return [*found, adam]

    def close(self) -> None:
        """Nothing is held that Python does not give back."""

    def start(self, seed: int, embedding_std: float) -> None:
        """Draw the first weights, which are the kernels' to the bit."""
        # As little beside the weights as can be: this one is not to be trained.
        small = dataclasses.replace(
            self.recipe, micro_tokens=self.recipe.context, optimizer="adamw", quantize="none"
        )
        drawn = Network(small, self.kernel)
        drawn.start(seed, embedding_std)
        self.write(WEIGHTS, drawn.read(WEIGHTS))
        drawn.close()

    @torch.no_grad()
    def settle(self, *, exact: bool) -> None:
        self._restore()
        if exact or self.recipe.quantize == "none":
            return
        for p in self._matrices:
            self._exact[p] = p.detach().clone()
            p.copy_(rounded(p, self.recipe.quantize))

    @torch.no_grad()
    def _restore(self) -> None:
        """Put the exact weights back where products read them."""
        for p, weights in self._exact.items():
            p.copy_(weights)
        self._exact.clear()

    def learn(self, batch: Batch, scale: float, noise: int) -> float:
        return float(self.backward(batch, scale, noise))

    def backward(self, batch: Batch, scale: float, noise: int, *, last: bool = True) -> Tensor:
        """Do what `learn` does, and do not wait for it: return the loss where it is computed, and
        look later whether it is finite.

        Gradients become sums over all processes with the `last` batch of each.
        """
        r, network = self.recipe, self._run
        keys = self._keys(noise) if r.dropout else None
        quiet: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if isinstance(network, DistributedDataParallel) and not last:
            quiet = network.no_sync()
        device = self.processes.device
        with quiet:
            with torch.autocast(device.type, torch.bfloat16, enabled=r.dtype == "bfloat16"):
                loss: Tensor = network(*self._on_device(batch), keys)
            # DistributedDataParallel takes the mean of the processes' gradients, not their sum.
            (loss * (scale * self.processes.size)).backward()  # type: ignore[no-untyped-call]
        return loss.detach().double()

    @torch.no_grad()
    def measure(self, batch: Batch) -> float:
        """Return a batch's loss, a sum of nats, in float32."""
        return float(self.model(*self._on_device(batch)))

    def update(self, rates: Rates) -> float:
        norm = float(nn.utils.clip_grad_norm_(self._weights, rates.clip))
        if not math.isfinite(norm):
            self.forget()
            raise NumericError("a gradient is not finite")
        self._restore()
        for optimizer in self._optimizers:
            rate = rates.muon_rate if isinstance(optimizer, Muon) else rates.adam_rate
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        self.forget()
        return norm

    def forget(self) -> None:
        self.model.zero_grad(set_to_none=True)

    def resume_at(self, step: int) -> None:
        """Tell AdamW how many steps were made."""
        for optimizer in self._optimizers:
            for state in optimizer.state.values():
                if "step" in state:
                    state["step"].fill_(step)

    def read(self, which: int, first: int = 0, count: int | None = None) -> bytes:
        last = self.n_weights if count is None else first + count
        parts = []
        for at, values in self._places(which):
            start, stop = max(first - at, 0), min(last - at, values.numel())
            if start < stop:
                parts.append(values.flatten()[start:stop])
        return _bytes(parts)

    @torch.no_grad()
    def write(self, which: int, data: Bytes, first: int = 0) -> None:
        count = len(data) // 4
        if not 0 <= first <= first + count <= self.n_weights:
            raise OptionError(f"{len(data)} bytes at {first} are not within {self.n_weights}")
        if which == WEIGHTS:
            self._restore()
        given = torch.frombuffer(bytearray(data), dtype=torch.float32) if count else torch.empty(0)
        for at, values in self._places(which):
            start, stop = max(first - at, 0), min(first + count - at, values.numel())
            if start < stop:
                values.view(-1)[start:stop] = given[at + start - first : at + stop - first].to(
                    values.device
                )

    def gradients(self) -> array[float]:
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self._weights]
        return array("f", _bytes(grads))

    def used_weights(self) -> bytes:
        return _bytes(self._weights)

    def _places(self, which: int) -> Iterator[tuple[int, Tensor]]:
        """Yield where each tensor's numbers begin among all, and the numbers."""
        muon = {} if len(self._optimizers) == 1 else self._optimizers[0].state
        adam = self._optimizers[-1].state
        at = 0
        for p in self._weights:
            if which == WEIGHTS:
                yield at, self._exact.get(p, p.detach())
            elif which == FIRST:
                yield at, muon[p]["momentum"] if p in muon else adam[p]["exp_avg"]
            elif which == SECOND and p in adam:
                yield at, adam[p]["exp_avg_sq"]
            at += p.numel()

    def _keys(self, noise: int) -> Tensor:
        """Return the keys of the dropouts (n_layers, 2, 2): of each half of a layer the two halves
        of 64 bits."""
        numbers = [draw(noise, i) for i in range(2 * self.recipe.n_layers)]
        halves = [[number & 0xFFFFFFFF, number >> 32] for number in numbers]
        return torch.tensor(halves, device=self.processes.device).view(-1, 2, 2)

    def _on_device(self, batch: Batch) -> list[Tensor]:
        return [rows.to(self.processes.device) for rows in to_rows(batch, self.recipe.context)]


def _bytes(numbers: Iterable[Tensor]) -> bytes:
    return b"".join(n.detach().flatten().cpu().numpy().tobytes() for n in numbers)


def to_rows(batch: Batch, context: int) -> tuple[Tensor, Tensor, Tensor]:
    """Lay a batch's segments into rows: inputs, targets and documents, (rows, context) each.

    A segment that does not fit into the rest of a row begins the next one. Places that are left
    over predict nothing, and are a document of their own.
    """
    end, moved, lengths = 0, [], []
    for first, last in itertools.pairwise(batch.starts):
        left, length = -end % context, last - first
        if length > left:
            end += left
        moved.append(end - first)
        lengths.append(length)
        end += length
    by_segment = torch.tensor(lengths)
    place = torch.arange(sum(lengths)) + torch.tensor(moved).repeat_interleave(by_segment)
    shape = (-(-end // context), context)
    inputs = torch.zeros(shape, dtype=torch.int64)
    targets, documents = torch.full(shape, NO_TARGET), torch.full(shape, -1)
    ids, wanted = (torch.frombuffer(a, dtype=torch.int32).long() for a in batch[:2])
    inputs.view(-1)[place] = ids
    targets.view(-1)[place] = wanted.where(wanted >= 0, NO_TARGET)
    documents.view(-1)[place] = torch.arange(len(lengths)).repeat_interleave(by_segment)
    return inputs, targets, documents

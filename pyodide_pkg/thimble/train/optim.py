"""Muon, the optimizer of the matrices: momentum made orthogonal before it is applied.

It knows nothing of the network; embeddings and gains are left to AdamW.

Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; weight decay as in Liu et
al. 2025, https://arxiv.org/abs/2502.16982.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives singular values towards 1; steep at 0, so that five rounds do."""
ROUNDS = 5


def orthogonalize(g: Tensor, dtype: torch.dtype) -> Tensor:
    """Return matrices (n, rows, cols) with g's singular vectors and singular values near 1.

    Newton-Schulz iteration, in `dtype`: bfloat16's errors are smaller than what it leaves.
    """
    a, b, c = COEFFICIENTS
    tall = g.shape[1] > g.shape[2]
    x = (g.transpose(1, 2) if tall else g).contiguous()
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(ROUNDS):
        y = x @ x.transpose(1, 2)
        x = a * x + (b * y + c * (y @ y)) @ x
    return (x.transpose(1, 2) if tall else x).to(g.dtype)


class Muon(torch.optim.Optimizer):
    """For parameters of two dimensions.

    A step moves each matrix by `lr` times an orthogonal one, grown by sqrt(rows/cols) where there
    are more rows than columns, and shrinks it by `lr * weight_decay`.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        dtype: torch.dtype,
    ) -> None:
        """`dtype` is that of the products. All that is remembered is there at once, as zeros."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.dtype = dtype
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"momentum": torch.zeros_like(p)}

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Apply one update; matrices of one shape go through the iteration together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for params in by_shape.values():
                self._update(params, group)

    def _update(self, params: list[Tensor], group: dict[str, Any]) -> None:
        beta, lr = group["momentum"], group["lr"]
        ahead = []
        for p in params:
            assert p.grad is not None
            momentum: Tensor = self.state[p]["momentum"]
            momentum.lerp_(p.grad, 1 - beta)
            ahead.append(p.grad.lerp(momentum, beta))  # Nesterov: one step further
        rows, cols = params[0].shape
        grown = max(1.0, rows / cols) ** 0.5
        for p, direction in zip(params, orthogonalize(torch.stack(ahead), self.dtype), strict=True):
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(direction, alpha=-lr * grown)

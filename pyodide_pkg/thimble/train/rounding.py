"""Matrices rounded to an encoding of GGUF, by PyTorch: the numbers that `kernels/quantize.c` makes.

It knows numbers only; how the blocks lie in a file is `quantize.c`'s affair.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .recipe import BLOCK

TINY = 2.0**-128
"""Scales at most as large have no reciprocal: their blocks become 0."""


def rounded(matrix: Tensor, encoding: str) -> Tensor:
    """Return a matrix as it comes back from `q8_0` or `q4_0`; its rows are whole blocks."""
    blocks = matrix.reshape(-1, BLOCK)
    size = blocks.abs()
    if encoding == "q8_0":
        scale = size.amax(1, keepdim=True) / 127
        codes = _round_away(blocks * _reciprocal(scale))
    else:
        scale = blocks.gather(1, size.argmax(1, keepdim=True)) / -8
        codes = (blocks * _reciprocal(scale) + 8.5).trunc().clamp(0, 15) - 8
    return (codes * scale.half().float()).view_as(matrix)


def _reciprocal(x: Tensor) -> Tensor:
    return torch.where(x.abs() > TINY, 1 / x, 0.0)


def _round_away(x: Tensor) -> Tensor:
    """Half away from zero, as C does it; `torch.round` goes to the even number."""
    whole = x.trunc()
    return whole + (x - whole >= 0.5).float() - (x - whole <= -0.5).float()

"""Random tensors of any encoding: every bit of a block drawn, its scales small and finite."""

from __future__ import annotations

import numpy as np

from thimble.tensor_types import (
    IQ4_NL,
    Q2_K,
    Q3_K,
    Q4_0,
    Q4_1,
    Q4_K,
    Q5_0,
    Q5_1,
    Q5_K,
    Q6_K,
    Q8_0,
    TensorType,
)

HALVES = {
    Q8_0: (0,), Q4_0: (0,), Q4_1: (0, 2), Q5_0: (0,), Q5_1: (0, 2), IQ4_NL: (0,),
    Q2_K: (80, 82), Q3_K: (108,), Q4_K: (0, 2), Q5_K: (0, 2), Q6_K: (208,),
}  # fmt: skip
"""Where a block's numbers in half precision are."""


def random_blocks(
    kind: TensorType, rows: int, cols: int, seed: int = 1, size: float = 0.01
) -> bytes:
    """The bytes of a tensor of `rows` x `cols`, with scales of about `size`."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (rows * cols // kind.block, kind.nbytes), dtype=np.uint8)
    for at in HALVES[kind]:
        scales = rng.normal(0, size, len(blocks)).astype("<f2")
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    return blocks.tobytes()

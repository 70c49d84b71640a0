"""Random tensors of any encoding: every bit of a block drawn, its scales small and finite."""

from __future__ import annotations

import numpy as np

from thimble.tensor_types import Q1_0, Q2_0, TensorType

HALVES = {
    "Q8_0": (0,), "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "IQ4_NL": (0,),
    "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,),
    "IQ4_XS": (0,), "IQ3_XXS": (0,), "IQ3_S": (0,), "IQ2_XXS": (0,), "IQ2_XS": (0,), "IQ2_S": (0,),
    "IQ1_S": (0,), "TQ1_0": (52,), "TQ2_0": (64,), "Q1_0": (0,), "Q2_0": (0,),
}  # fmt: skip
"""Where a block's numbers in half precision are."""
_SMALL_FLOATS = np.array(
    [m / 1024 if e == 0 else (8 + m) * 2.0 ** (e - 11) for e in range(16) for m in range(8)]
)
"""By their 7 bits, halved."""
UNKNOWN_TO_GGUF = (Q1_0, Q2_0)
"""Types that the PyPI package `gguf` cannot dequantize."""


def random_blocks(
    kind: TensorType, rows: int, cols: int, seed: int = 1, size: float = 0.01
) -> bytes:
    """The bytes of a tensor of `rows` x `cols`, with scales of about `size`."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (rows * cols // kind.block, kind.nbytes), dtype=np.uint8)
    for at in HALVES.get(kind.name, ()):
        scales = rng.normal(0, size, len(blocks)).astype("<f2")
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
    if kind.name == "IQ1_M":  # whose half is in the upper bits of four numbers
        scales = rng.normal(0, size, len(blocks)).astype("<f2").view("<u2")
        for i in range(4):
            blocks[:, 49 + 2 * i] &= 15
            blocks[:, 49 + 2 * i] |= (scales >> 4 * i & 15).astype(np.uint8) << 4
    if kind.name == "MXFP4":  # a power of two
        blocks[:, 0] = 128 + np.round(np.log2(np.abs(rng.normal(0, size, len(blocks))) + 1e-9))
    if kind.name == "NVFP4":  # floats of 8 bits, which count half
        wanted = np.abs(rng.normal(0, size, (len(blocks), 4)))
        blocks[:, :4] = np.searchsorted(_SMALL_FLOATS, wanted).clip(0, 126)
    return blocks.tobytes()


def random_bytes(kind: TensorType) -> bytes:
    """Sixteen blocks, every bit drawn but one, so that scales in half precision are finite."""
    raw = np.random.default_rng(kind.ggml_id).integers(0, 256, (16, kind.nbytes), dtype=np.uint8)
    raw[:, 1] &= 0xBF
    return raw.tobytes()

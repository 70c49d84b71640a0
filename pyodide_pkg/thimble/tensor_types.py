"""Which tensor encodings there are, with ggml's type numbers and block sizes.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TensorType:
    """One encoding: `block` values are stored in `nbytes` bytes."""

    name: str
    ggml_id: int
    block: int
    nbytes: int

    def size(self, n: int) -> int:
        """Bytes of `n` values; `n` is a multiple of `block`."""
        return n // self.block * self.nbytes


BIG = 256
"""Values of a K type's block."""

F32 = TensorType("F32", 0, 1, 4)
F16 = TensorType("F16", 1, 1, 2)
Q4_0 = TensorType("Q4_0", 2, 32, 18)
Q8_0 = TensorType("Q8_0", 8, 32, 34)
BF16 = TensorType("BF16", 30, 1, 2)
Q4_1 = TensorType("Q4_1", 3, 32, 20)
Q5_0 = TensorType("Q5_0", 6, 32, 22)
Q5_1 = TensorType("Q5_1", 7, 32, 24)
Q2_K = TensorType("Q2_K", 10, BIG, 84)
Q3_K = TensorType("Q3_K", 11, BIG, 110)
Q4_K = TensorType("Q4_K", 12, BIG, 144)
Q5_K = TensorType("Q5_K", 13, BIG, 176)
Q6_K = TensorType("Q6_K", 14, BIG, 210)
IQ4_NL = TensorType("IQ4_NL", 20, 32, 18)
IQ4_XS = TensorType("IQ4_XS", 23, BIG, 136)
IQ3_XXS = TensorType("IQ3_XXS", 18, BIG, 98)
IQ3_S = TensorType("IQ3_S", 21, BIG, 110)
IQ2_XXS = TensorType("IQ2_XXS", 16, BIG, 66)
IQ2_XS = TensorType("IQ2_XS", 17, BIG, 74)
IQ2_S = TensorType("IQ2_S", 22, BIG, 82)
IQ1_S = TensorType("IQ1_S", 19, BIG, 50)
IQ1_M = TensorType("IQ1_M", 29, BIG, 56)
TQ1_0 = TensorType("TQ1_0", 34, BIG, 54)
TQ2_0 = TensorType("TQ2_0", 35, BIG, 66)
MXFP4 = TensorType("MXFP4", 39, 32, 17)
NVFP4 = TensorType("NVFP4", 40, 64, 36)
Q1_0 = TensorType("Q1_0", 41, 128, 18)
Q2_0 = TensorType("Q2_0", 42, 64, 18)

SCALED = (Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K)
"""With scales of sub-blocks, or least values: `kernels/blocks.c`."""
LOOKED_UP = (
    IQ4_NL, IQ4_XS, IQ3_XXS, IQ3_S, IQ2_XXS, IQ2_XS, IQ2_S, IQ1_S, IQ1_M, TQ1_0, TQ2_0, MXFP4,
    NVFP4, Q1_0, Q2_0,
)  # fmt: skip
"""With weights that stand in a table: `kernels/codes.c`."""

TENSOR_TYPES: dict[int, TensorType] = {
    t.ggml_id: t for t in (F32, F16, Q4_0, Q8_0, BF16, *SCALED, *LOOKED_UP)
}
"""The encodings that the kernels read, by ggml's number. A new one is added here, in the kernels
and in `dequantize.py`."""

WRITTEN: tuple[TensorType, ...] = (F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K)
"""Those that a file can be given (`quantize.py`)."""

FALLBACKS: dict[TensorType, TensorType] = {Q4_K: Q5_0, Q6_K: Q8_0}
"""What a matrix becomes whose rows fill no blocks of 256 values, but of 32: llama.cpp's rule."""


def fitting(wanted: TensorType, width: int) -> TensorType | None:
    """`wanted`, or what stands in for it, where rows of `width` values fill its blocks; None where
    they fill neither's."""
    for to in (wanted, FALLBACKS.get(wanted)):
        if to is not None and width % to.block == 0:
            return to
    return None


# Named in error messages: encodings that exist but are not read here.
KNOWN_NAMES: dict[int, str] = {
    9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
}  # fmt: skip

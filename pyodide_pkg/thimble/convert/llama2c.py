"""A model of llama2.c (`model.bin`, all three versions) with its `tokenizer.bin` as one GGUF file.

    convert_llama2c("stories15M.bin", "tokenizer.bin", "stories15M.gguf", "q8_0")

The layouts are those of llama2.c's export.py and tokenizer.py, by Andrej Karpathy:
https://github.com/karpathy/llama2.c/blob/master/export.py.
"""

from __future__ import annotations

import functools
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UnsupportedError
from ..gguf import read_header
from ..gguf_writer import GGUFWriter
from ..kernel import Kernel, default_kernel
from ..model_config import config_from_header
from ..quantize import FILE_TYPES, QUANTIZATION_VERSION, type_named
from ..tensor_types import TensorType
from .encode import Converted, check_finite, converted, encode, type_of

MAGIC = 0x616B3432
"""Of versions 1 and 2; what has it not is of version 0, without a mark."""
HEADER = 256
"""Bytes before the weights in versions 1 and 2."""
MOST = 1 << 24
"""No number of a header is larger, unless it is a lie."""
MOST_LAYERS = 1 << 12
"""Each is some objects of Python's, however few its weights."""
LONGEST_TOKEN = 1 << 12

Floats = NDArray[np.float32]
Rows = Callable[[int, int], Floats]
"""Gives the rows from a first to before a last one."""

NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6
"""Kinds of tokens, by GGUF's numbers."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers at a file's beginning."""

    version: int
    dim: int
    hidden: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    n_vocab: int
    n_ctx: int
    tied: bool
    group: int = 0
    """Values that share a scale, in version 2."""

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor of the file: for each layer where there are layers."""

    name: str
    shape: tuple[int, ...]
    rows: Rows


def convert_llama2c(
    source: str | os.PathLike[str],
    tokenizer: str | os.PathLike[str],
    target: str | os.PathLike[str],
    type: str = "f16",
    progress: Callable[[int, int], None] | None = None,
    *,
    kernel: Kernel | None = None,
) -> Converted:
    """Write the model in `source` to `target`, its matrices as `type`: f32, f16, bf16, q8_0, q6_k,
    q4_k or q4_0.

    `target` appears whole or not at all. Raises OptionError for another type, FormatError for a
    file that is no model or tokenizer of llama2.c's, or too short; NumericError for a weight that
    is not finite or too large for `type`; OSError.
    """
    wanted = type_named(type)
    size = os.path.getsize(source)
    with open(source, "rb") as file:
        shape = read_shape(file.read(HEADER))
    raw = np.memmap(source, np.uint8, "r") if size else np.zeros(0, np.uint8)
    tensors = list(_tensors(raw, shape, str(source)))
    writer = GGUFWriter()
    _add_keys(writer, Path(source).stem, shape, wanted)
    for key, value in tokenizer_keys(Path(tokenizer).read_bytes(), shape.n_vocab).items():
        writer.add(key, value)
    total, done = sum(int(np.prod(t.shape)) for t in tensors), [0]

    def tell(n: int) -> None:
        done[0] += n
        if progress:
            progress(done[0], total)

    for stored in tensors:
        to = type_of(stored.shape, wanted)
        rows = functools.partial(_encoded, kernel or default_kernel(), stored, to, tell)
        writer.add_tensor(stored.name, stored.shape, to, rows)
    config_from_header(read_header(writer.header(), file_size=None))  # before the work, not after
    writer.write(target)
    plan = {t.name: (t.shape, type_of(t.shape, wanted)) for t in tensors}
    return converted("llama", wanted, plan, target)


def read_shape(head: bytes) -> Shape:
    """The numbers at the beginning of a file. Raises FormatError, or UnsupportedError for a version
    that nobody has described."""
    if len(head) < 28:
        raise FormatError(f"{len(head)} bytes are no model of llama2.c's, whose header has 28")
    version, group, at = 0, 0, 0
    if struct.unpack_from("<I", head)[0] == MAGIC:
        if len(head) < HEADER:
            raise FormatError(
                f"the file ends after {len(head)} bytes, inside its header of {HEADER}"
            )
        version, at = struct.unpack_from("<i", head, 4)[0], 8
        if version not in (1, 2):
            raise UnsupportedError(
                f"version {version} of llama2.c's files; 0, 1 and 2 are read here"
            )
    numbers = struct.unpack_from("<7i", head, at)
    tied = numbers[5] > 0 if version == 0 else bool(head[at + 28])
    if version == 2:
        (group,) = struct.unpack_from("<i", head, at + 29)
    names = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
    for name, number in zip(names, numbers, strict=True):
        least = -MOST if name == "vocab_size" and version == 0 else 1
        if not least <= number <= MOST or number == 0:
            raise FormatError(f"{name} is {number}; this is no model of llama2.c's")
    dim, hidden, n_layers, n_heads, n_kv_heads, n_vocab, n_ctx = numbers
    if n_layers > MOST_LAYERS:
        raise FormatError(f"n_layers is {n_layers}; at most {MOST_LAYERS} are right")
    if dim % n_heads or n_heads % n_kv_heads:
        raise FormatError(
            f"dim {dim}, n_heads {n_heads} and n_kv_heads {n_kv_heads} do not divide each other"
        )
    if version == 2 and (group < 1 or dim % group):
        raise FormatError(f"the group size is {group}; it must divide dim, {dim}")
    return Shape(
        version, dim, hidden, n_layers, n_heads, n_kv_heads, abs(n_vocab), n_ctx, tied, group
    )


def _tensors(raw: NDArray[np.uint8], shape: Shape, name: str) -> Iterator[Stored]:
    """All tensors, in the order of a GGUF file. Raises FormatError where the file is too short."""
    found: dict[str, Stored] = {}
    at = 0 if shape.version else 28
    at = HEADER if shape.version else at
    _check_size(raw.size, at, shape, name)  # before anything is made of it
    for key, height, width, layers, quantized in _order(shape):
        for layer in range(max(layers, 1)):
            n = height * width
            nbytes = n + n // shape.group * 4 if quantized else 4 * n
            part = raw[at : at + nbytes]
            at += nbytes
            if not key:  # RoPE's table, which the engine makes itself
                continue
            full = f"blk.{layer}.{key}" if layers else key
            rows = _quantized(part, width, n, shape.group) if quantized else _floats(part, width)
            found[full] = Stored(full, (height, width) if height > 1 else (width,), rows)
    yield from (found[key] for key in sorted(found, key=_place))


def _check_size(size: int, at: int, shape: Shape, name: str) -> None:
    """Raise FormatError where a file of `size` bytes, whose weights begin at `at`, is too short."""
    for key, height, width, layers, quantized in _order(shape):
        n = height * width
        at += max(layers, 1) * (n + n // shape.group * 4 if quantized else 4 * n)
        if at > size:
            raise FormatError(
                f"{name!r} ends after {size:,} bytes, inside {key!r}, which ends at byte {at:,}"
            )


def _place(name: str) -> tuple[int, str]:
    """Layers in their order, behind what there is once."""
    matched = re.match(r"blk\.(\d+)\.", name)
    return (int(matched[1]) if matched else -1, name)


def _order(s: Shape) -> Iterator[tuple[str, int, int, int, bool]]:
    """Name, rows, columns, layers (0: there once) and whether it is quantized, as they follow."""
    kv = s.n_kv_heads * s.head_dim
    q = s.version == 2
    embedding = ("token_embd.weight", s.n_vocab, s.dim, 0, q)
    attention = [
        ("attn_q.weight", s.dim, s.dim, s.n_layers, q), ("attn_k.weight", kv, s.dim, s.n_layers, q),
        ("attn_v.weight", kv, s.dim, s.n_layers, q),
        ("attn_output.weight", s.dim, s.dim, s.n_layers, q),
    ]  # fmt: skip
    mlp = [
        ("ffn_gate.weight", s.hidden, s.dim, s.n_layers, q),
        ("ffn_down.weight", s.dim, s.hidden, s.n_layers, q),
        ("ffn_up.weight", s.hidden, s.dim, s.n_layers, q),
    ]
    attn_norm = ("attn_norm.weight", 1, s.dim, s.n_layers, False)
    ffn_norm = ("ffn_norm.weight", 1, s.dim, s.n_layers, False)
    last_norm = ("output_norm.weight", 1, s.dim, 0, False)
    if s.version:
        yield from (attn_norm, ffn_norm, last_norm, embedding, *attention, *mlp)
    else:
        yield from (embedding, attn_norm, *attention, ffn_norm, *mlp, last_norm)
        yield ("", 2, s.n_ctx * s.head_dim // 2, 0, False)
    if not s.tied:
        yield ("output.weight", s.n_vocab, s.dim, 0, q)


def _floats(part: NDArray[np.uint8], width: int) -> Rows:
    """`part` is [rows, width] in single precision."""

    def rows(first: int, last: int) -> Floats:
        return np.frombuffer(part[4 * width * first : 4 * width * last], "<f4").reshape(-1, width)

    return rows


def _quantized(part: NDArray[np.uint8], width: int, n: int, group: int) -> Rows:
    """`part` is n signed bytes, then a scale for each `group` of them."""

    def rows(first: int, last: int) -> Floats:
        begin, end = first * width, last * width
        if begin % group or end % group:
            raise FormatError(f"rows of {width} values do not fill groups of {group}")
        q = part[begin:end].view(np.int8).astype(np.float32).reshape(-1, group)
        scales = np.frombuffer(part[n + begin // group * 4 : n + end // group * 4], "<f4")
        with np.errstate(over="ignore", invalid="ignore"):  # whoever takes them looks
            values: Floats = (q * scales[:, None]).reshape(-1, width)
        return values

    return rows


def _encoded(
    kernel: Kernel, stored: Stored, to: TensorType, tell: Callable[[int], None]
) -> Iterator[bytes | memoryview]:
    """A tensor's bytes in the new file, some rows at a time."""
    height = stored.shape[0] if len(stored.shape) == 2 else 1
    step = max(1, (1 << 18) // stored.shape[-1])
    for first in range(0, height, step):
        values = np.ascontiguousarray(stored.rows(first, min(first + step, height)), dtype="<f4")
        check_finite(stored.name, values, first)
        yield encode(kernel, stored.name, to, values)
        tell(values.size)


def _add_keys(writer: GGUFWriter, name: str, s: Shape, wanted: TensorType) -> None:
    writer.add("general.architecture", "llama")
    writer.add("general.name", name)
    writer.add("general.file_type", FILE_TYPES[wanted])
    writer.add("general.quantization_version", QUANTIZATION_VERSION)
    writer.add("llama.context_length", s.n_ctx)
    writer.add("llama.embedding_length", s.dim)
    writer.add("llama.block_count", s.n_layers)
    writer.add("llama.feed_forward_length", s.hidden)
    writer.add("llama.attention.head_count", s.n_heads)
    writer.add("llama.attention.head_count_kv", s.n_kv_heads)
    writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add("llama.rope.dimension_count", s.head_dim)
    writer.add("llama.rope.freq_base", 10000.0)
    writer.add("llama.vocab_size", s.n_vocab)


def tokenizer_keys(data: bytes, n_vocab: int) -> dict[str, object]:
    """GGUF's keys for the tokens in a `tokenizer.bin`: the longest token's length, then for each a
    score, a length and its bytes. Raises FormatError."""
    tokens: list[str] = []
    scores: list[float] = []
    kinds: list[int] = []
    at = 4
    while len(tokens) < n_vocab:
        if at + 8 > len(data):
            raise FormatError(
                f"the tokenizer ends after {len(tokens)} tokens; the model has {n_vocab}"
            )
        score, length = struct.unpack_from("<fi", data, at)
        if not 0 <= length <= LONGEST_TOKEN or at + 8 + length > len(data):
            raise FormatError(f"token {len(tokens)} has {length} bytes, which are not there")
        try:
            text = data[at + 8 : at + 8 + length].decode()
        except UnicodeDecodeError:
            raise FormatError(f"token {len(tokens)} is no UTF-8") from None
        at += 8 + length
        tokens.append(text)
        scores.append(score if np.isfinite(score) else 0.0)
        kinds.append(BYTE if re.fullmatch(r"<0x[0-9A-F]{2}>", text) else NORMAL)
    if at != len(data):
        raise FormatError(f"the tokenizer has tokens behind the {n_vocab} of the model")
    if n_vocab < 3:
        raise FormatError(f"{n_vocab} tokens are too few: unknown, begin and end are the first")
    tokens[:3], kinds[:3] = ["<unk>", "<s>", "</s>"], [UNKNOWN, CONTROL, CONTROL]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": [text.replace(" ", "\u2581") for text in tokens],
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": False,
    }

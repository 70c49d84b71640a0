"""Small random llama models, made on the spot with the PyPI package `gguf`, for everybody's tests.

    from tests.tiny_models import SPECS, TinySpec, make, write

    data = make(SPECS["q8_0"])                      # the bytes of a GGUF file
    write(tmp_path / "m.gguf", SPECS["spm"])        # the same in a file; returns the path
    make(TinySpec(tensor_type="Q4_0", head_dim=48, tied=True, seed=3))

The same spec gives the same bytes everywhere: the numbers come from PCG64's raw bits and exact
float arithmetic only, and `gguf` is pinned (0.19.0). `SPECS` names the models that have recorded
logits of llama.cpp in `tests/vectors/`; changing one means recording again. The words that such a
model says mean nothing, but its vocabulary is real: `bpe` is a byte-level BPE with merges learnt
from `TEXT`, `spm` a SentencePiece one with byte fallback, so tokenizers can be tested with it.

This file writes with another project's code on purpose: what our reader reads here, our writer
has not written.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

TEXT = """Mia had a little red boat. Every day she took the boat to the pond and put it in the water.
"Look!" she said. "The boat is going so fast!" The wind was strong and the little boat went far away.
Mia was sad. Then a big kind duck swam to the boat. The duck pushed the boat back to Mia.
"Thank you, duck," said Mia. She was happy again. They played all day until the sun went down.
One day, there was a small dog named Sam. He liked to run and jump in the park with his friend, Ann.
Ann had 2 balls and 15 sticks. Once upon a time they found an old box. It was café-brown and shiny.
"""  # noqa: E501

N_MERGES = 96
"""Merges of both vocabularies."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\\n' + message['content'] + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class TinySpec:
    """What a tiny model is like. Widths are multiples of 32, so that every encoding fits."""

    tensor_type: str = "F32"
    """Of all matrices: F32, F16, BF16, Q8_0 or Q4_0. Norms are always F32."""
    dim: int = 64
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    head_dim: int = 16
    """Stands in the file where it is not dim / n_heads."""
    hidden_dim: int = 96
    n_ctx: int = 256
    vocab: str = "bpe"
    """`bpe` (byte-level, as GPT-2) or `spm` (SentencePiece with byte fallback)."""
    tied: bool = False
    """Whether the output matrix is the token embedding."""
    version: int = 3
    """GGUF's: 2 or 3."""
    norm_eps: float = 1e-5
    rope_base: float = 10000.0
    rope_scale: float = 0.0
    """Factor of linear RoPE scaling; 0 for none."""
    rope_freqs: bool = False
    """Whether there is a `rope_freqs.weight`, one divisor for each pair of a head's values."""
    chat_template: bool = False
    seed: int = 0


SPECS: dict[str, TinySpec] = {
    "f32": TinySpec(seed=1),
    "f16": TinySpec("F16", seed=2),
    "bf16": TinySpec("BF16", seed=3),
    "q8_0": TinySpec("Q8_0", seed=4),
    "q4_0": TinySpec("Q4_0", seed=5),
    "f32-tied": TinySpec(tied=True, seed=6),
    "q8_0-tied": TinySpec("Q8_0", tied=True, chat_template=True, seed=7),
    "q4_0-tied": TinySpec("Q4_0", tied=True, seed=8),
    "spm": TinySpec(vocab="spm", seed=9),
    "spm-q8_0": TinySpec("Q8_0", vocab="spm", seed=10),
    "v2": TinySpec(version=2, seed=11),
    "head8": TinySpec(n_heads=8, n_kv_heads=4, head_dim=8, seed=12),
    "head32": TinySpec("Q8_0", n_heads=2, n_kv_heads=1, head_dim=32, seed=13),
    "head48": TinySpec("Q8_0", n_heads=4, n_kv_heads=4, head_dim=48, seed=14),
    "head64": TinySpec("Q4_0", dim=128, n_heads=2, n_kv_heads=2, head_dim=64, seed=15),
    "rope-linear": TinySpec(rope_scale=4.0, rope_base=500000.0, seed=16),
    "rope-freqs": TinySpec("F16", rope_freqs=True, seed=17),
    "one-layer": TinySpec(n_layers=1, n_heads=1, n_kv_heads=1, head_dim=64, seed=18),
}
"""The models with recorded logits, by name."""


@functools.cache
def make(spec: TinySpec) -> bytes:
    """Return the bytes of the model's GGUF file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.gguf"
        writer = gguf.GGUFWriter(path, "llama")
        _add_config(writer, spec)
        n_vocab = _add_vocab(writer, spec.vocab)
        _add_tensors(writer, spec, n_vocab)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        data = path.read_bytes()
    # Versions 2 and 3 differ in nothing else: 3 allowed big-endian files.
    return data[:4] + spec.version.to_bytes(4, "little") + data[8:]


def write(path: str | Path, spec: TinySpec) -> Path:
    """Write the model's GGUF file to `path` and return that."""
    path = Path(path)
    path.write_bytes(make(spec))
    return path


def random_values(seed: int, shape: tuple[int, ...], size: float) -> NDArray[np.float32]:
    """Return float32 values between -size and size, the same on every machine."""
    bits = np.random.PCG64(seed).random_raw(int(np.prod(shape)))
    # The upper 24 bits, so that every step here is exact but the last one.
    unit = (bits >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)
    return (unit * np.float32(size)).reshape(shape)


def _add_config(writer: gguf.GGUFWriter, spec: TinySpec) -> None:
    writer.add_name(f"tiny-{spec.tensor_type.lower()}-{spec.seed}")
    writer.add_context_length(spec.n_ctx)
    writer.add_embedding_length(spec.dim)
    writer.add_block_count(spec.n_layers)
    writer.add_feed_forward_length(spec.hidden_dim)
    writer.add_head_count(spec.n_heads)
    writer.add_head_count_kv(spec.n_kv_heads)
    writer.add_layer_norm_rms_eps(spec.norm_eps)
    writer.add_rope_freq_base(spec.rope_base)
    writer.add_rope_dimension_count(spec.head_dim)
    if spec.head_dim * spec.n_heads != spec.dim:
        writer.add_key_length(spec.head_dim)
        writer.add_value_length(spec.head_dim)
    if spec.rope_scale:
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(spec.rope_scale)
    if spec.chat_template:
        writer.add_chat_template(CHAT_TEMPLATE)


def _add_tensors(writer: gguf.GGUFWriter, spec: TinySpec, n_vocab: int) -> None:
    q_dim, kv_dim = spec.n_heads * spec.head_dim, spec.n_kv_heads * spec.head_dim
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (n_vocab, spec.dim)}
    for i in range(spec.n_layers):
        shapes |= {
            f"blk.{i}.attn_norm": (spec.dim,),
            f"blk.{i}.attn_q": (q_dim, spec.dim),
            f"blk.{i}.attn_k": (kv_dim, spec.dim),
            f"blk.{i}.attn_v": (kv_dim, spec.dim),
            f"blk.{i}.attn_output": (spec.dim, q_dim),
            f"blk.{i}.ffn_norm": (spec.dim,),
            f"blk.{i}.ffn_gate": (spec.hidden_dim, spec.dim),
            f"blk.{i}.ffn_up": (spec.hidden_dim, spec.dim),
            f"blk.{i}.ffn_down": (spec.dim, spec.hidden_dim),
        }
    shapes["output_norm"] = (spec.dim,)
    if not spec.tied:
        shapes["output"] = (n_vocab, spec.dim)
    if spec.rope_freqs:
        # Divisors 1 to 4.5, as Llama 3.1 slows down the slow ones.
        factors = np.arange(2, 2 + spec.head_dim // 2, dtype=np.float32) / np.float32(2)
        writer.add_tensor("rope_freqs.weight", factors)
    for i, (name, shape) in enumerate(shapes.items()):
        seed = spec.seed * 10_000 + i
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", 1 + random_values(seed, shape, 0.25))
        else:
            # Uniform values of the variance 1/fan-in keep the activations near 1; a bit more makes
            # attention and softmax pick, rather than average.
            values = random_values(seed, shape, 1.5 * math.sqrt(3 / shape[1]))
            kind = gguf.GGMLQuantizationType[spec.tensor_type]
            writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)


def _add_vocab(writer: gguf.GGUFWriter, vocab: str) -> int:
    """Add the tokenizer's keys; return the number of tokens."""
    if vocab == "bpe":
        tokens, merges = bpe_vocab()
        types = [int(gguf.TokenType.NORMAL)] * len(tokens)
        types[-1] = int(gguf.TokenType.CONTROL)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(merges)
        writer.add_bos_token_id(len(tokens) - 1)
        writer.add_eos_token_id(len(tokens) - 1)
        writer.add_add_bos_token(False)
        return len(tokens)
    if vocab == "spm":
        tokens, scores, types = spm_vocab()
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores(scores)
        writer.add_token_types(types)
        writer.add_unk_token_id(0)
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        return len(tokens)
    raise ValueError(f"{vocab!r} is no vocabulary; 'bpe' and 'spm' are")


@functools.cache
def bpe_vocab() -> tuple[list[str], list[str]]:
    """Return a byte-level vocabulary, 256 bytes, N_MERGES merges and <|endoftext|>, and its merges
    as "left right"."""
    letters = byte_letters()
    words = re.findall(r" ?[^\W\d]+| ?\d+| ?[^\s\w]+|\s+", TEXT)
    merges = _learn([tuple(letters[b] for b in word.encode()) for word in words])
    tokens = sorted(letters.values()) + [left + right for left, right in merges]
    return [*tokens, "<|endoftext|>"], [f"{left} {right}" for left, right in merges]


@functools.cache
def spm_vocab() -> tuple[list[str], list[float], list[int]]:
    """Return a SentencePiece vocabulary: <unk> <s> </s>, 256 bytes, merged pieces, characters; with
    scores and token types."""
    words = ["\u2581" + word for word in TEXT.split()]
    pieces = [left + right for left, right in _learn([tuple(word) for word in words])]
    pieces += sorted(set("".join(words)) - {"é"})  # é stays without a piece, for the fallback
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces))]
    kinds = gguf.TokenType
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256
    types += [kinds.NORMAL] * len(pieces)
    return tokens, scores, [int(t) for t in types]


def byte_letters() -> dict[int, str]:
    """Return GPT-2's letter of each byte: itself where it is visible, else one from 256 on."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [b for b in range(256) if b not in seen]
    return {b: chr(b) for b in seen} | {b: chr(256 + i) for i, b in enumerate(hidden)}


def _learn(words: list[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Return the N_MERGES most frequent merges, one after the other; ties go by the alphabet."""
    counts: dict[Any, int] = dict(Counter(words))
    merges: list[tuple[str, str]] = []
    for _ in range(N_MERGES):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, n in counts.items():
            for pair in itertools.pairwise(word):
                pairs[pair] += n
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        merged: Counter[tuple[str, ...]] = Counter()
        for word, n in counts.items():
            merged[_merge(word, best)] += n
        counts = dict(merged)
    return merges


def _merge(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    found: list[str] = []
    i = 0
    while i < len(word):
        step = 2 if word[i : i + 2] == pair else 1
        found.append("".join(word[i : i + step]))
        i += step
    return tuple(found)


def head_of_large(
    *, n_layers: int, dim: int, hidden_dim: int, n_vocab: int = 512, parts: int = 1
) -> bytes:
    """The header, and nothing else, of a Q8_0 llama of any size: for what asks before it fetches.

    Written by our writer: `gguf` would want the tensors' bytes.
    """
    from thimble.gguf_writer import GGUFWriter
    from thimble.tensor_types import F32, Q8_0

    writer, architecture = GGUFWriter(), "llama"
    numbers = {
        "context_length": 2048, "embedding_length": dim, "block_count": n_layers,
        "feed_forward_length": hidden_dim, "attention.head_count": dim // 64,
        "attention.head_count_kv": dim // 64, "rope.dimension_count": 64,
    }  # fmt: skip
    writer.add("general.architecture", architecture)
    for key, value in numbers.items():
        writer.add(f"{architecture}.{key}", value)
    writer.add(f"{architecture}.attention.layer_norm_rms_epsilon", 1e-5)
    if parts > 1:
        writer.add("split.count", parts)
    writer.add("tokenizer.ggml.model", "gpt2")
    writer.add("tokenizer.ggml.tokens", [f"t{i}" for i in range(n_vocab)])
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (n_vocab, dim), "output_norm": (dim,)}
    for i in range(n_layers):
        shapes |= {f"blk.{i}.{name}_norm": (dim,) for name in ("attn", "ffn")}
        shapes |= {f"blk.{i}.attn_{name}": (dim, dim) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{i}.ffn_{name}": (hidden_dim, dim) for name in ("gate", "up")}
        shapes[f"blk.{i}.ffn_down"] = (dim, hidden_dim)
    for name, shape in shapes.items():
        kind = F32 if len(shape) == 1 else Q8_0
        writer.add_tensor(f"{name}.weight", shape, kind, lambda: iter(()))
    return writer._header()

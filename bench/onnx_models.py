"""The same shapes as ONNX models, for transformers.js: random weights in 8 and 4 bits.

The graph is the one that ONNX Runtime's own exporters make of a llama model: its fused operators
for norms and for grouped attention with rotary positions and cache. Four bits are in blocks of 32
with a scale each; eight bits are what transformers.js calls q8, integer products with activations
rounded on the way, which its WebAssembly runtime does several times faster than blocks of eight
bits. Only the last position's logits are computed, as the other runners do. The embedding is looked
up in single precision, which costs memory and no time.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench import onnx_file
from bench.models import BLOCK, BOS, CONTEXT, EOS, FIRST_WORD, Encoding, Shape
from bench.onnx_file import Graph
from tools.fingerprint import fingerprint, is_fresh, remember

MS = "com.microsoft:"
EPSILON = 1e-5
HEAD_MULTIPLE = 16
"""The runtime's grouped attention takes heads of a multiple of this many dimensions."""
AS_INTEGERS = 4
"""Products may round activations to 8 bits, which is the runtime's fastest way."""


@dataclass(slots=True)
class Llama:
    """Writes one llama into a graph."""

    graph: Graph
    shape: Shape
    bits: int
    rng: np.random.Generator
    _rounded: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Activations that are rounded already."""

    def product(self, x: str, name: str, rows: int, cols: int, zero_rows: int = 0) -> str:
        """x times a random quantized matrix, in the runtime's faster way for these bits."""
        by = self._in_bytes if self.bits == 8 else self._in_blocks
        return by(x, name, rows, cols, zero_rows)

    def _in_blocks(self, x: str, name: str, rows: int, cols: int, zero_rows: int) -> str:
        """A scale for each block of 32 weights."""
        blocks = cols // BLOCK
        packed = self.rng.integers(0, 256, (rows, blocks, BLOCK * self.bits // 8), dtype=np.uint8)
        scale = np.full((rows, blocks), 1.0 / (2 ** (self.bits - 1) * cols**0.5), np.float32)
        scale[:zero_rows] = 0
        return self.graph.node(
            MS + "MatMulNBits", x, self.graph.constant(f"{name}.weight", packed),
            self.graph.constant(f"{name}.scale", scale.reshape(-1)),
            K=cols, N=rows, bits=self.bits, block_size=BLOCK, accuracy_level=AS_INTEGERS,
        )  # fmt: skip

    def _in_bytes(self, x: str, name: str, rows: int, cols: int, zero_rows: int) -> str:
        """A scale for each row of weights, and activations rounded to 8 bits as a whole."""
        graph = self.graph
        weights = self.rng.integers(-127, 128, (cols, rows), dtype=np.int8)
        scale = np.full(rows, 1.0 / (127 * cols**0.5), np.float32)
        scale[:zero_rows] = 0
        names = self._rounded.get(x)
        if names is None:
            names = (f"{x}.rounded", f"{x}.scale", f"{x}.zero")
            graph.node("DynamicQuantizeLinear", x, outputs=names)
            self._rounded[x] = names
        rounded, x_scale, zero = names
        product = graph.node(
            "MatMulInteger", rounded, graph.constant(f"{name}.weight", weights), zero
        )
        floats = graph.node("Cast", product, to=onnx_file.TYPES["float32"])
        scales = graph.node("Mul", x_scale, graph.constant(f"{name}.scale", scale))
        return graph.node("Mul", floats, scales)

    def write(self) -> None:
        graph, shape = self.graph, self.shape
        ids = graph.input("input_ids", "int64", ("batch_size", "tokens"))
        mask = graph.input("attention_mask", "int64", ("batch_size", "total"))
        last, total = self._lengths(mask)
        table = self.rng.standard_normal((shape.vocab, shape.dim), np.float32)
        x = graph.node("Gather", graph.constant("embedding", table), ids, axis=0)
        tables = self._rotary()
        ones = graph.constant("norm.scale", np.ones(shape.dim, np.float32))
        normed = graph.node("SimplifiedLayerNormalization", x, ones, axis=-1, epsilon=EPSILON)
        for layer in range(shape.layers):
            added = self._attention(layer, normed, (last, total, *tables))
            x, normed = self._add_and_norm(x, added, ones)
            added = self._feed_forward(layer, normed)
            x, normed = self._add_and_norm(x, added, ones)
        end = graph.node("Gather", normed, graph.constant("last", np.array([-1])), axis=1)
        logits = self.product(end, "head", shape.vocab, shape.dim, FIRST_WORD)
        graph.node("Identity", logits, outputs=("logits",))
        graph.output("logits", "float32", ("batch_size", "one", shape.vocab))

    def _lengths(self, mask: str) -> tuple[str, str]:
        """The last position of each sequence and the length of all, as the attention wants them."""
        graph = self.graph
        axes = graph.constant("axes", np.array([1]))
        length = graph.node("ReduceSum", mask, axes, keepdims=0)
        before = graph.node("Sub", length, graph.constant("one", np.array(1)))
        shape = graph.node("Shape", mask)
        total = graph.node("Gather", shape, graph.constant("second", np.array(1)), axis=0)
        int32 = onnx_file.TYPES["int32"]
        return graph.node("Cast", before, to=int32), graph.node("Cast", total, to=int32)

    def _rotary(self) -> tuple[str, str]:
        half = self.shape.head_dim // 2
        frequency = 10_000.0 ** (-np.arange(half) / half)
        angles = np.outer(np.arange(CONTEXT), frequency).astype(np.float32)
        graph = self.graph
        return graph.constant("cos", np.cos(angles)), graph.constant("sin", np.sin(angles))

    def _attention(self, layer: int, x: str, common: tuple[str, ...]) -> str:
        graph, shape = self.graph, self.shape
        query = self.product(x, f"{layer}.q", shape.dim, shape.dim)
        key = self.product(x, f"{layer}.k", shape.kv_dim, shape.dim)
        value = self.product(x, f"{layer}.v", shape.kv_dim, shape.dim)
        past, present = [], []
        for name in ("key", "value"):
            dims = ("batch_size", shape.kv_heads, f"{name}_tokens", shape.head_dim)
            past.append(graph.input(f"past_key_values.{layer}.{name}", "float32", dims))
            present.append(f"present.{layer}.{name}")
            graph.output(
                present[-1], "float32", ("batch_size", shape.kv_heads, "all", shape.head_dim)
            )
        mixed = graph.node(
            MS + "GroupQueryAttention", query, key, value, *past, *common,
            outputs=(f"{layer}.mixed", *present),
            num_heads=shape.heads, kv_num_heads=shape.kv_heads, do_rotary=1,
        )  # fmt: skip
        return self.product(mixed, f"{layer}.o", shape.dim, shape.dim)

    def _feed_forward(self, layer: int, x: str) -> str:
        graph, shape = self.graph, self.shape
        gate = self.product(x, f"{layer}.gate", shape.hidden, shape.dim)
        up = self.product(x, f"{layer}.up", shape.hidden, shape.dim)
        silu = graph.node("Mul", gate, graph.node("Sigmoid", gate))
        return self.product(graph.node("Mul", silu, up), f"{layer}.down", shape.dim, shape.hidden)

    def _add_and_norm(self, x: str, added: str, scale: str) -> tuple[str, str]:
        """The sum, and the sum normed."""
        kind = "SkipSimplifiedLayerNormalization"
        total = f"{added}.sum"
        outputs = (f"{added}.normed", "", "", total)
        normed = self.graph.node(MS + kind, x, added, scale, outputs=outputs, epsilon=EPSILON)
        return total, normed


def allowed(shape: Shape) -> Shape:
    """The shape with heads that the runtime takes: fewer and larger ones, in matrices of the same
    size."""
    by = HEAD_MULTIPLE // math.gcd(HEAD_MULTIPLE, shape.head_dim)
    return dataclasses.replace(shape, heads=shape.heads // by, kv_heads=shape.kv_heads // by)


def config(shape: Shape) -> dict[str, Any]:
    """What transformers.js wants to know of a model."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "hidden_size": shape.dim,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": CONTEXT,
        "vocab_size": shape.vocab,
    }


def ensure(folder: Path, shape: Shape, encoding: Encoding) -> Path:
    """The model's folder, written if this version of the recipe has not written it yet."""
    made = folder / f"onnx-{shape.name}-{encoding.name}"
    stamp = made.with_suffix(made.suffix + ".recipe")
    recipe = fingerprint([Path(__file__), Path(onnx_file.__file__)])
    if not is_fresh(stamp, recipe):
        shutil.rmtree(made, ignore_errors=True)
        shape = allowed(shape)
        graph = Graph()
        Llama(graph, shape, encoding.bits, np.random.default_rng(0)).write()
        graph.write(made / "onnx" / "model.onnx")
        (made / "config.json").write_text(json.dumps(config(shape)), encoding="utf-8")
        remember(stamp, recipe)
    return made

"""Trained weights as a GGUF file, which llama.cpp and Thimble run.

It knows which keys and tensors a `llama` file has, and which of them an encoding is for; what
encoding makes of a value is `kernels/quantize.c`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import OptionError
from ..gguf_writer import GGUFWriter
from ..kernel import Kernel, Scratch
from ..quantize import FILE_TYPES, QUANTIZATION_VERSION, type_named
from ..tensor_types import F32, TensorType
from .network import tensors
from .recipe import Recipe

Read = Callable[[int, int], bytes]
"""Returns float32 numbers: from which on, and how many."""


def model_file(
    recipe: Recipe,
    tokenizer: dict[str, Any],
    read: Read,
    type: str,
    kernel: Kernel,
    keys: dict[str, Any] | None = None,
) -> GGUFWriter:
    """Return a file of the weights that `read` finds, in the order of `tensors`, its matrices
    as `type`. There is no `output.weight`: the token embedding takes its place. `keys` are what the
    file says of its network, where that is not the recipe's."""
    encoding = type_named(type)
    writer = GGUFWriter()
    for key, value in (model_keys(recipe) if keys is None else keys).items():
        writer.add(key, value)
    writer.add("general.file_type", FILE_TYPES[encoding])
    if encoding.block > 1:
        writer.add("general.quantization_version", QUANTIZATION_VERSION)
    add_tokenizer(writer, tokenizer)
    at = 0
    for name, shape in tensors(recipe):
        n = shape[0] * (shape[1] if len(shape) == 2 else 1)
        to = encoding if len(shape) == 2 else F32
        writer.add_tensor(name, shape, to, _encoded(read, at, n, to, kernel))
        at += n
    return writer


def model_keys(r: Recipe) -> dict[str, Any]:
    """Return what a file says of its network."""
    return {
        "general.architecture": "llama",
        "general.name": r.title,
        "general.license": r.license,
        "llama.context_length": r.context,
        "llama.embedding_length": r.dim,
        "llama.block_count": r.n_layers,
        "llama.feed_forward_length": r.hidden,
        "llama.attention.head_count": r.n_heads,
        "llama.attention.head_count_kv": r.n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": float(r.norm_eps),
        "llama.rope.dimension_count": r.head_dim,
        "llama.rope.freq_base": float(r.rope_theta),
        "llama.vocab_size": r.vocab_size,
    }


def add_tokenizer(writer: GGUFWriter, metadata: dict[str, Any]) -> None:
    """Add the keys of a tokenizer."""
    for key, value in metadata.items():
        # A list that may be empty has no value to see its type by.
        writer.add(key, value, type="string" if key == "tokenizer.ggml.merges" else None)


def _encoded(
    read: Read, first: int, n: int, to: TensorType, kernel: Kernel
) -> Callable[[], Iterator[bytes]]:
    """Return what yields the bytes of one tensor."""

    def chunks() -> Iterator[bytes]:
        values = read(first, n)
        if to is F32:
            yield values
            return
        # Values, and behind them what becomes of them: no encoding is longer.
        scratch = Scratch(kernel, 8 * n, "quantizing")
        scratch.write(values)
        into = scratch.address + 4 * n
        if kernel.call("quantize", to.ggml_id, scratch.address, into, n):
            scratch.close()
            raise OptionError(f"the kernels do not write {to.name}")
        data = kernel.read(into, to.size(n))
        scratch.close()
        yield data

    return chunks

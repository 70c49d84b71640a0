"""A model's weights in kernel memory: where each tensor is, and how its rows get there."""

from __future__ import annotations

import struct
from array import array

from .errors import MemoryLimitError
from .gguf import TensorInfo
from .kernel import SLOTS, Kernel
from .model_config import Features, ModelConfig, parts_of

Parts = tuple[tuple[str, int], ...]
"""Names of tensors, and how many rows each takes."""


class Weights:
    """The kernel's model and its tensors, freed together."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.address = 0
        self.nbytes = 0
        self._tensors: dict[str, int] = {}
        self._config: ModelConfig | None = None

    def begin(self, config: ModelConfig) -> None:
        """Make the kernel's model; the tensors follow with `pack`."""
        kernel = self.kernel
        ints = array("i", [
            config.n_layers, config.dim, config.n_heads, config.n_kv_heads, config.head_dim,
            config.hidden_dim, config.n_vocab, config.rope_dim, int(config.rope_interleaved),
        ]).tobytes()  # fmt: skip
        floats = struct.pack(
            "<4d", config.norm_eps, config.features.score_scale or config.head_dim**-0.5,
            config.rope_base, config.rope_scale_linear,
        )  # fmt: skip
        at = kernel.alloc(len(floats) + len(ints), "the model")
        kernel.write(at, floats + ints)
        self.address = kernel.call("model_new", at + len(floats), at)
        kernel.free(at)
        if not self.address:
            raise MemoryLimitError("no memory for the model's description")
        self._config = config
        if config.features != Features():
            self._set_features(config.features)

    def _set_features(self, f: Features) -> None:
        kernel = self.kernel
        ints = array("i", [
            f.activation, f.layer_norm, f.parallel, f.window, f.sliding_window_pattern,
            f.no_rope_layer_interval,
        ])  # fmt: skip
        floats = struct.pack(
            "<5d",
            f.embed_scale,
            f.attn_logit_softcapping,
            f.final_logit_softcapping,
            f.attention_factor,
            f.rope_base_local,
        )
        at = kernel.alloc(len(floats) + 4 * len(ints), "the model")
        kernel.write(at, floats + ints.tobytes())
        done = kernel.call("model_features", self.address, at + len(floats), at)
        kernel.free(at)
        if not done:
            raise MemoryLimitError("no memory for the model's description")
        if f.rope_divisors:
            divisors = array("f", f.rope_divisors).tobytes()
            at = kernel.alloc(len(divisors), "the model")
            kernel.write(at, divisors)
            kernel.call("model_rope_factors", self.address, at)
            kernel.free(at)

    def pack(self, tensor: TensorInfo, first: int, rows: int, source: int) -> int:
        """Put rows that lie at `source` in the file's encoding into the tensor. Returns 0, or 1 +
        the index, from row `first` on, of a value that is not finite."""
        assert self._config is not None
        parts = parts_of(self._config, tensor.name)
        if parts is None:
            return self._pack(tensor, tensor.name, tensor.shape, first, rows, source)
        return self._pack_fused(tensor, parts, first, rows, source)

    def _pack_fused(
        self, tensor: TensorInfo, parts: Parts, first: int, rows: int, source: int
    ) -> int:
        """The same for a tensor that is several: each takes its rows."""
        if len(tensor.shape) == 1:  # one row, whose values are the parts' rows
            first, rows, width = 0, tensor.shape[0], 1
        else:
            width = tensor.shape[1]
        begin = 0
        for name, height in parts:
            low, high = max(first, begin), min(first + rows, begin + height)
            if low < high:
                at = source + tensor.type.size((low - first) * width)
                shape = (height, *tensor.shape[1:])
                bad = self._pack(tensor, name, shape, low - begin, high - low, at)
                if bad:
                    return bad + (low - first) * width
            begin += height
        return 0

    def _pack(
        self, tensor: TensorInfo, name: str, shape: tuple[int, ...], first: int, rows: int,
        source: int,
    ) -> int:  # fmt: skip
        kernel = self.kernel
        matrix = len(shape) > 1
        address = self._tensors.get(name) or self._new(tensor, name, shape)
        if matrix:
            return kernel.call("pack_rows", address, first, rows, source)
        bad = kernel.call("vector_set", address, tensor.type.ggml_id, source)
        if not bad and name in _ROPE_FACTORS:
            kernel.call("model_rope_factors", self.address, kernel.call("vector_data", address))
        return bad

    def _new(self, tensor: TensorInfo, name: str, shape: tuple[int, ...]) -> int:
        kernel = self.kernel
        if len(shape) > 1:
            address = kernel.call("tensor_new", tensor.type.ggml_id, *shape)
        else:
            address = kernel.call("vector_new", *shape)
        if not address:
            raise MemoryLimitError(
                f"no memory for tensor {name!r}: about {tensor.nbytes:,} bytes are needed "
                f"beside the {self.nbytes:,} that are loaded"
            )
        self._tensors[name] = address
        self.nbytes += kernel.call("tensor_bytes", address)
        layer, slot = _place(name)
        if slot is not None:
            kernel.call("model_set", self.address, slot, layer, address)
        return address

    def row(self, name: str, index: int, n: int) -> array[float]:
        """Row `index` of a matrix, `n` floats."""
        kernel = self.kernel
        at = kernel.alloc(4 * n, "a row")
        kernel.call("tensor_row", self._tensors[name], index, at)
        data = array("f", kernel.read(at, 4 * n))
        kernel.free(at)
        return data

    def tensor(self, name: str) -> int:
        """Where a tensor is; one that a file fuses with others has its own name here."""
        return self._tensors[name]

    def close(self) -> None:
        for address in self._tensors.values():
            self.kernel.call("tensor_free", address)
        self._tensors.clear()
        address, self.address = self.address, 0
        self.kernel.call("model_free", address)

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            self.close()


_ROPE_FACTORS = ("rope_freqs.weight", "rope_factors_short.weight")


def _place(name: str) -> tuple[int, int | None]:
    """The layer and slot of a tensor; no slot for what is used otherwise."""
    if name.startswith("blk."):
        _, layer, rest = name.split(".", 2)
        return int(layer), SLOTS.get(rest)
    return 0, SLOTS.get(name)

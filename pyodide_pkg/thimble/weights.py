"""A model's weights in kernel memory: where each tensor is, and how its rows get there."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator

from .errors import MemoryLimitError
from .gguf import TensorInfo
from .kernel import Kernel, Scratch
from .model_config import ModelConfig, is_vector, parts_of, tensor_names
from .plan import compile_plan
from .program import pack_program

Parts = tuple[tuple[str, int], ...]
"""Names of tensors, and how many rows each takes."""


class Weights:
    """The kernel's model and its tensors, freed together."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.address = 0
        self.nbytes = 0
        self._tensors: dict[str, int] = {}
        self._frequencies: dict[str, Scratch] = {}
        self._stacks: dict[str, Scratch] = {}
        self._config: ModelConfig | None = None

    def begin(self, config: ModelConfig) -> None:
        """Take up tensors of a model with these numbers, by `pack`; then `finish`."""
        self._config = config

    def finish(self) -> None:
        """Make the kernel's model, when all tensors are there."""
        assert self._config is not None
        kernel, config = self.kernel, self._config
        self._make_frequencies(config)
        self._make_stacks(config)
        parts = pack_program(config, compile_plan(config), self._address_of)
        places, total = [], 0
        for part in parts:
            places.append(total)
            total += (len(part) + 15) & ~15
        scratch = Scratch(kernel, total, "the model's program")
        for part, place in zip(parts, places, strict=True):
            scratch.write(part, place)
        self.address = kernel.call("model_new", *(scratch.address + place for place in places))
        scratch.close()
        if not self.address:
            raise MemoryLimitError("no memory for the model's program")

    def _make_frequencies(self, config: ModelConfig) -> None:
        """Compute what RoPE rotates by, for all layers and for those with a window."""
        f, pairs = config.features, config.rope_dim // 2
        if not pairs:
            return
        divisors = [array("f", f.rope_divisors).tobytes()] if f.rope_divisors else []
        for name in ROPE_FACTORS:
            if name in self._tensors:
                at = self.kernel.call("vector_data", self._tensors[name])
                divisors.append(self.kernel.read(at, 4 * pairs))
        self._add_frequencies(
            "rope", config, (config.rope_base, config.rope_scale_linear), divisors
        )
        if f.rope_base_local:
            self._add_frequencies("rope_local", config, (f.rope_base_local, 1.0), [])

    def _make_stacks(self, config: ModelConfig) -> None:
        """Note where the matrices of all experts are, for each tensor that holds them."""
        for name, shape in tensor_names(config).items():
            if len(shape) == 3:
                parts = parts_of(config, name) or ()
                addresses = array("q", [self._tensors[part] for part, _ in parts])
                made = Scratch(self.kernel, 8 * len(addresses), "places of experts")
                made.write(addresses.tobytes())
                self._stacks[name] = made

    def _add_frequencies(
        self, name: str, config: ModelConfig, numbers: tuple[float, float], divisors: list[bytes]
    ) -> None:
        kernel, pairs = self.kernel, config.rope_dim // 2
        made = self._frequencies[name] = Scratch(kernel, 8 * pairs, "RoPE's frequencies")
        scratch = Scratch(kernel, 16 + 4 * pairs, "RoPE's frequencies")
        scratch.write(struct.pack("<2d", *numbers))
        kernel.call("rope_frequencies", made.address, pairs, scratch.address)
        for values in divisors:
            scratch.write(values, 16)
            kernel.call("rope_divide", made.address, pairs, scratch.address + 16)
        scratch.close()

    def _address_of(self, name: str) -> int:
        """Where what an operation names is: a tensor, or frequencies."""
        made = self._frequencies.get(name) or self._stacks.get(name)
        return made.address if made else self._tensors[name]

    def pack(self, tensor: TensorInfo, first: int, rows: int, source: int) -> int:
        """Put rows that lie at `source` in the file's encoding into the tensor. Returns 0, or 1 +
        the index, from row `first` on, of a value that is not finite."""
        assert self._config is not None
        parts = parts_of(self._config, tensor.name)
        if parts is None:
            shape = (tensor.n_elements,) if is_vector(tensor) else tensor.shape
            return self._pack(tensor, tensor.name, shape, first, rows, source)
        return self._pack_fused(tensor, parts, first, rows, source)

    def _pack_fused(
        self, tensor: TensorInfo, parts: Parts, first: int, rows: int, source: int
    ) -> int:
        """The same for a tensor that is several: each takes its rows."""
        if len(tensor.shape) == 1:  # one row, whose values are the parts' rows
            first, rows, width = 0, tensor.shape[0], 1
        else:
            width = tensor.shape[-1]
        begin = 0
        for name, height in parts:
            low, high = max(first, begin), min(first + rows, begin + height)
            if low < high:
                at = source + tensor.type.size((low - first) * width)
                shape = (height, *tensor.shape[1:][-1:])
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
        address = self._tensors.get(name) or self._new(tensor, name, shape)
        if len(shape) > 1:
            return kernel.call("pack_rows", address, first, rows, source)
        return kernel.call("vector_set", address, tensor.type.ggml_id, source)

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
        return address

    def row(self, name: str, index: int, n: int) -> array[float]:
        """Row `index` of a matrix, `n` floats."""
        kernel = self.kernel
        name, index = self.part(name, index)
        at = kernel.alloc(4 * n, "a row")
        kernel.call("tensor_row", self._tensors[name], index, at)
        data = array("f", kernel.read(at, 4 * n))
        kernel.free(at)
        return data

    def part(self, name: str, row: int) -> tuple[str, int]:
        """Which tensor here has a row of one in the file, and as which row: the same, where it is
        not several."""
        assert self._config is not None
        for part, rows in parts_of(self._config, name) or ():
            if row < rows:
                return part, row
            row -= rows
        return name, row

    def tensor(self, name: str) -> int:
        """Where a tensor is; one that a file fuses with others has its own name here."""
        return self._tensors[name]

    def pieces(self) -> Iterator[tuple[str, int, int]]:
        """Name, address and bytes of each tensor as it lies in kernel memory, by name."""
        for name, address in sorted(self._tensors.items()):
            at = self.kernel.call("vector_data", address)
            yield name, at, self.kernel.call("tensor_bytes", address)

    def has(self, name: str) -> bool:
        """Whether there is a tensor of that name."""
        return name in self._tensors

    def close(self) -> None:
        for address in self._tensors.values():
            self.kernel.call("tensor_free", address)
        self._tensors.clear()
        for made in self._frequencies.values():
            made.close()
        self._frequencies.clear()
        for made in self._stacks.values():
            made.close()
        self._stacks.clear()
        address, self.address = self.address, 0
        self.kernel.call("model_free", address)

    def __del__(self) -> None:
        if getattr(self, "address", 0) or getattr(self, "_tensors", None):
            self.close()


ROPE_FACTORS = ("rope_freqs.weight", "rope_factors_short.weight")
"""Tensors that divide RoPE's frequencies."""

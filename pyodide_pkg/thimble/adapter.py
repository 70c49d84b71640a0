"""Adapters: GGUF files with two thin matrices for each that they change, read, written, and put on
a model that is loaded.

    adapter = model.adapt("pirates.gguf", strength=0.7)
    adapter.strength = 1.2          # at once, for all sessions; nothing is loaded again
    adapter.close()                 # the model as it was

    many = [model.prepare_adapter(file) for file in files]
    with many[0].on():              # as long as this; nothing is loaded again
        ...

A product with W becomes one with W + strength * alpha / rank * B A (LoRA, Hu et al. 2021), which
`kernels/adapter.c` computes as y + s B (A x): W is never touched. A session whose cache was
computed with another adapter or strength drops it, and computes its tokens again when they are next
needed; one that slept through a switch there and back keeps it.

Files are llama.cpp's: `general.type` is `adapter`, `adapter.type` is `lora`, and for a tensor NAME
there are NAME.lora_a [rank, columns] and NAME.lora_b [rows, rank].
"""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import grids
from .errors import FormatError, MemoryLimitError, NumericError, OptionError, UnsupportedError
from .gguf import GGUFHeader, TensorInfo, check_no_folder, read_header
from .gguf_writer import GGUFWriter
from .kernel import Bytes, Scratch
from .model_config import parts_of
from .tensor_types import F32

if TYPE_CHECKING:
    from .model import Model

MAX_RANK = 256
"""`TK_MAX_RANK` of the kernels."""
MAX_STRENGTH = 100.0
MAX_ALPHA = 1_000_000
A, B = ".lora_a", ".lora_b"
MATRICES = (
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down",
)  # fmt: skip
"""Of a layer: what is adapted where nothing else is asked for, beside `FUSED`."""
FUSED = "attn_qkv"
"""Queries, keys and values in one matrix: they share A, and each has its rows of B."""
OTHERS = (
    "attn_gate", "ssm_in", "ssm_out", "ssm_alpha", "ssm_beta", "shortconv.in_proj",
    "shortconv.out_proj", "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp",
)  # fmt: skip
"""What else of a layer can be: of scans, of short convolutions, and of the expert that all use."""

_REVISIONS = itertools.count(1)

Source = str | os.PathLike[str] | Bytes
"""A path, or a file's bytes."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What changes one matrix."""

    down: TensorInfo
    """A, [rank, columns]."""
    up: TensorInfo
    """B, [rows, rank]."""

    @property
    def rank(self) -> int:
        return self.down.shape[0]


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """An adapter's file that was read and found sound by itself; whether it fits a model, `Adapter`
    says."""

    metadata: dict[str, Any]
    pairs: dict[str, Pair]
    """By the name of the matrix."""
    alpha: float
    """Divided by the rank it is the factor of strength 1; 0 stands for the rank itself."""
    data: bytes
    sha256: str

    @property
    def name(self) -> str:
        name = self.metadata.get("general.name")
        return name if isinstance(name, str) else ""

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture"))

    @property
    def rank(self) -> int:
        """The largest."""
        return max(pair.rank for pair in self.pairs.values())

    @property
    def n_params(self) -> int:
        return sum(p.down.n_elements + p.up.n_elements for p in self.pairs.values())

    def scale(self, pair: Pair) -> float:
        """The factor of B A at strength 1."""
        return self.alpha / pair.rank if self.alpha else 1.0


def read_adapter(source: Source) -> AdapterFile:
    """Read an adapter's file.

    Raises FormatError for what is none, or contradicts itself, UnsupportedError for an adapter of a
    kind that does not run here; OSError.
    """
    is_path = isinstance(source, str | os.PathLike)
    if is_path:
        check_no_folder(Path(source))  # type: ignore[arg-type]
    data = Path(source).read_bytes() if is_path else bytes(source)  # type: ignore[arg-type]
    header = read_header(data, file_size=len(data))
    metadata = header.metadata
    if metadata.get("general.type") != "adapter":
        found = metadata.get("general.type", "a model")
        raise FormatError(f"this file is no adapter: its general.type is {found!r:.40}")
    if metadata.get("adapter.type") != "lora":
        raise UnsupportedError(
            f"the adapter is of type {metadata.get('adapter.type')!r:.40}; 'lora' runs here"
        )
    if "adapter.alora.invocation_tokens" in metadata:
        raise UnsupportedError("the adapter waits for certain tokens (aLoRA), which none here does")
    pairs = _pairs(header)
    return AdapterFile(metadata, pairs, _alpha(metadata), data, hashlib.sha256(data).hexdigest())


def _alpha(metadata: Mapping[str, Any]) -> float:
    alpha = metadata.get("adapter.lora.alpha", 0.0)
    number = isinstance(alpha, int | float) and not isinstance(alpha, bool)
    if not number or not 0 <= alpha <= MAX_ALPHA:
        raise FormatError(
            f"adapter.lora.alpha is {alpha!r:.40}; it must be a number from 0 to {MAX_ALPHA:,}"
        )
    return float(alpha)


def _pairs(header: GGUFHeader) -> dict[str, Pair]:
    """The factors by the names of their matrices, each checked against the other."""
    found: dict[str, dict[str, TensorInfo]] = {}
    for tensor in header.tensors:
        end = tensor.name[-len(A) :]
        if end not in (A, B):
            raise FormatError(
                f"the adapter holds a tensor {tensor.name!r}; all names must end in {A} or {B}"
            )
        found.setdefault(tensor.name[: -len(A)], {})[end] = tensor
    if not found:
        raise FormatError("the adapter holds no tensors: it changes nothing")
    for name, factors in found.items():
        for end in (A, B):
            if end not in factors:
                raise FormatError(f"the adapter has no {name}{end} beside its other half")
        down, up = factors[A].shape, factors[B].shape
        if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
            raise FormatError(
                f"{name}{A} is {_words(down)} and {name}{B} is {_words(up)}: they must be "
                "rank x columns and rows x rank"
            )
        if down[0] > MAX_RANK:
            raise UnsupportedError(f"{name} is adapted by rank {down[0]:,}; at most {MAX_RANK}")
    return {name: Pair(factors[A], factors[B]) for name, factors in found.items()}


def _words(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


class Adapter:
    """An adapter in a model's memory. `Model.adapt` makes one and puts it on;
    `Model.prepare_adapter` makes one to be put on later."""

    def __init__(self, model: Model, file: AdapterFile, strength: float) -> None:
        self.file = file
        self.model = model
        self.title = file.name or f"adapter {file.sha256[:8]}"
        """The file's own name, or as good as one."""
        self._kernel = model.kernel
        self._parts: list[tuple[str, int, Pair]] = []
        """The tensor that is changed, the kernels' part that does it, and the pair behind it."""
        self._strength = checked_strength(strength)
        self._check()
        factors = [one for pair in file.pairs.values() for one in (pair.down, pair.up)]
        grids.ensure(self._kernel, (tensor.type for tensor in factors))
        try:
            for name, pair in file.pairs.items():
                self._take(name, pair)
            self._set()
        except Exception:
            self._free()
            raise

    def put_on(self) -> None:
        """Let the model's products have it from now on, in place of another one, which stays in
        memory if it was prepared."""
        self.model.wear(self)

    def take_off(self) -> None:
        """The model without it; its numbers stay in memory."""
        if self.model.adapter is self:
            self.model.wear(None)

    @contextmanager
    def on(self) -> Iterator[None]:
        """Put on for as long as this; then what was on before is on again."""
        before = self.model.adapter
        self.model.wear(self)
        try:
            yield
        finally:
            if not self.model.closed:
                self.model.wear(before)

    def bind(self, bound: bool) -> None:
        """Tell the products of its matrices to have it, or none: `Model.wear` does this."""
        for name, part, _ in self._parts:
            self._kernel.call("adapter_put", self.model.weights.tensor(name), part if bound else 0)

    @property
    def strength(self) -> float:
        """1 is what was trained, 0 the model alone; open sessions follow a change."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        strength = checked_strength(strength)
        if strength != self._strength and self._parts:
            self._strength = strength
            self._set()

    @property
    def revision(self) -> int:
        """Names what it is at this strength: no other adapter or strength of this model has it."""
        return self._revision

    @property
    def nbytes(self) -> int:
        """Bytes of kernel memory that it takes, about."""
        return 4 * self.file.n_params if self._parts else 0

    def close(self) -> None:
        """Take it off the model, and give its memory back."""
        if not self._parts:
            return
        if not self.model.closed:
            self.take_off()
        self._free()

    @property
    def closed(self) -> bool:
        return not self._parts

    def _set(self) -> None:
        """Let products have the strength as it is."""
        scratch = Scratch(self._kernel, 8, "a number")
        for _, part, pair in self._parts:
            factor = self._strength * self.file.scale(pair)
            scratch.write(struct.pack("<d", factor))
            self._kernel.call("adapter_scale", part, scratch.address)
        scratch.close()
        self._revision = next(_REVISIONS)

    def _free(self) -> None:
        for _, part, _ in self._parts:
            self._kernel.call("adapter_free", part)
        self._parts = []

    def _check(self) -> None:
        """Raise where the file is not for this model."""
        file, model = self.file, self.model
        if file.architecture != model.config.architecture:
            raise FormatError(
                f"the adapter is for the architecture {file.architecture!r:.40}; model "
                f"{model.name!r} is {model.config.architecture!r}"
            )
        tensors = {tensor.name: tensor for tensor in model.tensors}
        for name, pair in file.pairs.items():
            if name not in tensors:
                raise FormatError(
                    f"the adapter changes {name!r:.70}, which model {model.name!r} has not: it is "
                    "for another model"
                )
            if len(tensors[name].shape) != 2:
                raise UnsupportedError(
                    f"the adapter changes {name!r}, the matrices of several experts; that is not "
                    "done here"
                )
            if not is_matrix(name):
                raise UnsupportedError(
                    f"the adapter changes {name!r}; here it can change {', '.join(MATRICES)}, "
                    f"{FUSED}, {', '.join(OTHERS)} and output"
                )
            wanted, found = tensors[name].shape, (pair.up.shape[0], pair.down.shape[1])
            if wanted != found:
                raise FormatError(
                    f"the adapter is for a {name!r} of {_words(found)}; model {model.name!r} has "
                    f"one of {_words(wanted)}: it is for another model"
                )

    def _take(self, name: str, pair: Pair) -> None:
        """Bring one pair into kernel memory."""
        kernel, whole = self._kernel, ((name, pair.up.shape[0]),)
        taken: list[tuple[int, int, int]] = []
        first = 0
        for changed, rows in parts_of(self.model.config, name) or whole:
            part = kernel.call("adapter_new", self.model.weights.tensor(changed), pair.rank)
            if not part:
                raise MemoryLimitError(
                    f"no memory for an adapter of {self.file.n_params:,} numbers"
                )
            self._parts.append((changed, part, pair))
            taken.append((part, first, rows))
            first += rows
        for up, tensor in enumerate((pair.down, pair.up)):
            n, cols = tensor.n_elements, tensor.shape[1]
            scratch = Scratch(kernel, 4 * n + tensor.nbytes, "an adapter")
            source = scratch.address + 4 * n
            kernel.write(source, self.file.data[tensor.offset : tensor.offset + tensor.nbytes])
            kernel.call("decode", tensor.type.ggml_id, source, scratch.address, n)
            bad = 0
            for part, begin, rows in taken:
                begin, rows = (begin, rows) if up else (0, pair.rank)
                here = scratch.address + 4 * begin * cols
                bad = kernel.call("adapter_set", part, up, here, rows, cols)
                if bad:
                    bad += begin * cols
                    break
            scratch.close()
            if bad:
                row, column = divmod(bad - 1, cols)
                raise NumericError(
                    f"tensor {tensor.name!r} holds a number that is not finite, in row {row}, "
                    f"column {column}"
                )


def is_matrix(name: str) -> bool:
    """Whether a tensor is one that can be adapted."""
    first, _, rest = name.partition(".")
    number, _, own = rest.partition(".")
    layer = first == "blk" and number.isdigit() and own.endswith(".weight")
    matrix = own.removesuffix(".weight") in (*MATRICES, FUSED, *OTHERS)
    return name == "output.weight" or (layer and matrix)


def checked_strength(strength: float) -> float:
    """Return a strength. Raises OptionError for one that is none."""
    number = isinstance(strength, int | float) and not isinstance(strength, bool)
    if not number or not abs(strength) <= MAX_STRENGTH:
        raise OptionError(
            f"the strength is {strength!r}; it must be a number: 0 for the model alone, 1 for the "
            f"adapter as it was trained, at most {MAX_STRENGTH:g}"
        )
    return float(strength)


def adapter_file(
    pairs: Mapping[str, tuple[tuple[int, int, int], Bytes, Bytes]],
    *,
    alpha: float,
    architecture: str = "llama",
    metadata: Mapping[str, Any] | None = None,
) -> GGUFWriter:
    """A file of float32 pairs: for each matrix's name (rows, columns, rank), A's bytes and B's.

    `metadata` are more keys: `general.name` and the like.
    """
    writer = GGUFWriter()
    writer.add("general.architecture", architecture)
    writer.add("general.type", "adapter")
    writer.add("adapter.type", "lora")
    writer.add("adapter.lora.alpha", float(alpha), type="float32")
    for key, value in (metadata or {}).items():
        writer.add(key, value)
    for name, ((rows, cols, rank), down, up) in pairs.items():
        writer.add_tensor(name + A, (rank, cols), F32, down)
        writer.add_tensor(name + B, (rows, rank), F32, up)
    return writer

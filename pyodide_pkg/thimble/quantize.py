"""One GGUF file to another, with its matrices in another encoding.

Tensors stream through kernel memory a piece at a time, so that the model may be larger than the
memory. A matrix whose rows fill no blocks of a K type becomes what stands in for it (`FALLBACKS`).
Norms and other vectors stay as they are, and so does a matrix whose rows fill no blocks at all.
This file knows files and tensors; the arithmetic is `kernels/quantize.c`, whose bytes are those of
ggml's reference quantizers, and `kernels/quantize_k.c`, whose method is theirs. It does not know
what a tensor is for.

    report = quantize_file("story-f32.gguf", "story-q8_0.gguf", "q8_0")
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from . import grids
from .architectures import EXACT
from .errors import FormatError, MemoryLimitError, NumericError, OptionError
from .gguf import GGUFHeader, TensorInfo
from .gguf_writer import GGUFWriter
from .kernel import Kernel, Scratch, default_kernel
from .split import Source, check_whole, opened
from .tensor_types import (
    BF16,
    F16,
    F32,
    FALLBACKS,
    Q4_0,
    Q4_K,
    Q6_K,
    Q8_0,
    WRITTEN,
    TensorType,
    fitting,
)

PIECE = 1 << 18
"""Values that are converted at a time, unless one row has more."""

FILE_TYPES = {F32: 0, F16: 1, Q4_0: 2, Q8_0: 7, Q4_K: 14, Q6_K: 18, BF16: 32}
"""`general.file_type` of a file that is mostly of one encoding: llama.cpp's `llama_ftype`. A new
encoding is added here, in `tensor_types.py` and in `kernels/quantize_k.c`."""

QUANTIZATION_VERSION = 2
"""`general.quantization_version`: of the block layouts, ggml's `GGML_QNT_VERSION`."""

Progress = Callable[[int, int], None]
"""Called with bytes read and bytes in all."""

Change = Callable[[bytes, int, int], bytes]
"""Called with some rows of a tensor as they are in the file, the first one's number and how many
they are; gives them as float32."""


@dataclass(frozen=True, slots=True)
class Quantized:
    """What `quantize_file` did. Sizes are of the files, in bytes."""

    type: TensorType
    converted: int
    """Tensors that have another encoding now."""
    replaced: str | None
    """How many matrices became `FALLBACKS[type]`, and why, in one line."""
    misfits: tuple[str, ...]
    """Matrices that stayed as they were, because their rows do not fill blocks."""
    warning: str | None
    """Why the result is worse than it might be, in one line."""
    source_bytes: int
    target_bytes: int


def quantize_file(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    type: str,
    progress: Progress | None = None,
    *,
    kernel: Kernel | None = None,
) -> Quantized:
    """Write the model in `src`, or in the files of which that is the first part, to `dst`, its
    matrices as `type`: q8_0, q6_k, q4_k, q4_0, f16, bf16 or f32.

    All metadata is kept, with `general.file_type` set anew. `dst` appears whole or not at all.
    Raises OptionError for an unknown type, a `dst` that is `src`, and where nothing would change;
    NumericError, naming the tensor, for a weight that is not finite or too large for `type`;
    FormatError and UnsupportedError for a file that cannot be read; OSError.
    """
    target = type_named(type)
    check_destination(src, dst)
    with opened(src) as (file, header, source_bytes):
        requantized(file, header, target, progress, name=os.fspath(src), kernel=kernel).write(dst)
    return Quantized(
        type=target,
        converted=sum(_changes(t, target) for t in header.tensors),
        replaced=replaced_in(header, target),
        misfits=tuple(t.name for t in header.tensors if _misfits(t, target)),
        warning=warning_of(header, target),
        source_bytes=source_bytes,
        target_bytes=os.path.getsize(dst),
    )


def requantized(
    file: Source,
    header: GGUFHeader,
    target: TensorType,
    progress: Progress | None = None,
    *,
    name: str,
    kernel: Kernel | None = None,
    changes: Mapping[str, Change] = MappingProxyType({}),
) -> GGUFWriter:
    """A writer of the model in `file`, of this header, with its matrices as `target`: they are read
    and converted while it writes, after their `changes` by name. Errors are those of
    `quantize_file`."""
    check_whole(name, header)
    if not changes and not any(_changes(t, target) for t in header.tensors):
        raise OptionError(
            f"{name!r} has no matrix that could become {target.name}: "
            f"{_why_nothing_changes(header, target)}"
        )
    kernel = kernel or default_kernel()
    grids.ensure(kernel, (t.type for t in header.tensors))
    writer = GGUFWriter()
    file.seek(0)
    _copy_metadata(writer, header, file.read(header.data_offset), target)
    done = _Tally(progress, sum(t.nbytes for t in header.tensors))
    for tensor in header.tensors:
        to = becomes(tensor, target)
        source = partial(_pieces, kernel, file, tensor, to, done, changes.get(tensor.name))
        writer.add_tensor(tensor.name, tensor.shape, to, source)
    return writer


def type_named(name: str) -> TensorType:
    """The encoding called `name`, in whatever case. Raises OptionError for one that is not here."""
    for tensor_type in WRITTEN:
        if isinstance(name, str) and tensor_type.name == name.upper():
            return tensor_type
    names = ", ".join(t.name.lower() for t in WRITTEN)
    raise OptionError(f"the type is {name!r}; it must be one of {names}")


def check_destination(src: str | os.PathLike[str], dst: str | os.PathLike[str]) -> None:
    """Say early, not after the work, that `dst` cannot be written."""
    if os.path.isdir(dst):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", os.fspath(dst))
    folder = os.path.dirname(os.path.abspath(dst))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "No such directory", folder)
    if os.path.exists(dst) and os.path.samefile(src, dst):
        raise OptionError(f"{os.fspath(dst)!r} is the file that is read; give it another name")


def becomes(tensor: TensorInfo, target: TensorType) -> TensorType:
    """What a tensor is in a file whose matrices are `target`: that, or where its rows do not fill
    blocks what stands in for it, or what it was."""
    fits = _is_product(tensor) and fitting(target, tensor.shape[-1])
    return fits or tensor.type


def _is_product(tensor: TensorInfo) -> bool:
    """Whether a tensor is a matrix that may be rounded."""
    return len(tensor.shape) > 1 and not tensor.name.endswith(EXACT)


def _changes(tensor: TensorInfo, target: TensorType) -> bool:
    return becomes(tensor, target) != tensor.type


def _misfits(tensor: TensorInfo, target: TensorType) -> bool:
    return _is_product(tensor) and fitting(target, tensor.shape[-1]) is None


def _why_nothing_changes(header: GGUFHeader, target: TensorType) -> str:
    if not header.tensors:
        return "it has no tensors, only a vocabulary"
    if any(_is_product(t) and not _misfits(t, target) for t in header.tensors):
        return "the matrices are that already"
    return f"rows must be a multiple of {FALLBACKS.get(target, target).block} values"


def warning_of(header: GGUFHeader, target: TensorType) -> str | None:
    """One line where the result is not what a conversion of the original weights would give."""
    changing = [t for t in header.tensors if _changes(t, target)]
    rounded = sorted({t.type.name for t in changing if t.type.block > 1})
    if rounded and target.block > 1:
        return (
            f"the weights were rounded to {', '.join(rounded)} before; "
            f"{target.name} of the original weights would be nearer to them"
        )
    if rounded:
        return f"what rounding to {', '.join(rounded)} lost does not come back as {target.name}"
    return None


def replaced_in(header: GGUFHeader, target: TensorType) -> str | None:
    """One line where something stands in for `target`."""
    return replaced_rows([t.shape[-1] for t in header.tensors if _changes(t, target)], target)


def replaced_rows(rows: Sequence[int], target: TensorType) -> str | None:
    """The same of matrices by the values in their rows, all of which fill blocks of one or of the
    other."""
    widths = sorted({width for width in rows if width % target.block})
    if not widths:
        return None
    count = sum(width in widths for width in rows)
    return (
        f"{count} of {len(rows)} matrices are {FALLBACKS[target].name}, as llama.cpp makes "
        f"them: their rows of {', '.join(map(str, widths))} values fill no blocks of "
        f"{target.block}"
    )


def _copy_metadata(writer: GGUFWriter, header: GGUFHeader, data: bytes, target: TensorType) -> None:
    """Add all keys of a file, of which `data` is the header's bytes, as they are there."""
    new = {
        "general.file_type": FILE_TYPES[target],
        "general.quantization_version": QUANTIZATION_VERSION,
    }
    for key in header.metadata:
        if key not in new:
            writer.copy(key, header, data)
    for key, number in new.items():
        writer.add(key, number, type="uint32")


class _Tally:
    """Counts bytes for a progress callback."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, nbytes: int) -> None:
        self._done += nbytes
        if self._progress:
            self._progress(self._done, self._total)


class Values:
    """`n` values in kernel memory, on their way from one encoding to another."""

    def __init__(self, kernel: Kernel, n: int) -> None:
        self._kernel = kernel
        self._n = n
        self._bytes = Scratch(kernel, 4 * n, "quantizing")
        self._vector = kernel.call("vector_new", n)
        if not self._vector:
            self._bytes.close()
            raise MemoryLimitError(f"no memory for {n:,} values of 4 bytes")

    def take(self, tensor_type: TensorType, raw: bytes | memoryview) -> int:
        """Decode; returns 0, or 1 + the index of the first value that is not finite."""
        self._bytes.write(raw)
        return self._set(tensor_type)

    def give(self, tensor_type: TensorType) -> tuple[bytes, int]:
        """Encode; returns the bytes, and 0 or 1 + the index of a value that became infinite.
        What is held then is what the bytes say."""
        values = self._kernel.call("vector_data", self._vector)
        self._kernel.call("encode", tensor_type.ggml_id, values, self._bytes.address, self._n)
        bad = self._set(tensor_type)
        return self._kernel.read(self._bytes.address, tensor_type.size(self._n)), bad

    def close(self) -> None:
        vector, self._vector = self._vector, 0
        self._kernel.call("tensor_free", vector)
        self._bytes.close()

    def _set(self, tensor_type: TensorType) -> int:
        return self._kernel.call(
            "vector_set", self._vector, tensor_type.ggml_id, self._bytes.address
        )


def _pieces(
    kernel: Kernel, file: Source, tensor: TensorInfo, target: TensorType, done: _Tally,
    change: Change | None,
) -> Iterator[bytes]:  # fmt: skip
    """The bytes of a tensor as `target`, some rows at a time; as they are where it is of that."""
    cols = tensor.shape[-1]
    step = max(1, PIECE // cols) * cols
    file.seek(tensor.offset)
    for at in range(0, tensor.n_elements, step):
        n = min(step, tensor.n_elements - at)
        raw = file.read(tensor.type.size(n))
        if len(raw) != tensor.type.size(n):
            raise FormatError(f"the file ended inside tensor {tensor.name!r} while it was read")
        held = tensor.type
        if change is not None:
            raw, held = change(raw, at // cols, n // cols), F32
        values = Values(kernel, n)
        try:
            bad = values.take(held, raw)
            if bad:
                raise NumericError(f"{_place(tensor, at + bad - 1)} that is not finite")
            if target != held:
                raw, bad = values.give(target)
            if bad:
                raise NumericError(
                    f"{_place(tensor, at + bad - 1)} that is too large for {target.name}"
                )
        finally:
            values.close()
        yield raw
        done.add(tensor.type.size(n))


def _place(tensor: TensorInfo, index: int) -> str:
    """Words for where a value stands: `index` counts from the tensor's first. What makes a value
    infinite is its block's scale, so the culprit may be a few columns on."""
    row, column = divmod(index, tensor.shape[-1])
    return f"tensor {tensor.name!r} holds a weight, in row {row} at or after column {column},"

"""How a GGUF file is written: version 3, little-endian, the same bytes for the same calls.

The writer knows the container only, like `gguf.py`, whose reader checks every header written here.
It does not quantize (`quantize.py`) and does not know which keys a model needs (`model_config.py`).

    writer = GGUFWriter()
    writer.add("general.architecture", "llama")
    writer.add_tensor("token_embd.weight", (512, 64), F32, data)
    writer.write("model.gguf")

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from .errors import OptionError
from .gguf import (
    ARRAY,
    BOOL,
    DEFAULT_ALIGNMENT,
    MAGIC,
    SCALARS,
    STRING,
    TYPE_NAMES,
    GGUFHeader,
    check_alignment,
    read_header,
)
from .gguf_lists import Numbers, Texts, is_list
from .tensor_types import TensorType

# `memoryview` takes any buffer, a NumPy array too, which Python 3.11 has no name for.
Buffer: TypeAlias = Any
Chunks: TypeAlias = Callable[[], Iterable[Buffer]]


@dataclass(frozen=True, slots=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    type: TensorType
    nbytes: int
    data: Buffer | Chunks


class GGUFWriter:
    """Collects key-value pairs and tensors, then writes them in the order of the calls."""

    def __init__(self) -> None:
        self._pairs: dict[str, bytes] = {}
        self._tensors: dict[str, _Tensor] = {}
        self._alignment = DEFAULT_ALIGNMENT

    def add(self, key: str, value: Any, *, type: str | None = None) -> None:
        """Add a key-value pair: a bool, int, float or str, or a list of one of these.

        `type` is a name of the specification, "uint8" to "float64", of a list's elements too.
        Without it an int becomes uint32, or int32 below zero, or 64 bits where it takes these; a
        float becomes float32. Elements of a list of ints become int32, as llama.cpp wants them.
        Raises `OptionError` for a key twice, or a value that its type cannot hold.
        """
        self._check_new(key)
        if key == "general.alignment":
            self._alignment = check_alignment(value)
        try:
            packed = _pack_list(value, type) if is_list(value) else _pack_one(
                value, _kind(type) if type else _infer(value)
            )  # fmt: skip
        except (struct.error, OverflowError, TypeError, AttributeError, UnicodeError) as error:
            raise OptionError(
                f"{key!r} cannot hold {value!r:.100} as {type or 'any type'}: {error}"
            ) from None
        self._pairs[key] = packed

    def copy(self, key: str, header: GGUFHeader, data: Buffer) -> None:
        """Add a key of another file as it is there, whatever it holds: `header` is that file's, and
        `data` its bytes, or the first of them. Raises `OptionError` for a key twice."""
        self._check_new(key)
        if key == "general.alignment":
            self._alignment = header.alignment
        begin, end = header.spans[key]
        self._pairs[key] = bytes(memoryview(data)[begin:end])

    def _check_new(self, key: str) -> None:
        if key in self._pairs:
            raise OptionError(f"the key {key!r} was added before")

    def add_tensor(
        self, name: str, shape: tuple[int, ...], tensor_type: TensorType, data: Buffer | Chunks
    ) -> None:
        """Add a tensor of `shape`, rows first.

        `data` is a C-contiguous buffer of its encoded bytes, or a function that returns them in
        chunks, called once for each time that the file is written, so that a large model never
        lies in memory as a whole.
        """
        if name in self._tensors:
            raise OptionError(f"the tensor {name!r} was added before")
        n_elements = 1
        for n in shape:
            n_elements *= n
        nbytes = tensor_type.size(n_elements)
        if not callable(data):
            _check_size(name, memoryview(data).nbytes, nbytes)
        self._tensors[name] = _Tensor(name, tuple(shape), tensor_type, nbytes, data)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file. It appears at `path` whole or not at all."""
        unfinished = Path(f"{os.fspath(path)}.{os.getpid()}.unfinished")
        try:
            with unfinished.open("wb") as file:
                for chunk in self.chunks():
                    file.write(chunk)
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def header(self) -> bytes:
        """Return everything before the tensors' bytes, to be checked before the work is done."""
        return self._header()

    def to_bytes(self) -> bytes:
        """Return the file as bytes."""
        return b"".join(self.chunks())

    def chunks(self) -> Iterator[Buffer]:
        """The file's bytes in order, the tensors' made as they are asked for."""
        yield self._header()
        for tensor in self._tensors.values():
            done = 0
            for chunk in tensor.data() if callable(tensor.data) else (tensor.data,):
                view = memoryview(chunk)
                done += view.nbytes
                yield view.cast("B")
            _check_size(tensor.name, done, tensor.nbytes)
            yield bytes(-done % self._alignment)

    def _header(self) -> bytes:
        """Return everything before the tensors' bytes, padded."""
        parts = [MAGIC, struct.pack("<IQQ", 3, len(self._tensors), len(self._pairs))]
        for key, packed in self._pairs.items():
            parts += [_pack_string(key), packed]
        offset = 0
        for t in self._tensors.values():
            parts.append(_pack_string(t.name))
            parts.append(struct.pack(f"<I{len(t.shape)}Q", len(t.shape), *t.shape[::-1]))
            parts.append(struct.pack("<IQ", t.type.ggml_id, offset))
            offset += -(-t.nbytes // self._alignment) * self._alignment
        header = b"".join(parts)
        # What we would refuse to read, we refuse to write.
        read_header(header, file_size=len(header) + self._alignment + offset)
        return header + bytes(-len(header) % self._alignment)


def _check_size(name: str, found: int, nbytes: int) -> None:
    if found != nbytes:
        raise OptionError(f"tensor {name!r} was given {found} bytes; its shape takes {nbytes}")


def _kind(name: str) -> int:
    """Return the number of a value type's name."""
    if name not in TYPE_NAMES or name == "array":
        names = ", ".join(n for n in TYPE_NAMES if n != "array")
        raise OptionError(f"{name!r} is no value type; {names} are")
    return TYPE_NAMES.index(name)


def _infer(value: Any) -> int:
    """Return the value type for one value."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        names = ("uint32", "uint64") if value >= 0 else ("int32", "int64")
        return _kind(names[0] if -(1 << 31) <= value < 1 << 32 else names[1])
    if isinstance(value, float):
        return _kind("float32")
    if isinstance(value, str):
        return STRING
    raise TypeError(f"{type(value).__name__} has no value type; bool, int, float and str have")


def _infer_elements(values: Sequence[Any]) -> int:
    """Return the value type that holds all of `values`, or that they have already."""
    if isinstance(values, Numbers):
        return next(kind for kind, code in SCALARS.items() if code == values.code)
    kinds = {type(value) for value in values}
    if kinds == {int}:
        low, high = min(values), max(values)
        if low >= -(1 << 31) and high < 1 << 31:
            return _kind("int32")
        return _kind("int64" if low < 0 else "uint64")
    if kinds == {int, float}:
        return _kind("float32")
    if len(kinds) != 1:
        names = ", ".join(sorted(kind.__name__ for kind in kinds)) or "no"
        raise TypeError(f"a list of {names} elements has no value type; give `type`")
    return _infer(values[0])


def _pack_one(value: Any, kind: int) -> bytes:
    return struct.pack("<I", kind) + _pack_elements([value], kind)


def _pack_list(values: Sequence[Any], name: str | None) -> bytes:
    kind = _kind(name) if name else _infer_elements(values)
    return struct.pack("<IIQ", ARRAY, kind, len(values)) + _pack_elements(values, kind)


def _pack_elements(values: Sequence[Any], kind: int) -> bytes:
    if isinstance(values, Texts) and kind == STRING:
        return values.packed()
    if isinstance(values, Numbers) and values.code == SCALARS.get(kind):
        return values.packed()
    if kind == STRING:
        return b"".join(map(_pack_string, values))
    if kind == BOOL and any(not isinstance(value, bool) for value in values):
        raise TypeError("a bool is True or False")
    return struct.pack(f"<{len(values)}{SCALARS[kind]}", *values)


def _pack_string(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return struct.pack("<Q", len(encoded)) + encoded

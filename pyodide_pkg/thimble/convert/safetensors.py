"""What is in a safetensors file, or in a folder of them: names, shapes, and where the values are.

Values stay in the files until they are asked for, some rows at a time. The format:
https://github.com/huggingface/safetensors#format. This file knows no model.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError, UnsupportedError
from ..json_text import parse_json

Floats: TypeAlias = NDArray[np.float32]

MAX_HEADER = 100_000_000
"""Bytes of a header, the library's own limit."""
TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
"""Encodings that are read, and what NumPy holds them in."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A tensor in a file."""

    name: str
    path: Path
    type: str
    shape: tuple[int, ...]
    offset: int
    """Of its first byte, from the file's beginning."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(TYPES[self.type]).itemsize

    def map(self) -> NDArray[Any]:
        """The tensor where it lies in the file, in its encoding; let it go when it is done with."""
        return np.memmap(self.path, TYPES[self.type], "r", self.offset, self.shape)

    def floats(self, values: NDArray[Any]) -> Floats:
        """A part of what `map` gave, as float32."""
        if self.type == "BF16":
            return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
        return values.astype(np.float32)


def read_file(path: Path) -> Iterator[Stored]:
    """The tensors of one file. Raises FormatError where it is damaged, UnsupportedError for an
    encoding that is not in `TYPES`."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        n = int.from_bytes(head, "little")
        if len(head) < 8 or not 2 <= n <= min(MAX_HEADER, size - 8):
            raise FormatError(
                f"{path.name!r} is no safetensors file, or is cut short: its header should have "
                f"{n} bytes, and the file has {size}"
            )
        header = parse_json(file.read(n), f"the header of {path.name!r}")
    if not isinstance(header, dict):
        raise FormatError(f"the header of {path.name!r} is no JSON object")
    found = {
        name: _stored(path, name, entry, 8 + n, size)
        for name, entry in header.items()
        if name != "__metadata__"
    }
    yield from found.values()
    # A tensor of two names is written once; `save_model` of the library tells the other one here.
    others = header.get("__metadata__")
    for name, kept in others.items() if isinstance(others, dict) else ():
        if isinstance(kept, str) and kept in found and name not in found:
            yield replace(found[kept], name=name)


def _stored(path: Path, name: str, entry: Any, begin: int, size: int) -> Stored:
    """Check what a header says of one tensor."""
    where = f"tensor {name!r:.100} of {path.name!r}"
    if not isinstance(entry, dict):
        raise FormatError(f"{where} is described by {entry!r:.60}; an object is right")
    shape: Any = entry.get("shape")
    offsets: Any = entry.get("data_offsets")
    kind: Any = entry.get("dtype")
    if not _counts(shape) or not _counts(offsets) or len(offsets) != 2:
        raise FormatError(f"{where} has the shape {shape!r:.60} and the offsets {offsets!r:.60}")
    if not isinstance(kind, str) or kind not in TYPES:
        raise UnsupportedError(f"{where} is stored as {kind!r:.40}; {', '.join(TYPES)} are read")
    found = Stored(name, path, kind, tuple(shape), begin + offsets[0])
    if offsets[1] - offsets[0] != found.nbytes:
        raise FormatError(
            f"{where} takes {offsets[1] - offsets[0]} bytes; its shape {found.shape} as {kind} "
            f"takes {found.nbytes}"
        )
    if begin + offsets[1] > size:
        raise FormatError(
            f"{where} ends at byte {begin + offsets[1]:,}, but the file has {size:,}: it is cut "
            "short"
        )
    return found


def read_folder(folder: str | os.PathLike[str]) -> dict[str, Stored]:
    """The tensors of a folder, by name: of `model.safetensors`, or of the files that
    `model.safetensors.index.json` lists. Raises FormatError and UnsupportedError, also where one
    that is listed is missing."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        whole = folder / "model.safetensors"
        if not whole.exists():
            raise FormatError(
                f"{str(folder)!r} has neither model.safetensors nor {index.name}; "
                "those are what is read"
            )
        return {tensor.name: tensor for tensor in read_file(whole)}
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(p, str) for p in places.values()):
        raise FormatError(f"{index.name} has no weight_map of names and files")
    found: dict[str, Stored] = {}
    for name in sorted(set(places.values())):
        if Path(name).name != name or not _is_file(folder / name):
            raise FormatError(f"{index.name} names {name!r:.100}, which is not in {str(folder)!r}")
        found |= {tensor.name: tensor for tensor in read_file(folder / name)}
    missing = [name for name in places if name not in found]
    if missing:
        raise FormatError(f"tensor {missing[0]!r:.100} is listed in {index.name}, but not there")
    return found


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object in a file. Raises FormatError where it is none."""
    try:
        value = parse_json(path.read_bytes(), path.name, constants=True)
    except FileNotFoundError:
        raise FormatError(f"{str(path.parent)!r} has no {path.name}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{path.name} is no JSON object")
    return value


def _is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except OSError:
        return False


def _counts(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on, none of them absurd."""
    return (
        isinstance(value, list)
        and len(value) <= 8
        and all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 48 for n in value)
    )

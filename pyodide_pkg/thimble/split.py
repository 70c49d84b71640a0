"""A model in several files, NAME-00001-of-00003.gguf and so on, as one file.

Each part is a GGUF file with tensors of its own; the first one has the metadata. llama.cpp's
`gguf-split` writes them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from .errors import FormatError
from .gguf import GGUFHeader, TensorInfo, read_file_header
from .gguf_writer import GGUFWriter

PIECE = 1 << 20
"""Bytes that are read at a time."""

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_OWN = ("split.no", "split.count", "split.tensors.count")


def parts_of(path: str | os.PathLike[str]) -> list[Path]:
    """All parts of the model whose first part is at `path`; that path alone where it is no part.

    Raises FormatError for another part than the first, and for one that is missing.
    """
    path = Path(path)
    match = _NAME.fullmatch(path.name)
    if not match or int(match["count"]) < 2:
        return [path]
    stem, count = match["stem"], int(match["count"])
    parts = [path.with_name(f"{stem}-{i:05}-of-{count:05}.gguf") for i in range(1, count + 1)]
    if int(match["number"]) != 1:
        raise FormatError(f"{path.name!r} is not the first part; load {parts[0].name!r}")
    for part in parts:
        if path.exists() and not part.exists():
            raise FormatError(f"{part.name!r} is missing; {count} parts make this model")
    return parts


def joined(parts: list[Path]) -> GGUFWriter:
    """The model as one file, whose tensors are read from the parts while it is written.

    Raises FormatError where a part belongs elsewhere or a tensor is in two of them.
    """
    headers = (read_file_header(part) for part in parts)
    names = [part.name for part in parts]
    return _writer(names, headers, lambda number, tensor: partial(_bytes, parts[number], tensor))


def joined_header(
    names: Sequence[str], headers: Sequence[GGUFHeader], sizes: Sequence[int]
) -> bytes:
    """What stands before the tensors of the model as one file.

    Behind it come the parts as they are, each from its `data_offset` on; `sizes` are bytes of whole
    parts. Raises FormatError as `joined` does, and where a part is laid out otherwise than here.
    """
    writer = _writer(names, headers, lambda _number, _tensor: tuple)
    for name, header, size in zip(names, headers, sizes, strict=True):
        place = header.data_offset
        for tensor in header.tensors:
            if tensor.offset != place:
                break
            place += -(-tensor.nbytes // headers[0].alignment) * headers[0].alignment
        if place != size:
            raise FormatError(
                f"{name!r} has {size:,} bytes, and not just its tensors one behind the other; "
                "join the parts first, for example by `llama-gguf-split --merge`"
            )
    return writer.header()


def _writer(
    names: Sequence[str],
    headers: Iterable[GGUFHeader],
    source: Callable[[int, TensorInfo], Callable[[], Iterable[bytes]]],
) -> GGUFWriter:
    """The first part's metadata, and the tensors of all in their order."""
    writer = GGUFWriter()
    seen: set[str] = set()
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        _check(name, header, number, len(names))
        if number == 0:
            for key, value in header.metadata.items():
                if key not in _OWN:
                    writer.add(key, value)
        for tensor in header.tensors:
            if tensor.name in seen:
                raise FormatError(f"{name!r} has tensor {tensor.name!r} a second time")
            seen.add(tensor.name)
            writer.add_tensor(tensor.name, tensor.shape, tensor.type, source(number, tensor))
    return writer


def _check(name: str, header: GGUFHeader, number: int, count: int) -> None:
    found = (header.metadata.get("split.no"), header.metadata.get("split.count"))
    if found != (number, count):
        raise FormatError(
            f"{name!r} says it is part {found[0]} of {found[1]}, counted from 0; "
            f"its name says {number} of {count}"
        )


def _bytes(part: Path, tensor: TensorInfo) -> Iterator[bytes]:
    with part.open("rb") as file:
        file.seek(tensor.offset)
        left = tensor.nbytes
        while left:
            piece = file.read(min(PIECE, left))
            if not piece:
                raise FormatError(f"{part.name!r} ends inside tensor {tensor.name!r}")
            left -= len(piece)
            yield piece

"""A model in several files, NAME-00001-of-00003.gguf and so on, as one file.

Each part is a GGUF file with tensors of its own; the first one has the metadata. llama.cpp's
`gguf-split` writes them.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol

from .errors import FormatError
from .gguf import GGUFHeader, TensorInfo, check_no_folder, read_file_header, read_header
from .gguf_writer import Buffer, GGUFWriter

PIECE = 1 << 20
"""Bytes that are read at a time."""

_NAME = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.DOTALL)
_OWN = ("split.no", "split.count", "split.tensors.count")


class Source(Protocol):
    """What of a file is needed to read one."""

    def seek(self, offset: int, /) -> int: ...

    def read(self, size: int, /) -> bytes: ...


def parts_of(path: str | os.PathLike[str]) -> list[Path]:
    """All parts of the model whose first part is at `path`; that path alone where it is no part.

    Raises FormatError for another part than the first, for one that is missing, and for a folder of
    another format's.
    """
    path = Path(path)
    check_no_folder(path)
    parts = [path.with_name(name) for name in names_of_parts(path.name)]
    if len(parts) == 1:
        return [path]
    if path.name != parts[0].name:
        raise FormatError(f"{path.name!r} is not the first part; load {parts[0].name!r}")
    for part in parts:
        if path.exists() and not part.exists():
            raise FormatError(f"{part.name!r} is missing; {len(parts)} parts make this model")
    return parts


def names_of_parts(name: str) -> list[str]:
    """The names of all parts of the model of which a file of this name is one, the first one first;
    that name alone where it is no part's."""
    match = _NAME.fullmatch(name)
    if not match or int(match["count"]) < 2:
        return [name]
    stem, count = match["stem"], int(match["count"])
    return [f"{stem}-{i:05}-of-{count:05}.gguf" for i in range(1, count + 1)]


def check_whole(name: str, header: GGUFHeader) -> None:
    """Raise FormatError where a header, of a file called `name`, is that of a part."""
    count = header.metadata.get("split.count", 1)
    if isinstance(count, int) and count > 1:
        raise FormatError(
            f"{name!r} is one of {count} parts of a model; all of them are needed, under the names "
            f"that llama.cpp's gguf-split gives them: …-00001-of-{count:05}.gguf"
        )


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[tuple[Source, GGUFHeader, int]]:
    """The model at `path`, or in the files of which that is the first part: something to read its
    bytes from, its header, and how many bytes its files have. Errors are those of `parts_of`."""
    parts = parts_of(path)
    size = sum(os.path.getsize(part) for part in parts)
    if len(parts) > 1:
        whole = _Joined(parts)
        yield whole, whole.header, size
        return
    header = read_file_header(path)
    with open(path, "rb") as file:
        yield file, header, size


def joined(parts: list[Path]) -> GGUFWriter:
    """The model as one file, whose tensors are read from the parts while it is written.

    Raises FormatError where a part belongs elsewhere or a tensor is in two of them.
    """
    headers = [read_file_header(part) for part in parts]
    with parts[0].open("rb") as file:
        head = file.read(headers[0].data_offset)
    names = [part.name for part in parts]
    return _writer(
        names, headers, head, lambda number, tensor: partial(_bytes, parts[number], tensor)
    )


class _Joined:
    """The same to be read anywhere, a header or part of a tensor at a time."""

    def __init__(self, parts: list[Path]) -> None:
        self._head = joined(parts).header()
        self.header = read_header(self._head)
        stored = {
            t.name: (part, t.offset) for part in parts for t in read_file_header(part).tensors
        }
        self._begins = [0, *(t.offset for t in self.header.tensors)]
        self._places = [stored[t.name] for t in self.header.tensors]
        self._at = 0

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def read(self, size: int, /) -> bytes:
        number = bisect_right(self._begins, self._at) - 1
        within = self._at - self._begins[number]
        self._at += size
        if number == 0:
            return self._head[within : within + size]
        part, offset = self._places[number - 1]
        with part.open("rb") as file:
            file.seek(offset + within)
            return file.read(size)


def joined_header(
    names: Sequence[str], headers: Sequence[GGUFHeader], head: Buffer, sizes: Sequence[int]
) -> bytes:
    """What stands before the tensors of the model as one file.

    `head` is the first part's header as bytes. Behind what this returns come the parts as they are,
    each from its `data_offset` on; `sizes` are bytes of whole parts. Raises FormatError as `joined`
    does, and where a part is laid out otherwise than here.
    """
    writer = _writer(names, headers, head, lambda _number, _tensor: tuple)
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
    headers: Sequence[GGUFHeader],
    head: Buffer,
    source: Callable[[int, TensorInfo], Callable[[], Iterable[bytes]]],
) -> GGUFWriter:
    """The first part's metadata, and the tensors of all in their order."""
    writer = GGUFWriter()
    seen: set[str] = set()
    for number, (name, header) in enumerate(zip(names, headers, strict=True)):
        _check(name, header, number, len(names))
        if number == 0:
            for key in header.metadata:
                if key not in _OWN:
                    writer.copy(key, header, head)
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

"""What is in a file of `torch.save`: a tree of dicts and lists, and tensors that stay in the file.

Such a file is a zip archive: `NAME/data.pkl` is the tree (`pickled.py`), and each storage of
numbers is an entry `NAME/data/KEY`, stored as it is. Nothing of the file is run, and torch is not
needed. The layout: https://pytorch.org/docs/stable/notes/serialization.html, and of zip archives
https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT. This file knows no model.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import FormatError, UnsupportedError
from .pickled import LONGEST, Named, read_pickle, told
from .safetensors import Stored

MAX_DIRECTORY = 1 << 20
"""Bytes of an archive's list of entries: seven times what the largest GPT-2 has."""
MAX_SIDES = 8
MOST = 1 << 48
"""No count is larger, unless it is a lie."""

END, END_SIZE = b"PK\x05\x06", 22
LOCATOR, LOCATOR_SIZE = b"PK\x06\x07", 20
END64, END64_SIZE = b"PK\x06\x06", 56
ENTRY, ENTRY_SIZE = b"PK\x01\x02", 46
LOCAL, LOCAL_SIZE = b"PK\x03\x04", 30
FULL = 0xFFFFFFFF
"""What stands in 32 bits for a number that is told in 64 elsewhere."""

TYPES = {
    "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2), "BFloat16Storage": ("BF16", 2),
    "DoubleStorage": ("F64", 8),
}  # fmt: skip
"""Storages of weights: safetensors' names of them, and bytes of a value."""
OTHERS = {
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1,
}  # fmt: skip
"""Storages that are no weights, and are not looked into."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in the archive."""

    name: str
    header: int
    """Where it begins, with a header of its own."""
    nbytes: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers in a row, in an entry of their own."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage."""

    storage: Storage
    offset: int
    """Of its first value, in values."""
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class TorchFile:
    """A file of `torch.save`, of which `tree` is what was saved, with `Tensor`s in it.

    Raises FormatError for what is none or is damaged, UnsupportedError for one that holds more than
    data; OSError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._size = self.path.stat().st_size
        with self.path.open("rb") as file:
            self._entries = _entries(file, self._size, self.path.name)
            self.root = self._root()
            self._check_order(file)
            data = self._read(file, f"{self.root}/data.pkl", LONGEST)
        self.tree = read_pickle(data, f"data.pkl of {self.path.name!r}", CALLS, _storage)

    def stored(self, name: str, tensor: Tensor) -> Stored:
        """Where a tensor's values are, called `name`. Raises FormatError where they are not there,
        or not in the order of its rows, UnsupportedError where they are no weights."""
        where = f"tensor {name!r:.100} of {self.path.name!r}"
        kind, shape = tensor.storage.kind, tensor.shape
        if kind not in TYPES:
            raise UnsupportedError(f"{where} is a {kind}; {', '.join(TYPES)} are read")
        code, width = TYPES[kind]
        expected = 1
        for side, stride in zip(reversed(shape), reversed(tensor.strides), strict=True):
            if side != 1 and stride != expected:
                raise FormatError(
                    f"{where} has the shape {shape} and the strides {tensor.strides}; rows that "
                    "follow one another are right"
                )
            expected *= side
        entry = self._entry(f"{self.root}/data/{tensor.storage.key}")
        end = tensor.offset + math.prod(shape)
        if end > tensor.storage.count or tensor.storage.count * width > entry.nbytes:
            raise FormatError(
                f"{where} ends at value {end:,} of a storage of {tensor.storage.count:,}, which "
                f"has {entry.nbytes:,} bytes"
            )
        with self.path.open("rb") as file:
            begin = self._begin(file, entry)
        return Stored(name, self.path, code, shape, begin + tensor.offset * width)

    def _root(self) -> str:
        """The folder in which everything is: the only one with a tree."""
        found = [name[: -len("/data.pkl")] for name in self._entries if name.endswith("/data.pkl")]
        found = [name for name in found if "/" not in name]
        if len(found) != 1:
            raise FormatError(
                f"{self.path.name!r} has {len(found)} trees data.pkl; a file of torch.save has one"
            )
        return found[0]

    def _check_order(self, file: BinaryIO) -> None:
        """Raise UnsupportedError for numbers whose bytes are the other way round."""
        name = f"{self.root}/byteorder"
        order = self._read(file, name, 16) if name in self._entries else b"little"
        if order != b"little":
            raise UnsupportedError(f"{self.path.name!r} has the byte order {order!r}; little runs")

    def _entry(self, name: str) -> Entry:
        if name not in self._entries:
            raise FormatError(f"{self.path.name!r} has no entry {name!r:.100}")
        return self._entries[name]

    def _begin(self, file: BinaryIO, entry: Entry) -> int:
        """Where an entry's bytes begin, behind a header whose length only it knows."""
        file.seek(entry.header)
        head = file.read(LOCAL_SIZE)
        if len(head) < LOCAL_SIZE or head[:4] != LOCAL:
            raise FormatError(f"{entry.name!r:.100} is not where {self.path.name!r} says it is")
        n_name, n_extra = struct.unpack_from("<2H", head, 26)
        begin: int = entry.header + LOCAL_SIZE + n_name + n_extra
        if begin + entry.nbytes > self._size:
            raise FormatError(
                f"{entry.name!r:.100} ends at byte {begin + entry.nbytes:,}, but {self.path.name!r}"
                f" has {self._size:,}: it is cut short"
            )
        return begin

    def _read(self, file: BinaryIO, name: str, most: int) -> bytes:
        entry = self._entry(name)
        if entry.nbytes > most:
            raise FormatError(f"{name!r:.100} has {entry.nbytes:,} bytes; up to {most:,} are read")
        file.seek(self._begin(file, entry))
        return file.read(entry.nbytes)


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a file begins as those of torch.save do, or did before they were archives."""
    with open(path, "rb") as file:
        return file.read(4) in (LOCAL, b"\x80\x02\x8a\x0a")


def _entries(file: BinaryIO, size: int, name: str) -> dict[str, Entry]:
    """The entries of an archive. Raises FormatError for what is none, and for one in which not all
    is stored as it is."""
    at, nbytes = _directory(file, size, name)
    file.seek(at)
    data = file.read(nbytes)
    found: dict[str, Entry] = {}
    here = 0
    while here < len(data):
        if data[here : here + 4] != ENTRY or here + ENTRY_SIZE > len(data):
            raise FormatError(f"the list of entries of {name!r} is damaged at byte {at + here:,}")
        flags, method = struct.unpack_from("<2H", data, here + 8)
        packed, full, n_name, n_extra, n_comment = struct.unpack_from("<2I3H", data, here + 20)
        (header,) = struct.unpack_from("<I", data, here + 42)
        here += ENTRY_SIZE
        raw, extra = data[here : here + n_name], data[here + n_name : here + n_name + n_extra]
        here += n_name + n_extra + n_comment
        entry_name = raw.decode("utf-8", "replace")
        full, packed, header = _long(extra, full, packed, header)
        if method or flags & 1 or packed != full:
            raise FormatError(
                f"{entry_name!r:.100} in {name!r} is compressed or encrypted; torch.save does "
                "neither"
            )
        if entry_name in found:
            raise FormatError(f"{name!r} has the entry {entry_name!r:.100} twice")
        found[entry_name] = Entry(entry_name, header, full)
    return found


def _directory(file: BinaryIO, size: int, name: str) -> tuple[int, int]:
    """Where the list of entries is, and how long."""
    file.seek(max(0, size - END_SIZE - LOCATOR_SIZE))
    tail = file.read(END_SIZE + LOCATOR_SIZE)
    if tail[-END_SIZE:][:4] != END:
        raise FormatError(
            f"{name!r} does not end as a file of torch.save does: it is none, it is cut short, or "
            "it was saved by PyTorch before 1.6; save it again with a newer one"
        )
    nbytes, at = struct.unpack_from("<2I", tail, len(tail) - END_SIZE + 12)
    if tail[:4] == LOCATOR and len(tail) == END_SIZE + LOCATOR_SIZE:
        file.seek(min(struct.unpack_from("<Q", tail, 8)[0], size))
        end = file.read(END64_SIZE)
        if len(end) == END64_SIZE and end[:4] == END64:
            nbytes, at = struct.unpack_from("<2Q", end, 40)
    if nbytes > MAX_DIRECTORY or at + nbytes > size:
        raise FormatError(
            f"{name!r} has {size:,} bytes; its list of entries should have {nbytes:,} from byte "
            f"{at:,} on, and up to {MAX_DIRECTORY:,} are read"
        )
    return at, nbytes


def _long(extra: bytes, *numbers: int) -> tuple[int, int, int]:
    """Size, packed size and place of an entry, of which those that are `FULL` stand in `extra`."""
    at, told_long = 0, b""
    while at + 4 <= len(extra):
        tag, n = struct.unpack_from("<2H", extra, at)
        if tag == 1:
            told_long = extra[at + 4 : at + 4 + n]
        at += 4 + n
    longs = iter(struct.unpack_from(f"<{len(told_long) // 8}Q", told_long))
    size, packed, place = (next(longs, n) if n == FULL else n for n in numbers)
    return size, packed, place


def _storage(value: Any) -> Storage:
    """What a tree says of a storage: ("storage", its type, its key, a device, how many values)."""
    if not isinstance(value, tuple) or len(value) != 5 or value[0] != "storage":
        raise FormatError("a tensor has no storage")
    _, kind, key, _, count = value
    name = kind.name.rpartition(".")[2] if isinstance(kind, Named) else ""
    if name not in TYPES and name not in OTHERS:
        raise FormatError(f"a storage is of the type {told(name)}")
    if not isinstance(key, str) or not key.isalnum() or not _is_count(count):
        raise FormatError(f"a storage has the key {told(key)} and {told(count)} values")
    return Storage(name, key, count)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2: what follows says whether it learns."""
    if not isinstance(storage, Storage) or not _is_count(offset):
        raise FormatError(f"a tensor begins at {told(offset)} of {told(storage)}")
    for sides in (shape, strides):
        if not isinstance(sides, tuple) or len(sides) > MAX_SIDES or not all(map(_is_count, sides)):
            raise FormatError("a tensor's shape and strides are whole numbers, at most 8")
    if len(shape) != len(strides):
        raise FormatError(f"a tensor has {len(shape)} sides and {len(strides)} strides")
    return Tensor(storage, offset, shape, strides)


def _parameter(tensor: Any, *_: Any) -> Any:
    """torch._utils._rebuild_parameter: a tensor, and whether it learns."""
    return tensor


def _ordered(pairs: Any = ()) -> dict[str, Any]:
    """collections.OrderedDict, whose items come behind it."""
    if pairs:
        raise FormatError("an OrderedDict that is made of a list")
    return {}


def _never(*_: Any) -> Any:
    raise FormatError("a type is called, which is only named elsewhere")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST


CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "collections.OrderedDict": _ordered,
    **{f"torch.{name}": _never for name in (*TYPES, *OTHERS)},
}
"""What a tree of torch's may call."""

"""What is in a GGUF file: its metadata, and where each tensor's bytes lie.

This file reads the header and nothing behind it. It knows the container: versions, value types,
counts, offsets, and how each of them can lie. It does not know what a key means (`model_config.py`)
or what a tensor's bytes say (`loader.py`, `dequantize.py`), and it needs the standard library only.

Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import codecs
import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import FormatError, OptionError, UnsupportedError
from .gguf_lists import LENGTH, Numbers, Texts
from .tensor_types import KNOWN_NAMES, TENSOR_TYPES, TensorType

MAGIC = b"GGUF"
VERSIONS = (2, 3)
DEFAULT_ALIGNMENT = 32

# What a header may ask for. Real ones stay far below: the largest vocabularies have 256,000 tokens
# and as many merges, together some 15 MB, and models have tens of keys and hundreds of tensors. Of
# those each takes a few hundred bytes of memory, whatever it has in the file.
MAX_HEADER = 32 << 20  # bytes before the tensors
MAX_KEYS = 2048
MAX_TENSORS = 4096
MAX_KEY = 65_535  # bytes, as in the specification
MAX_TENSOR_NAME = 64  # bytes, as in the specification
MAX_DIMS = 4
MAX_DEPTH = 4  # arrays in arrays
MAX_NESTED = 1024  # arrays inside of others, in all: no known file has one
MAX_ALIGNMENT = 1 << 16
MAX_ELEMENTS = 1 << 48  # of one tensor

# Value types, by the specification's numbers; `SCALARS` are those that `struct` reads.
BOOL, STRING, ARRAY = 7, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", BOOL: "?", 10: "Q", 11: "q",
           12: "d"}  # fmt: skip
TYPE_NAMES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool", "string",
              "array", "uint64", "int64", "float64")  # fmt: skip

_MIN_BYTES = {STRING: 8, ARRAY: 12} | {t: struct.calcsize(c) for t, c in SCALARS.items()}
_MIN_KEY = 8 + 1 + 4 + 1  # bytes of the smallest key-value pair
_MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8  # bytes of the smallest tensor description
_RUN = 512  # texts that are checked to be UTF-8 together
_PIECE = 1 << 16  # bytes, the same
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class NeedMoreData(FormatError):  # noqa: N818 - a request, named for what it asks
    """The header goes on behind the bytes there are.

    Call again with `at_least` bytes, or with the whole file where it is shorter than that. Each
    call asks for twice as much, or for less where the end of a long list is in sight, but for a
    quarter more at least, so that all calls together cost about as much as a few.
    """

    def __init__(self, at_least: int, have: int, what: str) -> None:
        super().__init__(
            f"the GGUF header goes on: {what} begins or ends behind byte {have}; "
            f"at least {at_least} bytes are needed"
        )
        self.at_least = at_least


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One tensor: `shape` has rows first, `offset` counts bytes from the file's beginning."""

    name: str
    shape: tuple[int, ...]
    type: TensorType
    offset: int
    nbytes: int
    n_elements: int


@dataclass(frozen=True, slots=True)
class GGUFHeader:
    """A checked header.

    `metadata` values are bool, int, float, str and lists of these (`gguf_lists.py`). `tensors` are
    in the order of their bytes in the file. `data_offset` is where tensor bytes may begin;
    `file_end` is the end of the last tensor, or of the header where there is none. `spans` are
    where each key's value begins, its type in front, and where it ends: whoever copies a value
    takes its bytes, which keep the type.
    """

    version: int
    metadata: dict[str, Any]
    tensors: tuple[TensorInfo, ...]
    alignment: int
    data_offset: int
    file_end: int
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)


def read_header(
    data: bytes | bytearray | memoryview, *, file_size: int | None = None
) -> GGUFHeader:
    """Read and check the header of a GGUF file of which `data` is the whole or a beginning.

    With `file_size` (bytes of the whole file) tensors are also checked to lie inside the file.
    Raises `NeedMoreData` where `data` ends too early, `FormatError` for a file that is broken, and
    `UnsupportedError` for a version or a tensor type that we do not read. Nothing is allocated
    before the bytes that it takes are known to be there.
    """
    view = memoryview(data)
    if file_size is not None and view.nbytes > file_size:
        raise OptionError(f"file_size is {file_size}, but there are {view.nbytes} bytes of it")
    cursor = _Cursor(view.cast("B") if view.nbytes else view, file_size)
    version = _read_version(cursor)
    n_tensors = cursor.count("tensors", _MIN_TENSOR, MAX_TENSORS)
    n_keys = cursor.count("key-value pairs", _MIN_KEY, MAX_KEYS)
    cursor.need(n_keys * _MIN_KEY + n_tensors * _MIN_TENSOR, "the header")
    metadata, spans = _read_metadata(cursor, n_keys)
    alignment = check_alignment(metadata.get("general.alignment", DEFAULT_ALIGNMENT))
    tensors = _read_tensors(cursor, n_tensors)
    data_offset = -(-cursor.pos // alignment) * alignment
    placed = _place(tensors, data_offset, alignment, file_size)
    file_end = placed[-1].offset + placed[-1].nbytes if placed else cursor.pos
    return GGUFHeader(version, metadata, placed, alignment, data_offset, file_end, spans)


def check_no_folder(path: Path) -> None:
    """Raise FormatError for a folder that could become the file that was meant."""
    for file, what in (("adapter_config.json", "an adapter of PEFT's"),
                       ("config.json", "a model of Hugging Face's")):  # fmt: skip
        if (path / file).exists():
            raise FormatError(
                f"{str(path)!r} is {what}, a folder; `thimble convert` makes a GGUF file of it"
            )


def read_file_header(path: str | os.PathLike[str]) -> GGUFHeader:
    """Read the header of the file at `path`, and no more of the file than that takes."""
    path = Path(path)
    check_no_folder(path)
    size = path.stat().st_size
    data = bytearray()
    wanted = 1 << 16
    with path.open("rb") as file:
        while True:
            data += file.read(wanted - len(data))
            try:
                return read_header(data, file_size=size)
            except NeedMoreData as more:
                wanted = more.at_least


class _Cursor:
    """A place in the bytes, and the only way to read them: every read is checked first."""

    __slots__ = ("data", "file_size", "nested", "pos")

    def __init__(self, data: memoryview, file_size: int | None) -> None:
        self.data = data
        self.file_size = file_size
        self.pos = 0
        self.nested = 0

    def need(self, n: int, what: str, likely: int | None = None) -> None:
        """Make sure that `n` bytes from here on are there; `what` is named in the error. `likely`
        is how many it will be in the end, where that can be guessed."""
        have, end = len(self.data), self.pos + n
        if end <= have:
            return
        if self.file_size is not None and end > self.file_size:
            raise FormatError(
                f"truncated GGUF file: {what} at byte {self.pos} takes at least {n} bytes, "
                f"but the file ends at byte {self.file_size}"
            )
        if end > MAX_HEADER:
            raise FormatError(
                f"{what} at byte {self.pos} takes at least {n} bytes; "
                f"a GGUF header may have {MAX_HEADER} bytes in all"
            )
        more = 2 * have
        if likely is not None:
            more = min(more, max(have + have // 4, self.pos + likely))
        at_least = max(end, min(more, MAX_HEADER))
        if self.file_size is not None:
            at_least = min(at_least, self.file_size)
        raise NeedMoreData(at_least, have, what)

    def u32(self, what: str) -> int:
        self.need(4, what)
        (value,) = _U32.unpack_from(self.data, self.pos)
        self.pos += 4
        return int(value)

    def u64(self, what: str) -> int:
        self.need(8, what)
        (value,) = _U64.unpack_from(self.data, self.pos)
        self.pos += 8
        return int(value)

    def count(self, what: str, min_bytes: int, limit: int) -> int:
        """Read how many `what` follow, each of at least `min_bytes` bytes."""
        at = self.pos
        n = self.u64(f"the number of {what}")
        if n > limit:
            raise FormatError(f"{n} {what} (count at byte {at}); at most {limit} can be right")
        self.need(n * min_bytes, f"the list of {n} {what}")
        return n

    def name(self, what: str, limit: int) -> str:
        """Read a string of 1 to `limit` bytes."""
        at = self.pos
        n = self.u64(f"the length of {what}")
        if not 1 <= n <= limit:
            raise FormatError(f"{what} at byte {at} has {n} bytes; 1 to {limit} are right")
        self.pos = at
        return self.text(what)

    def text(self, what: str) -> str:
        """Read one string."""
        length = self.u64(f"the length of {what}")
        self.need(length, f"{what} ({length} bytes)")
        begin, self.pos = self.pos, self.pos + length
        self.check_text(begin, self.pos, what)
        return str(self.data[begin : self.pos], "utf-8")

    def texts(self, n: int, what: str) -> Texts:
        """Read `n` strings, each a 64-bit length and UTF-8. The loop that large files spend
        their time in."""
        data, begin, end = self.data, self.pos, len(self.data)
        starts = array("I", bytes(4 * (n + 1)))
        pos, unpack = begin, _U64.unpack_from
        for run in range(0, n, _RUN):
            lengths = 0
            for i in range(run, min(run + _RUN, n)):
                if end - pos < LENGTH:
                    self._end_of_texts(begin, pos, i, n, what)
                (length,) = unpack(data, pos)
                pos += LENGTH
                if length > end - pos:
                    self._end_of_texts(begin, pos, i, n, what, length)
                starts[i] = pos - begin
                lengths |= length
                pos += length
            starts[i + 1] = pos + LENGTH - begin
            self._check_run(begin, starts, range(run, i + 1), lengths, what)
        self.pos = pos
        return Texts(data[begin:pos].tobytes(), starts)

    def _end_of_texts(
        self, begin: int, pos: int, i: int, n: int, what: str, length: int | None = None
    ) -> None:
        """Ask for what is missing of `n` strings that began at `begin`: string `i` ends, or has its
        length, behind what there is."""
        self.pos = pos
        least = LENGTH * (n - i) if length is None else length + LENGTH * (n - i - 1)
        of = "" if length is None else f" ({length} bytes)"
        likely = max(least, (pos - begin) * (n - i) // max(i, 1))
        self.need(least, f"string {i} of {what}{of}", likely)

    def _check_run(
        self, begin: int, starts: array[int], run: range, lengths: int, what: str
    ) -> None:
        """Make sure that the strings `run` are UTF-8; `lengths` are all their lengths, joined by
        "or". Below 128, a length is eight characters of ASCII, and cannot lend a byte to the text
        before or behind it: all are right if they are as one."""
        at, end = begin + starts[run[0]], begin + starts[run[-1] + 1] - LENGTH
        if lengths < 128:
            try:
                str(self.data[at:end], "utf-8")
                return
            except UnicodeDecodeError:
                pass  # which string it was is found below
        for i in run:
            at, end = begin + starts[i], begin + starts[i + 1] - LENGTH
            self.check_text(at, end, f"string {i} of {what}")

    def check_text(self, begin: int, end: int, what: str) -> None:
        """Make sure that these bytes are UTF-8, without ever holding more than a piece of text."""
        decode, at = codecs.getincrementaldecoder("utf-8")().decode, begin
        try:
            for at in range(begin, end, _PIECE):
                decode(self.data[at : min(at + _PIECE, end)], at + _PIECE >= end)
        except UnicodeDecodeError as error:
            # What was left over of the piece before stands before this one.
            pos = min(at + _PIECE, end) - len(error.object) + error.start
            raise FormatError(
                f"{what} at byte {begin} is not UTF-8: {error.reason} "
                f"(byte 0x{self.data[pos]:02x} at {pos})"
            ) from None

    def scalars(self, kind: int, n: int, what: str) -> Numbers:
        """Read `n` numbers or bools of the type `kind`."""
        self.need(n * _MIN_BYTES[kind], f"{what} ({n} of {TYPE_NAMES[kind]})")
        end = self.pos + n * _MIN_BYTES[kind]
        data = self.data[self.pos : end]
        if kind == BOOL and n and max(data) > 1:
            raise FormatError(
                f"{what} at byte {self.pos} has a bool of {max(data)}; 0 or 1 is right"
            )
        self.pos = end
        return Numbers(SCALARS[kind], data)

    def value(self, kind: int, what: str) -> Any:
        """Read one value of the type `kind`."""
        if kind == ARRAY:
            return self.array(what, 1)
        if kind == STRING:
            return self.text(what)
        if kind in SCALARS:
            return self.scalars(kind, 1, what)[0]
        raise self.unknown_kind(kind, what)

    def array(self, what: str, depth: int) -> Sequence[Any]:
        """Read an array: the type of its elements, their count, the elements."""
        if depth > MAX_DEPTH:
            raise FormatError(f"{what} nests arrays deeper than {MAX_DEPTH}, at byte {self.pos}")
        kind = self.u32(f"the element type of {what}")
        if kind not in _MIN_BYTES:
            raise self.unknown_kind(kind, what)
        at = self.pos
        n = self.u64(f"the length of {what}")
        if n * _MIN_BYTES[kind] > MAX_HEADER:
            raise FormatError(
                f"{what} claims {n} elements of {TYPE_NAMES[kind]} (length at byte {at}); "
                f"a GGUF header may have {MAX_HEADER} bytes in all"
            )
        self.need(n * _MIN_BYTES[kind], f"{what} ({n} of {TYPE_NAMES[kind]})")
        if kind == STRING:
            return self.texts(n, what)
        if kind == ARRAY:
            self.nested += n
            if self.nested > MAX_NESTED:
                raise FormatError(f"{what} has arrays in arrays; at most {MAX_NESTED} can be right")
            return [self.array(what, depth + 1) for _ in range(n)]
        return self.scalars(kind, n, what)

    def unknown_kind(self, kind: int, what: str) -> FormatError:
        return FormatError(
            f"{what} has the unknown value type {kind} (at byte {self.pos - 4}); "
            f"0 ({TYPE_NAMES[0]}) to {len(TYPE_NAMES) - 1} ({TYPE_NAMES[-1]}) are right"
        )


def _read_version(cursor: _Cursor) -> int:
    """Read magic and version; refuse what is not GGUF 2 or 3 in little-endian order."""
    cursor.need(1, "the magic")
    found = bytes(cursor.data[:4])
    if found != MAGIC[: len(found)]:
        older = {b"lmgg": "GGML", b"fmgg": "GGMF", b"tjgg": "GGJT", b"algg": "GGLA"}
        name = f" ({older[found]}, a format older than GGUF)" if found in older else ""
        raise FormatError(f"not a GGUF file: it begins with {found!r}{name}, not {MAGIC!r}")
    cursor.need(8, "magic and version")
    cursor.pos = 4
    version = cursor.u32("the version")
    if version in VERSIONS:
        return version
    swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
    if swapped in (1, *VERSIONS):
        raise UnsupportedError(
            f"GGUF version {swapped} in big-endian byte order; little-endian files run here"
        )
    raise UnsupportedError(f"GGUF version {version}; versions 2 and 3 run here")


def _read_metadata(
    cursor: _Cursor, n_keys: int
) -> tuple[dict[str, Any], dict[str, tuple[int, int]]]:
    metadata: dict[str, Any] = {}
    spans: dict[str, tuple[int, int]] = {}
    for i in range(n_keys):
        at = cursor.pos
        key = cursor.name(f"key {i}", MAX_KEY)
        if key in metadata:
            raise FormatError(f"the key {key!r:.100} stands twice, again at byte {at}")
        what = f"the value of {key!r:.100}"
        begin = cursor.pos
        kind = cursor.u32(what)
        metadata[key] = cursor.value(kind, what)
        spans[key] = begin, cursor.pos
    return metadata, spans


def check_alignment(value: Any) -> int:
    """Return the value of general.alignment, in bytes, where it is right."""
    right = isinstance(value, int) and not isinstance(value, bool) and 8 <= value <= MAX_ALIGNMENT
    if not right or value & (value - 1):
        raise FormatError(
            f"general.alignment is {value!r:.100}; "
            f"a power of two from 8 to {MAX_ALIGNMENT} is right"
        )
    return int(value)


def _read_tensors(cursor: _Cursor, n_tensors: int) -> list[TensorInfo]:
    """Read the tensors' descriptions. `offset` still counts from the data's beginning."""
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    for i in range(n_tensors):
        at = cursor.pos
        name = cursor.name(f"the name of tensor {i}", MAX_TENSOR_NAME)
        if name in names:
            raise FormatError(f"the tensor {name!r} stands twice, again at byte {at}")
        names.add(name)
        shape = _read_shape(cursor, name)
        kind = cursor.u32(f"the type of tensor {name!r}")
        tensor_type = TENSOR_TYPES.get(kind)
        if tensor_type is None:
            raise _unknown_tensor_type(name, kind)
        n_elements = 1
        for n in shape:
            n_elements *= n
        if n_elements > MAX_ELEMENTS:
            raise FormatError(
                f"tensor {name!r} of shape {shape} has {n_elements} elements; "
                f"at most {MAX_ELEMENTS} can be right"
            )
        if shape[-1] % tensor_type.block:
            raise FormatError(
                f"tensor {name!r} of shape {shape} has rows of {shape[-1]} values; "
                f"{tensor_type.name} needs a multiple of {tensor_type.block}"
            )
        offset = cursor.u64(f"the offset of tensor {name!r}")
        nbytes = tensor_type.size(n_elements)
        tensors.append(TensorInfo(name, shape, tensor_type, offset, nbytes, n_elements))
    return tensors


def _read_shape(cursor: _Cursor, name: str) -> tuple[int, ...]:
    """Read dimensions; the file has the row's length first, we have it last."""
    at = cursor.pos
    n_dims = cursor.u32(f"the dimensions of tensor {name!r}")
    if not 1 <= n_dims <= MAX_DIMS:
        raise FormatError(
            f"tensor {name!r} has {n_dims} dimensions (at byte {at}); 1 to {MAX_DIMS} are right"
        )
    shape = tuple(cursor.u64(f"the shape of tensor {name!r}") for _ in range(n_dims))[::-1]
    if min(shape) < 1:
        raise FormatError(f"tensor {name!r} has the shape {shape}; every dimension is 1 or more")
    return shape


def _unknown_tensor_type(name: str, kind: int) -> UnsupportedError:
    known = KNOWN_NAMES.get(kind)
    encoding = f"{known} (type {kind})" if known else f"an unknown type, {kind}"
    run = ", ".join(sorted(t.name for t in TENSOR_TYPES.values()))
    return UnsupportedError(f"tensor {name!r} is stored as {encoding}; {run} run here")


def _place(
    tensors: list[TensorInfo], data_offset: int, alignment: int, file_size: int | None
) -> tuple[TensorInfo, ...]:
    """Make offsets absolute, put the tensors in the order of their bytes, and check that they are
    aligned, inside the file and apart from each other."""
    end, before = data_offset, ""
    tensors.sort(key=lambda t: t.offset)
    for i, t in enumerate(tensors):
        if t.offset % alignment:
            raise FormatError(
                f"tensor {t.name!r} has the offset {t.offset}, "
                f"which is not a multiple of the alignment {alignment}"
            )
        offset = data_offset + t.offset
        if offset < end:
            raise FormatError(
                f"tensor {t.name!r} begins at byte {offset}, inside of tensor {before!r}, "
                f"which ends at byte {end}"
            )
        end, before = offset + t.nbytes, t.name
        if file_size is not None and end > file_size:
            raise FormatError(
                f"truncated GGUF file: tensor {t.name!r} ends at byte {end}, "
                f"but the file ends at byte {file_size}"
            )
        tensors[i] = TensorInfo(t.name, t.shape, t.type, offset, t.nbytes, t.n_elements)
    return tuple(tensors)
